//! The page about providers says what works: each of its blocks is a configuration, and makes a client.

use r1_providers::openai::OpenAi;
use r1_testkit::tls::Authority;

use super::*;
use crate::models::provider;

const GUIDE: &str = include_str!("../../../../../docs/providers.md");

/// The blocks of TOML, each with the heading above it.
fn blocks() -> Vec<(&'static str, String)> {
    let (mut blocks, mut heading, mut block) = (Vec::new(), "", None::<String>);
    for line in GUIDE.lines() {
        match &mut block {
            None if line == "```toml" => block = Some(String::new()),
            None => heading = line.strip_prefix("##").map_or(heading, |rest| rest.trim_start_matches('#').trim()),
            Some(text) if line == "```" => blocks.push((heading, std::mem::take(text))),
            Some(text) => *text += &format!("{line}\n"),
        }
        if line == "```" {
            block = None;
        }
    }
    blocks
}

/// The values of all settings in a block that name environment variables.
fn variables(block: &str) -> Vec<String> {
    let (mut variables, mut in_table) = (Vec::new(), false);
    for line in block.lines() {
        if line.starts_with('[') {
            in_table = line.ends_with(".headers_env]");
        } else if let Some((key, value)) = line.split_once(" = ")
            && (in_table || key == "api_key_env")
        {
            variables.push(value.trim_matches('"').to_owned());
        }
    }
    variables
}

#[test]
fn every_block_of_the_guide_is_a_configuration_and_makes_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let identity = authority.identity("client").unwrap();
    for (name, pem) in [
        ("company-ca.pem", authority.pem().to_owned()),
        ("client.pem", identity.certificate_pem()),
        ("client.key", identity.key_pem()),
    ] {
        std::fs::write(folder.path().join(name), pem).unwrap();
    }
    let blocks = blocks();
    assert!(blocks.len() >= 20, "{}", blocks.len());
    for (heading, block) in blocks {
        let names = variables(&block);
        let environment: Vec<_> = names.iter().map(|name| (name.as_str(), "sk-x")).collect();
        let block = block.replace("/etc/gpt-r1", &folder.path().display().to_string());
        // Several providers in one block leave open which of them answers.
        let block = if block.matches(".base_url").count() + block.matches("\nbase_url").count() > 1 {
            format!("default_model = 'together/meta-llama/Llama-3.3-70B-Instruct-Turbo'\n{block}")
        } else {
            block
        };
        let loaded = load_from(&block, &environment).unwrap_or_else(|faults| panic!("{heading}: {faults}"));
        assert!(!loaded.config.providers.is_empty(), "{heading}");
        for config in &loaded.config.providers {
            let client = OpenAi::new(provider(config)).unwrap_or_else(|faults| panic!("{heading}: {faults:?}"));
            assert!(!format!("{client:?} {}", loaded.effective).contains("sk-x"), "{heading}");
        }
        assert_eq!(loaded.warnings.iter().filter(|warning| !warning.contains("chmod")).count(), 0, "{heading}");
    }
}

#[test]
fn the_guide_has_a_block_for_each_of_the_well_known() {
    let with_block: Vec<&str> = blocks().iter().map(|(heading, _)| *heading).collect();
    for name in [
        "OpenAI",
        "Azure OpenAI",
        "Anthropic",
        "Google Gemini",
        "Mistral",
        "OpenRouter",
        "DeepSeek",
        "xAI",
        "Groq",
        "Ollama",
        "LM Studio",
        "llama.cpp",
        "vLLM",
        "LiteLLM",
    ] {
        assert!(with_block.contains(&name), "{name}");
    }
}

#[test]
fn what_the_guide_says_of_azure_and_openai_is_so() {
    let sent = |heading: &str, nth: usize| {
        let of_it: Vec<String> = blocks().into_iter().filter(|(found, _)| *found == heading).map(|(_, b)| b).collect();
        let names = variables(&of_it[nth]);
        let environment: Vec<_> = names.iter().map(|name| (name.as_str(), "k")).collect();
        let config = provider(&good(&of_it[nth], &environment).providers[0]);
        let header = r1_providers::openai::key_header(&config.base_url, config.api_key_header.as_ref());
        (header.to_string(), config)
    };
    for nth in [0, 1] {
        let (header, config) = sent("Azure OpenAI", nth);
        let field = config.parameters_for("YOUR-DEPLOYMENT").max_tokens_field.unwrap();
        assert_eq!((header.as_str(), field.as_str()), ("api-key", "max_completion_tokens"));
        assert_eq!(config.api_version.is_some(), nth == 1);
    }
    let (header, config) = sent("OpenAI", 1);
    assert_eq!(header, "authorization");
    assert!(!config.parameters_for("o4-mini").may_send("temperature"));
    assert!(config.parameters_for("gpt-4o").may_send("temperature"));
    let (_, mistral) = sent("Mistral", 0);
    assert_eq!(mistral.parameters_for("m").stream_options, Some(false));
}
