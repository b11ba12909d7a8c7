//! Errors among the events.

use super::*;

#[tokio::test]
async fn errors_are_seen_wherever_they_stand() {
    let mut cases = Vec::new();
    for (error, code) in [
        (r#"{"error":{"message":"no","type":"server_error"}}"#, Code::Failed),
        (r#"{"error":"no"}"#, Code::Failed),
        (r#"{"error":"no","code":429}"#, Code::RateLimited),
        (r#"{"error":{"message":"no","code":"insufficient_quota"}}"#, Code::NoCredit),
        (
            r#"{"error":{"message":"no","metadata":{"raw":"{\"error\":{\"code\":\"context_length_exceeded\"}}"}}}"#,
            Code::ContextTooLong,
        ),
        (r#"{"choices":[{"error":{"code":401,"message":"no"},"finish_reason":"error"}]}"#, Code::Auth),
        (
            r#"{"choices":[{"delta":{"content":""},"error":{"code":502,"message":"no"},"finish_reason":"error"}],"error":{"code":502}}"#,
            Code::Failed,
        ),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"no"}}"#, Code::Failed),
        (r#"{"object":"error","message":"no","code":50001}"#, Code::Failed),
        (r#"{"message":"Too Many Requests","status":429}"#, Code::RateLimited),
        (r#"{"detail":"Incorrect API key provided"}"#, Code::Auth),
        (r#"{"detail":[{"loc":["body","x"],"msg":"no","type":"missing"}]}"#, Code::Failed),
        (
            r#"{"code":"DataInspectionFailed","message":"Output data may contain inappropriate content.","request_id":"x"}"#,
            Code::Rejected,
        ),
        (r#"{"error_code":336007,"error_msg":"the length of the prompt is too long"}"#, Code::ContextTooLong),
        (
            r#"{"error":{"message":"litellm.RateLimitError: no","type":"throttling_error","param":null,"code":"429"}}"#,
            Code::RateLimited,
        ),
        (r#"{"errors":[{"message":"no","code":"model_not_found"}]}"#, Code::ModelNotFound),
        (
            r#"{"choices":null,"usage":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
            Code::NoCredit,
        ),
        (r#"{"choices":null,"base_resp":{"status_code":1026,"status_msg":"input new_sensitive"}}"#, Code::Rejected),
        (r#"{"result":null,"success":false,"errors":[{"code":7009,"message":"no"}],"messages":[]}"#, Code::Failed),
        (r#"{"code":500,"msg":"no","success":false}"#, Code::Failed),
    ] {
        cases.push(("first", data(error), "", "", Fails(code)));
        cases.push(("in the middle", all(&[&word("a"), &data(error), &word("b"), END]), "a", "", Fails(code)));
        cases.push(("as a document", error.to_owned(), "", "", Fails(code)));
        cases.push(("bare", all(&[&word("a"), error, "\n\n", END]), "a", "", Fails(code)));
    }
    check(cases).await;
}
