use axum::{extract::State, response::IntoResponse};
use http::StatusCode;
use r1_auth::Registration;
use secrecy::SecretString;
use serde::Deserialize;

use super::{say_failed, user::UserBody};
use crate::{
    app::App,
    body::Json,
    client::ClientAddr,
    error::{ApiResult, Problem},
};

/// A form for a new account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterRequest {
    /// Sign-in name: 3 to 64 letters of any script with their marks, digits, `_`, `-`, `.`; unique without
    /// regard to case and spelling (Unicode's compatibility caseless match). It is kept in Form KC.
    #[schema(example = "demo_user", min_length = 3, max_length = 64)]
    username: String,
    /// E-mail address; serves as a sign-in name too.
    #[schema(example = "demo@example.com", max_length = 254)]
    email: String,
    /// Password: 8 to 256 characters, no other rule.
    #[schema(value_type = String, example = "demo123456", min_length = 8, max_length = 256, format = Password)]
    password: SecretString,
    /// The one-time code that each start prints while there is no administrator: makes this account an
    /// administrator's.
    setup_code: Option<String>,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/auth/register", tag = "auth", security(()),
    request_body = RegisterRequest,
    responses(
        (status = 201, description = "The account.", body = UserBody),
        (status = 403, description = "Registration is closed.", body = Problem),
        (status = 409, description = "The name or the address is taken.", body = Problem),
        (status = 422, description = "Fields are not valid.", body = Problem),
        (status = 429, description = "Too many registrations from this address.", body = Problem),
    )
)]
pub(crate) async fn register(
    State(app): State<App>,
    ClientAddr(address): ClientAddr,
    Json(request): Json<RegisterRequest>,
) -> ApiResult<impl IntoResponse> {
    let registration = Registration { username: request.username, email: request.email, password: request.password };
    let user = app.auth.register(registration, request.setup_code.as_deref(), address).await;
    let user = user.inspect_err(|error| say_failed("registration", address, error))?;
    Ok((StatusCode::CREATED, axum::Json(UserBody::from(&user))))
}
