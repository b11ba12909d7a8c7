use std::sync::atomic::{AtomicUsize, Ordering};

use r1_domain::provider::{CompletionRequest, CompletionStream, ProviderError};

use super::*;

#[derive(Default)]
struct Local {
    warmed: AtomicUsize,
}

impl Provider for Local {
    fn complete(&self, _: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        Box::pin(std::future::pending())
    }

    fn can_continue(&self) -> bool {
        true
    }
}

impl LocalProvider for Local {
    fn models(&self) -> Vec<LocalModel> {
        vec![LocalModel {
            name: "tiny".to_owned(),
            description: Some("A tiny model.".to_owned()),
            abilities: Abilities::default(),
        }]
    }

    fn health(&self, name: &str) -> ProviderHealth {
        ProviderHealth { name: name.to_owned(), status: "idle", detail: None }
    }

    fn warm(&self) {
        self.warmed.fetch_add(1, Ordering::SeqCst);
    }

    fn default_max_tokens(&self) -> u32 {
        100
    }
}

fn remote(name: &str, models: &[&str]) -> OpenAiConfig {
    let mut config = OpenAiConfig::new(name, "http://127.0.0.1:9/v1");
    config.models = models.iter().map(|&model| model.to_owned()).collect();
    config
}

fn config(providers: Vec<OpenAiConfig>, local: bool) -> CatalogConfig {
    let local = local.then(|| LocalEntry { name: "local".to_owned(), provider: Arc::new(Local::default()) });
    CatalogConfig { providers, local, ..CatalogConfig::default() }
}

fn resolve(catalog: &Catalog, name: Option<&str>) -> Result<(String, String), UnknownModel> {
    catalog.resolve(name).map(|model| (model.name, model.upstream_name))
}

fn pair(name: &str, upstream_name: &str) -> Result<(String, String), UnknownModel> {
    Ok((name.to_owned(), upstream_name.to_owned()))
}

#[test]
fn names_are_found() {
    let catalog = Catalog::new(config(vec![remote("router", &["meta/llama"]), remote("b", &[])], true)).unwrap();
    assert_eq!(resolve(&catalog, None), pair("router/meta/llama", "meta/llama"));
    assert_eq!(resolve(&catalog, Some("b/x/y")), pair("b/x/y", "x/y"));
    assert_eq!(resolve(&catalog, Some("meta/llama")), pair("router/meta/llama", "meta/llama"));
    assert_eq!(resolve(&catalog, Some("meta/llama:free")), pair("router/meta/llama:free", "meta/llama:free"));
    assert_eq!(resolve(&catalog, Some("bare")), pair("router/bare", "bare"));
    assert_eq!(resolve(&catalog, Some("local/tiny")), pair("local/tiny", "tiny"));
    for unknown in ["local/huge", "", "b/", "a\nb", &"x".repeat(300)] {
        assert_eq!(resolve(&catalog, Some(unknown)), Err(UnknownModel::NoModel { name: unknown.to_owned() }));
    }
}

#[test]
fn a_mistyped_provider_is_nobodys_model() {
    let refused = |catalog: &Catalog, name: &str| match catalog.resolve(Some(name)).err() {
        Some(UnknownModel::Mistyped { near, .. }) => near,
        other => panic!("{name}: {other:?}"),
    };
    // What the default provider has is configured.
    let catalog =
        Catalog::new(config(vec![remote("echo", &["echo", "big/echo"]), remote("mistral", &[])], true)).unwrap();
    assert_eq!(refused(&catalog, "ecko/echo").as_deref(), Some("echo/echo"));
    assert_eq!(refused(&catalog, "big/ecko").as_deref(), Some("echo/big/echo"));
    assert_eq!(refused(&catalog, "nope/gone"), None);
    assert_eq!(resolve(&catalog, Some("big/echo")), pair("echo/big/echo", "big/echo"));
    assert_eq!(resolve(&catalog, Some("echo/gone")), pair("echo/gone", "gone"), "only its provider knows");
    assert_eq!(resolve(&catalog, Some("gone")), pair("echo/gone", "gone"));
    // What a router has is not known before it has listed it.
    let catalog = Catalog::new(config(vec![remote("openrouter", &[]), remote("mistral", &[])], true)).unwrap();
    for vendors in ["openai/gpt-4o", "meta-llama/llama-3", "mistralai/mistral-large", "x-ai/grok:free"] {
        assert_eq!(resolve(&catalog, Some(vendors)), pair(&format!("openrouter/{vendors}"), vendors));
    }
    assert_eq!(refused(&catalog, "mistrall/m").as_deref(), Some("mistral/m"));
    assert_eq!(refused(&catalog, "opnrouter/openai/gpt-4o").as_deref(), Some("openrouter/openai/gpt-4o"));
    let message = catalog.resolve(Some("mistrall/m")).err().unwrap().to_string();
    assert!(message.contains("no provider 'mistrall'") && message.contains("did you mean 'mistral/m'?"), "{message}");
}

