use super::*;

fn of(body: &str) -> ErrorWords {
    ErrorWords::read(body.as_bytes())
}

#[test]
fn too_long_is_recognised_in_everybodys_words() {
    for message in [
        // OpenAI, Azure
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce the length of the messages.",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        // Anthropic
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000, decrease input length or `max_tokens` and try again",
        // Gemini
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Unable to submit request because the input token count is 40000 but model only supports up to 32768. Reduce the input token count and try again. It exceeds the limit.",
        // Mistral
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        // Cohere
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try using a shorter prompt.",
        "too many tokens: size limit exceeded by 1234 tokens. Try using shorter or fewer inputs.",
        // xAI
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        // Together, TGI
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens and 512 `max_new_tokens`",
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000",
        // Fireworks
        "The prompt is too long: 10000, model maximum context length: 8191",
        // Bedrock
        "Input is too long for requested model.",
        "Too many input tokens. Max input tokens: 8000, request input token count: 9000",
        // DashScope
        "Range of input length should be [1, 30720]",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
        // OVMS
        "Number of prompt tokens: 9000 exceeds model max length: 8192",
        // vLLM
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens.",
        "max_tokens must be at least 1, got -904.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens. For image inputs, the number of image tokens depends on the number of images.",
        "You passed 9000 input tokens and requested 100 output tokens. However, the model's context length is only 8192 tokens, resulting in a maximum input length of 8092 tokens. Please reduce the length of the input prompt.",
        // SGLang
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Requested token count exceeds the model's maximum context length of 4096 tokens.",
        // llama.cpp
        "the request exceeds the available context size, try increasing it",
        "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "Requested tokens (5000) exceed context window of 2048",
        // Ollama
        "prompt too long; exceeded max context length by 12 tokens",
        "the input length exceeds the context length",
        // LM Studio
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.",
        "The number of tokens to keep from the initial prompt is greater than the context length.",
        // MLX
        "Prompt length 9000 tokens exceeds the maximum context length 8192",
        // Groq, Cerebras
        "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
        "Request too large for model `x` in organization `y` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size and try again.",
        // Moonshot, MiniMax, GitHub
        "Invalid request: Your request exceeded model token limit: 8192",
        "invalid params, context window exceeds limit (2013)",
        "prompt token count of 70000 exceeds the limit of 64000",
        // Poolside, Zhipu, Baidu, iFlytek, Perplexity, Cloudflare, TabbyAPI
        "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
        "Input length (265330) exceeds model's maximum context length (262144).",
        "Prompt exceeds max length",
        "Prompt 超长",
        "the max input characters is 20000",
        "token 超过上限",
        "The total length of all messages is too long.",
        "tokens in request more than max tokens allowed",
        "AiError: Bad input: Error: The estimated number of input and maximum output tokens (11000) exceeded this model context window limit (8000).",
        "Prompt length 5000 is greater than max_seq_len 4096",
        // Proxies with another server's words in Python's
        "litellm.BadRequestError: litellm.ContextWindowExceededError: File \"x.py\": Error code: 400 - {'error': {'code': 'context_length_exceeded'}}",
        // Plans of Anthropic's
        "Extra usage is required for long context requests.",
    ] {
        let words = of(&serde_json::json!({"error": {"message": message}}).to_string());
        assert!(words.is_context(), "{message}");
        assert!(!words.is_content() && !words.is_no_credit(), "{message}");
    }
    for kind in [
        "context_length_exceeded",
        "ContextWindowExceededError",
        "exceed_context_size_error",
        "model_max_prompt_tokens_exceeded",
    ] {
        assert!(of(&serde_json::json!({"error": {"code": kind}}).to_string()).is_context(), "{kind}");
        assert!(of(&serde_json::json!({"error": {"message": "x", "type": kind}}).to_string()).is_context(), "{kind}");
        assert!(of(&serde_json::json!({"error": "x", "code": kind}).to_string()).is_context(), "{kind}");
    }
    let path = r#"{"error":{"message":"Invalid 'messages[1].content': string too long. Expected a string with maximum length 10485760.","code":"string_above_max_length","param":"messages[1].content"}}"#;
    assert!(of(path).is_context());
}

#[test]
fn what_is_not_too_long_is_not_taken_for_it() {
    for message in [
        "You exceeded your current quota, please check your plan and billing details.",
        "Rate limit reached for tokens per min. Limit: 10000 / min. Please try again in 6s. You exceeded it.",
        "Incorrect API key provided",
        "The image exceeds the maximum size",
        "Request body exceeds 10 bytes",
        "The model `x` does not exist",
        "Token expired",
        "Too many requests",
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded token rate limit of your current pricing tier. Please retry after 26 seconds.",
        "You exceeded your current quota. * Quota exceeded for metric: x/generate_content_free_tier_input_token_count, limit: 250000 Please retry in 48.3s.",
        "Too many tokens, please wait before trying again.",
        "Tokens per day limit exceeded - too many tokens processed.",
        "Number of request tokens has exceeded your daily rate limit",
        "You have exceeded your monthly token limit",
        "Invalid 'tool' name",
        "",
    ] {
        assert!(!of(&serde_json::json!({"error": {"message": message}}).to_string()).is_context(), "{message}");
    }
}

