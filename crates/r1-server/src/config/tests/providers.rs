//! How a provider is reached, and what is sent to it.

use r1_providers::openai::{MaxTokensField, SystemRole};
use r1_testkit::tls::Authority;

use super::*;

const FAR: &str = "[providers.a]\nbase_url = 'https://api.example.com/v1'\n";

/// The faults of a provider with these settings, as `key: problem / remedy`.
fn faults(settings: &str) -> Vec<String> {
    let faults = load_from(&format!("{FAR}{settings}"), &[]).unwrap_err().0;
    faults.iter().map(|fault| format!("{}: {} / {}", fault.key, fault.problem, fault.remedy)).collect()
}

fn fault(settings: &str) -> String {
    let faults = faults(settings);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults[0].clone()
}

fn way(file: &str, environment: &[(&str, &str)]) -> String {
    let effective = load_from(file, environment).unwrap().effective;
    let (_, way) = effective.split_once("#   provider        a, ").unwrap();
    way.lines().next().unwrap().to_owned()
}

#[test]
fn the_environments_proxy_is_for_far_providers() {
    let environment = [("HTTPS_PROXY", "http://u:hidden@p:1"), ("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "b.example")];
    let through = "through the proxy that HTTPS_PROXY names";
    assert_eq!(way(FAR, &environment), through);
    assert_eq!(way(&format!("{FAR}proxy = 'environment'\n"), &environment), through);
    assert_eq!(way(&format!("{FAR}proxy = 'none'\n"), &environment), "straight");
    assert_eq!(way(&format!("{FAR}proxy = 'socks5h://q:1'\n"), &environment), "through its proxy");
    assert_eq!(way(FAR, &[("all_proxy", "p:1"), ("HTTPS_PROXY", "")]), "through the proxy that all_proxy names");
    assert_eq!(way(FAR, &[]), "straight");
    for near in ["https://localhost/v1", "http://api.example.com/v1", "https://b.example/v1", "https://10.0.0.1"] {
        assert_eq!(way(&FAR.replace("https://api.example.com/v1", near), &environment), "straight", "{near}");
    }
    let own = "proxy = 'http://q:1'\n";
    let near = FAR.replace("https://api.example.com/v1", "http://127.0.0.1:1/v1");
    assert_eq!(way(&format!("{near}{own}"), &[]), "through its proxy", "whatever the address");
    assert!(load_from(FAR, &environment).unwrap().config.providers[0].way.proxy.is_some());
}

#[test]
fn a_proxy_that_is_none_is_a_fault_without_its_words() {
    for proxy in ["hidden", "hidden:3128", "ftp://u:hidden@p", "http://u:hidden@", "http://p/hidden", "http://"] {
        let found = fault(&format!("proxy = '{proxy}'\n"));
        assert!(found.starts_with("providers.a.proxy: ") && !found.contains("hidden"), "{found}");
        assert!(found.contains("http://proxy.example.com:3128"), "{found}");
    }
    let environment = [("ALL_PROXY", "ftp://u:hidden@p")];
    let faults = load_from(FAR, &environment).unwrap_err();
    assert_eq!(faults.0.len(), 1);
    let text = faults.to_string();
    assert!(text.contains("ALL_PROXY: must start with http://") && !text.contains("hidden"), "{text}");
    assert!(text.contains("set providers.a.proxy to \"none\""), "{text}");
    assert!(load_from(&format!("{FAR}proxy = 'none'\n"), &environment).is_ok(), "nobody asked for it");
}

#[test]
fn certificates_are_read_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let identity = authority.identity("client").unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let ca = file("ca.pem", authority.pem());
    let certificate = file("client.pem", &identity.certificate_pem());
    let key = file("key.pem", &identity.key_pem());
    let both = file("both.pem", &format!("{}{}", identity.certificate_pem(), identity.key_pem()));
    let other = file("other.pem", &authority.identity("other").unwrap().key_pem());
    let binary = folder.path().join("binary.der");
    std::fs::write(&binary, [0x30, 0x82, 0xff, 0xfe]).unwrap();
    let large = file("large.pem", &"x".repeat((1 << 20) + 1));

    let all = format!("ca_certificate = '{ca}'\nclient_certificate = '{certificate}'\nclient_key = '{key}'\n");
    let config = good(&format!("{FAR}{all}"), &[]);
    let way = &config.providers[0].way;
    assert!(way.ca_certificate.is_some() && way.client_certificate.is_some());
    let one = good(&format!("{FAR}client_certificate = '{both}'\n"), &[]);
    assert!(one.providers[0].way.client_certificate.is_some());

    let missing = folder.path().join("missing").display().to_string();
    let directory = folder.path().display().to_string();
    for (settings, part) in [
        (format!("ca_certificate = '{missing}'\n"), "ca_certificate: names a file that can't be read: No such file"),
        (
            format!("ca_certificate = '{directory}'\n"),
            "ca_certificate: names a file that can't be read: Is a directory",
        ),
        (format!("ca_certificate = '{key}'\n"), "ca_certificate: names a file that has no certificate"),
        (format!("ca_certificate = '{}'\n", binary.display()), "names a file that is no text"),
        (format!("ca_certificate = '{large}'\n"), "names a file of more than 1 MiB"),
        (format!("client_certificate = '{certificate}'\n"), "client_certificate: names a file that has no private key"),
        (format!("client_certificate = '{key}'\n"), "client_certificate: names a file that has no certificate"),
        (format!("client_key = '{key}'\n"), "client_key: is set without client_certificate"),
        (
            format!("client_certificate = '{certificate}'\nclient_key = '{other}'\n"),
            "client_key: names a file that is not the key of the client certificate",
        ),
    ] {
        let found = fault(&settings);
        assert!(found.contains(part), "{settings}{found}");
    }
    let plain = format!("[providers.a]\nbase_url = 'http://127.0.0.1:1/v1'\n{all}");
    let faults = load_from(&plain, &[]).unwrap_err().0;
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.problem.contains("base_url is http://")), "{faults:?}");
    assert!(load_from(&format!("{plain}proxy = 'https://p'\n"), &[]).is_ok(), "the proxy speaks TLS");
}

