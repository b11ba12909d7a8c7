use serde::Serialize;

use super::user::UserBody;
use crate::{
    error::{ApiResult, Problem},
    session::MaybeCaller,
};

/// Who is signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SessionState {
    /// The caller's account; null where nobody is signed in.
    user: Option<UserBody>,
}

/// Who is signed in, if anybody.
///
/// Unlike `/auth/me`, nobody is an answer and not an error: a page can ask when it starts.
#[utoipa::path(
    get, path = "/auth/session", tag = "auth",
    responses(
        (status = 200, description = "Who is signed in.", body = SessionState),
        (status = 429, description = "Too many requests.", body = Problem),
        (status = 503, description = "The server cannot reach its storage.", body = Problem),
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
pub(crate) async fn get_session(MaybeCaller(caller): MaybeCaller) -> ApiResult<axum::Json<SessionState>> {
    Ok(axum::Json(SessionState { user: caller.as_ref().map(|caller| caller.user().into()) }))
}