#[test]
fn what_a_limit_on_the_answer_broke_is_told_apart() {
    for message in [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (3000 in the messages, 2000 in the completion).",
        "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 100 input tokens",
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens; it is too large",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097.",
        "Range of max_tokens should be [1, 8192]",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "max_tokens must not exceed 8192",
        "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096.",
    ] {
        assert!(of(&serde_json::json!({ "message": message }).to_string()).is_about_the_answers_length(), "{message}");
    }
    assert!(!of(r#"{"message":"prompt is too long: 9 tokens > 8 maximum"}"#).is_about_the_answers_length());
}

#[test]
fn kinds_are_read_wherever_they_stand() {
    for body in [
        r#"{"error":{"code":"rate_limit_exceeded"}}"#,
        r#"{"error":{"type":"rate_limit_error"}}"#,
        r#"{"error":"x","code":"429"}"#,
        r#"{"status":429,"message":"x"}"#,
        r#"{"type":"error","error":{"details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}"#,
        r#"[{"error":{"status":"RESOURCE_EXHAUSTED"}}]"#,
        r#"{"code":"Throttling.RateQuota","message":"x"}"#,
        r#"{"error":{"message":"OpenAIException - {\"error\":{\"code\":\"rate_limit_exceeded\"}}"}}"#,
        r#"{"errors":[{"message":"Too many requests"}]}"#,
        r#"{"__type":"ThrottlingException","message":"Too many tokens, please wait before trying again."}"#,
        r#"{"error":{"code":"ServiceQuotaExceededException"}}"#,
    ] {
        assert!(of(body).is_rate_limit(), "{body}");
    }
    for body in [
        r#"{"error":{"message":"Your chosen model requires moderation and your input was flagged for \"x\".","code":403,"metadata":{"reasons":["x"]}}}"#,
        r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        r#"{"error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_X"}"#,
        r#"{"code":"data_inspection_failed","message":"x"}"#,
        r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error"}}"#,
        r#"{"error":{"type":"content_filter","message":"The request was rejected because it was considered high risk"}}"#,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#,
        r#"{"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}}"#,
        r#"{"success":false,"errors":[{"code":2016,"message":"Prompt blocked due to security configurations"}]}"#,
        r#"{"error":{"message":"litellm.BadRequestError: Violated guardrail policy","code":"400"}}"#,
        r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy."}}"#,
    ] {
        assert!(of(body).is_content(), "{body}");
    }
    for body in [
        r#"{"error":{"message":"API key expired. Please renew the API key.","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        r#"{"error":{"message":"API Key not found. Please pass a valid API key."}}"#,
        r#"[{"error":{"code":400,"message":"Missing or invalid Authorization header."}}]"#,
        r#"{"base_resp":{"status_code":1004,"status_msg":"login fail: Please carry the API secret key"}}"#,
    ] {
        assert!(of(body).is_key(), "{body}");
    }
    for body in [
        r#"{"error":{"message":"No models loaded. Please load a model in the developer page."}}"#,
        r#"{"message":"The provided model identifier is invalid."}"#,
        r#"{"error":{"code":"1211","message":"模型不存在，请检查模型代码。"}}"#,
        r#"{"error":{"code":"unavailable_model","message":"Unavailable model: x"}}"#,
    ] {
        assert!(of(body).is_unknown_model(), "{body}");
    }
    for body in [
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error"}}"#,
        r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}"#,
        r#"{"error":{"message":"Budget has been exceeded! Current cost: 0.3, Max budget: 0.1","type":"budget_exceeded"}}"#,
        r#"{"error":{"message":"ExceededTokenBudget: Current spend for token: 3; Max Budget for Token: 1"}}"#,
        r#"{"error":{"message":"Your account is suspended","type":"exceeded_current_quota_error"}}"#,
        r#"{"error":{"message":"用户额度不足","code":"insufficient_user_quota"}}"#,
        r#"{"error":{"message":"Key limit exceeded (total limit).","code":403}}"#,
        r#"{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}"#,
    ] {
        assert!(of(body).is_no_credit(), "{body}");
    }
}

#[test]
fn what_is_read_is_bounded() {
    for depth in [5000, 100_000] {
        let deep = format!("{}{}", r#"{"error":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(of(&deep).kinds, "");
    }
    let wide = serde_json::json!({"error": vec![serde_json::json!({"message": "x".repeat(1000), "code": "y".repeat(1000)}); 1000]});
    let words = of(&wide.to_string());
    assert!(words.message.len() + words.kinds.len() < 4 * LIMIT);
    let many = serde_json::json!({"errors": vec![serde_json::json!({"param": "x", "loc": ["y"]}); 1000]});
    assert_eq!(of(&many.to_string()).parameters.len(), PARAMETERS);
    let nested = (0..12).fold("x".to_owned(), |inner, _| serde_json::json!({"message": inner}).to_string());
    assert!(of(&nested[..nested.len().min(16_000)]).message.len() < 4 * LIMIT);
}
