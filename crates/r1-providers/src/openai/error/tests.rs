use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

fn status(status: u16, headers: &[(header::HeaderName, &str)], body: &Value) -> ProviderError {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
    let words = ErrorWords::read(body.to_string().as_bytes());
    of_status("p", "m", StatusCode::from_u16(status).unwrap(), &headers, &words, NOW)
}

#[test]
fn statuses_have_their_codes() {
    let code = |number, code: &str| {
        let error = status(number, &[], &json!({"error": {"message": "sk-secret", "code": code, "type": "x"}}));
        assert!(!error.message.contains("secret"), "{}", error.message);
        (error.code, error.retryable)
    };
    assert_eq!(code(401, ""), (Code::Auth, false));
    assert_eq!(code(403, ""), (Code::Auth, false));
    assert_eq!(code(400, "invalid_api_key"), (Code::Auth, false));
    assert_eq!(code(404, ""), (Code::ModelNotFound, false));
    assert_eq!(code(400, "model_not_found"), (Code::ModelNotFound, false));
    assert_eq!(code(400, "context_length_exceeded"), (Code::ContextTooLong, false));
    assert_eq!(code(400, "other"), (Code::Rejected, false));
    assert_eq!(code(422, ""), (Code::Rejected, false));
    assert_eq!(code(402, ""), (Code::NoCredit, false));
    assert_eq!(code(429, ""), (Code::RateLimited, true));
    assert_eq!(code(429, "insufficient_quota"), (Code::NoCredit, false));
    assert_eq!(code(408, ""), (Code::Unavailable, true));
    assert_eq!(code(500, ""), (Code::Unavailable, true));
    assert_eq!(code(503, ""), (Code::Unavailable, true));
    assert_eq!(code(529, ""), (Code::Unavailable, true));
    assert_eq!(code(302, ""), (Code::InvalidResponse, false));
}

#[test]
fn errors_are_recognised_in_many_dialects() {
    let code = |body: Value| status(400, &[], &body).code;
    assert_eq!(code(json!({"error": {"message": "prompt is too long: 9 > 8"}})), Code::ContextTooLong);
    assert_eq!(code(json!({"object": "error", "message": "The Maximum Context Length is 8"})), Code::ContextTooLong);
    assert_eq!(code(json!([{"error": {"code": 400, "message": "API key not valid."}}])), Code::Auth);
    assert_eq!(code(json!({"error": {"message": "x/y is not a valid model ID", "code": 400}})), Code::ModelNotFound);
    for nonsense in [json!(null), json!([]), json!({"error": null}), json!({"error": 3})] {
        assert_eq!(code(nonsense), Code::Rejected);
    }
}

#[test]
fn words_say_more_than_a_proxys_status() {
    let code = |number, body: Value| {
        let error = status(number, &[], &body);
        (error.code, error.retryable)
    };
    let message = |message: &str| json!({"error": {"message": message}});
    assert_eq!(code(401, json!({"error": {"type": "CreditsError", "message": "x"}})), (Code::NoCredit, false));
    assert_eq!(code(403, message("Key limit exceeded (total limit).")), (Code::NoCredit, false));
    assert_eq!(code(403, message("prompt is too long: 9 tokens > 8 maximum")), (Code::ContextTooLong, false));
    assert_eq!(code(500, message("litellm.RateLimitError: no")), (Code::RateLimited, true));
    assert_eq!(code(500, message("was flagged")), (Code::Rejected, false));
    assert_eq!(code(503, json!({"error": {"code": "insufficient_quota"}})), (Code::NoCredit, false));
    assert_eq!(code(503, message("Loading model")), (Code::Unavailable, true));
    let azure = "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 26 seconds.";
    assert_eq!(code(429, json!({"error": {"code": "429", "message": azure}})), (Code::RateLimited, true));
    assert_eq!(code(429, message("Too many tokens, please wait before trying again.")), (Code::RateLimited, true));
}

#[test]
fn waits_are_read_and_bounded() {
    let wait = |headers: &[(header::HeaderName, &str)]| status(429, headers, &json!({})).retry_after;
    let after = header::RETRY_AFTER;
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&[(after.clone(), "7")]), Some(Duration::from_secs(7)));
    assert_eq!(wait(&[(after.clone(), "999999999")]), Some(LONGEST_RETRY_AFTER));
    assert_eq!(wait(&[(after.clone(), "-1")]), None);
    assert_eq!(wait(&[(after.clone(), "soon")]), None);
    let date = "Thu, 01 Jan 2026 00:00:30 GMT";
    assert_eq!(wait(&[(after.clone(), date)]), Some(Duration::from_secs(30)));
    let their_now = (header::DATE, "Thu, 01 Jan 2026 00:00:20 GMT");
    assert_eq!(wait(&[(after.clone(), date), their_now]), Some(Duration::from_secs(10)));
    assert_eq!(wait(&[(after.clone(), "Wed, 01 Jan 2025 00:00:00 GMT")]), Some(Duration::ZERO));
    assert_eq!(status(503, &[(after, "2")], &json!({})).retry_after, Some(Duration::from_secs(2)));
}

#[test]
fn errors_in_mid_answer_are_retryable_by_kind() {
    let of = |json: &str| of_words("p", &ErrorWords::read(json.as_bytes()));
    let overloaded = of(r#"{"message": "secret", "type": "overloaded_error"}"#);
    assert_eq!((overloaded.code, overloaded.retryable), (Code::Failed, true));
    let other = of(r#""secret""#);
    assert_eq!((other.code, other.retryable), (Code::Failed, false));
    let kind = |json: &str| (of(json).code, of(json).retryable);
    assert_eq!(kind(r#"{"code": 429}"#), (Code::RateLimited, true));
    assert_eq!(kind(r#"{"type": "insufficient_quota"}"#), (Code::NoCredit, false));
    assert_eq!(kind(r#"{"code": "context_length_exceeded"}"#), (Code::ContextTooLong, false));
    assert_eq!(kind(r#"{"type": "authentication_error"}"#), (Code::Auth, false));
    assert!(!overloaded.message.contains("secret") && !other.message.contains("secret"));
}
