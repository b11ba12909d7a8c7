//! What a model is for. Embeddings, speech, pictures, ranking and moderation are not chat; such a
//! model is not offered, and can be asked by its name all the same.
//!
//! **Invariant:** the server's own word beats the name; without either a model is for chat.

use serde_json::{Map, Value};

use super::facts::lookup;

/// Words that a server has for a kind of model that talks.
const TALKS: [&str; 9] =
    ["chat", "llm", "vlm", "language", "code", "text-generation", "image-text-to-text", "completion", "responses"];
/// And for kinds that don't.
const OTHER: [&str; 27] = [
    "audio",
    "audio_speech",
    "audio_transcription",
    "automatic-speech-recognition",
    "embed",
    "embedding",
    "embeddings",
    "feature-extraction",
    "image",
    "image-generation",
    "image_generation",
    "moderation",
    "moderations",
    "ocr",
    "rerank",
    "reranker",
    "reranking",
    "score",
    "sentence-similarity",
    "speech",
    "text-classification",
    "text-ranking",
    "text-to-image",
    "text-to-speech",
    "text-to-video",
    "transcribe",
    "video",
];

/// Parts of names that only models of other kinds have.
const OTHER_PARTS: [&str; 19] = [
    "embed",
    "rerank",
    "whisper",
    "transcri",
    "moderation",
    "dall-e",
    "stable-diffusion",
    "diffusion-xl",
    "imagen",
    "guardian",
    "shieldgemma",
    "text-to-speech",
    "text-to-image",
    "minilm",
    "parakeet",
    "realtime",
    "midjourney",
    "playai",
    "colbert",
];
/// Words of names, between their hyphens and the like, that only models of other kinds have.
const OTHER_WORDS: [&str; 25] = [
    "tts", "stt", "asr", "speech", "audio", "kokoro", "orpheus", "lyria", "musicgen", "bge", "gte", "e5", "voyage",
    "guard", "image", "flux", "flux1", "sdxl", "veo", "sora", "seedream", "ideogram", "recraft", "davinci", "babbage",
];

/// Whether a model is for chat, by all that its entry says.
pub(super) fn is_chat(entry: &Map<String, Value>, id: &str) -> bool {
    said(entry).unwrap_or_else(|| is_for_chat(id))
}

/// The server's own word, where it has one.
fn said(entry: &Map<String, Value>) -> Option<bool> {
    let at = |pointer: &str| lookup(entry, pointer);
    let words = |pointer: &str| {
        let list = at(pointer)?.as_array().filter(|list| !list.is_empty())?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_lowercase).collect::<Vec<_>>())
    };
    // Mistral.
    if let Some(chats) = at("/capabilities/completion_chat").and_then(Value::as_bool) {
        return Some(chats);
    }
    // OpenRouter, xAI.
    for pointer in
        ["/architecture/output_modalities", "/output_modalities", "/supported_output_modalities", "/modalities/output"]
    {
        if let Some(outputs) = words(pointer) {
            return Some(outputs.iter().any(|output| output == "text"));
        }
    }
    if let Some((_, outputs)) =
        at("/architecture/modality").and_then(Value::as_str).and_then(|text| text.split_once("->"))
    {
        return Some(outputs.contains("text"));
    }
    // LM Studio, Together; LiteLLM; Hugging Face's.
    for pointer in ["/type", "/mode", "/pipeline_tag", "/task"] {
        match at(pointer).and_then(Value::as_str).map(str::to_lowercase) {
            Some(kind) if OTHER.contains(&kind.as_str()) => return Some(false),
            Some(kind) if TALKS.contains(&kind.as_str()) => return Some(true),
            _ => {}
        }
    }
    // Ollama: what talks completes.
    if let Some(capabilities) = words("/capabilities") {
        let has = |word: &str| capabilities.iter().any(|capability| capability == word);
        if has("completion") || has("embedding") || has("image") {
            return Some(has("completion"));
        }
    }
    // Cohere; those that name the routes.
    for pointer in ["/endpoints", "/supported_endpoints"] {
        if let Some(endpoints) = words(pointer) {
            return Some(
                endpoints
                    .iter()
                    .any(|endpoint| ["chat", "responses", "messages"].iter().any(|word| endpoint.contains(word))),
            );
        }
    }
    // Google: its models that speak or paint make "content" too, so that a yes does not say much.
    let methods = words("/supportedGenerationMethods")?;
    (!methods.iter().any(|method| method == "generatecontent")).then_some(false)
}

