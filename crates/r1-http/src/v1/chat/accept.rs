//! Accepting a request whose answer is going to be followed.

use r1_domain::store::IdempotencyKey;
use r1_generation::{Accepted, EngineError};

use crate::{app::App, error::ApiResult, session::Caller, sse::Following};

/// Accepts a request for an answer, with the right to follow it.
///
/// The right comes first: a request that its client could not follow is refused before anything
/// is written, as every refused one. But one that was accepted before is known by its key whatever
/// limit is reached. It has places of its own, as many again, so that a client whose lost connections
/// still hold the others gets its answer; beyond those its refusal names the generation, which goes on.
pub(super) async fn accept(
    app: &App,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    accepting: impl Future<Output = Result<Accepted, EngineError>>,
) -> ApiResult<(Accepted, Following)> {
    let owner = caller.id();
    let following = |accepted: Accepted, permit| {
        let watch = caller.watch(app, accepted.generation_id);
        Ok((accepted, Following { _permit: permit, watch }))
    };
    let refused = match app.attaches.acquire(owner) {
        Ok(permit) => return following(accepting.await?, permit),
        Err(refused) => refused,
    };
    let Some(key) = key else { return Err(refused) };
    let earlier = app.engine.earlier(owner, &key).await?.ok_or(refused)?;
    let permit = app.repeats.acquire(owner).map_err(|refused| refused.about(earlier.generation_id))?;
    following(earlier, permit)
}
