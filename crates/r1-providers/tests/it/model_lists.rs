//! Lists of models over real sockets: long, large, slow, odd; and what servers say besides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::StatusCode;
use r1_domain::provider::{Abilities, ModelInfo, Models};
use r1_providers::{
    catalog::{Catalog, CatalogConfig},
    openai::OpenAiConfig,
};
use r1_testkit::upstream::{Script, Step, Upstream};
use serde_json::{Value, json};

use crate::support::{KEY, ask, client, config, request};

fn catalog(upstream: &Upstream) -> Catalog {
    Catalog::new(CatalogConfig { providers: vec![config(upstream)], ..CatalogConfig::default() }).unwrap()
}

async fn list(catalog: &Catalog) -> Vec<ModelInfo> {
    catalog.list().await
}

fn find<'a>(list: &'a [ModelInfo], id: &str) -> &'a ModelInfo {
    list.iter().find(|model| model.id == id).unwrap_or_else(|| panic!("{id} in {list:?}"))
}

fn json_script(body: &Value) -> Script {
    Script::json(StatusCode::OK, body)
}

#[tokio::test]
async fn ten_thousand_models_of_several_mib_are_listed() {
    let upstream = Upstream::start().await.unwrap();
    let about = "x".repeat(1000);
    let models: Vec<Value> = (0..10_500).map(|n| json!({"id": format!("m{n}"), "about": about})).collect();
    upstream.set_models_script(json_script(&json!({"data": models})));
    let catalog = catalog(&upstream);
    // It may take longer than a caller waits for.
    let deadline = Instant::now() + Duration::from_secs(50);
    let listed = loop {
        let listed = list(&catalog).await;
        if listed.len() > 1 {
            break listed;
        }
        assert!(Instant::now() < deadline, "the list never comes: {:?}", catalog.health());
    };
    assert_eq!(listed.len(), 10_001, "10,000 and the default");
    assert_eq!((upstream.counters().model_lists, listed[10_000].id.as_str()), (1, "up/m9999"));
}

#[tokio::test]
async fn a_crowd_asks_once_and_a_slow_list_comes_behind_its_back() {
    let upstream = Upstream::start().await.unwrap();
    let body = json!({"data": [{"id": "late"}]}).to_string();
    let slow = Script::document(StatusCode::OK, "application/json", String::new());
    let mut slow = Script { steps: Vec::new(), ..slow }.wait_for("list").raw(body);
    slow.headers.remove("content-length");
    upstream.set_models_script(slow);
    let catalog = catalog(&upstream);
    let begun = Instant::now();
    let lists = join_all((0..50).map(|_| list(&catalog))).await;
    assert!(lists.iter().all(|list| list.len() == 1), "only the default is known");
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody waits for the list's end");
    assert_eq!(upstream.counters().model_lists, 1);
    assert_eq!(catalog.health()[0].detail, None, "it is on its way");
    upstream.open("list");
    let mut listed = Vec::new();
    for _ in 0..100 {
        listed = list(&catalog).await;
        if listed.len() > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    find(&listed, "up/late");
    assert_eq!(upstream.counters().model_lists, 1);
    catalog.close().await;
}

#[tokio::test]
async fn closing_ends_a_list_that_hangs() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set_models_script(Script::new().hang());
    let catalog = catalog(&upstream);
    list(&catalog).await;
    catalog.close().await;
    upstream.wait_closed(1).await.unwrap();
}

