//! Every kind of fault: found, placed, and with a way out.

use super::*;

/// The one fault of a file, as `key: problem / remedy`.
fn fault(file: &str) -> String {
    fault_in(file, &[])
}

fn fault_in(file: &str, environment: &[(&str, &str)]) -> String {
    let faults = load_from(file, environment).unwrap_err().0;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    format!("{}: {} / {}", faults[0].key, faults[0].problem, faults[0].remedy)
}

#[test]
fn all_faults_come_at_once_each_with_its_place() {
    let file = "\
        [server]\n\
        host = 'nowhere'\n\
        prot = 1\n\
        \n\
        [stream]\n\
        heartbeat = 15\n";
    let environment = [("GPT_R1__LOG__LEVL", "debug"), ("GPT_R1__LIMITS__MAX_TOKENS", "many")];
    let flags = Flags { api_addr: Some("8000:localhost".to_owned()), ..Flags::default() };
    let faults = load_with(file, &environment, flags).unwrap_err();
    let mut places: Vec<String> =
        faults.0.iter().map(|fault| fault.origin.to_string().rsplit('/').next().unwrap().to_owned()).collect();
    places.sort();
    assert_eq!(
        places,
        ["--api-addr", "GPT_R1__LIMITS__MAX_TOKENS", "GPT_R1__LOG__LEVL", "test.toml:2", "test.toml:3", "test.toml:6"]
    );
    let text = faults.to_string();
    assert!(text.starts_with("the configuration has 6 faults:\n"), "{text}");
    assert!(text.contains("did you mean GPT_R1__LOG__LEVEL?"), "{text}");
    assert!(text.contains("stream.heartbeat must be a duration from 1s to 1h, not 15\n"), "{text}");
}

#[test]
fn unknown_keys_say_what_was_probably_meant() {
    assert_eq!(fault("[log]\nlevl = 'info'\n"), "log.levl: is not a setting / did you mean log.level?");
    assert_eq!(fault("[sever]\nhost = 'localhost'\n"), "sever: is not a setting / did you mean server?");
    assert_eq!(fault("host = '0.0.0.0'\n"), "host: is not a setting / did you mean server.host?");
    assert_eq!(
        fault("[stream]\nqqqqqqqqqqqqqqqqqqqqqqqqqqq = 1\n"),
        "stream.qqqqqqqqqqqqqqqqqqqqqqqqqqq: is not a setting / config.default.toml lists all settings"
    );
    assert_eq!(
        fault("[providers.a]\nbase_url = 'http://a'\napi_kye = 'k'\n"),
        "providers.a.api_kye: is not a setting of a provider / did you mean api_key?"
    );
    assert_eq!(
        fault_in("", &[("GPT_R1__SERVER__HOTS", "x")]),
        ": stands for no setting / did you mean GPT_R1__SERVER__HOST?"
    );
}

#[test]
fn files_of_the_wrong_shape_are_refused() {
    assert_eq!(fault("log = 'info'\n"), "log: is a section, not a setting / write [log] and the settings below it");
    assert!(fault("[log.level]\nx = 1\n").contains("must be a level or a filter, not a table"));
    assert!(fault("[providers]\nopenai = 'key'\n").starts_with("providers.openai: must be a table"));
    assert!(fault("providers = 1\n").starts_with("providers: is a section"));
    let faults = load_from("[log]\nlevel = \n", &[]).unwrap_err().0;
    assert_eq!(faults.len(), 1, "what comes after it is of its making: {faults:?}");
    assert!(faults[0].problem.starts_with("is not TOML"), "{faults:?}");
    assert!(matches!(&faults[0].origin, Origin::File(_, 2)), "{faults:?}");
}

#[test]
fn wrong_types_and_bounds_are_refused() {
    for (file, part) in [
        ("[limits]\nenabled = 'yes'\n", "must be true or false, not \"yes\""),
        ("[limits]\nmax_tokens = '2048'\n", "must be a whole number from 1 to 10000000, not \"2048\""),
        ("[limits]\nmax_tokens = 0\n", "not 0"),
        ("[limits]\nmax_tokens = 1.5\n", "must be a whole number from 1 to 10000000, not 1.5"),
        ("[limits]\nbody = 1048576\n", "must be a size from 1KiB to 1GiB, not 1048576"),
        ("[limits]\nbody = '1MB'\n", "KiB, MiB and GiB"),
        ("[limits]\nanswer_time = '15 minutes'\n", "ms, s, m, h and d"),
        ("[stream]\nheartbeat = '0s'\n", "must be a duration from 1s to 1h, not \"0s\""),
        ("[auth]\nregistration = 'opne'\n", "must be \"open\" or \"closed\", not \"opne\""),
        ("[log]\nformat = 'xml'\n", "must be \"text\" or \"json\", not \"xml\""),
        ("[log]\nlevel = 'loud=very'\n", "must be a level or a filter"),
        ("[server]\nhost = true\n", "must be an IP address or \"localhost\", not true"),
        ("[server]\ncors_origins = 'https://a'\n", "must be a list of texts, not \"https://a\""),
        ("[server]\ncors_origins = [1]\n", "must be a list of texts, not [1]"),
        ("[auth]\nsecret_key = 1\n", "must be text"),
        ("data_dir = 1979-05-27\n", "must be text, not a date"),
    ] {
        let found = fault(file);
        assert!(found.contains(part), "{file}{found}");
    }
}

