//! Servers on this machine: what is there, comes, goes, or only looks like one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::StatusCode;
use r1_domain::provider::{CompletionRequest, Models, ProviderErrorCode};
use r1_providers::{
    catalog::{Catalog, CatalogConfig},
    local_servers::{LocalAddress, LocalServersConfig},
};
use r1_testkit::upstream::{Script, Upstream};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{config, read, request};

/// A catalogue that looks at these addresses while it lives. Its default is a configured provider.
struct World {
    catalog: Arc<Catalog>,
    default: Upstream,
    closing: CancellationToken,
    looking: tokio::task::JoinHandle<()>,
}

impl World {
    async fn new(addresses: &[(Option<&str>, SocketAddr)]) -> Self {
        let default = Upstream::start().await.unwrap();
        let addresses =
            addresses.iter().map(|&(name, address)| LocalAddress { name: name.map(str::to_owned), address });
        let local_servers =
            LocalServersConfig { addresses: addresses.collect(), own: Vec::new(), every: Duration::from_millis(20) };
        let catalog = Catalog::new(CatalogConfig {
            providers: vec![config(&default)],
            local_servers: Some(local_servers),
            default_model: Some("up/mine".to_owned()),
            ..CatalogConfig::default()
        });
        let (catalog, closing) = (Arc::new(catalog.unwrap()), CancellationToken::new());
        let (looks, until) = (catalog.clone(), closing.clone());
        let looking = TaskTracker::new().spawn(async move { looks.look_for_servers(&until).await });
        Self { catalog, default, closing, looking }
    }

    async fn ids(&self) -> Vec<String> {
        let list = self.catalog.list().await.into_iter();
        list.map(|model| model.id).filter(|id| !id.starts_with("up/")).collect()
    }

    /// Waits until the models found are these.
    async fn wait_ids(&self, expected: &[&str]) {
        let mut ids = Vec::new();
        for _ in 0..500 {
            ids = self.ids().await;
            if ids == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{ids:?} is not {expected:?}");
    }

    async fn ask(&self, model: &str) -> Result<String, ProviderErrorCode> {
        let model = self.catalog.resolve_stored(model).unwrap();
        let request = CompletionRequest { model: model.upstream_name.clone(), ..request("x") };
        let stream = model.provider.complete(request).await.map_err(|error| {
            assert!(!error.message.contains("127.0.0.1"), "{error}");
            error.code
        })?;
        Ok(read(stream).await.0)
    }

    /// Ends the looking, and makes sure that nobody was asked a question that no test asked.
    async fn end(self, servers: &[(&Upstream, u64)]) {
        self.closing.cancel();
        self.looking.await.unwrap();
        for (server, questions) in servers {
            assert_eq!(server.counters().requests, *questions);
        }
        assert_eq!(self.default.counters().requests, 0, "the default answers for nobody else");
    }
}

fn address(upstream: &Upstream) -> SocketAddr {
    upstream.base_url().trim_start_matches("http://").trim_end_matches("/v1").parse().unwrap()
}

/// An address where nobody is.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn lists(upstream: &Upstream, owner: &str, ids: &[&str]) {
    let data: Vec<_> = ids.iter().map(|id| json!({"id": id, "owned_by": owner})).collect();
    upstream.set_models_script(Script::json(StatusCode::OK, &json!({"data": data})));
}

#[tokio::test]
async fn models_of_servers_are_listed_beside_the_default_and_can_be_chosen() {
    let (ollama, lm_studio) = (Upstream::start().await.unwrap(), Upstream::start().await.unwrap());
    lists(&ollama, "library", &["llama3.2", "nomic-embed-text"]);
    ollama.route("/api/version", |_| Script::json(StatusCode::OK, &json!({"version": "0.12.3"})));
    ollama.route("/api/show", |_| {
        Script::json(StatusCode::OK, &json!({"capabilities": ["completion"], "parameters": "num_ctx 2048"}))
    });
    lists(&lm_studio, "organization_owner", &["qwen", "text-embedding-nomic"]);
    let world = World::new(&[(Some("ollama"), address(&ollama)), (Some("lm-studio"), address(&lm_studio))]).await;
    // Ollama said of both that they complete: its own word counts.
    world.wait_ids(&["ollama/llama3.2", "ollama/nomic-embed-text", "lm-studio/qwen"]).await;
    assert_eq!(world.catalog.resolve(None).unwrap().name, "up/mine", "the default stays");
    let model = world.catalog.resolve(Some("ollama/llama3.2")).unwrap();
    assert_eq!(model.abilities.context_tokens, Some(2048));
    assert_eq!(world.ask("ollama/llama3.2").await.as_deref(), Ok("You said: x"));
    let health: Vec<_> = world.catalog.health().into_iter().map(|health| (health.name, health.status)).collect();
    assert_eq!(health, ["up", "ollama", "lm-studio"].map(|name| (name.to_owned(), "ok")));
    world.end(&[(&ollama, 1), (&lm_studio, 0)]).await;
}