#[test]
fn headers_are_given_or_taken_from_the_environment_and_never_shown() {
    let file = format!(
        "{FAR}api_key = 'hidden-key'\nproxy = 'http://u:hidden-proxy@p:1'\n\
         [providers.a.headers]\n'X-Title' = 'hidden-title'\n'x.dotted' = 'hidden-dots'\n\
         [providers.a.headers_env]\nX-Key = 'A_KEY'\n"
    );
    let loaded = load_from(&file, &[("A_KEY", "hidden-variable")]).unwrap();
    let headers = &loaded.config.providers[0].way.headers;
    for name in ["x-title", "x.dotted", "x-key"] {
        assert!(headers.contains(&name.parse().unwrap()), "{name}");
    }
    let shown = format!("{loaded:?} {}", loaded.effective);
    assert!(!shown.contains("hidden"), "{shown}");
    assert_eq!(loaded.effective.matches("\n[providers.a]\n").count(), 1, "each table once: {}", loaded.effective);
    for part in ["[providers.a.headers]\n", "\nX-Title = \"********\"", "\n\"x.dotted\" = ", "\nX-Key = \"A_KEY\""] {
        assert!(loaded.effective.contains(part), "{part}: {}", loaded.effective);
    }
    for (settings, key, part) in [
        ("[providers.a.headers]\nHost = 'hidden'\n", "headers.Host", "can't be set"),
        ("[providers.a.headers]\ncontent-length = 'hidden'\n", "headers.content-length", "can't be set"),
        (
            "api_key = 'k'\n[providers.a.headers]\nAuthorization = 'hidden'\n",
            "headers.Authorization",
            "carries api_key",
        ),
        ("[providers.a.headers]\n'a b' = 'hidden'\n", "headers.\"a b\"", "is no name of a header"),
        ("[providers.a.headers]\na = \"hid\\nden\"\n", "headers.a", "no header can carry"),
        ("[providers.a.headers]\na = 1\n", "headers.a", "must be text"),
        ("[providers.a.headers]\na = 'hidden'\nA = 'hidden'\n", "headers.a", "is set twice"),
        ("[providers.a.headers_env]\na = 'NOWHERE'\n", "headers_env.a", "names NOWHERE, which is not set"),
        ("[providers.a.headers_env]\na = 1\n", "headers_env.a", "must be text"),
        ("headers = 'hidden'\n", "headers", "must be a table"),
    ] {
        let found = fault(settings);
        assert!(found.starts_with(&format!("providers.a.{key}: ")), "{found}");
        assert!(found.contains(part) && !found.contains("hid"), "{found}");
    }
}

