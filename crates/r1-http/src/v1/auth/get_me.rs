use super::user::UserBody;
use crate::session::Caller;

/// The caller's account.
#[utoipa::path(
    get, path = "/auth/me", tag = "auth",
    responses(
        (status = 200, description = "The account.", body = UserBody),
    )
)]
pub(crate) async fn get_me(caller: Caller) -> axum::Json<UserBody> {
    axum::Json(caller.user().into())
}
