use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, header};
use r1_auth::{Grant, Login};
use r1_domain::session::SessionKind;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{say_failed, user::UserBody};
use crate::{
    app::{App, Settings},
    body::JsonOrForm,
    client::ClientAddr,
    error::{ApiError, ApiResult, Problem},
    origin::{Site, site},
};

/// A name and its password, as JSON or as a form.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    /// Sign-in name, or e-mail address.
    #[schema(example = "demo_user")]
    username: String,
    /// Password.
    #[schema(value_type = String, example = "demo123456", format = Password)]
    password: SecretString,
    /// What proves the session from now on: `token` (bearer) or `cookie`. Not given: a cookie for
    /// a page of this server, tokens for everybody else.
    session: Option<Proof>,
    /// Accepted from OAuth 2 password forms, and without effect.
    #[serde(default, rename = "grant_type")]
    _grant_type: Option<String>,
    /// Accepted from OAuth 2 password forms, and without effect.
    #[serde(default, rename = "scope")]
    _scope: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proof {
    Token,
    Cookie,
}

/// A session. With a cookie session the tokens are absent: the secret is in an HttpOnly cookie.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    /// For `Authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// Gets the next access token, once: `POST /auth/refresh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// `bearer` or `cookie`.
    token_type: &'static str,
    /// For how many seconds the access token, or the cookie, is good.
    expires_in: u64,
    /// The account.
    user: UserBody,
}

/// Encodes a sign-in: the body, and the cookie where the session has one.
pub(super) fn session_response(login: Login, settings: &Settings) -> Response {
    let user = (&login.user).into();
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    let body = match login.grant {
        Grant::Bearer { access_token, expires_in, refresh_token } => SessionBody {
            access_token: Some(access_token.expose_secret().to_owned()),
            refresh_token: Some(refresh_token.expose_secret().to_owned()),
            token_type: "bearer",
            expires_in: expires_in.as_secs(),
            user,
        },
        Grant::Cookie { secret, max_age } => {
            headers.insert(header::SET_COOKIE, settings.session_cookie(&secret, max_age));
            SessionBody {
                access_token: None,
                refresh_token: None,
                token_type: "cookie",
                expires_in: max_age.as_secs(),
                user,
            }
        }
    };
    (headers, axum::Json(body)).into_response()
}

/// Signs in.
#[utoipa::path(
    post, path = "/auth/login", tag = "auth", security(()),
    request_body(content((LoginRequest = "application/json"), (LoginRequest = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "A session.", body = SessionBody),
        (status = 401, description = "The name or the password is wrong.", body = Problem),
        (status = 403, description = "The account is disabled, or a foreign page asks for a cookie.", body = Problem),
        (status = 429, description = "Too many attempts.", body = Problem),
    )
)]
pub(crate) async fn login(
    State(app): State<App>,
    ClientAddr(address): ClientAddr,
    uri: Uri,
    headers: HeaderMap,
    JsonOrForm(request): JsonOrForm<LoginRequest>,
) -> ApiResult<Response> {
    let kind = match (request.session, site(&uri, &headers)) {
        // A foreign page must not sign its visitor in as somebody else.
        (Some(Proof::Cookie), Site::Other) => return Err(ApiError::cross_site()),
        (Some(Proof::Cookie), _) | (None, Site::Same) => SessionKind::Cookie,
        (Some(Proof::Token), _) | (None, _) => SessionKind::Bearer,
    };
    let login = app.auth.login(&request.username, request.password, kind, address).await;
    let login = login.inspect_err(|error| say_failed("sign-in", address, error))?;
    Ok(session_response(login, &app.settings))
}
