//! Which layer wins.

use super::*;

#[test]
fn each_layer_beats_the_one_before() {
    let file = "[log]\nlevel = 'warn'\n";
    assert_eq!(good("", &[]).log.level, "info");
    assert_eq!(good(file, &[]).log.level, "warn");
    assert_eq!(good(file, &[("GPT_R1__LOG__LEVEL", "debug")]).log.level, "debug");

    let file = "data_dir = '/from/file'\n[server]\nhost = '10.0.0.1'\napi_addr = ':1'\nweb_addr = ':2'\n";
    let environment = [("GPT_R1__DATA_DIR", "/from/env"), ("GPT_R1__SERVER__API_ADDR", ":3")];
    let config = good(file, &environment);
    assert_eq!(config.data_dir, PathBuf::from("/from/env"));
    assert_eq!(config.server.api.to_string(), "10.0.0.1:3");
    assert_eq!(config.server.web.to_string(), "10.0.0.1:2");
    let flags = Flags {
        data_dir: Some("/from/flag".into()),
        host: Some("10.0.0.2".into()),
        api_addr: Some("127.0.0.1:4".into()),
        web_addr: Some("localhost:0".into()),
        metrics_addr: Some(":9".into()),
        config: None,
    };
    let config = load_with(file, &environment, flags).unwrap().config;
    assert_eq!(config.data_dir, PathBuf::from("/from/flag"));
    assert_eq!(config.server.api.to_string(), "127.0.0.1:4");
    assert_eq!(config.server.web.to_string(), "127.0.0.1:0", "any free port is one port");
    assert_eq!(config.server.metrics.to_string(), "127.0.0.1:9 and [::1]:9", "not at the host");
}

#[test]
fn our_own_names_beat_the_well_known_ones() {
    let environment =
        [("OPENAI_BASE_URL", "http://known/v1"), ("GPT_R1__PROVIDERS__OPENAI__BASE_URL", "http://own/v1")];
    let config = good("[providers.openai]\nbase_url = 'http://file/v1'\n", &environment);
    assert_eq!(config.providers[0].base_url, "http://own/v1");
    let environment = [("OPENAI_API_KEY", "known"), ("GPT_R1__PROVIDERS__OPENAI__API_KEY", "own")];
    let config = good("[providers.openai]\napi_key_env = 'OTHER'\n", &environment);
    assert_eq!(config.providers[0].api_key.as_ref().unwrap().expose_secret(), "own");
}

#[test]
fn the_environment_writes_every_type() {
    let config = good(
        "",
        &[
            ("GPT_R1__LIMITS__ENABLED", "false"),
            ("GPT_R1__LIMITS__MESSAGE_CHARS", "1_000"),
            ("GPT_R1__LIMITS__BODY", "64KiB"),
            ("GPT_R1__STREAM__HEARTBEAT", "5s"),
            ("GPT_R1__SERVER__CORS_ORIGINS", "https://a.example, https://b.example:8443"),
            ("GPT_R1__LOCAL_MODEL__ENABLED", "true"),
            ("GPT_R1__LOCAL_MODEL__THREADS", "3"),
            ("GPT_R1__LOCAL_MODEL__KV_BUDGET", "64MiB"),
            ("GPT_R1__PROVIDERS__VLLM__BASE_URL", "http://gpu:8000/v1"),
            ("GPT_R1__PROVIDERS__VLLM__MODELS", "one,two"),
            ("GPT_R1__PROVIDERS__VLLM__CONTINUES", "vllm"),
            ("GPT_R1__PROVIDERS__VLLM__IDLE_TIMEOUT", "90s"),
            ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ],
    );
    assert!(config.auth.attempts.is_none());
    assert_eq!((config.limits.message_chars, config.limits.body), (1000, 65_536));
    assert_eq!(config.stream.heartbeat, Duration::from_secs(5));
    assert_eq!(config.server.cors_origins, ["https://a.example", "https://b.example:8443"]);
    let local = config.local_model.unwrap();
    assert_eq!((local.threads, local.kv_budget), (Some(3), Some(64 << 20)));
    let vllm = &config.providers[0];
    assert_eq!((vllm.name.as_str(), vllm.models.len(), vllm.continues), ("vllm", 2, Continues::Vllm));
    assert_eq!(vllm.idle_timeout, Duration::from_secs(90));
    assert!(config.secret_key.is_some());
}

#[test]
fn the_file_in_the_working_directory_need_not_exist_but_a_named_one_must() {
    let environment = vec![("HOME".to_owned(), "/people/demo".to_owned())];
    assert!(load(&Source { environment: environment.clone(), ..Source::default() }).is_ok());
    let flags = Flags { config: Some("/nonexistent/gpt-r1.toml".into()), ..Flags::default() };
    let faults = load(&Source { flags, environment }).unwrap_err();
    assert_eq!(faults.0[0].origin, Origin::File("/nonexistent/gpt-r1.toml".into(), 0));
}

#[test]
fn directories_follow_the_environment() {
    let with = |environment: &[(&str, &str)], file: &str| good(file, environment).data_dir;
    assert_eq!(with(&[("XDG_DATA_HOME", "/xdg")], ""), PathBuf::from("/xdg/gpt-r1"));
    assert_eq!(with(&[("XDG_DATA_HOME", "relative")], ""), PathBuf::from("/people/demo/.local/share/gpt-r1"));
    assert_eq!(with(&[], "data_dir = '~/chat'\n"), PathBuf::from("/people/demo/chat"));
    assert_eq!(with(&[], "data_dir = 'here'\n"), PathBuf::from("here"));
    assert_eq!(load(&Source::default()).unwrap_err().0[0].key, "data_dir");
}

#[test]
fn origins_are_kept_as_browsers_send_them() {
    let written = "['https://A.example', 'https://a.example:443', 'http://a.example:80', 'HTTP://[2001:DB8::1]:8080', \
                   'https://a.example:80', 'http://a.example:443']";
    let config = good(&format!("[server]\ncors_origins = {written}\n"), &[]);
    let sent = [
        "https://a.example",
        "https://a.example",
        "http://a.example",
        "http://[2001:db8::1]:8080",
        "https://a.example:80",
        "http://a.example:443",
    ];
    assert_eq!(config.server.cors_origins, sent);
}