#[tokio::test]
async fn why_there_is_no_list_is_told() {
    let large = Script::document(StatusCode::OK, "application/json", String::new());
    let mut large = Script { steps: vec![Step::Flood { byte: b' ', length: 20 << 20 }], ..large };
    large.headers.remove("content-length");
    let mut broken = json_script(&json!({"data": [{"id": "a"}]}));
    broken.headers.remove("content-length");
    // Without an answer nobody knows how who does not list is; but whoever rejects the key won't answer.
    for (script, expected) in [
        (Script::error(StatusCode::UNAUTHORIZED, "x", "sk-secret"), "it rejected the key (status 401)"),
        (Script::error(StatusCode::NOT_FOUND, "x", "x"), "it answered with status 404"),
        (Script::html(StatusCode::OK), "it sent a web page; its base URL is probably wrong"),
        (json_script(&json!({"error": {"message": "no"}})), "what it sent is no list of models"),
        (broken.cut(), "its list broke off"),
        (large, "its list is longer than 16 MiB"),
    ] {
        let upstream = Upstream::start().await.unwrap();
        upstream.set_models_script(script);
        let catalog = catalog(&upstream);
        list(&catalog).await;
        let mut health = catalog.health().remove(0);
        for _ in 0..100 {
            if health.detail.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            health = catalog.health().remove(0);
        }
        let status = if expected.contains("401") { "degraded" } else { "unknown" };
        assert_eq!(health.status, status, "{expected}");
        assert_eq!(health.detail, Some(format!("its models can't be listed: {expected}")));
    }
    let mut config = OpenAiConfig::new("gone", "http://127.0.0.1:1/v1");
    config.headers_timeout = Duration::from_secs(1);
    let gone = Catalog::new(CatalogConfig { providers: vec![config], ..CatalogConfig::default() }).unwrap();
    list(&gone).await;
    assert_eq!(gone.list_fault("gone").as_deref(), Some("it can't be reached"));
}

#[tokio::test]
async fn what_a_list_says_of_its_models_is_given_out() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set_models_script(json_script(&json!({"data": [
        {"id": "text-embedding-3-small"},
        {"id": "openai/gpt-4o", "name": "OpenAI: GPT-4o", "context_length": 128_000,
         "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
         "supported_parameters": ["tools"], "top_provider": {"max_completion_tokens": 16_384}},
        {"id": "painter", "architecture": {"input_modalities": ["text"], "output_modalities": ["image"]}},
        {"id": "mine", "max_model_len": 4096},
        5,
    ]})));
    let mut config = config(&upstream);
    let said = Abilities { context_tokens: Some(2048), tools: Some(true), ..Abilities::default() };
    config.abilities.insert("mine".to_owned(), said);
    let catalog = Catalog::new(CatalogConfig { providers: vec![config], ..CatalogConfig::default() }).unwrap();
    let before = catalog.resolve(Some("up/mine")).unwrap().abilities;
    assert_eq!(before, said, "nothing is asked to find a model");
    assert_eq!(upstream.counters().model_lists, 0);

    let listed = list(&catalog).await;
    let ids: Vec<_> = listed.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["up/default", "up/openai/gpt-4o", "up/mine"], "only what talks is offered");
    let gpt = find(&listed, "up/openai/gpt-4o");
    assert_eq!(gpt.name.as_deref(), Some("OpenAI: GPT-4o"));
    let expected = Abilities {
        context_tokens: Some(128_000),
        output_tokens: Some(16_384),
        images: Some(true),
        tools: Some(true),
        reasoning: Some(false),
    };
    assert_eq!(gpt.abilities, expected);
    assert_eq!(catalog.resolve(Some("openai/gpt-4o")).unwrap().abilities, expected);
    assert_eq!(find(&listed, "up/mine").abilities, said, "the administrator's word beats the provider's");
    assert_eq!(catalog.resolve(Some("up/painter")).unwrap().upstream_name, "painter", "asked by its name all the same");
    // The first of the list is none for chat: it is not what "the first" means.
    let (text, _) = ask(&client(&upstream), request_for("default")).await;
    assert_eq!(text, "You said: x");
    assert_eq!(upstream.last_request().unwrap().body["model"], "openai/gpt-4o");
}

fn request_for(model: &str) -> r1_domain::provider::CompletionRequest {
    r1_domain::provider::CompletionRequest { model: model.to_owned(), ..request("x") }
}