#[test]
fn bad_addresses_and_urls_are_refused() {
    for address in ["", "localhost", ":", ":99999", ":-1", "example.com:8000", "1.2.3.4.5:80", "::1:8000", "[::1]"] {
        let found = fault(&format!("[server]\napi_addr = '{address}'\n"));
        assert!(found.starts_with("server.api_addr: must be an address and port"), "{found}");
    }
    for url in [
        "chat.example.com",
        "ftp://chat.example.com",
        "https://",
        "https://u:p@chat.example.com",
        "https://a/path",
        "https://a/?q",
    ] {
        let found = fault(&format!("[server]\npublic_url = '{url}'\n"));
        assert!(found.starts_with("server.public_url: ") && !found.contains("u:p"), "{found}");
    }
    for url in ["https://example.com/chat", "https://example.com/chat/", "http://example.com:8080/a/b"] {
        let found = fault(&format!("[server]\npublic_url = '{url}'\n"));
        assert!(found.starts_with("server.public_url: has a path, and GPT.R1 can't be served below one"), "{found}");
        assert!(found.contains("host name of its own"), "{found}");
    }
    for origin in ["*", "app.example.com", "https://app.example.com/", "https://app.example.com/x", "null"] {
        let found = fault(&format!("[server]\ncors_origins = ['{origin}']\n"));
        assert!(found.contains("which is no origin"), "{found}");
    }
    for (url, problem) in [
        ("postgres://user:hidden@db:port/chat", "is no URL such as postgres://"),
        ("postgresql://user:hidden@db/chat?sslmode=hidden", "has an sslmode other than"),
        ("mysql://user:hidden@db", "begins with mysql://; only postgres:// is possible"),
        ("Postgres://user:hidden@db", "begins with Postgres://; only postgres:// is possible"),
        ("/a/path", "is no URL such as postgres://"),
        ("user:hidden@db", "is no URL such as postgres://"),
        ("sqlite:", "can't choose SQLite's file"),
        ("sqlite:/a.db", "can't choose SQLite's file"),
    ] {
        let key = "k".repeat(32);
        let found = fault(&format!("[database]\nurl = '{url}'\n[auth]\nsecret_key = '{key}'\n"));
        assert!(found.starts_with(&format!("database.url: {problem}")) && !found.contains("hidden"), "{found}");
    }
    let found = fault("[database]\nurl = 'postgres://user:hidden@db/chat'\n");
    assert!(found.starts_with("auth.secret_key: is needed with Postgres") && !found.contains("hidden"), "{found}");
    for proxy in ["proxy.example.com", "10.0.0.0/33", "10.0.0.0/", "*", "127.0.0.1:80"] {
        let found = fault(&format!("[server]\ntrusted_proxies = ['{proxy}']\n"));
        assert!(found.contains("which is neither an IP address nor a network"), "{found}");
    }
    assert!(fault("[providers.a]\nbase_url = 'http://u:hidden@a'\n").contains("must not hold a user name or password"));
}

#[test]
fn contradictions_are_refused() {
    for (file, part) in [
        ("[server]\napi_addr = ':8000'\nweb_addr = ':8000'\n", ": api_addr and web_addr share :8000"),
        ("[server]\napi_addr = '0.0.0.0:8000'\nweb_addr = '127.0.0.1:8000'\n", ": api_addr and web_addr share :8000"),
        ("[server]\nmetrics_addr = ':8000'\n", ": api_addr and metrics_addr share :8000"),
        ("[server]\nmetrics_addr = '0.0.0.0:3000'\n", ": web_addr and metrics_addr share :3000"),
        (
            "[server]\napi_addr = ':9901'\nweb_addr = ':9901'\nmetrics_addr = ':9901'\n",
            ": api_addr, web_addr and metrics_addr share :9901",
        ),
        ("[auth]\naccess_token_ttl = '2h'\nrefresh_ttl = '1h'\n", "is shorter than access_token_ttl"),
        ("[auth]\nsecret_key = 'short'\n", "must have at least 32 characters"),
        ("[auth]\npassword_memory = '8KiB'\npassword_parallelism = 2\n", "too small for password_parallelism"),
        ("[limits]\nbody = '1KiB'\n", "is larger than what limits.body"),
        ("[local_model]\nenabled = 'off'\n", "leaves nothing to answer with"),
        ("[local_model]\nname = 'a/b'\n", "must be a name without"),
        ("[local_model]\npath = '/nonexistent.gguf'\n", "names no file"),
        ("[local_model]\nllama_server_path = ''\n", "is empty"),
        ("default_model = 'local/other'\n", "but there is only \"smollm2-135m-instruct\""),
        ("default_model = 'gpt-4o'\n", "no provider is configured that could have it"),
        ("default_model = 'openai/gpt-4o'\n", "no provider is configured that could have it"),
        (
            "default_model = 'local/m'\n[local_model]\nenabled = 'off'\n[providers.openai]\n",
            "names the local model, which is off",
        ),
        ("[providers.a]\napi_key = 'k'\n", ": [providers.a] has no base_url / set providers.a.base_url"),
        ("[providers.a]\n", ": [providers.a] has no base_url"),
        ("[providers.local]\nbase_url = 'http://a'\n", ": [providers.local] has the local model's name"),
        (
            "[providers.'A b']\nbase_url = 'http://a'\n",
            ": 'A b' is no provider's name / name it with lower-case letters",
        ),
        ("[providers.a]\nbase_url = 'http://a'\napi_key_env = 'NOT_SET'\n", "names NOT_SET, which is not set"),
        ("[providers.a]\nbase_url = 'http://a'\napi_key = 'k'\napi_key_env = 'HOME'\n", "is set beside api_key"),
        ("[providers.a]\nbase_url = 'http://a'\n[providers.b]\nbase_url = 'http://b'\n", "which of 2 providers"),
        (
            "[providers.a]\nbase_url = 'http://a'\ncontinues = 'yes'\n",
            "must be \"none\", \"plain\", \"vllm\" or \"prefix\"",
        ),
    ] {
        let found = fault(file);
        assert!(found.contains(part), "{file}{found}");
    }
}

