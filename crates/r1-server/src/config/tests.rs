use r1_providers::openai::Parameters;
use secrecy::ExposeSecret;

use super::{value::Origin, *};

mod faults;
mod models;
mod precedence;
mod provider_guide;
mod providers;

/// A configuration from a file's text and some environment.
fn load_from(file: &str, environment: &[(&str, &str)]) -> Result<Loaded, Faults> {
    load_with(file, environment, Flags::default())
}

fn load_with(file: &str, environment: &[(&str, &str)], mut flags: Flags) -> Result<Loaded, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.toml");
    std::fs::write(&path, file).unwrap();
    flags.config = Some(path);
    let mut environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    environment.push(("HOME".to_owned(), "/people/demo".to_owned()));
    load(&Source { flags, environment })
}

fn good(file: &str, environment: &[(&str, &str)]) -> Config {
    load_from(file, environment).unwrap_or_else(|faults| panic!("{faults}")).config
}

#[test]
fn nothing_has_to_be_set() {
    let Loaded { config, warnings, effective, .. } = load_from("", &[]).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.data_dir, PathBuf::from("/people/demo/.local/share/gpt-r1"));
    assert_eq!(config.server.api.to_string(), "127.0.0.1:8000 and [::1]:8000");
    assert_eq!(config.server.web.to_string(), "127.0.0.1:3000 and [::1]:3000");
    assert!(config.server.public_url.is_none() && config.server.cors_origins.is_empty());
    assert!(config.server.trusted_proxies.is_empty());
    assert_eq!(config.server.metrics, Listen::default(), "off");
    for off in ["off", ""] {
        let loaded = load_from(&format!("[server]\nweb_addr = '{off}'\n"), &[]).unwrap();
        assert_eq!(loaded.config.server.web, Listen::default());
        assert!(loaded.effective.contains("page            off"), "{}", loaded.effective);
    }
    assert!(
        matches!(&config.database.database, Database::Sqlite(path) if *path == config.data_dir)
            && !config.database.sync_all
    );
    assert_eq!(config.default_model.provider, "local");
    assert_eq!(config.default_model.model.as_deref(), Some("smollm2-135m-instruct"));
    assert!(config.providers.is_empty() && config.secret_key.is_none());
    assert!(effective.contains("host = \"localhost\""), "{effective}");
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = good("", &[]);
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(config.limits.body, 2560 << 10, "more than the design's 1 MiB: see the default file");
    assert_eq!(config.limits.message_chars, 200_000);
    assert_eq!((config.limits.bodies_in_flight, config.limits.bodies_in_flight_per_user), (64 << 20, Some(16 << 20)));
    assert_eq!(config.server.connections, None);
    assert_eq!((config.limits.runs_per_user, config.limits.attaches_per_user), (Some(8), Some(256)));
    assert_eq!((config.limits.answer_size, config.limits.answer_time), (1 << 20, minutes(15)));
    assert_eq!(config.limits.max_tokens, 2048);
    assert_eq!(config.stream.heartbeat, Duration::from_secs(15));
    assert_eq!((config.stream.retention, config.stream.stall_limit), (minutes(60), minutes(1)));
    assert_eq!(config.generation.idempotency_ttl, minutes(24 * 60));
    assert_eq!(config.auth.access_token_ttl, minutes(60));
    assert_eq!((config.auth.refresh_ttl, config.auth.cookie_ttl), (minutes(30 * 24 * 60), minutes(30 * 24 * 60)));
    assert!(config.auth.registration_open && config.auth.attempts.is_some());
    let passwords = &config.auth.passwords;
    assert_eq!((passwords.memory_kib, passwords.iterations, passwords.parallelism), (19 * 1024, 2, 1));
    assert!(passwords.workers >= 1);
    assert_eq!(config.local_model.unwrap().idle_unload, minutes(30));
}

#[test]
fn every_key_of_the_default_file_is_read_and_documented() {
    let defaults = layers::defaults();
    assert!(defaults.len() > 40, "the default file can be read");
    let mut reader = reader::Reader::new(defaults, layers::Entries::new(), Vec::new());
    assemble::assemble(&mut reader, &[("HOME".to_owned(), "/people/demo".to_owned())]);
    assert_eq!(reader.faults, Vec::new());
    assert_eq!(reader.unread(), Vec::<&str>::new());
}

