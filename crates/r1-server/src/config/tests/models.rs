//! What is said of single models, and where servers of models are looked for.

use r1_domain::provider::Abilities;

use super::*;

fn problem(file: &str) -> String {
    let faults = load_from(file, &[]).unwrap_err().0;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    format!("{} {}", faults[0].key, faults[0].problem)
}

#[test]
fn models_are_described_by_tables_whose_names_hold_anything() {
    let file = r#"
        [providers.a]
        base_url = "http://a"
        [providers.a.model."gpt-4.1"]
        context = 1_000_000
        output = 32_768
        images = true
        tools = false
        [providers.a.model."vendor/llama3.2:1b \"x\""]
        reasoning = true
        [providers.a.model.plain]
        context = 5
        [providers.a-b]
        base_url = "http://b"
        [providers.a-b.model."gpt-4.1"]
        context = 7
        [providers.c]
        base_url = "http://c"
        model."x.y".context = 9
    "#;
    let loaded = load_from(&format!("default_model = 'a/x'\n{file}"), &[]).unwrap();
    let [a, b, c] = &loaded.config.providers[..] else { panic!("{:?}", loaded.config.providers) };
    let names: Vec<_> = a.abilities.keys().map(String::as_str).collect();
    assert_eq!(names, ["gpt-4.1", "plain", "vendor/llama3.2:1b \"x\""]);
    assert_eq!(
        a.abilities["gpt-4.1"],
        Abilities {
            context_tokens: Some(1_000_000),
            output_tokens: Some(32_768),
            images: Some(true),
            tools: Some(false),
            reasoning: None,
        }
    );
    assert_eq!(a.abilities["vendor/llama3.2:1b \"x\""].reasoning, Some(true));
    assert_eq!((b.name.as_str(), b.abilities["gpt-4.1"].context_tokens), ("a-b", Some(7)));
    assert_eq!(c.abilities["x.y"].context_tokens, Some(9));
    // What is shown can be read back.
    assert!(loaded.effective.contains("[providers.a.model.\"gpt-4.1\"]"), "{}", loaded.effective);
}

#[test]
fn what_is_said_of_a_model_is_checked() {
    let of = |rest: &str| problem(&format!("[providers.a]\nbase_url = 'http://a'\n{rest}"));
    assert_eq!(
        of("[providers.a.model.\"x.y\"]\ncontxt = 5"),
        "providers.a.model.\"x.y\".contxt is not a setting of a model"
    );
    assert_eq!(
        of("[providers.a.model.x]\ncontext = 0"),
        "providers.a.model.x.context must be a whole number from 1 to 100000000, not 0"
    );
    assert_eq!(of("[providers.a.model.x]\nimages = 5"), "providers.a.model.x.images must be true or false, not 5");
    assert_eq!(of("model = 'x'"), "providers.a.model holds the settings of single models");
    assert_eq!(of("model.x = 5"), "providers.a.model.x must be a table of one model's settings");
    assert_eq!(of("model.\"\".context = 5"), "providers.a.model has a table of \"\", which is no model's name");
    let zero_width = "providers.a.model has a table of \"\\u{200b}\", which is no model's name";
    assert_eq!(of("model.\"\\u200b\".context = 5"), zero_width);
    assert_eq!(problem("[providers.a.model.x]\ncontext = 5"), " [providers.a] has no base_url");
}

#[test]
fn servers_are_looked_for_where_nobody_else_is_and_nobody_else_gets_in() {
    let looks = |file: &str| good(file, &[]).local_servers.is_some();
    assert!(looks(""));
    let provider = "[providers.a]\nbase_url = 'http://a'\n";
    assert!(!looks(provider));
    assert!(!looks("[server]\nhost = '0.0.0.0'\n"));
    assert!(!looks("[server]\nweb_addr = '0.0.0.0:3000'\n"));
    assert!(looks("[server]\nhost = '::1'\n"));
    for asked in ["[server]\nhost = '0.0.0.0'\n", provider] {
        assert!(looks(&format!("{asked}[local_servers]\nlook = 'on'\n")));
    }
    assert!(!looks("[local_servers]\nlook = 'off'\n"));
    assert!(good("", &[("GPT_R1__LOCAL_SERVERS__LOOK", "off")]).local_servers.is_none());
    assert!(good("", &[("OPENAI_API_KEY", "k")]).local_servers.is_none());
}

#[test]
fn addresses_to_look_at_are_of_this_machine() {
    let addresses = |list: &str| {
        let config = good("", &[("GPT_R1__LOCAL_SERVERS__ADDRESSES", list)]).local_servers.unwrap();
        config.addresses.into_iter().map(|(name, address)| (name, address.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(
        addresses("ollama = 127.0.0.1:1,[::1]:2"),
        [(Some("ollama".to_owned()), "127.0.0.1:1".to_owned()), (None, "[::1]:2".to_owned())]
    );
    assert_eq!(addresses(""), []);
    let of = |list: &str| problem(&format!("[local_servers]\naddresses = [{list}]\n"));
    let key = "local_servers.addresses has";
    assert_eq!(of("'a=192.168.0.1:80'"), format!("{key} \"a=192.168.0.1:80\", which is not of this machine"));
    assert_eq!(of("'0.0.0.0:80'"), format!("{key} \"0.0.0.0:80\", which is not of this machine"));
    assert_eq!(of("'127.0.0.1:0'"), format!("{key} \"127.0.0.1:0\", which is not of this machine"));
    assert_eq!(of("'localhost:80'"), format!("{key} \"localhost:80\", which is no address and port"));
    assert_eq!(
        of("'local=127.0.0.1:80'"),
        format!("{key} \"local=127.0.0.1:80\", whose name can't stand before a model's")
    );
    assert_eq!(
        of("'A b=127.0.0.1:80'"),
        format!("{key} \"A b=127.0.0.1:80\", whose name can't stand before a model's")
    );
    let many: Vec<String> = (1..=33).map(|port| format!("'127.0.0.1:{port}'")).collect();
    assert_eq!(of(&many.join(",")), format!("{key} more than 32 addresses"));
}

#[test]
fn a_server_that_is_looked_for_may_be_the_default() {
    let config = good("default_model = 'ollama/llama3.2'\n", &[]);
    assert_eq!(config.default_model, model("ollama", Some("llama3.2")));
    assert!(config.local_model.is_some(), "it is offered beside");
    let off = "default_model = 'ollama/llama3.2'\n[local_servers]\nlook = 'off'\n";
    assert!(problem(off).contains("no provider is configured that could have it"));
}
