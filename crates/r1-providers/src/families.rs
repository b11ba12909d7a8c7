//! What is known of well-known models by their names, for where their provider does not say.
//!
//! A name is made plain first (`meta-llama/Llama-3.1-8B-Instruct` and `llama3.1:8b` are the same
//! family), then the first row that it begins with counts. Where makers differ or change a family,
//! the row has the least that is true of all, or nothing.
//!
//! **Invariant:** a guess is worse than nothing: a model that no row names has no abilities known.
//! Lengths are those of the maker: a server on one's own machine gives an open model what it was told
//! to, so there they are not used.

use r1_domain::provider::Abilities;

use crate::listing::is_for_chat;

/// Vendors' names in front of a model's, as Bedrock and others write them.
const VENDORS: [&str; 9] =
    ["us.", "eu.", "apac.", "global.", "anthropic.", "meta.", "mistral.", "cohere.", "deepseek."];
/// Families that are written with and without a hyphen before their number.
const HYPHENS: [&str; 6] = ["llama", "qwen", "gemma", "phi", "smollm", "grok"];

/// Models that only their makers run, wherever a server that hands questions on to them may be.
const HOSTED: [&str; 10] = ["gpt-3", "gpt-4", "gpt-5", "chatgpt", "o1", "o3", "o4", "claude", "gemini", "grok"];

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