#[test]
fn the_default_file_may_serve_as_a_file() {
    let loaded = load_from(layers::DEFAULT_FILE, &[]).unwrap();
    assert_eq!(loaded.config.server.api.to_string(), "127.0.0.1:8000 and [::1]:8000");
}

#[test]
fn the_provider_in_the_default_file_is_complete_and_works() {
    let start = layers::DEFAULT_FILE.find("# [providers.openai]").unwrap();
    let end = layers::DEFAULT_FILE.find("[local_model]").unwrap();
    let example: String = layers::DEFAULT_FILE[start..end]
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect();
    for key in super::providers::PROVIDER_KEYS {
        assert!(example.contains(&format!("\n{key} = ")), "{key}");
    }
    for table in super::providers::PROVIDER_TABLES {
        assert!(example.contains(&format!("\n[providers.openai.{table}")), "{table}");
    }
    for key in model_settings::MODEL_KEYS {
        let models = &example[example.find("# For one model").unwrap()..];
        assert!(models.contains(key), "{key}");
    }
    let config = good(&example, &[]);
    assert_eq!(config.providers[0].base_url, "https://api.openai.com/v1");
    assert!(config.providers[0].api_key.is_none());
    assert_eq!(config.providers[0].continues, Continues::None);
    assert_eq!(config.providers[0].idle_timeout, Duration::from_secs(60));
    // Every value there is the default: that nothing is set says the same.
    let unset = good("[providers.openai]\n", &[]);
    assert_eq!(format!("{:?}", config.providers[0].way), format!("{:?}", unset.providers[0].way));
    let set = Parameters {
        stream_options: Some(true),
        send_seed: Some(false),
        send_user: Some(false),
        ..unset.providers[0].parameters.clone()
    };
    assert_eq!(config.providers[0].parameters, set);
    assert_eq!(config.providers[0].abilities["gpt-4.1"].context_tokens, Some(1_047_576));
}

#[test]
fn one_variable_makes_a_provider() {
    let config = good("", &[("OPENAI_API_KEY", "sk-secret")]);
    let openai = &config.providers[0];
    assert_eq!((openai.name.as_str(), openai.base_url.as_str()), ("openai", "https://api.openai.com/v1"));
    assert_eq!(openai.api_key.as_ref().unwrap().expose_secret(), "sk-secret");
    assert_eq!(config.default_model, model("openai", Some("gpt-4o-mini")));
    assert!(config.local_model.is_none());

    let config = good("", &[("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/")]);
    assert_eq!(config.providers[0].base_url, "http://127.0.0.1:11434/v1");
    assert!(config.providers[0].api_key.is_none());
    assert_eq!(config.default_model, model("openai", None), "the first model that it lists");

    let config = good("", &[("OPENAI_API_KEY", "k"), ("OPENAI_MODEL", "meta/llama")]);
    assert_eq!(config.default_model, model("openai", Some("meta/llama")));
    let config = good("", &[("OPENAI_API_KEY", ""), ("DATABASE_URL", "")]);
    assert_eq!(config.default_model.provider, "local", "an empty variable is none");
}

fn model(provider: &str, model: Option<&str>) -> DefaultModel {
    DefaultModel { provider: provider.to_owned(), model: model.map(str::to_owned) }
}

#[test]
fn the_default_model_is_found() {
    let two = "[providers.a]\nbase_url = 'http://a'\n[providers.b]\nbase_url = 'http://b'\nmodels = ['m', 'n']\n";
    assert_eq!(good(&format!("default_model = 'b/x/y'\n{two}"), &[]).default_model, model("b", Some("x/y")));
    assert_eq!(good(two, &[("OPENAI_API_KEY", "k")]).default_model.provider, "openai");
    let one = "[providers.b]\nbase_url = 'http://b'\nmodels = ['m', 'n']\n";
    assert_eq!(good(one, &[]).default_model, model("b", Some("m")));
    assert_eq!(good(&format!("default_model = 'x/y'\n{one}"), &[]).default_model, model("b", Some("x/y")));
    assert!(good(one, &[]).local_model.is_none());
    let local = good(&format!("default_model = 'local/smollm2-135m-instruct'\n{one}"), &[]);
    assert_eq!(local.default_model, model("local", Some("smollm2-135m-instruct")));
    assert!(local.local_model.is_some());
    assert!(good(&format!("{one}[local_model]\nenabled = true\n"), &[]).local_model.is_some());
}

