//! Request bodies: read within a bound, parsed strictly, refused with the field's name.
//!
//! A question may be long; everything else is a small form. Whoever is not signed in sends forms
//! only, so strangers can't make the server hold much.
//!
//! **Invariant:** no byte of a body is read before there is room for it ([`in_flight`](crate::in_flight)), and one
//! that says that it is too large is refused unread.

use std::{borrow::Cow, future::poll_fn, pin::Pin};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, Request},
};
use http::{HeaderMap, header};
use r1_auth::attempts::network;
use serde::de::DeserializeOwned;

use crate::{
    app::App,
    client,
    error::{ApiError, FieldProblem},
    in_flight::{Held, Sender},
    strict::Strict,
    surrogates,
};

/// Largest form, in bytes, where questions may not be smaller still.
const FORM_BYTES: usize = 64 * 1024;
/// Room is taken for this much more at a time, or for half as much as has come, where nobody said how much comes.
const STEP: usize = 16 * 1024;

/// A JSON form.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        parse_json(&read_json(request, app, form_bytes(app)).await?.0).map(Self)
    }
}

/// A JSON body of any size that is let through, before it is parsed, for those who need its bytes too. To be
/// dropped before any wait: it is in flight for as long as it is there.
pub(crate) struct RawJson {
    pub(crate) bytes: Bytes,
    _held: Held,
}

impl RawJson {
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        parse_json(&self.bytes)
    }
}

impl FromRequest<App> for RawJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        read_json(request, app, app.settings.body_bytes).await.map(|(bytes, held)| Self { bytes, _held: held })
    }
}

/// A JSON form, before it is parsed, that may be left out.
pub(crate) struct OptionalJson {
    pub(crate) bytes: Bytes,
    _held: Held,
}

impl OptionalJson {
    /// No body, or `null`, is the form with nothing filled in.
    pub(crate) fn parse<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        let form = if self.bytes.is_empty() { None } else { parse_json::<Option<T>>(&self.bytes)? };
        Ok(form.unwrap_or_default())
    }
}

impl FromRequest<App> for OptionalJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let is_json = content_type(request.headers()) == "application/json";
        let (bytes, held) = read(request, app, form_bytes(app)).await?;
        if is_json || bytes.is_empty() {
            Ok(Self { bytes, _held: held })
        } else {
            Err(ApiError::media_type("application/json"))
        }
    }
}

async fn read_json(request: Request, app: &App, limit: usize) -> Result<(Bytes, Held), ApiError> {
    if content_type(request.headers()) != "application/json" {
        return Err(ApiError::media_type("application/json"));
    }
    read(request, app, limit).await
}

fn form_bytes(app: &App) -> usize {
    FORM_BYTES.min(app.settings.body_bytes)
}

/// A form that may be JSON or form-encoded.
pub(crate) struct JsonOrForm<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for JsonOrForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let limit = form_bytes(app);
        let kind = content_type(request.headers()).into_owned();
        match kind.as_str() {
            "application/json" => parse_json(&read(request, app, limit).await?.0).map(Self),
            "application/x-www-form-urlencoded" => {
                let (body, _held) = read(request, app, limit).await?;
                let form = serde_urlencoded::Deserializer::new(form_pairs(&body));
                serde_path_to_error::deserialize(form).map(Self).map_err(|error| field_error(&error))
            }
            _ => Err(ApiError::media_type("application/json or application/x-www-form-urlencoded")),
        }
    }
}

fn form_pairs(body: &[u8]) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(body)
}

/// The media type without its parameters, in small letters: case does not count (RFC 9110 §8.3.1).
fn content_type(headers: &HeaderMap) -> Cow<'_, str> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(media_type.to_ascii_lowercase())
    } else {
        Cow::Borrowed(media_type)
    }
}

async fn read(request: Request, app: &App, limit: usize) -> Result<(Bytes, Held), ApiError> {
    let sender = sender(&request, app);
    let body = request.into_body();
    let size = body.size_hint();
    if size.lower() > limit as u64 {
        return Err(ApiError::too_large(limit));
    }
    let said = size.exact().and_then(|size| usize::try_from(size).ok());
    let held = app.bodies.reserve(sender, said.unwrap_or(0)).await?;
    match tokio::time::timeout(app.settings.request_timeout, collect(body, held, limit)).await {
        Ok(collected) => collected,
        Err(_) => Err(ApiError::request_timeout()),
    }
}