#[tokio::test]
async fn ollama_is_asked_about_each_model() {
    let upstream = Upstream::start().await.unwrap();
    upstream.require_key(KEY);
    upstream.set_models_script(json_script(&json!({"object": "list", "data": [
        {"id": "llama3.2:latest", "object": "model", "owned_by": "library"},
        {"id": "small", "object": "model", "owned_by": "library"},
        {"id": "loaded", "object": "model", "owned_by": "library"},
        {"id": "nomic", "object": "model", "owned_by": "library"},
        {"id": "broken", "object": "model", "owned_by": "library"},
    ]})));
    upstream.route("/api/version", |_| json_script(&json!({"version": "0.12.3"})));
    upstream.route("/api/ps", |_| json_script(&json!({"models": [{"name": "loaded", "context_length": 16_384}]})));
    let shown = Arc::new(AtomicUsize::new(0));
    let count = shown.clone();
    upstream.route("/api/show", move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let info = json!({"general.architecture": "llama", "llama.context_length": 131_072});
        let body = match request.body["model"].as_str() {
            Some("small") => json!({"model_info": info, "parameters": "num_ctx 8192", "capabilities": ["completion"]}),
            Some("nomic") => json!({"model_info": info, "capabilities": ["embedding"]}),
            Some("broken") => return Script::error(StatusCode::INTERNAL_SERVER_ERROR, "x", "x"),
            _ => json!({"model_info": info, "capabilities": ["completion", "vision", "tools", "thinking"]}),
        };
        json_script(&body)
    });
    let catalog = catalog(&upstream);
    let listed = list(&catalog).await;
    let context = |id: &str| find(&listed, id).abilities.context_tokens;
    assert_eq!(context("up/llama3.2:latest"), Some(131_072));
    assert_eq!(context("up/small"), Some(8192), "what it serves, not what the model could");
    assert_eq!(context("up/loaded"), Some(16_384), "what it was given");
    assert_eq!(context("up/broken"), None);
    assert!(!listed.iter().any(|model| model.id == "up/nomic"));
    let Abilities { images, tools, reasoning, .. } = find(&listed, "up/llama3.2:latest").abilities;
    assert_eq!((images, tools, reasoning), (Some(true), Some(true), Some(true)));
    assert_eq!(find(&listed, "up/small").abilities.images, Some(false));
    assert_eq!(shown.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn lm_studio_and_llama_cpp_are_asked_in_their_own_words() {
    let lm = Upstream::start().await.unwrap();
    lm.set_models_script(json_script(&json!({"data": [
        {"id": "qwen2-vl-7b-instruct", "owned_by": "organization_owner"},
        {"id": "nomic-v2", "owned_by": "organization_owner"},
    ]})));
    lm.route("/api/v0/models", |_| {
        json_script(&json!({"data": [
            {"id": "qwen2-vl-7b-instruct", "type": "vlm", "max_context_length": 32_768, "loaded_context_length": 4096},
            {"id": "nomic-v2", "type": "embeddings", "max_context_length": 2048},
        ]}))
    });
    let listed = list(&catalog(&lm)).await;
    assert_eq!(listed.len(), 2, "the default and the one that talks: {listed:?}");
    let abilities = find(&listed, "up/qwen2-vl-7b-instruct").abilities;
    assert_eq!((abilities.context_tokens, abilities.images), (Some(4096), Some(true)));

    let llama = Upstream::start().await.unwrap();
    llama.set_models_script(json_script(&json!({
        "models": [{"name": "m.gguf"}],
        "data": [{"id": "m.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131_072}}],
    })));
    llama.route("/props", |_| {
        json_script(&json!({"default_generation_settings": {"n_ctx": 2048}, "modalities": {"vision": true}}))
    });
    let abilities = find(&list(&catalog(&llama)).await, "up/m.gguf").abilities;
    assert_eq!((abilities.context_tokens, abilities.images), (Some(2048), Some(true)));

    // Who writes the same owner and is another program costs nothing.
    let other = Upstream::start().await.unwrap();
    other.set_models_script(json_script(&json!({"data": [{"id": "a", "owned_by": "library", "max_model_len": 7}]})));
    assert_eq!(find(&list(&catalog(&other)).await, "up/a").abilities.context_tokens, Some(7));
}