#[tokio::test]
async fn a_server_comes_and_goes_and_its_models_keep_their_names() {
    let place = free();
    let world = World::new(&[(Some("vllm"), place)]).await;
    assert!(world.ids().await.is_empty() && world.catalog.health().len() == 1);
    assert_eq!(world.ask("vllm/qwen").await, Err(ProviderErrorCode::Unreachable));

    let server = Upstream::start_on(place).await.unwrap();
    lists(&server, "vllm", &["qwen"]);
    world.wait_ids(&["vllm/qwen"]).await;
    assert_eq!(world.ask("vllm/qwen").await.as_deref(), Ok("You said: x"));
    lists(&server, "vllm", &["qwen", "another"]);
    world.wait_ids(&["vllm/qwen", "vllm/another"]).await;

    // Who is busy is there.
    server.set_models_script(Script::error(StatusCode::SERVICE_UNAVAILABLE, "x", "x"));
    let asked = server.counters().model_lists;
    server.wait_until("two more looks", |counters| counters.model_lists >= asked + 2).await.unwrap();
    assert_eq!(world.ids().await, ["vllm/qwen", "vllm/another"]);

    server.shut_down().await;
    world.wait_ids(&[]).await;
    let health = world.catalog.health();
    assert_eq!((health[1].name.as_str(), health[1].status), ("vllm", "degraded"));
    assert_eq!(health[1].detail.as_deref(), Some("it is not running on this machine"));
    assert_eq!(world.catalog.resolve(Some("vllm/qwen")).unwrap().name, "vllm/qwen");
    assert_eq!(world.ask("vllm/qwen").await, Err(ProviderErrorCode::Unreachable));

    let again = Upstream::start_on(place).await.unwrap();
    lists(&again, "vllm", &["qwen"]);
    world.wait_ids(&["vllm/qwen"]).await;
    assert_eq!(world.ask("vllm/qwen").await.as_deref(), Ok("You said: x"));
    world.end(&[(&server, 1), (&again, 1)]).await;
}

#[tokio::test]
async fn a_question_looks_once_more() {
    let place = free();
    let world = World::new(&[(Some("ollama"), place)]).await;
    // Nobody looks any more: only the question does.
    world.closing.cancel();
    let server = Upstream::start_on(place).await.unwrap();
    lists(&server, "me", &["late"]);
    assert_eq!(world.ask("ollama/late").await.as_deref(), Ok("You said: x"));
    world.end(&[(&server, 1)]).await;
}

