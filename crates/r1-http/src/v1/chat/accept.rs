//! Accepting a request whose answer is going to be followed.

use r1_domain::{
    id::UserId,
    store::{Earlier, IdempotencyKey},
};
use r1_generation::{Accepted, EngineError};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    limits::AttachPermit,
};

/// Accepts a request for an answer, with the right to follow it.
///
/// The right comes first: a request that its client could not follow is refused before anything
/// is written, as every refused one. But a request that was accepted before is known by its key
/// whatever limit is reached: its refusal names the generation, which goes on.
pub(super) async fn accept(
    app: &App,
    owner: UserId,
    key: Option<IdempotencyKey>,
    accepting: impl Future<Output = Result<Accepted, EngineError>>,
) -> ApiResult<(Accepted, AttachPermit)> {
    match app.attaches.acquire(owner) {
        Ok(permit) => Ok((accepting.await?, permit)),
        Err(refused) => Err(refusal(app, owner, key.as_ref(), refused).await?),
    }
}

async fn refusal(app: &App, owner: UserId, key: Option<&IdempotencyKey>, refused: ApiError) -> ApiResult<ApiError> {
    let Some(key) = key else { return Ok(refused) };
    Ok(match app.store.idempotency_find(owner, key).await? {
        None => refused,
        Some(Earlier::Generation(id)) => refused.about(id),
        Some(Earlier::Conversation(_) | Earlier::OtherRequest) => EngineError::KeyReused.into(),
    })
}
