use super::*;

const ALL: &[&str] = &["stream_options", "temperature", "max_tokens", "seed", "user"];

fn after(fit: &Fit, parameters: &[&'static str], system: Option<SystemRole>, body: &str) -> Option<(Correction, bool)> {
    correction(&ErrorWords::read(body.as_bytes()), Asked { fit, parameters, system })
}

fn of(body: &str) -> Option<(Correction, bool)> {
    after(&Fit::default(), ALL, None, body)
}

#[test]
fn a_refusal_names_what_it_refuses() {
    let without = |name| Some((Correction::Without(name), true));
    let renamed = Some((Correction::Name(MaxTokensField::MaxCompletionTokens), true));
    for (body, expected) in [
        (
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
            renamed,
        ),
        (
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.","param":"temperature","code":"unsupported_value"}}"#,
            without("temperature"),
        ),
        (
            r#"{"error":{"message":"Unrecognized request argument supplied: stream_options","param":null}}"#,
            without("stream_options"),
        ),
        (
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":7}]}"#,
            without("seed"),
        ),
        (
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","user"],"msg":"Extra inputs are not permitted"}]}}"#,
            without("user"),
        ),
        (r#"{"error":{"message":"property 'stream_options' is unsupported"}}"#, without("stream_options")),
        (r#"{"error":"unknown field \"user\""}"#, without("user")),
        (r#"{"message":"temperature is deprecated for this model"}"#, without("temperature")),
        (
            r#"{"error":{"message":"litellm.UnsupportedParamsError: openai does not support parameters: {'temperature': 1}, for model=o1-mini."}}"#,
            without("temperature"),
        ),
        (
            r#"{"error":{"message":"litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0.5. Only temperature=1 is supported."}}"#,
            without("temperature"),
        ),
        (r#"{"error":{"message":"invalid temperature: only 1 is allowed for this model"}}"#, without("temperature")),
        (
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"seed\": Cannot find field."}}]"#,
            without("seed"),
        ),
        (
            r#"{"error_code":"BAD_REQUEST","message":"Bad request: json: unknown field \"stream_options\"\n"}"#,
            without("stream_options"),
        ),
        (
            r#"{"message":"Malformed input request: #: extraneous key [max_tokens] is not permitted, please reformat your input and try again."}"#,
            renamed,
        ),
        (
            r#"{"error":{"cause":"{\n \"error\": {\n \"message\": \"Unsupported value: 'temperature' does not support 0.1 with this model.\"}}","message":"Unsupported value: 'temperature'"}}"#,
            without("temperature"),
        ),
        // What fits another time is not remembered.
        (
            r#"{"error":{"message":"temperature: range: 0..1","type":"invalid_request_error"}}"#,
            Some((Correction::Without("temperature"), false)),
        ),
        (
            r#"{"error":{"message":"max_tokens must be less than or equal to 40960, the maximum value for max_tokens is less than the context_window for this model","type":"invalid_request_error","param":"max_tokens"}}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        (
            r#"{"error":{"message":"max_tokens (384000) exceeds model's maximum output tokens (65536) for model x"}}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        (r#"{"message":"max_tokens must not exceed 8192"}"#, Some((Correction::Without("max_tokens"), false))),
        (
            r#"{"error":{"message":"Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"}}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        (
            r#"{"message":"The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096."}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        (
            r#"{"error":{"message":"Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 10 instead.","param":"max_tokens","code":"integer_below_min_value"}}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        (
            r#"{"error":{"message":"temperature: must be less than or equal to 1"}}"#,
            Some((Correction::Without("temperature"), false)),
        ),
        (
            r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens.","param":"max_tokens","code":"invalid_value"}}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        (
            r#"{"error":{"message":"This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (3000 in the messages, 2000 in the completion). Please reduce the length of the messages or completion.","code":"context_length_exceeded"}}"#,
            Some((Correction::Without("max_tokens"), false)),
        ),
        // Nothing of the request's is to blame.
        (
            r#"{"error":{"message":"This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.","param":"messages","code":"context_length_exceeded"}}"#,
            None,
        ),
        (r#"{"error":{"message":"Unknown user. The seed of the problem is unknown."}}"#, None),
        (r#"{"error":{"message":"Invalid API key"}}"#, None),
        (r#"{"error":{"message":"Your prompt was flagged: temperature control of reactors is not allowed."}}"#, None),
        (
            r#"{"error":{"message":"Conversation roles must alternate 'user' and 'assistant': unexpected 'user'"}}"#,
            None,
        ),
        (r#"{"error":{"message":"property 'top_p' is unsupported"}}"#, None),
        ("", None),
        ("<html>max_tokens unsupported</html>", None),
    ] {
        assert_eq!(of(body), expected, "{body}");
    }
    let streamless = r#"{"error":{"message":"Unsupported value: 'stream' does not support true with this model.","param":"stream"}}"#;
    let azure =
        r#"{"error":{"code":"OperationParameterInvalid","message":"Streaming responses are not currently supported"}}"#;
    assert_eq!(after(&Fit::default(), ALL, None, azure), Some((Correction::Whole, true)));
    for sent in [&["max_tokens"][..], ALL] {
        assert_eq!(after(&Fit::default(), sent, None, streamless), Some((Correction::Whole, true)), "{sent:?}");
    }
}

#[test]
fn the_limit_is_renamed_once_and_then_left_out() {
    let refused =
        |name: &str| format!(r#"{{"error":{{"message":"Unsupported parameter: '{name}'","param":"{name}"}}}}"#);
    let mut fit = Fit::default();
    let (first, _) = after(&fit, &["max_completion_tokens"], None, &refused("max_completion_tokens")).unwrap();
    assert_eq!(first, Correction::Name(MaxTokensField::MaxTokens));
    fit.apply(first);
    let (second, _) = after(&fit, &["max_tokens"], None, &refused("max_tokens")).unwrap();
    assert_eq!(second, Correction::Without("max_tokens"));
    fit.apply(second);
    let corrected = fit.corrected(Parameters::default());
    assert_eq!(corrected.max_tokens_field, Some(MaxTokensField::MaxTokens));
    assert!(!corrected.may_send("max_tokens"));
}

#[test]
fn a_role_that_is_refused_is_sent_otherwise() {
    let of = |role, body: &str| after(&Fit::default(), &[], Some(role), body).map(|(correction, _)| correction);
    for (role, body, expected) in [
        (
            SystemRole::System,
            r#"{"error":{"message":"Unsupported value: 'messages[0].role' does not support 'system' with this model.","param":"messages[0].role"}}"#,
            Some(SystemRole::Merge),
        ),
        (
            SystemRole::System,
            r#"{"error":{"message":"'messages[0].role' does not support 'system'. Use 'developer' instead."}}"#,
            Some(SystemRole::Developer),
        ),
        (
            SystemRole::Developer,
            r#"{"error":{"message":"'developer' is not one of ['system', 'user'] - 'messages.0.role'"}}"#,
            Some(SystemRole::Merge),
        ),
        (SystemRole::System, r#"{"error":"System role not supported"}"#, Some(SystemRole::Merge)),
        (
            SystemRole::System,
            r#"{"message":"Developer instruction is not enabled for models/gemma"}"#,
            Some(SystemRole::Merge),
        ),
        (
            SystemRole::System,
            r#"{"message":"Only user and assistant roles are supported, not system"}"#,
            Some(SystemRole::Merge),
        ),
        // The templates of models, as vLLM, llama.cpp and LM Studio pass them on.
        (
            SystemRole::System,
            r#"{"error":{"code":500,"message":"Error: Jinja Exception: Only user and assistant roles are supported!"}}"#,
            Some(SystemRole::Merge),
        ),
        (
            SystemRole::System,
            r#"{"message":"Conversation roles must alternate user/assistant/user/assistant/..."}"#,
            Some(SystemRole::Merge),
        ),
        (
            SystemRole::System,
            r#"{"message":"After the optional system message, conversation roles must alternate user and assistant roles except for tool calls."}"#,
            None,
        ),
        (
            SystemRole::System,
            r#"{"detail":[{"type":"literal_error","loc":["body","messages",0,"role"],"msg":"Input should be 'user' or 'assistant'"}]}"#,
            Some(SystemRole::Merge),
        ),
        (
            SystemRole::System,
            r#"{"message":"This model doesn't support system messages. Try again without a system message."}"#,
            Some(SystemRole::Merge),
        ),
        (
            SystemRole::System,
            r#"{"error":{"message":"invalid params, invalid role: system (2013)"}}"#,
            Some(SystemRole::Merge),
        ),
        (SystemRole::System, r#"{"error":{"message":"Your role as system was flagged."}}"#, None),
        (SystemRole::Merge, r#"{"error":"System role not supported"}"#, None),
        (SystemRole::System, r#"{"error":"The system is down"}"#, None),
    ] {
        assert_eq!(of(role, body), expected.map(Correction::System), "{body}");
    }
    assert_eq!(after(&Fit::default(), &[], None, r#"{"error":"System role not supported"}"#), None, "there was none");
}

#[test]
fn what_is_remembered_is_bounded() {
    let fits = Fits::default();
    for i in 0..MODELS * 2 {
        fits.learn(&format!("m{i}").into(), Correction::Whole);
    }
    assert_eq!(fits.0.lock().len(), MODELS);
    assert!(fits.of(&format!("m{}", MODELS * 2 - 1)).has(Correction::Whole));
    assert!(!fits.of("another").has(Correction::Whole));
}

#[test]
fn a_model_shows_how_it_thinks() {
    let fits = Fits::default();
    let model: Arc<str> = "deepseek-r1:8b".into();
    assert!(fits.closes_thinking(&model) && !fits.closes_thinking("llama3"));
    assert!(fits.closes_thinking("MiniMaxAI/MiniMax-M2.7"));
    fits.learn_thinking(&model, false);
    assert!(!fits.closes_thinking(&model), "it did not");
    fits.learn_thinking(&"llama3".into(), true);
    assert!(fits.closes_thinking("llama3"));
}