#[test]
fn the_local_model_is_the_default_where_nothing_else_is() {
    let catalog = Catalog::new(config(vec![], true)).unwrap();
    assert!(catalog.is_local_default());
    assert_eq!(resolve(&catalog, None), pair("local/tiny", "tiny"));
    assert_eq!(resolve(&catalog, Some("tiny")), pair("local/tiny", "tiny"));
    assert!(resolve(&catalog, Some("gpt-4o")).is_err() && resolve(&catalog, Some("openai/gpt-4o")).is_err());
}

#[test]
fn defaults_are_chosen() {
    let default = |provider: Option<&str>, model: Option<&str>| {
        let mut config = config(vec![remote("a", &[]), remote("b", &["one"])], true);
        config.default_provider = provider.map(str::to_owned);
        config.default_model = model.map(str::to_owned);
        Catalog::new(config).map(|catalog| catalog.default_name())
    };
    assert_eq!(default(None, None).unwrap(), "a/default");
    assert_eq!(default(Some("b"), None).unwrap(), "b/one");
    assert_eq!(default(Some("local"), None).unwrap(), "local/tiny");
    assert_eq!(default(None, Some("two")).unwrap(), "a/two");
    assert_eq!(default(None, Some("b/two")).unwrap(), "b/two");
    assert_eq!(default(Some("b"), Some("b/two")).unwrap(), "b/two");
    assert_eq!(default(Some("b"), Some("a/two")).unwrap(), "b/a/two");
    let unknown = |provider, model| default(provider, model).unwrap_err().to_string();
    assert_eq!(unknown(Some("x"), None), "the default provider 'x' is not configured");
    assert_eq!(unknown(Some("local"), Some("huge")), "the default model 'huge' does not exist");
    let openai = Catalog::new(config(vec![OpenAiConfig::new("openai", "https://api.openai.com/v1")], true)).unwrap();
    assert_eq!(openai.default_name(), "openai/gpt-4o-mini");
}

#[test]
fn all_faults_are_told_at_once_and_no_secret() {
    let mut key = remote("a", &[]);
    key.api_key = Some("sk-secret\n".into());
    let providers = vec![key, OpenAiConfig::new("B/b", "ftp://user:secret@h/?k=secret"), OpenAiConfig::new("c", "x")];
    let error = Catalog::new(config(providers, false)).unwrap_err();
    assert_eq!(error.faults.len(), 6, "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    let twice = Catalog::new(config(vec![remote("local", &[])], true)).unwrap_err();
    assert_eq!(twice.faults, [CatalogFault::Twice("local".to_owned())]);
    assert_eq!(Catalog::new(config(vec![], false)).unwrap_err().faults, [CatalogFault::Empty]);
}

#[tokio::test]
async fn the_list_starts_with_the_default() {
    let mut config = config(vec![remote("a", &["one", "two"])], true);
    config.default_model = Some("two".to_owned());
    let catalog = Catalog::new(config.clone()).unwrap();
    let list: Vec<_> = catalog.list().await.into_iter().map(|model| (model.id, model.is_default)).collect();
    let expected = [("a/two", true), ("a/one", false), ("local/tiny", false)];
    assert_eq!(list, expected.map(|(id, is_default)| (id.to_owned(), is_default)));
    config.default_model = Some("three".to_owned());
    assert_eq!(Catalog::new(config).unwrap().list().await[0].id, "a/three");
}

#[test]
fn the_local_model_is_warmed_and_asked_for_its_health() {
    let local = Arc::new(Local::default());
    let mut config = config(vec![remote("a", &[])], false);
    config.local = Some(LocalEntry { name: "local".to_owned(), provider: local.clone() });
    let catalog = Catalog::new(config).unwrap();
    catalog.warm();
    assert_eq!(local.warmed.load(Ordering::SeqCst), 1);
    let health: Vec<_> = catalog.health().into_iter().map(|health| (health.name, health.status)).collect();
    assert_eq!(health, [("a".to_owned(), "unknown"), ("local".to_owned(), "idle")]);
}