#[test]
fn azures_ways_are_read() {
    let azure = "[providers.a]\nbase_url = 'https://x.openai.azure.com/openai/deployments/d'\napi_key = 'k'\n";
    let config = good(&format!("{azure}api_version = '2024-10-21'\napi_key_header = 'authorization'\n"), &[]);
    let way = &config.providers[0].way;
    assert_eq!(way.api_version.as_deref(), Some("2024-10-21"));
    assert_eq!(way.api_key_header.as_ref().map(http::HeaderName::as_str), Some("authorization"));
    assert!(
        load_from(&format!("{azure}[providers.a.headers]\nAuthorization = 'x'\n"), &[]).is_ok(),
        "it is in api-key"
    );
    assert!(load_from(&format!("{azure}[providers.a.headers]\napi-key = 'x'\n"), &[]).is_err());
    for (settings, part) in [
        ("api_version = 'v 1'\n", "must be a version"),
        ("api_key_header = 'host'\n", "which the client sets itself"),
        ("api_key_header = 'a b'\n", "must be a header's name"),
        ("api_key = 'two words'\n", "must be printable ASCII without spaces"),
    ] {
        let found = fault(settings);
        assert!(found.contains(part) && !found.contains("two words"), "{found}");
    }
    for (base_url, part) in [
        ("https://x/openai/deployments/d/chat/completions?api-version=1", "set api_version"),
        ("https://x/v1/chat/completions", "must end before"),
        ("https://x/v1/chat/completions/", "must end before"),
        ("https://x/v1?key=hidden", "must not have a"),
    ] {
        let faults = load_from(&format!("[providers.a]\nbase_url = '{base_url}'\n"), &[]).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{faults}");
        assert!(faults.to_string().contains(part) && !faults.to_string().contains("hidden"), "{faults}");
    }
}

#[test]
fn what_is_sent_is_set_by_provider_and_by_model() {
    let file = format!(
        "{FAR}max_tokens_field = 'max_completion_tokens'\nmax_tokens = 1_000\nstream_options = false\ntemperature = 1\n\
         system_role = 'developer'\nunsupported = ['seed']\nsend_seed = true\nsend_user = true\n\
         [providers.a.model.'meta/llama-3.1:free']\ntemperature = false\nmax_tokens = 5\nsystem_role = 'merge'\n\
         [providers.a.model.plain]\ntemperature = 0.5\nmax_tokens_field = 'auto'\n"
    );
    let loaded = load_from(&file, &[("GPT_R1__PROVIDERS__A__MAX_TOKENS", "2_000")]).unwrap();
    let provider = &loaded.config.providers[0];
    let expected = Parameters {
        max_tokens_field: Some(MaxTokensField::MaxCompletionTokens),
        max_tokens: Some(2000),
        stream_options: Some(false),
        temperature: Some(1.0),
        system_role: Some(SystemRole::Developer),
        unsupported: vec!["seed".to_owned()],
        send_seed: Some(true),
        send_user: Some(true),
    };
    assert_eq!(provider.parameters, expected);
    let llama = Parameters {
        max_tokens: Some(5),
        system_role: Some(SystemRole::Merge),
        unsupported: vec!["temperature".to_owned()],
        ..Parameters::default()
    };
    assert_eq!(provider.model_parameters["meta/llama-3.1:free"], llama);
    assert_eq!(provider.model_parameters["plain"], Parameters { temperature: Some(0.5), ..Parameters::default() });
    let shown = "[providers.a.model.\"meta/llama-3.1:free\"]\n";
    assert!(loaded.effective.contains(shown), "{}", loaded.effective);
    assert!(loaded.effective.contains("\ntemperature = 0.5 "), "{}", loaded.effective);
    for (text, temperature) in [("0.25", Some(0.25)), ("auto", None)] {
        let config = good(FAR, &[("GPT_R1__PROVIDERS__A__TEMPERATURE", text)]);
        assert_eq!(config.providers[0].parameters.temperature, temperature);
    }
    let config = good(FAR, &[("GPT_R1__PROVIDERS__A__TEMPERATURE", "false")]);
    assert_eq!(config.providers[0].parameters.unsupported, ["temperature"]);
}

