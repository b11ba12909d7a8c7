//! What an upstream error is about, by its words.
//!
//! Every server has its own words, and proxies put one server's error into another's. So kinds are read wherever they
//! may stand, and sentences are recognised by patterns: what is measured, and that it is too much.
//!
//! **Invariant:** of an error's words none but its own message leaves this crate, and that only by way of the
//! [`Redactor`]; at most [`LIMIT`] bytes of them are kept, and nesting is followed to [`DEPTH`].

use serde_json::Value;

use super::own_message;
use crate::redaction::Redactor;

#[cfg(test)]
mod tests;

/// Most bytes that are looked at.
const LIMIT: usize = 8 * 1024;
/// Most bytes that are read as JSON; what is longer is a sentence.
const JSON_LIMIT: usize = 64 * 1024;
/// Most parameters that are kept, and most bytes of the name of one.
const PARAMETERS: usize = 16;
const NAME: usize = 200;
/// How deep errors may stand in errors: each proxy on the way may wrap one.
pub(super) const DEPTH: usize = 8;

/// The few words of an upstream error that tell kinds apart, and its own message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorWords {
    /// Codes, types and statuses in lower case, letters and digits only, each between two spaces.
    kinds: String,
    /// Sentences in lower case.
    message: String,
    /// The parameters that it names.
    parameters: Vec<String>,
    /// Its own message, as it was written.
    own: Option<String>,
}

impl ErrorWords {
    /// Reads an error as JSON: a string, an object, one inside `error`, a list. What is no JSON is a sentence, unless
    /// it is a web page.
    pub(crate) fn read(body: &[u8]) -> Self {
        let is_long = body.len() > JSON_LIMIT;
        let text = String::from_utf8_lossy(if is_long { &body[..LIMIT] } else { body });
        let mut words = Self::default();
        match serde_json::from_str(text.trim()) {
            Ok(value) => {
                words.gather(&value, 0);
                words.own = own_message::of(&value, 0).map(bounded);
            }
            Err(_) if text.trim_start().starts_with('<') => {}
            Err(_) => {
                words.add_sentence(&text, 0);
                // What is no JSON but looks like some is more than a message.
                let is_sentence = !is_long && !text.trim_start().starts_with(['{', '[']) && !text.contains("data:");
                words.own = is_sentence.then(|| bounded(&text));
            }
        }
        words
    }

    /// Its own message, fit to be shown.
    pub(crate) fn shown(&self, redactor: &Redactor) -> Option<String> {
        redactor.show(self.own.as_deref()?)
    }

    /// Those of a server that is busy.
    pub(super) fn passing() -> Self {
        Self { kinds: " overloaded ".to_owned(), ..Self::default() }
    }

    fn gather(&mut self, value: &Value, depth: usize) {
        if depth > DEPTH || self.message.len() + self.kinds.len() > LIMIT {
            return;
        }
        match value {
            Value::String(sentence) => self.add_sentence(sentence, depth),
            Value::Array(list) => list.iter().for_each(|value| self.gather(value, depth + 1)),
            Value::Object(object) => {
                for (key, value) in object {
                    self.add_field(&plain(key), value, depth);
                }
            }
            _ => {}
        }
    }

    fn add_field(&mut self, key: &str, value: &Value, depth: usize) {
        match key {
            "code" | "type" | "status" | "statuscode" | "errorcode" | "errortype" | "errcode" | "reason" | "kind"
            | "name" | "httpstatus" | "internalcode" => match value {
                Value::String(word) => self.add_kind(word),
                Value::Number(number) => self.add_kind(&number.to_string()),
                other => self.gather(other, depth + 1),
            },
            "param" | "parameter" | "field" => self.add_parameter(value.as_str()),
            // FastAPI's: the path to what is wrong in the request.
            "loc" => {
                self.add_parameter(value.as_array().and_then(|path| path.last()).and_then(Value::as_str));
            }
            // MiniMax's `base_resp` has its own names.
            "error" | "errors" | "message" | "msg" | "statusmsg" | "baseresp" | "detail" | "details"
            | "errormessage" | "errormsg" | "errmsg" | "description" | "title" | "raw" | "metadata" | "body"
            | "innererror" | "cause" | "data" | "response" | "exception" => self.gather(value, depth + 1),
            "choices" => {
                let choices = value.as_array().map(Vec::as_slice).unwrap_or_default();
                choices.iter().filter_map(|choice| choice.get("error")).for_each(|error| self.gather(error, depth + 1));
            }
            _ => {}
        }
    }