#[tokio::test]
async fn who_is_no_server_of_models_is_left_alone() {
    let gpt_r1 = Upstream::start().await.unwrap();
    gpt_r1.route("/api/v1/health", |_| {
        let health = json!({"status": "ok", "version": "0.1.0", "database": {"status": "ok"}, "providers": []});
        Script::json(StatusCode::OK, &health)
    });
    // Who does not say in time what it is may be one.
    let silent = Upstream::start().await.unwrap();
    silent.route("/api/v1/health", |_| Script::new().hang());
    let page = Upstream::start().await.unwrap();
    page.set_models_script(Script::html(StatusCode::OK));
    let locked = Upstream::start().await.unwrap();
    locked.require_key("sk-x");
    let hangs = Upstream::start().await.unwrap();
    hangs.set_models_script(Script::new().hang());
    let good = Upstream::start().await.unwrap();
    lists(&good, "koboldcpp", &["kobold"]);
    let world = World::new(&[
        (Some("ollama"), address(&gpt_r1)),
        (Some("lm-studio"), address(&page)),
        (Some("llama-cpp"), address(&locked)),
        (Some("vllm"), address(&hangs)),
        (Some("silent"), address(&silent)),
        (None, address(&good)),
    ])
    .await;
    let name = format!("port-{}/kobold", address(&good).port());
    world.wait_ids(&[name.as_str()]).await;
    for server in [&gpt_r1, &page, &locked, &hangs] {
        let asked = |counters: &r1_testkit::upstream::Counters| counters.model_lists >= 2;
        if !std::ptr::eq(server, &raw const hangs) {
            server.wait_until("another look", asked).await.unwrap();
        }
    }
    for model in ["ollama/echo", "lm-studio/echo", "llama-cpp/echo", "vllm/echo", "silent/echo"] {
        assert_eq!(world.ask(model).await, Err(ProviderErrorCode::Unreachable), "{model}");
    }
    assert_eq!(world.ids().await, [name]);
    world.end(&[(&gpt_r1, 0), (&page, 0), (&locked, 0), (&hangs, 0), (&silent, 0), (&good, 0)]).await;
}

#[tokio::test]
async fn another_program_at_a_names_place_does_not_answer_for_it() {
    let place = free();
    let ollama = Upstream::start_on(place).await.unwrap();
    lists(&ollama, "me", &["m"]);
    let world = World::new(&[(Some("ollama"), place)]).await;
    world.wait_ids(&["ollama/m"]).await;
    ollama.shut_down().await;
    world.wait_ids(&[]).await;

    let vllm = Upstream::start_on(place).await.unwrap();
    lists(&vllm, "vllm", &["m"]);
    let by_port = format!("port-{}/m", place.port());
    world.wait_ids(&[by_port.as_str()]).await;
    assert_eq!(world.ask("ollama/m").await, Err(ProviderErrorCode::Unreachable));
    assert_eq!(world.ask(&by_port).await.as_deref(), Ok("You said: x"));
    world.end(&[(&ollama, 0), (&vllm, 1)]).await;
}

#[tokio::test]
async fn ten_thousand_models_are_listed() {
    let server = Upstream::start().await.unwrap();
    let ids: Vec<String> = (0..10_001).map(|n| format!("m{n}")).collect();
    lists(&server, "llamacpp", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let world = World::new(&[(Some("llama-cpp"), address(&server))]).await;
    let expected: Vec<String> = (0..10_000).map(|n| format!("llama-cpp/m{n}")).collect();
    world.wait_ids(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.end(&[(&server, 0)]).await;
}

#[tokio::test]
async fn a_configured_provider_has_its_name_to_itself() {
    let found = Upstream::start().await.unwrap();
    let configured = Upstream::start().await.unwrap();
    let mut provider = config(&configured);
    provider.name = "ollama".to_owned();
    let addresses = vec![LocalAddress { name: Some("ollama".to_owned()), address: address(&found) }];
    let every = Duration::from_millis(20);
    let catalog = Catalog::new(CatalogConfig {
        providers: vec![provider],
        local_servers: Some(LocalServersConfig { addresses, own: Vec::new(), every }),
        ..CatalogConfig::default()
    })
    .unwrap();
    catalog.look_for_servers_once().await;
    let model = catalog.resolve(Some("ollama/echo")).unwrap();
    assert!(model.provider.complete(request("x")).await.is_ok());
    assert_eq!((configured.counters().requests, found.counters().requests), (1, 0));
}

#[test]
fn a_stored_name_is_its_providers_or_nobodys() {
    let providers = vec![r1_providers::openai::OpenAiConfig::new("router", "http://127.0.0.1:9/v1")];
    let catalog = Catalog::new(CatalogConfig { providers, ..CatalogConfig::default() }).unwrap();
    assert_eq!(catalog.resolve(Some("openai/gpt-4o")).unwrap().name, "router/openai/gpt-4o", "a router's name");
    assert_eq!(catalog.resolve_stored("router/openai/gpt-4o").unwrap().upstream_name, "openai/gpt-4o");
    for gone in ["openai/gpt-4o", "ollama/llama3.2", "local/tiny", "bare"] {
        let error = catalog.resolve_stored(gone).err().unwrap().to_string();
        assert!(error.contains("no longer configured") && error.contains(gone), "{error}");
    }
}