#[test]
fn proxies_are_addresses_or_networks() {
    let config = good("[server]\ntrusted_proxies = ['127.0.0.1', '10.1.2.3/8', '::1', 'fd00::/8']\n", &[]);
    let proxies: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8", "::1/128", "fd00::/8"]);
    let config = good("", &[("GPT_R1__SERVER__TRUSTED_PROXIES", "127.0.0.1, ::1")]);
    assert_eq!(config.server.trusted_proxies.len(), 2);
}

#[test]
fn every_body_that_is_let_through_has_room() {
    let faults = load_from("[limits]\nbody = '20MiB'\n", &[]).unwrap_err().to_string();
    assert!(faults.contains("limits.bodies_in_flight") && faults.contains("4 times limits.body"), "{faults}");
    let config = good("[limits]\nbody = '20MiB'\nbodies_in_flight = '80MiB'\n[server]\nconnections = 100\n", &[]);
    assert_eq!((config.limits.bodies_in_flight_per_user, config.server.connections), (Some(20 << 20), Some(100)));
}

#[test]
fn switched_off_limits_are_none_and_said() {
    let loaded = load_from("[limits]\nenabled = false\n", &[]).unwrap();
    let config = loaded.config;
    assert_eq!((config.limits.runs_per_user, config.limits.attaches_per_user), (None, None));
    assert!(config.limits.requests_per_minute.is_none() && config.auth.attempts.is_none());
    assert_eq!((config.limits.bodies_in_flight_per_user, config.limits.bodies_in_flight), (None, 64 << 20));
    assert_eq!(config.limits.message_chars, 200_000, "what one request may hold stays bounded");
    assert!(loaded.warnings[0].starts_with("limits.enabled is false"), "{:?}", loaded.warnings);
}

#[test]
fn risky_combinations_are_said() {
    let warnings = |file: &str, environment: &[(&str, &str)]| load_from(file, environment).unwrap().warnings;
    let has = |warnings: &[String], part: &str| warnings.iter().any(|warning| warning.contains(part));
    let open = warnings("[server]\nhost = '0.0.0.0'\n", &[]);
    assert!(has(&open, "not https") && has(&open, "registration is open"), "{open:?}");
    let safe = "[server]\nhost = '0.0.0.0'\npublic_url = 'https://chat.example.com'\n\
                trusted_proxies = ['10.0.0.1']\n[auth]\nregistration = 'closed'\n";
    assert_eq!(warnings(safe, &[]), Vec::<String>::new());
    assert!(has(&warnings(&safe.replace("['10.0.0.1']", "[]"), &[]), "trusted_proxies is empty"));
    assert!(has(&warnings("[server]\npublic_url = 'http://chat.example.com'\n", &[]), "not https"));
    assert_eq!(warnings("[server]\npublic_url = 'http://localhost:3000'\n", &[]), Vec::<String>::new());
    let far = warnings("", &[("OPENAI_BASE_URL", "http://models.example.com/v1"), ("OPENAI_API_KEY", "sk-secret")]);
    assert!(has(&far, "crosses the network") && !has(&far, "sk-secret"), "{far:?}");
    assert!(has(&warnings("", &[("OPENAI_MODEL", "m")]), "OPENAI_MODEL is set"));
    for (name, meant) in [
        ("GPT_R1_LOG_LEVEL", "did you mean GPT_R1__LOG__LEVEL?"),
        ("gpt_r1__log__level", "did you mean GPT_R1__LOG__LEVEL?"),
        ("GPTR1__DATA_DIR", "did you mean GPT_R1__DATA_DIR?"),
        ("GPT_R1_PUBLIC", "settings begin with GPT_R1__"),
    ] {
        let said = warnings("", &[(name, "x")]);
        assert!(said.len() == 1 && has(&said, &format!("the variable {name} stands for no setting")), "{said:?}");
        assert!(has(&said, meant), "{said:?}");
    }
    for name in
        ["GPT_R1_SERVICE_HOST", "GPT_R1_A_SERVICE_PORT_API", "GPT_R1_PORT_8000_TCP_ADDR", "GPT_R1_PORT", "GPT_R12"]
    {
        assert_eq!(warnings("", &[(name, "x")]), Vec::<String>::new(), "{name}");
    }
    let echo = "[providers.echo]\nbase_url = 'http://localhost:1'\nmodels = ['echo']\n";
    for (model, part) in [
        (
            "ecko/echo",
            "no provider \"ecko\", so echo is asked for the model \"ecko/echo\"; did you mean \"echo/echo\"?",
        ),
        ("echo/ecko", "\"ecko\" is not among providers.echo.models; did you mean \"echo/echo\"?"),
        ("echo/something", "\"something\" is not among providers.echo.models"),
    ] {
        let said = warnings(&format!("default_model = '{model}'\n{echo}"), &[]);
        assert!(said.len() == 1 && has(&said, part), "{model}: {said:?}");
    }
    assert_eq!(warnings(&format!("default_model = 'echo/echo'\n{echo}"), &[]), Vec::<String>::new());
    let router = "default_model = 'meta-llama/llama-3'\n[providers.router]\nbase_url = 'http://localhost:1'\n";
    assert_eq!(warnings(router, &[]), Vec::<String>::new());
    assert!(has(&warnings("[auth]\npassword_memory = '1MiB'\n", &[]), "OWASP"));
}