fn sender(request: &Request, app: &App) -> Sender {
    let extensions = request.extensions();
    extensions.get().copied().unwrap_or_else(|| {
        let address = client::address(extensions, request.headers(), &app.settings.trusted_proxies);
        Sender::Stranger(address.map(network))
    })
}

/// Copies a body together as it comes: what it came in is often far larger than what came.
async fn collect(mut body: Body, mut held: Held, limit: usize) -> Result<(Bytes, Held), ApiError> {
    let mut whole = Vec::with_capacity(held.bytes());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| ApiError::malformed("The body could not be read."))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > limit {
            return Err(ApiError::too_large(limit));
        }
        if length > held.bytes() {
            let step = STEP.max(whole.len() / 2).max(length - held.bytes());
            held.grow(step.min(limit - held.bytes())).await?;
            whole.reserve_exact(held.bytes() - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.into(), held))
}

fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = surrogates::mend(body);
    let mut json = serde_json::Deserializer::from_slice(&body);
    let value = serde_path_to_error::deserialize(Strict(&mut json))
        .map_err(|error| if error.inner().is_data() { field_error(&error) } else { malformed_json(error.inner()) })?;
    json.end().map_err(|error| malformed_json(&error))?;
    Ok(value)
}

fn malformed_json(error: &serde_json::Error) -> ApiError {
    ApiError::malformed(format!("The body is not JSON: line {}, column {}.", error.line(), error.column()))
}

/// A value of the wrong kind, a missing field, or one that does not belong there.
fn field_error<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> ApiError {
    let text = error.inner().to_string();
    let quoted = text.split('`').nth(1).unwrap_or_default();
    let path = error.path().to_string();
    let (field, message) = if text.starts_with("missing field") {
        (quoted.to_owned(), "is missing".to_owned())
    } else if text.starts_with("unknown field") {
        // The path ends in the unknown name already, where there is one.
        (quoted.to_owned(), "is not a field of this request".to_owned())
    } else {
        // The position is of no use to somebody who did not write the JSON by hand.
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        (if path == "." { "body".to_owned() } else { path }, message)
    };
    ApiError::invalid(vec![FieldProblem { field, message }])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Form {
        message: String,
        temperature: Option<f64>,
    }

    fn problem(body: &str) -> (u16, String, String) {
        let document = parse_json::<Form>(body.as_bytes()).unwrap_err().document("r");
        let field = document.errors.first();
        (document.status, field.map(|f| f.field.clone()).unwrap_or_default(), document.detail)
    }

    #[test]
    fn the_case_of_a_media_type_does_not_count() {
        for value in ["application/json", "Application/JSON; charset=UTF-8", " APPLICATION/json ;x=y"] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(content_type(&headers), "application/json", "{value}");
        }
        assert_eq!(content_type(&HeaderMap::new()), "");
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(problem("{").0, 400);
        assert_eq!(problem("{\"message\":\"x\"} x").0, 400);
        for list in ["[]", r#"["x", 1.0]"#, " \r\n\t[\"x\",null]"] {
            assert_eq!(problem(list).0, 422, "{list}");
            assert_eq!(problem(list).1, "body", "{list}");
        }
        assert_eq!(problem("[]").2, "These fields are not valid: body.");
        assert_eq!(problem("{}").1, "message");
        assert_eq!(problem(r#"{"message":"x","extra":1}"#).1, "extra");
        assert_eq!(problem(r#"{"message":1}"#).1, "message");
        assert_eq!(problem(r#"{"message":"x","temperature":"hot"}"#).1, "temperature");
        assert_eq!(problem("\u{0}").0, 400);
        // Beside half a pair, which is none.
        assert_eq!(problem(r#"{"message":"\ud83d","extra":1}"#).1, "extra");
        assert_eq!(problem(r#"{"\ud83d":"x"}"#).1, "\u{fffd}");
        assert_eq!(problem(r#"{"message":"\ud83d""#).2, "The body is not JSON: line 1, column 19.");
        assert_eq!(problem(r#"{"message":"\ud83"}"#).0, 400);
    }
}
