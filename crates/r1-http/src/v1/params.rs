//! Path and query parameters, refused with their names.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query as AxumQuery};
use http::{HeaderMap, HeaderValue, request::Parts};
use serde::de::DeserializeOwned;

use crate::{app::App, error::ApiError};

/// The id in a path. One that can't be an id names nothing: 404.
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<App> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found())?;
        text.parse().map(Self).map_err(|_| ApiError::not_found())
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match AxumQuery::<T>::from_request_parts(parts, app).await {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(rejection) => {
                Err(ApiError::malformed(format!("The query string is not valid: {}.", rejection.body_text())))
            }
        }
    }
}

/// The one value of a header that has one. Which of several was meant nobody can say: refused.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(ApiError::bad_parameter(name, "must be given once")) } else { Ok(value) }
}

/// Reads an optional parameter.
pub(crate) fn parse<T>(name: &str, text: Option<&str>) -> Result<Option<T>, ApiError>
where
    T: FromStr<Err: std::fmt::Display>,
{
    text.map(str::parse).transpose().map_err(|error: T::Err| ApiError::bad_parameter(name, error.to_string()))
}
