use axum::{extract::State, response::IntoResponse};
use http::{StatusCode, header};

use crate::{app::App, error::ApiResult, session::Caller};

/// Ends the session: access token, refresh token and cookie are worth nothing from now on.
#[utoipa::path(
    post, path = "/auth/logout", tag = "auth",
    responses(
        (status = 204, description = "The session has ended."),
    )
)]
pub(crate) async fn logout(State(app): State<App>, caller: Caller) -> ApiResult<impl IntoResponse> {
    app.auth.logout(caller.id(), caller.session_id()).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.settings.ended_cookie())]))
}
