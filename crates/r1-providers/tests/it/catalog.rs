//! The catalogue with providers that list their models, or fail to.

use http::StatusCode;
use r1_domain::provider::Models;
use r1_providers::{
    catalog::{Catalog, CatalogConfig},
    openai::OpenAiConfig,
};
use r1_testkit::upstream::{Script, Step, Upstream};

use crate::support::{KEY, config, read, request};

async fn list(catalog: &Catalog) -> Vec<String> {
    catalog.list().await.into_iter().map(|model| model.id).collect()
}

fn catalog(providers: Vec<OpenAiConfig>, default_model: &str) -> Catalog {
    let default_model = Some(default_model.to_owned());
    Catalog::new(CatalogConfig { providers, default_model, ..CatalogConfig::default() }).unwrap()
}

#[tokio::test]
async fn lists_are_asked_for_once_and_kept() {
    let upstream = Upstream::start().await.unwrap();
    upstream.require_key(KEY);
    upstream.set_models(&["one", "two"]);
    let mut gone = OpenAiConfig::new("gone", "http://127.0.0.1:1/v1");
    gone.headers_timeout = std::time::Duration::from_secs(1);
    let catalog = catalog(vec![config(&upstream), gone], "two");
    for _ in 0..3 {
        assert_eq!(list(&catalog).await, ["up/two", "up/one"], "who does not answer is left out");
    }
    assert_eq!(upstream.counters().model_lists, 1);
    assert_eq!(upstream.last_request().unwrap().bearer(), Some(KEY));
}

#[tokio::test]
async fn a_list_that_cannot_be_had_leaves_the_default() {
    let never = Script::new().hang();
    let flood = Script::json(StatusCode::OK, &serde_json::json!({}));
    let mut flood = Script { steps: vec![Step::Flood { byte: b' ', length: 100_000_000 }], ..flood };
    flood.headers.remove("content-length");
    for script in [Script::html(StatusCode::OK), Script::error(StatusCode::NOT_FOUND, "x", "x"), flood, never] {
        let upstream = Upstream::start().await.unwrap();
        upstream.set_models_script(script);
        assert_eq!(list(&catalog(vec![config(&upstream)], "mine")).await, ["up/mine"]);
    }
}

#[tokio::test]
async fn health_follows_the_last_outcome() {
    let upstream = Upstream::start().await.unwrap();
    let catalog = catalog(vec![config(&upstream)], "echo");
    let model = catalog.resolve(None).unwrap();
    let status = || catalog.health()[0].status;
    assert_eq!(status(), "unknown", "nobody has asked it");
    upstream.push(Script::error(StatusCode::SERVICE_UNAVAILABLE, "x", "x"));
    assert!(model.provider.complete(request("x")).await.is_err());
    assert_eq!(status(), "degraded");
    upstream.push(Script::error(StatusCode::NOT_FOUND, "x", "x"));
    assert!(model.provider.complete(request("x")).await.is_err());
    assert_eq!(status(), "degraded", "a wrong request says nothing");
    let (text, _) = read(model.provider.complete(request("x")).await.unwrap()).await;
    assert_eq!((text.as_str(), status()), ("You said: x", "ok"));
    upstream.push(Script::new().chunk("a").cut());
    assert!(read(model.provider.complete(request("x")).await.unwrap()).await.1.is_err());
    assert_eq!(catalog.health()[0].detail.as_deref(), Some("the last request ended with upstream_truncated"));
}