#[cfg(unix)]
#[test]
fn a_readable_file_with_a_secret_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.toml");
    std::fs::write(&path, format!("[auth]\nsecret_key = '{}'\n", "k".repeat(32))).unwrap();
    let flags = Flags { config: Some(path.clone()), data_dir: Some("d".into()), ..Flags::default() };
    for (mode, count) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let source = Source { flags: flags.clone(), ..Source::default() };
        assert_eq!(load(&source).unwrap().warnings.len(), count, "{mode:o}");
    }
}

#[test]
fn the_key_before_is_a_key_and_stands_beside_one() {
    let (key, before) = ("k".repeat(32), "a-key-before-that-is-long-enough-for-it");
    let loaded = load_from("", &[("SECRET_KEY", &key), ("SECRET_KEY_PREVIOUS", before)]).unwrap();
    assert!(loaded.config.previous_secret_key.is_some() && !loaded.effective.contains(before));
    assert!(good("", &[("SECRET_KEY", &key), ("SECRET_KEY_PREVIOUS", "")]).previous_secret_key.is_none());
    for environment in
        [vec![("SECRET_KEY_PREVIOUS", before)], vec![("SECRET_KEY", key.as_str()), ("SECRET_KEY_PREVIOUS", "short")]]
    {
        let faults = load_from("", &environment).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{faults}");
        assert_eq!(faults.0[0].key, "auth.previous_secret_key");
    }
}

#[test]
fn no_secret_is_shown() {
    let secrets = ["sk-secret-1", "sk-secret-2", "secret-signing-key-secret-signing-key"];
    let file = format!(
        "[auth]\nsecret_key = '{}'\n[providers.a]\nbase_url = 'http://a'\napi_key = '{}'\n[providers.b]\nbase_url = \
         'http://b'\napi_key_env = 'B_KEY'\n",
        secrets[2], secrets[0]
    );
    let environment = [("B_KEY", secrets[1]), ("GPT_R1__DEFAULT_MODEL", "a/m")];
    let loaded = load_from(&file, &environment).unwrap();
    let shown = format!("{loaded:?} {}", loaded.effective);
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret}");
    }
    assert!(loaded.effective.contains("********"));
    assert_eq!(loaded.config.providers[1].api_key.as_ref().unwrap().expose_secret(), secrets[1]);

    let faulty = file.replace(secrets[2], "too-short-secret");
    for url in ["mysql://user:db-password@db", "postgres://user:db-password@db:port/chat"] {
        let faults = load_from(&faulty, &[("B_KEY", ""), ("DATABASE_URL", url)]).unwrap_err();
        assert_eq!(faults.0.len(), 4, "{faults}");
        for secret in ["sk-secret-1", "db-password", "too-short-secret"] {
            assert!(!format!("{faults} {faults:?}").contains(secret), "{faults}");
        }
    }
}
