//! What an entry says of its model, in everybody's words for it.
//!
//! **Invariant:** a value that can't be meant (a length of 0, a word where a number belongs) counts
//! as not said.

use r1_domain::provider::Abilities;
use serde_json::{Map, Value};

/// No context is longer than this, in tokens.
const LONGEST: f64 = 100_000_000.0;

/// Where the length of the context stands, the one in force before the one that the model could have.
const CONTEXT: [&str; 13] = [
    "/loaded_context_length",
    "/max_model_len",
    "/top_provider/context_length",
    "/context_length",
    "/context_window",
    "/max_context_length",
    "/inputTokenLimit",
    "/max_input_tokens",
    "/limits/max_input_tokens",
    "/context_size",
    "/metadata/context_length",
    "/meta/n_ctx",
    "/meta/n_ctx_train",
];

/// Where the length of an answer stands.
const OUTPUT: [&str; 7] = [
    "/top_provider/max_completion_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
    "/max_output_length",
    "/outputTokenLimit",
    "/limits/max_output_tokens",
    "/metadata/max_output_tokens",
];

/// Reads one entry.
pub(super) fn abilities(entry: &Map<String, Value>) -> Abilities {
    let at = |pointer: &str| lookup(entry, pointer);
    let flag = |pointers: &[&str]| pointers.iter().find_map(|pointer| at(pointer)?.as_bool());
    // The same words in a list: what is not there is not offered.
    let listed = |pointers: &[&str], words: &[&str]| {
        let list = pointers.iter().find_map(|pointer| at(pointer)?.as_array())?;
        Some(
            list.iter()
                .filter_map(Value::as_str)
                .any(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word))),
        )
    };
    let inputs =
        ["/architecture/input_modalities", "/input_modalities", "/supported_input_modalities", "/modalities/input"];
    let parameters = ["/supported_parameters", "/supported_features", "/features"];
    let capabilities = ["/capabilities"];
    let images = flag(&[
        "/capabilities/vision",
        "/capabilities/image_input/supported",
        "/supports_image_input",
        "/supports_vision",
    ])
    .or_else(|| listed(&inputs, &["image", "images"]))
    .or_else(|| modality(at("/architecture/modality")?.as_str()?))
    .or_else(|| match at("/type")?.as_str()? {
        "vlm" => Some(true),
        "llm" => Some(false),
        _ => None,
    })
    // A list that names none of these words is of other things.
    .or_else(|| listed(&capabilities, &["vision"]).filter(|sees| *sees || is_ollamas(at("/capabilities"))));
    let tools = flag(&[
        "/capabilities/function_calling",
        "/capabilities/tools",
        "/supports_tools",
        "/supports_function_calling",
    ])
    .or_else(|| listed(&parameters, &["tools", "tool_choice", "function_calling"]))
    .or_else(|| listed(&capabilities, &["tools", "tool_use", "tool-calling"]));
    let reasoning =
        flag(&["/capabilities/reasoning", "/capabilities/thinking/supported", "/supports_reasoning", "/thinking"])
            .or_else(|| listed(&parameters, &["reasoning", "include_reasoning", "reasoning_effort", "thinking"]))
            .or_else(|| {
                listed(&capabilities, &["thinking", "reasoning"])
                    .filter(|thinks| *thinks || is_ollamas(at("/capabilities")))
            });
    Abilities {
        context_tokens: CONTEXT.iter().find_map(|pointer| tokens(at(pointer)?)),
        output_tokens: OUTPUT.iter().find_map(|pointer| tokens(at(pointer)?)),
        images,
        tools,
        reasoning,
    }
}

/// A number of tokens, however it is written.
pub(super) fn tokens(value: &Value) -> Option<u32> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "its bounds are looked at first")]
    (1.0..=LONGEST).contains(&number).then_some(number as u32)
}

/// The value at a JSON pointer without escapes.
pub(super) fn lookup<'a>(entry: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let mut steps = pointer.strip_prefix('/')?.split('/');
    let first = entry.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// Whether pictures stand on the left of `text+image->text`.
fn modality(text: &str) -> Option<bool> {
    text.split_once("->").map(|(input, _)| input.contains("image"))
}

