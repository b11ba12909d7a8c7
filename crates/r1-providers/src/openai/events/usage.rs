//! Counts of tokens, and other numbers, however they are written.

use r1_domain::event::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The counts of tokens; a number may be written with a fraction, or be missing.
pub(super) fn counts(json: &RawValue) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Counts<'a> {
        #[serde(borrow)]
        prompt_tokens: Option<&'a RawValue>,
        #[serde(borrow)]
        completion_tokens: Option<&'a RawValue>,
        #[serde(borrow)]
        total_tokens: Option<&'a RawValue>,
    }
    let counts: Counts<'_> = serde_json::from_str(json.get()).ok()?;
    let prompt = counts.prompt_tokens.and_then(number);
    let completion = counts.completion_tokens.and_then(number);
    let total = counts.total_tokens.and_then(number);
    prompt.or(completion).or(total)?;
    let (prompt_tokens, completion_tokens) = (prompt.unwrap_or(0), completion.unwrap_or(0));
    let total_tokens = total.unwrap_or(prompt_tokens.saturating_add(completion_tokens));
    Some(Usage { prompt_tokens, completion_tokens, total_tokens, estimated: false })
}

/// A number that counts something. None: it can't.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
pub(super) fn number(raw: &RawValue) -> Option<u64> {
    let number: serde_json::Number = serde_json::from_str(raw.get()).ok()?;
    let exact = number.as_u64();
    exact.or_else(|| number.as_f64().filter(|n| (0.0..9.0e15).contains(n)).map(|n| n.round() as u64))
}
