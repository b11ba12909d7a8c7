//! How a provider is reached: one HTTP client for each, with its own pool of connections, its proxy and
//! its certificates; and what stands around every request, whatever it asks: address, key, headers.
//!
//! **Invariant:** the key and the headers that somebody configured are in header values that print as
//! `Sensitive`, and nowhere else.

use std::time::Duration;

use reqwest::{
    Client, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use secrecy::ExposeSecret;

use super::config::OpenAiConfig;

/// How long a connection waits unused. Shorter than what servers allow, so that a request seldom
/// meets one that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// This many connections wait unused at most, for as many questions that come together. What a crowd
/// leaves behind beyond that is closed: each holds buffers here, and a place at the provider.
const POOL_CONNECTIONS: usize = 64;
/// A key that no provider has given to anybody.
const INVALID_KEY: &str = "sk-invalid-0000000000000000000000000000";
/// Azure's name for the header that carries a key.
const AZURE_KEY: HeaderName = HeaderName::from_static("api-key");
/// Headers that are the client's own: what frames a message, what a connection or a proxy is told,
/// and what the answer is read by.
const OWN_HEADERS: [&str; 17] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

/// Builds the client. The certificates of the system are only loaded where TLS can be needed: they
/// take time and memory, and a machine without any can still ask its own model.
pub(super) fn client(config: &OpenAiConfig, base_url: &Url) -> reqwest::Result<Client> {
    let mut headers = config.headers.0.clone();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut builder = Client::builder()
        .user_agent(concat!("gpt-r1/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_CONNECTIONS)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        // What the environment says has been looked at where the configuration was read.
        .no_proxy()
        .http1_only();
    if let Some(proxy) = &config.proxy {
        builder = builder.proxy(proxy.for_all()?);
        if proxy.forwards(base_url) {
            // Some close the connection behind each answer without a word of it: the next question would
            // meet a closed door.
            builder = builder.pool_max_idle_per_host(0);
        }
    }
    let tls = base_url.scheme() == "https" || config.proxy.as_ref().is_some_and(super::proxy::Proxy::is_tls);
    if !tls {
        builder = builder.tls_certs_only([]);
    } else if let Some(authorities) = &config.ca_certificate {
        builder = builder.tls_certs_merge(authorities.certificates()?);
    }
    if let Some(certificate) = &config.client_certificate {
        builder = builder.identity(certificate.identity()?);
    }
    if let Some(path) = &config.unix_socket {
        builder = builder.unix_socket(path.as_path());
    }
    builder.build()
}

/// `path` below the base URL, with Azure's `api-version` where there is one.
pub(super) fn below(config: &OpenAiConfig, base_url: &Url, path: &str) -> Url {
    let mut url = base_url.clone();
    let whole = format!("{}/{path}", base_url.path().trim_end_matches('/'));
    url.set_path(&whole);
    if let Some(version) = &config.api_version {
        url.query_pairs_mut().append_pair("api-version", version);
    }
    url
}

/// Headers that somebody configured. Their values are never shown: some are keys.
#[derive(Debug, Clone, Default)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Sets one, in place of what it was before.
    pub fn insert(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        self.0.insert(name, value);
    }

    /// What they say, as far as it is text.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(|value| value.to_str().ok())
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.contains_key(name)
    }
}

/// Whether a header of this name can't be configured, since the client sets it itself.
#[must_use]
pub fn is_own_header(name: &HeaderName) -> bool {
    OWN_HEADERS.contains(&name.as_str())
}

/// The header that carries the key: as configured, else by host. Azure takes a key in `api-key` and
/// would take another for a token of its sign-in; everybody else takes `Authorization: Bearer`.
#[must_use]
pub fn key_header(base_url: &str, configured: Option<&HeaderName>) -> HeaderName {
    if let Some(configured) = configured {
        return configured.clone();
    }
    let is_azure = Url::parse(base_url).is_ok_and(|url| url.host_str().is_some_and(is_azure));
    if is_azure { AZURE_KEY } else { header::AUTHORIZATION }
}

/// Whether this is a host of Azure's for models.
pub(super) fn is_azure(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"]
        .iter()
        .any(|domain| host.ends_with(domain))
}

/// A header that holds a key.
pub(super) struct Key {
    name: HeaderName,
    value: HeaderValue,
}

impl Key {
    /// The configured one, if any.
    ///
    /// # Errors
    /// It can't be sent in a header.
    pub(super) fn configured(config: &OpenAiConfig) -> Result<Option<Self>, header::InvalidHeaderValue> {
        let key = config.api_key.as_ref();
        key.map(|key| Self::new(key_header(&config.base_url, config.api_key_header.as_ref()), key.expose_secret()))
            .transpose()
    }

    fn new(name: HeaderName, key: &str) -> Result<Self, header::InvalidHeaderValue> {
        let mut value = match name {
            header::AUTHORIZATION => HeaderValue::try_from(format!("Bearer {key}"))?,
            _ => HeaderValue::try_from(key)?,
        };
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    /// In the same header a key that is none.
    pub(super) fn invalid(&self) -> Self {
        // Made of fixed letters: it has no way to fail, and no key is as wrong as a wrong one.
        Self::new(self.name.clone(), INVALID_KEY)
            .unwrap_or_else(|_| Self { name: self.name.clone(), value: HeaderValue::from_static("-") })
    }

    /// As a header for a request.
    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        (self.name.clone(), self.value.clone())
    }
}

/// What is wrong with the configured headers, if anything.
pub(super) fn header_fault(config: &OpenAiConfig) -> Option<&'static str> {
    let headers = &config.headers.0;
    if headers.keys().any(is_own_header) {
        return Some("headers must not hold one that the client sets itself, such as Host or Content-Length");
    }
    if config.api_key_header.as_ref().is_some_and(is_own_header) {
        return Some("api_key_header must not be a header that the client sets itself");
    }
    let key_header = key_header(&config.base_url, config.api_key_header.as_ref());
    (config.api_key.is_some() && headers.contains_key(key_header))
        .then_some("headers must not hold the one that carries api_key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_the_base() {
        let mut config = OpenAiConfig::new("x", "https://h");
        for base in ["https://h/v1", "https://h/v1/"] {
            assert_eq!(below(&config, &Url::parse(base).unwrap(), "models").as_str(), "https://h/v1/models");
        }
        assert_eq!(below(&config, &Url::parse("http://h").unwrap(), "models").as_str(), "http://h/models");
        config.api_version = Some("2024-10-21".to_owned());
        let base = Url::parse("https://h/openai/deployments/d").unwrap();
        assert_eq!(
            below(&config, &base, "chat/completions").as_str(),
            "https://h/openai/deployments/d/chat/completions?api-version=2024-10-21"
        );
    }

    #[test]
    fn a_key_goes_where_the_host_looks_for_it() {
        let header = |base_url: &str, name: Option<&str>| {
            let mut config = OpenAiConfig::new("x", base_url);
            config.api_key = Some("k".to_owned().into());
            config.api_key_header = name.map(|name| name.parse().unwrap());
            let key = Key::configured(&config).unwrap().unwrap();
            let (name, value) = key.header();
            assert!(value.is_sensitive() && key.invalid().header().1.is_sensitive());
            assert_eq!(key.invalid().header().0, name);
            assert_ne!(key.invalid().header().1, value);
            format!("{name}: {}", value.to_str().unwrap())
        };
        assert_eq!(header("https://api.openai.com/v1", None), "authorization: Bearer k");
        assert_eq!(header("https://x.openai.azure.com/openai/v1", None), "api-key: k");
        assert_eq!(header("https://x.openai.azure.com/openai/v1", Some("authorization")), "authorization: Bearer k");
        assert_eq!(header("https://h/v1", Some("X-API-Key")), "x-api-key: k");
        let config = OpenAiConfig::new("x", "https://h/v1");
        assert!(Key::configured(&config).unwrap().is_none());
    }

    #[test]
    fn headers_of_our_own_are_refused() {
        let with = |name: &'static str, change: fn(&mut OpenAiConfig)| {
            let mut config = OpenAiConfig::new("x", "https://h/v1");
            config.headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
            change(&mut config);
            header_fault(&config).is_some()
        };
        for name in OWN_HEADERS {
            assert!(with(name, |_| {}), "{name}");
        }
        assert!(!with("x-title", |_| {}) && !with("authorization", |_| {}) && !with("user-agent", |_| {}));
        assert!(with("authorization", |config| config.api_key = Some("k".to_owned().into())));
        assert!(!with("api-key", |config| config.api_key = Some("k".to_owned().into())));
        assert!(with("api-key", |config| {
            config.api_key = Some("k".to_owned().into());
            config.api_key_header = Some(AZURE_KEY);
        }));
        assert!(with("x-title", |config| config.api_key_header = Some(header::HOST)));
    }
}