/// Whether the list is of the words that Ollama has for all that a model can.
fn is_ollamas(capabilities: Option<&Value>) -> bool {
    let list = capabilities.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().any(|word| word == "completion")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entry: &str) -> Abilities {
        abilities(&serde_json::from_str(entry).unwrap())
    }

    /// Context, output, images, tools, reasoning.
    type Row = (Option<u32>, Option<u32>, Option<bool>, Option<bool>, Option<bool>);

    #[test]
    fn everybodys_words_are_read() {
        let (yes, no) = (Some(true), Some(false));
        let rows: [(&str, &str, Row); 16] = [
            (
                "OpenRouter",
                r#"{"id":"openai/o3","context_length":200000,"architecture":{"modality":"text+image->text","input_modalities":["text","image"],"output_modalities":["text"]},"top_provider":{"context_length":200000,"max_completion_tokens":100000},"supported_parameters":["include_reasoning","max_tokens","reasoning","tools"]}"#,
                (Some(200_000), Some(100_000), yes, yes, yes),
            ),
            (
                "OpenRouter, of a provider with less",
                r#"{"id":"x","context_length":131072,"architecture":{"input_modalities":["text"]},"top_provider":{"context_length":32768,"max_completion_tokens":null},"supported_parameters":["temperature"]}"#,
                (Some(32_768), None, no, no, no),
            ),
            (
                "OpenRouter, before",
                r#"{"id":"x","architecture":{"modality":"text+image->text"}}"#,
                (None, None, yes, None, None),
            ),
            ("vLLM", r#"{"id":"q","owned_by":"vllm","max_model_len":40960}"#, (Some(40_960), None, None, None, None)),
            (
                "LM Studio",
                r#"{"id":"qwen2-vl-7b","type":"vlm","state":"not-loaded","max_context_length":32768}"#,
                (Some(32_768), None, yes, None, None),
            ),
            (
                "LM Studio, loaded",
                r#"{"id":"g","type":"llm","state":"loaded","max_context_length":131072,"loaded_context_length":4096,"capabilities":["tool_use"]}"#,
                (Some(4096), None, no, yes, None),
            ),
            (
                "Mistral",
                r#"{"id":"pixtral","max_context_length":131072,"capabilities":{"completion_chat":true,"function_calling":true,"vision":true}}"#,
                (Some(131_072), None, yes, yes, None),
            ),
            (
                "Groq",
                r#"{"id":"llama","active":true,"context_window":131072,"max_completion_tokens":32768}"#,
                (Some(131_072), Some(32_768), None, None, None),
            ),
            (
                "Google",
                r#"{"name":"models/gemini-2.5-pro","inputTokenLimit":1048576,"outputTokenLimit":65536,"thinking":true}"#,
                (Some(1_048_576), Some(65_536), None, None, yes),
            ),
            (
                "llama.cpp",
                r#"{"id":"m.gguf","owned_by":"llamacpp","meta":{"n_ctx_train":8192}}"#,
                (Some(8192), None, None, None, None),
            ),
            ("Ollama", r#"{"name":"x","capabilities":["completion","tools"]}"#, (None, None, no, yes, no)),
            (
                "xAI",
                r#"{"id":"grok","input_modalities":["text","image"],"output_modalities":["text"]}"#,
                (None, None, yes, None, None),
            ),
            (
                "Fireworks",
                r#"{"id":"f","supports_image_input":false,"supports_tools":true,"context_length":8192}"#,
                (Some(8192), None, no, yes, None),
            ),
            (
                "GitHub",
                r#"{"id":"g","supported_input_modalities":["text"],"limits":{"max_input_tokens":8000,"max_output_tokens":4000},"capabilities":["streaming","tool-calling"]}"#,
                (Some(8000), Some(4000), no, yes, None),
            ),
            ("Together", r#"{"id":"t","type":"chat","context_length":4096}"#, (Some(4096), None, None, None, None)),
            ("nobody", r#"{"id":"x","object":"model","owned_by":"me"}"#, (None, None, None, None, None)),
        ];
        for (who, entry, (context_tokens, output_tokens, images, tools, reasoning)) in rows {
            assert_eq!(of(entry), Abilities { context_tokens, output_tokens, images, tools, reasoning }, "{who}");
        }
    }

    #[test]
    fn what_cannot_be_meant_was_not_said() {
        for entry in [
            r#"{"context_length":0}"#,
            r#"{"context_length":-1}"#,
            r#"{"context_length":1e300}"#,
            r#"{"context_length":"long"}"#,
            r#"{"context_length":[5]}"#,
            r#"{"context_length":null,"capabilities":"vision","supported_parameters":"tools"}"#,
            r#"{"architecture":"text","top_provider":5,"meta":[1],"type":7}"#,
        ] {
            assert_eq!(of(entry), Abilities::default(), "{entry}");
        }
        assert_eq!(of(r#"{"context_length":"8192"}"#).context_tokens, Some(8192));
        assert_eq!(of(r#"{"context_length":8192.0}"#).context_tokens, Some(8192));
        assert_eq!(of(r#"{"max_model_len":null,"context_window":5}"#).context_tokens, Some(5));
    }
}