    fn add_parameter(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| name.len() <= NAME && self.parameters.len() < PARAMETERS) {
            self.parameters.push(name.to_lowercase());
        }
    }

    fn add_kind(&mut self, kind: &str) {
        // A sentence in a code's place.
        if kind.split_whitespace().count() > 3 {
            return self.add_sentence(kind, DEPTH);
        }
        let room = LIMIT.saturating_sub(self.kinds.len());
        self.kinds.push(' ');
        self.kinds.extend(plain(kind).chars().take(room));
        self.kinds.push(' ');
    }

    fn add_sentence(&mut self, sentence: &str, depth: usize) {
        // Another server's error within this one's sentence.
        if depth < DEPTH
            && let Some(begin) = sentence.find('{')
            && let Some(Ok(inner)) = serde_json::Deserializer::from_str(&sentence[begin..]).into_iter().next()
        {
            self.gather(&inner, depth + 1);
        }
        let room = LIMIT.saturating_sub(self.message.len());
        self.message.push(' ');
        self.message.push_str(&sentence[..sentence.floor_char_boundary(room)].to_lowercase());
    }

    /// Whether one of its codes is one of these.
    fn is_kind(&self, kinds: &[&str]) -> bool {
        kinds.iter().any(|kind| self.kinds.contains(&format!(" {kind} ")))
    }

    /// Whether one of its codes has one of these in it.
    fn has_kind(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| self.kinds.contains(part))
    }

    fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.message.contains(phrase))
    }

    /// The parameters that it names in a place of their own.
    pub(in crate::openai) fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// Whether its sentence has this word, between quotes of some kind if `quoted`.
    pub(in crate::openai) fn has_word(&self, word: &str, quoted: bool) -> bool {
        self.message.match_indices(word).any(|(at, _)| {
            let before = self.message[..at].chars().next_back();
            let after = self.message[at + word.len()..].chars().next();
            let is_quote = |c: Option<char>| c.is_some_and(|c| "'\"`‘’“”".contains(c));
            let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
            if quoted {
                is_quote(before) && is_quote(after)
            } else {
                is_edge(before) && (is_edge(after) || after == Some('.'))
            }
        })
    }

    /// Whether it says that something in the request is not known or not supported.
    pub(in crate::openai) fn is_refusal_of_a_parameter(&self) -> bool {
        self.has_kind(&["unsupported", "unknownparameter", "extraforbidden", "unrecognized"])
            || self.says(&[
                "not support",
                "not currently support",
                "not yet support",
                "n't support",
                "不支持",
                "unsupported",
                "does not accept",
                "doesn't accept",
                "allowed for this model",
                "only the default",
                "only supports",
                "not permitted",
                "not allowed",
                "not recognized",
                "not a recognized",
                "not a valid param",
                "no longer supported",
                "unknown",
                "unrecognized",
                "unrecognised",
                "unexpected",
                "extra ",
                "additional propert",
                "deprecated",
                "invalid param",
                "invalid arg",
                "invalid field",
                "no such",
                "only available",
                "is not available",
                "not implemented",
                "must not",
                "cannot be used",
                "can't be used",
                "cannot be set",
            ])
    }

    /// Whether it says that a parameter of the request is not known or not supported, whatever its value.
    pub(in crate::openai) fn is_unknown_parameter(&self) -> bool {
        self.has_kind(&["unsupportedparameter", "unknownparameter", "extraforbidden"])
            || self.says(&["not support", "n't support", "unsupported", "unknown", "unrecognized", "unrecognised"])
            || self.says(&["not permitted", "extra ", "additional propert"])
    }

    /// Whether it refuses a system turn: by its role's name or place, by the only roles that there are, or because
    /// the conversation, which begins with it, would have to alternate. Templates of models say no more than that.
    pub(in crate::openai) fn is_about_the_system_role(&self) -> bool {
        let is_place = |name: &String| name.starts_with("messages") || name == "role";
        let is_named = self.has_word("system", false) || self.has_word("developer", false);
        let is_role = self.has_word("role", false)
            || self.has_word("roles", false)
            || self.parameters.iter().any(is_place)
            || self.says(&[".role", "system message", "system prompt", "system instruction", "developer instruction"]);
        let is_its_place = self.parameters.iter().any(|name| name.rsplit('.').next() == Some("role"));
        // A template that takes a system turn speaks of an optional one.
        let is_template = self.says(&["only user and assistant role", "roles must alternate", "role must alternate"])
            && !self.says(&["optional system"]);
        is_template || is_its_place || (is_named && is_role && !self.says(&["optional system"]))
    }

    /// Whether it is a template's, which a model's server could not fill in.
    pub(in crate::openai) fn is_about_a_template(&self) -> bool {
        self.says(&["jinja", "chat template", "raise_exception", "templateerror"])
    }

    /// Whether it says that a value is out of bounds, not that the parameter is unknown.
    pub(in crate::openai) fn is_about_a_value(&self) -> bool {
        self.has_kind(&["belowminvalue", "abovemaxvalue"])
            || self.says(&["between", "less than or equal", "greater than or equal", "at most", "at least"])
            || self.says(&["out of range", "range of", "range:", "range is", "取值范围", "not exceed"])
            || self.says(&["too large", "too high", "too small", "must be <", "must be >", "must be less than"])
            || self.says(&["below minimum", "above maximum", "minimum value", "maximum value"])
    }

    /// Whether it says that the answer was allowed to be too long, by the limit that was sent with the request.
    pub(in crate::openai) fn is_about_the_answers_length(&self) -> bool {
        const NAMES: &[&str] =
            &["max_tokens", "max_completion_tokens", "max_new_tokens", "maxoutputtokens", "maximum tokens"];
        let named = self.parameters.iter().any(|parameter| NAMES.contains(&parameter.as_str()))
            || self.says(NAMES)
            || self.says(&["in the completion", "for the completion", "completion tokens", "output tokens"]);
        named && (self.is_too_much() || self.is_about_a_value() || self.is_kind(&["contextlengthexceeded"]))
    }

    /// Whether it is about the length of what was sent. OpenAI, Azure, Groq, Cerebras, Moonshot · Anthropic · Gemini ·
    /// Mistral · Cohere · xAI · Together and TGI · Fireworks · Bedrock · DashScope · OVMS · vLLM, `SGLang` · llama.cpp ·
    /// Ollama · LM Studio · MLX.
    pub(in crate::openai) fn is_context(&self) -> bool {
        if self.is_kind(&[
            "contextlengthexceeded",
            "contextwindowexceeded",
            "contextwindowexceedederror",
            "exceedcontextsizeerror",
            "contexttoolong",
            "contextoverflow",
            "modelmaxprompttokensexceeded",
            "prompttoolong",
            "inputtoolong",
            "requesttoolarge",
        ]) {
            return true;
        }
        // Our own limit, a minute's, a picture's.
        if self.is_rate_limit() {
            return self.says(&["request too large"]);
        }
        // Anthropic: it is let through with another plan, or shorter.
        if self.says(&["contextwindowexceeded", "context_length_exceeded", "long context"]) {
            return true;
        }
        // A picture counts in tokens as well.
        let is_of_context = self.says(&["context length", "context window", "context size", "model length"]);
        if !is_of_context && self.says(&["image", "file", "byte", "top_logprobs", "tool_call", "stop sequence"]) {
            return false;
        }
        let is_messages = |name: &String| name.starts_with("messages") || name.starts_with("input");
        if self.has_kind(&["stringabovemaxlength", "toolong"])
            && (self.parameters.iter().any(is_messages) || self.says(&["messages["]))
        {
            return true;
        }
        let measured = self.says(&[
            "context",
            "token",
            "prompt",
            "input length",
            "input is",
            "input too",
            "inputs`",
            "sequence length",
            "message length",
            "length of the messages",
            "length of all messages",
            "messages too long",
            "input characters",
            "conversation",
        ]);
        let negative = self.says(&["max_tokens must be at least 1, got -", "max_new_tokens must be at least 1, got -"]);
        negative || (measured && self.is_too_much())
    }

    /// Whether it says that something is more than may be.
    fn is_too_much(&self) -> bool {
        self.says(&[
            "exceed",
            "too long",
            "too large",
            "too many tokens",
            "too many input tokens",
            "longer than",
            "larger than",
            "greater than",
            "overflow",
            "maximum context length",
            "maximum prompt length",
            "maximum input length",
            "maximum sequence length",
            "max input tokens",
            "max context",
            "context length of only",
            "reduce the length",
            "reduce your prompt",
            "must be <=",
            "must have less than",
            "must be less than",
            "range of input length",
            "tokens >",
            "more than max",
            "max input characters",
            "超过上限",
            "token limit",
            "超长",
            "超过",
        ])
    }

    /// Whether the provider refused because of what was said. OpenAI, Azure · `OpenRouter` · xAI · `DashScope` · Gemini.
    pub(in crate::openai) fn is_content(&self) -> bool {
        self.has_kind(&["contentfilter", "contentpolicy", "contentmoderation", "responsibleaipolicy", "datainspection"])
            || self.is_kind(&["moderation", "moderationblocked", "safety", "prohibitedcontent", "flagged", "sensitive"])
            || self.says(&[
                "content management policy",
                "content policy",
                "content filter",
                "content_filter",
                "content filtering",
                "content moderation",
                "content exists risk",
                "content blocked",
                "considered high risk",
                "prompt blocked",
                "responsible ai",
                "response was filtered",
                "new_sensitive",
                "敏感内容",
                "敏感词",
                "requires moderation",
                "was flagged",
                "been flagged",
                "violates usage",
                "violates our",
                "violates the terms",
                "violates the provider",
                "violates the content",
                "violated content",
                "guardrail",
                "violate our",
                "usage guidelines",
                "usage policies",
                "usage policy",
                "safety system",
                "safety_check",
                "safety reasons",
                "safety filter",
                "inappropriate content",
                "sensitive content",
                "harmful content",
                "prohibited content",
                "blocked by our",
            ])
    }

    /// Whether there is no such model. OpenAI · Mistral · `OpenRouter` · Azure · Ollama.
    pub(in crate::openai) fn is_unknown_model(&self) -> bool {
        self.is_kind(&["modelnotfound", "invalidmodel", "unknownmodel", "deploymentnotfound", "modelnotavailable"])
            || self.says(&["not a valid model", "invalid model", "unknown model", "no such model"])
            || self.says(&["no endpoints found", "not found, try pulling", "no models loaded", "unavailable model"])
            || self.says(&["model identifier is invalid", "模型不存在"])
            || (self.says(&["model", "deployment"])
                && self.says(&["not found", "not exist", "doesn't exist", "decommissioned", "have access to"]))
    }

    pub(in crate::openai) fn is_no_credit(&self) -> bool {
        self.is_kind(&[
            "insufficientquota",
            "billingerror",
            "402",
            "insufficientbalance",
            "paymentrequired",
            "arrearage",
        ]) || self.has_kind(&["billinghardlimit", "insufficientcredit", "creditexhausted", "outofcredit"])
            || self.has_kind(&["insufficientuserquota", "exceededcurrentquota", "budgetexceeded", "creditserror"])
            || self.says(&["insufficient balance", "insufficient credit", "insufficient funds", "insufficient_quota"])
            || self.says(&["insufficient quota", "credit limit", "key limit exceeded", "budget has been exceeded"])
            || self.says(&["exceededbudget", "exceededtokenbudget", "over budget", "credit balance is too low"])
            || self.says(&["out of credit", "more credits", "enough credits", "no credits", "available credits"])
            || self.says(&["spending limit", "hard limit", "payment required", " top up", "recharge"])
            || self.says(&["额度不足", "余额不足", "欠费", "in good standing"])
    }

    pub(in crate::openai) fn is_rate_limit(&self) -> bool {
        self.is_rate_limit_of_time()
            || self.has_kind(&["ratelimit", "throttl", "toomanyrequests", "resourceexhausted", "limitrequests"])
            || self.has_kind(&["quotaexceeded"])
            || self.is_kind(&["429"])
            || self.has_word("rate limit", false)
            || self.says(&["rate_limit", "ratelimit", "rate-limit", "too many requests", "throttl"])
            || self.says(&["quota exceeded", "exceeded your current quota", "quota limit", "please wait before"])
    }

    /// Whether it speaks of a limit per minute or per month.
    fn is_rate_limit_of_time(&self) -> bool {
        self.says(&["per minute", "per min ", "per min)", "per min.", "per second", "per day", "per hour", "per month"])
            || self.says(&["daily", "hourly", "monthly", "(tpm)", "(rpm)"])
    }

    /// Gemini answers a bad key with 400.
    pub(in crate::openai) fn is_key(&self) -> bool {
        self.is_kind(&[
            "invalidapikey",
            "authenticationerror",
            "unauthenticated",
            "unauthorized",
            "401",
            "authenticationfailed",
            "apikeyinvalid",
        ]) || self.is_kind(&["permissiondenied", "permissionerror", "accessdenied", "403", "invalidauthentication"])
            || self.says(&["api key not valid", "invalid api key", "incorrect api key", "invalid x-api-key"])
            || self.says(&["api key not found", "valid api key", "authorization header", "authentication error"])
            || self.says(&["login fail", "authentication fail"])
            || self.says(&["no api key", "missing api key", "api key is invalid", "api key expired", "invalid token"])
    }

    /// Whether the same may succeed later.
    pub(in crate::openai) fn is_passing(&self) -> bool {
        self.has_kind(&["servererror", "internalerror", "apierror", "overloaded", "unavailable", "timeout", "timedout"])
            || self.has_kind(&["serverbusy", "badgateway", "connectionerror", "notready", "loading"])
            || self.is_kind(&["408", "500", "502", "503", "504", "520", "522", "524", "529"])
            || self.says(&["overloaded", "try again", "temporar", "timed out", "time out", "timeout", "busy"])
            || self.says(&["at capacity", "unavailable", "internal server error", "bad gateway", "loading model"])
    }
}

/// Letters and digits alone, in lower case: `contextLengthExceeded` is `context_length_exceeded`.
pub(super) fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(LIMIT)].to_owned()
}
