use axum::{extract::State, response::Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::{SessionBody, session_response};
use crate::{
    app::App,
    body::JsonOrForm,
    error::{ApiResult, Problem},
};

/// The refresh token of the last sign-in or refresh.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    /// Works once; a second use ends the session.
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// Trades a refresh token for new tokens.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "auth", security(()),
    request_body(content((RefreshRequest = "application/json"), (RefreshRequest = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "New tokens; the old refresh token is used up.", body = SessionBody),
        (status = 401, description = "The token is not valid, or was used before.", body = Problem),
    )
)]
pub(crate) async fn refresh(
    State(app): State<App>,
    JsonOrForm(request): JsonOrForm<RefreshRequest>,
) -> ApiResult<Response> {
    let login = app.auth.refresh(request.refresh_token.expose_secret()).await?;
    Ok(session_response(login, &app.settings))
}
