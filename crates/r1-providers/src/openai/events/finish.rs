//! The words that end an answer, or seem to.
//!
//! | word means | of whom | becomes |
//! |---|---|---|
//! | finished | OpenAI, TGI, Together, Anthropic, Gemini, Cohere, Mistral, … | OpenAI's word for it |
//! | not finished | vLLM and SGLang (`abort`), Ollama (`load`), DeepSeek, Cohere, Mistral, … | a failure, text kept |
//! | nothing | who sends a word with every chunk | nothing |
//! | we don't know | | `other`, where the body says that it is whole |

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::openai) enum Finish {
    /// One of OpenAI's words.
    Reason(&'static str),
    /// A word that we don't know. It is not passed on.
    Other,
    /// The answer was given up before its end.
    BrokenOff,
    /// The provider failed.
    Failed {
        /// Whether the same request may succeed later.
        may_pass: bool,
    },
}

const STOP: &[&str] = &[
    "stop",
    "stopped",
    "eos",
    "eos_token",
    "end",
    "end_turn",
    "end_of_turn",
    "end_of_text",
    "end_of_sequence",
    "endoftext",
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "</s>",
    "eot",
    "eosfound",
    "stopstringfound",
    "stop_sequence",
    "stop_token",
    "stop_word",
    "complete",
    "completed",
    "done",
    "finish",
    "finished",
    "normal",
    "success",
];
const LENGTH: &[&str] = &[
    "length",
    "length_limit",
    "limit",
    "max_length",
    "max_tokens",
    "max_new_tokens",
    "max_output_tokens",
    "max_completion_tokens",
    "max_output",
    "model_length",
    "model_context_window_exceeded",
    "token_limit",
    "token_limit_reached",
    "context_length",
    "contextlengthreached",
    "maxpredictedtokensreached",
];
const FILTER: &[&str] = &[
    "content_filter",
    "content_filtered",
    "content_moderation",
    "moderation",
    "safety",
    "image_safety",
    "image_prohibited_content",
    "recitation",
    "language",
    "blocklist",
    "prohibited_content",
    "spii",
    "refusal",
    "sensitive",
    "guardrail_intervened",
    "error_toxic",
];
const TOOLS: &[&str] = &["tool_calls", "tool_call", "function_call", "function_calls", "tool_use"];
const NOTHING: &[&str] = &[
    "",
    "null",
    "none",
    "nil",
    "n/a",
    "na",
    "undefined",
    "false",
    "unfinished",
    "not_finished",
    "not_stopped",
    "incomplete_chunk",
    "continue",
    "continuing",
    "in_progress",
    "generating",
    "streaming",
    "running",
    "pending",
    "processing",
    "finish_reason_unspecified",
    "unspecified",
    "unknown",
];
const BROKEN_OFF: &[&str] = &[
    "abort",
    "aborted",
    "cancel",
    "canceled",
    "cancelled",
    "user_cancel",
    "user_cancelled",
    "userstopped",
    "client_disconnect",
    "disconnect",
    "disconnected",
    "connection_error",
    "network_error",
    "interrupt",
    "interrupted",
    "incomplete",
    "load",
    "unload",
    "loading",
    "modelunloaded",
    "preempted",
    "pause_turn",
    "shutdown",
    "terminated",
    "killed",
    "timeout",
    "time_limit",
    "deadline_exceeded",
];
const MAY_PASS: &[&str] = &[
    "insufficient_system_resource",
    "insufficient_resources",
    "overloaded",
    "unavailable",
    "server_error",
    "internal_error",
];
const FAILED: &[&str] = &[
    "error",
    "errored",
    "fail",
    "failed",
    "failure",
    "exception",
    "error_limit",
    "malformed_function_call",
    "malformed_response",
    "malformed_model_output",
    "unexpected_tool_call",
    "too_many_tool_calls",
    "function_call_filter",
    "reason_invalid",
    "invalid",
];

impl Finish {
    /// Reads a word, whatever its case and its hyphens; of `content_filter: OTHER` what stands before the colon. None: it
    /// is no news of an end.
    pub(super) fn read(word: &str) -> Option<Self> {
        let word = word.split(": ").next().unwrap_or(word).trim();
        let is = |known: &[&str]| known.iter().any(|known| is_same(known, word));
        Some(if is(NOTHING) {
            return None;
        } else if is(STOP) {
            Self::Reason("stop")
        } else if is(LENGTH) {
            Self::Reason("length")
        } else if is(FILTER) {
            Self::Reason("content_filter")
        } else if is(TOOLS) {
            Self::Reason("tool_calls")
        } else if is(BROKEN_OFF) {
            Self::BrokenOff
        } else if is(MAY_PASS) {
            Self::Failed { may_pass: true }
        } else if is(FAILED) {
            Self::Failed { may_pass: false }
        } else {
            Self::Other
        })
    }
}

/// Whether these are the same word; of `word` a hyphen or a space counts as `_`.
fn is_same(known: &str, word: &str) -> bool {
    let plain = |byte: u8| if matches!(byte, b'-' | b' ') { b'_' } else { byte.to_ascii_lowercase() };
    known.len() == word.len() && known.bytes().zip(word.bytes()).all(|(known, byte)| known == plain(byte))
}
