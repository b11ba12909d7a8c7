use axum::{extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode, header};
use r1_auth::AuthError;

use crate::{app::App, error::ApiResult, session::Caller};

/// Ends the session: access token, refresh token and cookie are worth nothing from now on. Where a cookie
/// said who it is, every session whose cookie the request has ends, and the cookie is taken back.
#[utoipa::path(
    post, path = "/auth/logout", tag = "auth",
    responses(
        (status = 204, description = "The session has ended."),
    )
)]
pub(crate) async fn logout(State(app): State<App>, caller: Caller, headers: HeaderMap) -> ApiResult<impl IntoResponse> {
    app.auth.logout(caller.id(), caller.session_id()).await?;
    let mut answer = HeaderMap::new();
    if caller.is_by_cookie() {
        // A browser may keep several of our cookies; the next one must not sign it in again.
        for secret in app.settings.session_cookies(&headers).secrets {
            match app.auth.authenticate_cookie(secret).await {
                Ok(session) => app.auth.logout(session.user.id, session.id).await?,
                Err(AuthError::SessionEnded) => {}
                Err(error) => return Err(error.into()),
            }
        }
        answer.insert(header::SET_COOKIE, app.settings.ended_cookie());
    }
    Ok((StatusCode::NO_CONTENT, answer))
}
