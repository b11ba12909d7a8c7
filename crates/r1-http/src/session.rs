//! Who sends a request: a bearer token, or the page's cookie.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{header, request::Parts};
use r1_auth::Watch;
use r1_domain::{
    id::{GenerationId, SessionId, UserId},
    session::Session,
    user::User,
};

use crate::{app::App, cookie::check_site, error::ApiError, in_flight::Sender};

/// A signed-in caller.
pub(crate) struct Caller(Arc<Session>);

impl Caller {
    pub(crate) fn id(&self) -> UserId {
        self.0.user.id
    }

    pub(crate) fn user(&self) -> &User {
        &self.0.user
    }

    pub(crate) fn session_id(&self) -> SessionId {
        self.0.id
    }

    /// How what follows this generation for the caller learns that it may not go on.
    pub(crate) fn watch(&self, app: &App, generation: GenerationId) -> Watch {
        app.auth.watch(self.0.id, self.id(), generation)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let session = authenticate(parts, app).await?;
        app.requests.check(session.user.id)?;
        // Whose body it is that is read next.
        parts.extensions.insert(Sender::User(session.user.id));
        // Somebody is here: a model that went to sleep may wake while they type.
        app.models.warm();
        Ok(Self(session))
    }
}

async fn authenticate(parts: &Parts, app: &App) -> Result<Arc<Session>, ApiError> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let (scheme, token) =
            value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(ApiError::unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::unauthenticated());
        }
        return Ok(app.auth.authenticate_bearer(token.trim()).await?);
    }
    match app.settings.session_secret(&parts.headers) {
        Some(secret) => {
            check_site(parts)?;
            Ok(app.auth.authenticate_cookie(&secret).await?)
        }
        None => Err(ApiError::unauthenticated()),
    }
}