#[test]
fn messages_say_what_helps() {
    let key = "k".repeat(32);
    for (file, message) in [
        (
            "[limits]\nrequests_per_minute = 0\n",
            "limits.requests_per_minute: must be a whole number from 1 to 100000000, not 0 / to have none of these \
             limits, set limits.enabled = false",
        ),
        (
            "[limits]\nmax_tokens = 0\n",
            "limits.max_tokens: must be a whole number from 1 to 10000000, not 0 / write a number within these bounds",
        ),
        (
            "[limits]\nruns_per_user = '3'\n",
            "limits.runs_per_user: must be a whole number from 1 to 1000000, not \"3\" / write the number without \
             quotation marks or unit",
        ),
        (
            "[server]\npublic_url = 'chat.example.com'\n",
            "server.public_url: lacks http:// or https:// / write it like \"https://chat.example.com\"",
        ),
        (
            "[server]\npublic_url = 'ftp://chat.example.com'\n",
            "server.public_url: begins with ftp://; only http:// and https:// are possible / write it like \
             \"https://chat.example.com\"",
        ),
        (
            "[providers.echo]\nbase_url = 'localhost:9990/v1'\n",
            "providers.echo.base_url: lacks http:// or https:// / write it like \"https://api.example.com/v1\"",
        ),
        (
            "[providers.echo]\nbase_url = 'http://a'\ndefault_model = 'echo/m'\n",
            "providers.echo.default_model: is not a setting of a provider / default_model belongs above the first \
             [section]",
        ),
        ("[log]\ndata_dir = '/d'\n", "log.data_dir: is not a setting / data_dir belongs above the first [section]"),
        (
            "[providers.Echo2]\nbase_url = 'http://a'\n",
            ": 'Echo2' is no provider's name / name it with lower-case letters, digits, \"-\" and \"_\"",
        ),
        (
            "[log]\nlevel = 'warning'\n",
            "log.level: must be a level or a filter, not \"warning\" / did you mean \"warn\"?",
        ),
    ] {
        assert_eq!(fault(file), message, "{file}");
    }
    assert_eq!(
        fault_in("", &[("RUST_LOG", "verbose")]),
        ": must be a level or a filter, not \"verbose\" / did you mean \"debug\"?"
    );
    let url = format!("[database]\nurl = 'postgres://db/chat?sslmod=disable'\n[auth]\nsecret_key = '{key}'\n");
    assert!(
        fault(&url).starts_with("database.url: knows no parameter sslmod; did you mean sslmode?"),
        "{}",
        fault(&url)
    );
}

#[test]
fn a_broken_file_is_the_only_fault_and_others_come_in_order() {
    let faults = load_from("default_model = 'a/b'\n[server\nhost = 'x'\nfoo = 1\n", &[]).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, b"[server]\nhost = 'M\xfcnchen'\n").unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let faults = load(&Source { flags, environment: Vec::new() }).unwrap_err();
    let text = faults.to_string();
    assert!(text.contains("c.toml:2: is not UTF-8 (byte 19, line 2)\n      save it as UTF-8"), "{text}");
    assert_eq!(faults.0.len(), 1, "{text}");

    let file = "[stream]\nheartbeat = 1\n[log]\nlevel = 1\nlevl = 1\n[auth]\nsecret_key = 1\n";
    let environment = [("GPT_R1__LOG__FORMAT", "xml")];
    let faults = load_from(file, &environment).unwrap_err();
    let lines: Vec<String> = faults.0.iter().map(|fault| fault.origin.to_string()).collect();
    let ends: Vec<&str> = lines.iter().map(|line| line.rsplit(':').next().unwrap()).collect();
    assert_eq!(ends, ["2", "4", "5", "7", "GPT_R1__LOG__FORMAT"]);
}
