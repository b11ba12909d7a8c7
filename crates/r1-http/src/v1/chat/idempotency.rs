//! `Idempotency-Key`: the same request is carried out once, however often it comes.

use http::HeaderMap;
use r1_domain::store::IdempotencyKey;
use sha2::{Digest, Sha256};

use crate::{error::ApiError, v1::params::only};

/// Longest key, in characters.
const KEY_LENGTH: usize = 255;

/// The key of a request, with the fingerprint of what it asks: its route and its body, byte for
/// byte.
pub(crate) fn idempotency_key(
    headers: &HeaderMap,
    route: &str,
    body: &[u8],
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = only(headers, "Idempotency-Key")? else { return Ok(None) };
    let visible = |key: &&str| (1..=KEY_LENGTH).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let key = value.to_str().ok().filter(visible).ok_or_else(|| {
        ApiError::bad_parameter("Idempotency-Key", format!("must be 1 to {KEY_LENGTH} visible ASCII characters"))
    })?;
    let fingerprint = Sha256::new().chain_update(route).chain_update([0]).chain_update(body).finalize().into();
    Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint }))
}
