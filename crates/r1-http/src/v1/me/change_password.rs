use axum::extract::State;
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    app::App,
    body::Json,
    client::ClientAddr,
    error::{ApiResult, Problem},
    session::Caller,
};

/// The password of until now, and the one from now on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    /// The password with which the account signs in now.
    #[schema(value_type = String, example = "demo123456", max_length = 256, format = Password)]
    current_password: SecretString,
    /// The next one: 8 to 256 characters, no other rule.
    #[schema(value_type = String, example = "difference engine", min_length = 8, max_length = 256, format = Password)]
    new_password: SecretString,
}

/// Changes the caller's password. This session goes on; all others of the account end, and their streams with
/// them. Wrong present passwords count as failed sign-ins do.
#[utoipa::path(
    post, path = "/me/password", tag = "auth",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "The password is changed."),
        (status = 422, description = "`current_password` is wrong, or `new_password` is too short or too long: `errors` says which.", body = Problem),
        (status = 429, description = "Too many attempts.", body = Problem),
    )
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    ClientAddr(address): ClientAddr,
    Json(change): Json<PasswordChange>,
) -> ApiResult<StatusCode> {
    app.auth.change_password(caller.session(), change.current_password, change.new_password, address).await?;
    Ok(StatusCode::NO_CONTENT)
}