/// Beginning of the name; context and answer in tokens (0: not said); images, tools, reasoning.
type Row = (&'static str, u32, u32, Option<bool>, Option<bool>, Option<bool>);

/// The longer beginning before the shorter one.
const ROWS: &[Row] = &[
    // OpenAI
    ("gpt-4o-search-preview", 128_000, 16_384, NO, NO, NO),
    ("gpt-4o-mini-search-preview", 128_000, 16_384, NO, NO, NO),
    ("gpt-4o-2024-05-13", 128_000, 4_096, YES, YES, NO),
    ("gpt-4o", 128_000, 16_384, YES, YES, NO),
    ("chatgpt-4o", 128_000, 16_384, YES, None, NO),
    ("gpt-4.1", 1_047_576, 32_768, YES, YES, NO),
    ("gpt-4.5", 128_000, 16_384, YES, YES, NO),
    ("gpt-4-turbo-preview", 128_000, 4_096, NO, YES, NO),
    ("gpt-4-turbo", 128_000, 4_096, YES, YES, NO),
    ("gpt-4-1106", 128_000, 4_096, None, None, NO),
    ("gpt-4-0125", 128_000, 4_096, NO, YES, NO),
    ("gpt-4-32k", 32_768, 0, NO, None, NO),
    ("gpt-4", 8_192, 8_192, NO, YES, NO),
    ("gpt-3.5-turbo", 16_385, 4_096, NO, YES, NO),
    ("gpt-5-chat", 128_000, 16_384, YES, None, NO),
    ("gpt-5.1-chat", 128_000, 16_384, YES, None, None),
    ("gpt-5.2-chat", 128_000, 16_384, YES, None, None),
    ("gpt-5-pro", 400_000, 0, YES, YES, YES),
    ("gpt-5", 400_000, 128_000, YES, YES, YES),
    ("gpt-5.1", 400_000, 128_000, YES, YES, YES),
    ("gpt-5.2", 400_000, 128_000, YES, YES, YES),
    ("gpt-oss", 131_072, 0, NO, YES, YES),
    ("o1-mini", 128_000, 65_536, NO, NO, YES),
    ("o1-preview", 128_000, 32_768, NO, NO, YES),
    ("o1", 200_000, 100_000, YES, YES, YES),
    ("o3-mini", 200_000, 100_000, NO, YES, YES),
    ("o3", 200_000, 100_000, YES, YES, YES),
    ("o4-mini", 200_000, 100_000, YES, YES, YES),
    // Anthropic
    ("claude-3-haiku", 200_000, 4_096, YES, YES, NO),
    ("claude-3-sonnet", 200_000, 4_096, YES, YES, NO),
    ("claude-3-opus", 200_000, 4_096, YES, YES, NO),
    ("claude-3-5-haiku", 200_000, 8_192, None, YES, NO),
    ("claude-3-5", 200_000, 8_192, YES, YES, NO),
    ("claude-3-7", 200_000, 64_000, YES, YES, YES),
    ("claude-sonnet-4-6", 200_000, 0, YES, YES, YES),
    ("claude-opus-4-6", 200_000, 0, YES, YES, YES),
    ("claude-sonnet-4", 200_000, 64_000, YES, YES, YES),
    ("claude-opus-4-5", 200_000, 64_000, YES, YES, YES),
    ("claude-opus-4", 200_000, 32_000, YES, YES, YES),
    ("claude-haiku-4", 200_000, 64_000, YES, YES, YES),
    // Google
    ("gemini-1-5-pro", 2_097_152, 8_192, YES, YES, NO),
    ("gemini-1-5-flash", 1_048_576, 8_192, YES, YES, NO),
    ("gemini-2-0-flash-thinking", 1_048_576, 0, YES, None, YES),
    ("gemini-2-0-flash", 1_048_576, 8_192, YES, YES, NO),
    ("gemini-2-5-pro", 1_048_576, 65_536, YES, YES, YES),
    ("gemini-2-5-flash", 1_048_576, 65_536, YES, YES, YES),
    ("gemini-3-pro", 1_048_576, 65_536, YES, YES, YES),
    ("gemma2", 8_192, 0, NO, None, NO),
    ("gemma3-1b", 32_768, 0, NO, None, NO),
    ("gemma3-270m", 32_768, 0, NO, None, NO),
    ("gemma3n", 32_768, 0, None, None, NO),
    ("gemma3", 131_072, 0, YES, None, NO),
    // Meta
    ("llama3.2-vision", 131_072, 0, YES, None, NO),
    ("llama3.2-11b", 131_072, 0, YES, None, NO),
    ("llama3.2-90b", 131_072, 0, YES, None, NO),
    ("llama3.1", 131_072, 0, NO, YES, NO),
    ("llama3.2", 131_072, 0, NO, YES, NO),
    ("llama3.3", 131_072, 0, NO, YES, NO),
    ("llama4", 0, 0, YES, YES, NO),
    ("llama3", 8_192, 0, NO, None, NO),
    ("llama2", 4_096, 0, NO, NO, NO),
    // Alibaba
    ("qwen2.5-vl", 32_768, 0, YES, None, NO),
    ("qwen2.5-omni", 32_768, 0, YES, None, NO),
    ("qwen2.5", 32_768, 0, NO, YES, NO),
    ("qwen3-vl", 262_144, 0, YES, YES, None),
    ("qwen3-coder", 262_144, 0, NO, YES, NO),
    ("qwen3-omni", 32_768, 0, YES, None, None),
    ("qwen3-next", 262_144, 0, NO, YES, None),
    ("qwen3", 32_768, 0, NO, YES, None),
    ("qwq", 32_768, 0, NO, YES, YES),
    // Mistral
    ("mixtral-8x22b", 65_536, 0, NO, YES, NO),
    ("mixtral", 32_768, 0, NO, None, NO),
    ("mistral-7b", 32_768, 0, NO, None, NO),
    ("mistral-nemo", 131_072, 0, NO, YES, NO),
    ("open-mistral-nemo", 131_072, 0, NO, YES, NO),
    ("mistral-large-2402", 32_768, 0, NO, YES, NO),
    ("mistral-large", 131_072, 0, None, YES, NO),
    ("mistral-medium", 131_072, 0, None, YES, None),
    ("mistral-small", 32_768, 0, None, YES, None),
    ("ministral", 131_072, 0, None, YES, None),
    ("pixtral", 131_072, 0, YES, YES, NO),
    ("magistral", 40_960, 0, None, None, YES),
    // DeepSeek
    ("deepseek-chat", 65_536, 8_192, NO, YES, NO),
    ("deepseek-reasoner", 65_536, 0, NO, None, YES),
    ("deepseek-r1", 65_536, 0, NO, None, YES),
    ("deepseek-v3", 65_536, 0, NO, YES, None),
    // xAI
    ("grok2-vision", 32_768, 0, YES, YES, NO),
    ("grok2", 131_072, 0, NO, YES, NO),
    ("grok3-mini", 131_072, 0, NO, YES, YES),
    ("grok3", 131_072, 0, NO, YES, NO),
    ("grok4-fast-non-reasoning", 256_000, 0, YES, YES, NO),
    ("grok4", 256_000, 0, YES, YES, YES),
    ("grok-code-fast", 256_000, 0, NO, YES, YES),
    // Microsoft
    ("phi3-mini-4k", 4_096, 0, NO, None, NO),
    ("phi3-mini-128k", 131_072, 0, NO, None, NO),
    ("phi3.5-vision", 131_072, 0, YES, None, NO),
    ("phi3.5", 131_072, 0, NO, None, NO),
    ("phi4-mini-reasoning", 131_072, 0, NO, None, YES),
    ("phi4-mini", 131_072, 0, NO, None, NO),
    ("phi4-multimodal", 131_072, 0, YES, None, NO),
    ("phi4-reasoning", 32_768, 0, NO, None, YES),
    ("phi4", 16_384, 0, NO, None, NO),
    // Cohere
    ("command-r", 128_000, 4_096, NO, YES, NO),
    ("command-r7b", 128_000, 4_096, NO, YES, NO),
    ("command-a-vision", 128_000, 0, YES, None, NO),
    ("command-a-reasoning", 256_000, 0, NO, YES, YES),
    ("command-a", 256_000, 8_000, NO, YES, NO),
    // Others
    ("llava", 0, 0, YES, None, NO),
    ("smollm2", 8_192, 0, NO, None, NO),
];

/// What is known of a model of this name; nothing where no family has it. `is_near`: its server is on
/// this machine or in a private network.
pub(crate) fn abilities_of(id: &str, is_near: bool) -> Abilities {
    let name = plain(id);
    let row = ROWS.iter().find(|(beginning, ..)| begins(&name, beginning));
    let Some(&(_, context, output, images, tools, reasoning)) = row.filter(|_| is_for_chat(id)) else {
        return Abilities::default();
    };
    let is_as_made = !is_near || HOSTED.iter().any(|hosted| name.starts_with(hosted));
    let tokens = |number: u32| Some(number).filter(|number| *number > 0 && is_as_made);
    Abilities { context_tokens: tokens(context), output_tokens: tokens(output), images, tools, reasoning }
}

/// The name without vendor, in one spelling.
fn plain(id: &str) -> String {
    let lower = id.to_lowercase();
    let mut name = lower.rsplit('/').next().unwrap_or(&lower);
    while let Some(rest) = VENDORS.iter().find_map(|vendor| name.strip_prefix(vendor)) {
        name = rest;
    }
    let name = name.strip_prefix("meta-").unwrap_or(name).replace([':', '_', '@', ' '], "-");
    if name.starts_with("claude") || name.starts_with("gemini") {
        return name.replace('.', "-");
    }
    let hyphen = HYPHENS.iter().find_map(|family| {
        let number = name.strip_prefix(family)?.strip_prefix('-')?;
        number.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{family}{number}"))
    });
    hyphen.unwrap_or(name)
}

/// Whether the name is the beginning, or goes on after it with another word.
fn begins(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_reached() {
        for (beginning, ..) in ROWS {
            let first = ROWS.iter().find(|(earlier, ..)| begins(beginning, earlier)).map(|row| row.0);
            assert_eq!(first, Some(*beginning), "{first:?} stands before it");
            assert_eq!(plain(beginning), *beginning, "no name is spelt like this row");
        }
    }

    #[test]
    fn families_are_known_in_everybodys_spelling() {
        for (names, context) in [
            (&["gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o", "GPT-4o-mini"][..], 128_000),
            (&["gpt-4.1", "gpt-4.1-mini", "openai/gpt-4.1-nano-2025-04-14"], 1_047_576),
            (&["gpt-5", "gpt-5-mini", "gpt-5-2025-08-07", "gpt-5.1"], 400_000),
            (&["o1", "o3-mini", "o4-mini-2025-04-16"], 200_000),
            (
                &[
                    "claude-3-5-sonnet-20241022",
                    "anthropic/claude-3.5-sonnet",
                    "claude-sonnet-4-20250514",
                    "claude-opus-4.1",
                    "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
                    "claude-3-opus-latest",
                ],
                200_000,
            ),
            (
                &["gemini-2.5-flash", "models/gemini-2.0-flash", "google/gemini-2.5-pro", "gemini-1.5-flash-8b"],
                1_048_576,
            ),
            (
                &[
                    "llama3.1:8b",
                    "meta-llama/Llama-3.1-8B-Instruct",
                    "meta-llama-3.1-8b-instruct",
                    "llama-3.3-70b-versatile",
                    "llama3.2",
                ],
                131_072,
            ),
            (&["meta-llama/Meta-Llama-3-8B-Instruct", "llama3:8b"], 8192),
            (&["qwen2.5:7b", "Qwen/Qwen2.5-72B-Instruct", "qwen-2.5-32b", "qwen3:8b", "Qwen/Qwen3-32B"], 32_768),
            (&["command-r-plus", "command-r-08-2024", "command-r7b-12-2024"], 128_000),
            (&["phi-4", "microsoft/phi-4", "phi4:14b"], 16_384),
            (&["grok-4", "x-ai/grok-4", "grok-4-0709"], 256_000),
            (&["smollm2-135m-instruct"], 8192),
        ] {
            for name in names {
                assert_eq!(abilities_of(name, false).context_tokens, Some(context), "{name}");
            }
        }
        assert_eq!(abilities_of("llama3.2-vision:11b", true).images, Some(true));
        assert_eq!(abilities_of("meta-llama/Llama-3.2-11B-Vision-Instruct", false).images, Some(true));
        assert_eq!(abilities_of("deepseek-r1:8b", true).reasoning, Some(true));
        assert_eq!(abilities_of("llama3.1:8b", true).context_tokens, None, "its server knows");
        assert_eq!(abilities_of("openai/gpt-4o", true).context_tokens, Some(128_000));
    }

    #[test]
    fn nothing_is_guessed() {
        for unknown in [
            "",
            "default",
            "my-model",
            "gpt-4omega",
            "gpt-6",
            "gpt-5.9",
            "o30",
            "llamas",
            "llama3.9:8b",
            "claude-9-opus",
            "gpt",
            "gpt-4o-mini-tts",
            "gpt-4o-transcribe",
            "whisper-1",
            "gemini-2.5-flash-image",
            "llama-guard-3-8b",
            "qwen3-embedding",
        ] {
            assert_eq!(abilities_of(unknown, false), Abilities::default(), "{unknown}");
        }
    }
}