/// Whether a model is for chat, by its name alone.
pub(crate) fn is_for_chat(id: &str) -> bool {
    let name = id.to_lowercase();
    // A vendor's name says nothing: `openai/…`, `stabilityai/…`.
    let name = name.rsplit('/').next().unwrap_or(&name);
    let is_other = OTHER_PARTS.iter().any(|part| name.contains(part))
        || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| OTHER_WORDS.contains(&word))
        || name.ends_with("turbo-instruct");
    !is_other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_word_counts() {
        for (entry, expected) in [
            // (Mistral)
            (r#"{"id":"mistral-embed","capabilities":{"completion_chat":false}}"#, false),
            (r#"{"id":"voxtral-mini-transcribe","capabilities":{"completion_chat":true}}"#, true),
            // OpenRouter, xAI
            (r#"{"id":"x","architecture":{"output_modalities":["image"]}}"#, false),
            (r#"{"id":"google/gemini-2.5-flash-image","architecture":{"output_modalities":["image","text"]}}"#, true),
            (r#"{"id":"x","architecture":{"output_modalities":["embeddings"]}}"#, false),
            (r#"{"id":"x","architecture":{"modality":"text->image"}}"#, false),
            (r#"{"id":"x","architecture":{"modality":"text+image->text"}}"#, true),
            (r#"{"id":"grok-2-picture","output_modalities":["image"]}"#, false),
            // LM Studio, Together, LiteLLM, Hugging Face
            (r#"{"id":"nomic","type":"embeddings"}"#, false),
            (r#"{"id":"my-e5-chat","type":"llm"}"#, true),
            (r#"{"id":"v","type":"vlm"}"#, true),
            (r#"{"id":"black-forest/x","type":"image"}"#, false),
            (r#"{"id":"r","type":"rerank"}"#, false),
            (r#"{"id":"m","type":"moderation"}"#, false),
            (r#"{"id":"a","mode":"audio_transcription"}"#, false),
            (r#"{"id":"s","pipeline_tag":"text-to-speech"}"#, false),
            (r#"{"id":"q","task":"feature-extraction"}"#, false),
            // Ollama
            (r#"{"name":"all","capabilities":["embedding"]}"#, false),
            (r#"{"name":"llama","capabilities":["completion","tools"]}"#, true),
            (r#"{"name":"z","capabilities":["image"]}"#, false),
            // Cohere, and by routes
            (r#"{"name":"command","endpoints":["generate","chat"]}"#, true),
            (r#"{"name":"embed","endpoints":["embed"]}"#, false),
            (r#"{"id":"x","supported_endpoints":["/v1/chat/completions"]}"#, true),
            (r#"{"id":"x","supported_endpoints":["/v1/embeddings"]}"#, false),
            // Google
            (r#"{"name":"models/gemini-x","supportedGenerationMethods":["generateContent"]}"#, true),
            (r#"{"name":"models/gemini-x-tts","supportedGenerationMethods":["generateContent"]}"#, false),
            (r#"{"name":"models/aqa","supportedGenerationMethods":["generateAnswer"]}"#, false),
            // No word: the name's.
            (r#"{"id":"gpt-4o","type":"model","capabilities":[],"endpoints":[]}"#, true),
            (r#"{"id":"text-embedding-3-small","object":"model"}"#, false),
        ] {
            let fields = serde_json::from_str::<Map<String, Value>>(entry).unwrap();
            let id = fields.get("id").or_else(|| fields.get("name")).and_then(Value::as_str).unwrap().to_owned();
            assert_eq!(is_chat(&fields, &id), expected, "{entry}");
        }
    }

    #[test]
    fn names_tell() {
        for talks in [
            "gpt-4o",
            "gpt-4.1-mini",
            "o3",
            "chatgpt-4o-latest",
            "claude-3-5-sonnet",
            "gemini-2.5-pro",
            "llama3.2:3b",
            "llava:7b",
            "qwen2.5-vl-7b",
            "meta-llama/Llama-3.3-70B-Instruct",
            "deepseek-r1:8b",
            "mixtral:8x7b",
            "smollm2-135m-instruct",
            "stabilityai/stablelm-2",
            "openai/gpt-oss-20b",
            "command-r-plus",
            "gpt-3.5-turbo",
            "phi-4",
            "gemma3:4b",
            "default",
            "grok-4",
            "mistral-small",
            "computer",
            "my-fine-tune",
        ] {
            assert!(is_for_chat(talks), "{talks}");
        }
        for other in [
            "text-embedding-3-large",
            "text-embedding-ada-002",
            "nomic-embed-text:latest",
            "mxbai-embed-large",
            "embeddinggemma",
            "models/embedding-001",
            "all-minilm:l6-v2",
            "BAAI/bge-m3",
            "intfloat/multilingual-e5-large",
            "gte-qwen2",
            "voyage-3",
            "text-embedding-nomic-embed-text-v1.5",
            "jina-embeddings-v3",
            "whisper-1",
            "whisper-large-v3-turbo",
            "distil-whisper",
            "tts-1",
            "tts-1-hd",
            "gpt-4o-mini-tts",
            "gpt-4o-transcribe",
            "gpt-4o-audio-preview",
            "gpt-4o-realtime-preview",
            "playai-tts",
            "kokoro",
            "bge-reranker-v2-m3",
            "rerank-english-v3.0",
            "omni-moderation-latest",
            "llama-guard-3-8b",
            "meta-llama/Llama-Guard-4-12B",
            "llama-prompt-guard-2-22m",
            "shieldgemma:2b",
            "granite3-guardian",
            "dall-e-3",
            "gpt-image-1",
            "imagen-4.0-generate",
            "black-forest-labs/FLUX.1-schnell",
            "stable-diffusion-3",
            "sdxl",
            "veo-3.0",
            "sora-2",
            "grok-2-image",
            "davinci-002",
            "babbage-002",
            "gpt-3.5-turbo-instruct",
        ] {
            assert!(!is_for_chat(other), "{other}");
        }
    }
}
