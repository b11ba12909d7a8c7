//! The HTTP client below a provider: one per provider, with its own pool of connections.

use std::time::Duration;

use reqwest::{Client, Url, header, redirect};

use super::config::OpenAiConfig;

/// How long a connection waits unused. Shorter than what servers allow, so that a request seldom
/// meets one that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// So many connections wait unused at most, for as many questions that come together. What a crowd
/// leaves behind beyond that is closed: each holds buffers here, and a place at the provider.
const POOL_CONNECTIONS: usize = 64;

/// Builds the client. The certificates of the system are only loaded where TLS can be needed: they
/// take time and memory, and a machine without any can still ask its own model.
pub(super) fn client(config: &OpenAiConfig, base_url: &Url) -> reqwest::Result<Client> {
    let mut headers = header::HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
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
        .http1_only();
    if !config.environment_proxy {
        builder = builder.no_proxy();
    }
    if base_url.scheme() == "http" && !config.environment_proxy {
        builder = builder.tls_certs_only([]);
    }
    if let Some(path) = &config.unix_socket {
        builder = builder.unix_socket(path.as_path());
    }
    builder.build()
}

/// `path` below the base URL.
pub(super) fn below(base_url: &Url, path: &str) -> Url {
    let mut url = base_url.clone();
    let whole = format!("{}/{path}", base_url.path().trim_end_matches('/'));
    url.set_path(&whole);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_the_base() {
        for base in ["https://h/v1", "https://h/v1/"] {
            assert_eq!(below(&Url::parse(base).unwrap(), "models").as_str(), "https://h/v1/models");
        }
        assert_eq!(below(&Url::parse("http://h").unwrap(), "models").as_str(), "http://h/models");
    }
}