#[test]
fn what_can_not_be_sent_is_a_fault() {
    for (settings, part) in [
        ("max_tokens = 0\n", "max_tokens: must be a whole number from 1 to 10000000 or \"auto\", not 0"),
        ("max_tokens = '5'\n", "not \"5\""),
        ("temperature = 2.5\n", "must be a number from 0 to 2, false or \"auto\", not 2.5"),
        ("temperature = nan\n", "must be a number"),
        ("temperature = true\n", "not true"),
        ("temperature = -1\n", "not -1"),
        ("system_role = 'user'\n", "must be \"auto\", \"system\", \"developer\" or \"merge\""),
        ("max_tokens_field = 'tokens'\n", "must be \"auto\", \"max_tokens\" or \"max_completion_tokens\""),
        ("unsupported = ['temprature']\n", "did you mean \"temperature\"?"),
        ("unsupported = ['messages']\n", "which is no parameter that could be left out / name some of"),
        ("send_seed = 'perhaps'\n", "must be true or false"),
        ("model = 'gpt'\n", "model: holds the settings of single models / write [providers.a.model.\"MODEL\"]"),
        ("[providers.a.model]\ngpt = 'x'\n", "model.gpt: must be a table of one model's settings"),
        ("[providers.a.model.gpt]\nmax_token = 1\n", "model.gpt.max_token: is not a setting of a model / did you mean"),
        ("[providers.a.model.'a.b']\nbase_url = 'x'\n", "model.\"a.b\".base_url: is not a setting of a model"),
        ("[providers.a.model.gpt-4.1]\nmax_tokens = 1\n", "a model's name that has dots needs quotation marks"),
        ("[providers.a.modle.gpt]\nmax_tokens = 1\n", "is no table of a provider / did you mean model?"),
    ] {
        let found = fault(settings);
        assert!(found.contains(part), "{settings}{found}");
    }
    let several = faults("max_tokens = 0\ntemperature = 9\n[providers.a.model.m]\nsystem_role = 'x'\n");
    assert_eq!(several.len(), 3, "all at once: {several:?}");
}

#[test]
fn a_provider_may_begin_with_a_table() {
    let config = good("[providers.openai.model.'gpt-4.1']\nmax_tokens = 9\n", &[("OPENAI_API_KEY", "k")]);
    assert_eq!(config.providers.len(), 1);
    assert_eq!(config.providers[0].model_parameters["gpt-4.1"].max_tokens, Some(9));
    assert_eq!(good("[providers.openai.headers]\n", &[]).providers.len(), 1, "an empty one");
    let lacking = load_from("[providers.b.headers]\nx = 'y'\n", &[]).unwrap_err();
    assert!(lacking.to_string().contains("[providers.b] has no base_url"), "{lacking}");
    let dotted = load_from("[providers.'a.b']\nbase_url = 'http://a'\n", &[]).unwrap_err();
    assert!(dotted.to_string().contains("'a.b' is no provider's name"), "{dotted}");
}
