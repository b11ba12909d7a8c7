//! Ways to a provider: through real proxy programs, with certificates of one's own, with headers.

use std::{net::SocketAddr, time::Duration};

use futures::StreamExt;
use http::{HeaderName, HeaderValue};
use r1_domain::provider::{Delta, Provider, ProviderErrorCode as Code};
use r1_providers::openai::{Authorities, ClientCertificate, OpenAi, OpenAiConfig, Proxy};
use r1_testkit::{
    raw::{Act, Deaf, RawUpstream},
    real_proxy::{Outside, RealProxy, Rules},
    tls::Authority,
    tls_front::TlsFront,
    upstream::{Script, Upstream},
};

use crate::support::{KEY, Last, ask, assert_discreet, code, config, finish, request};

/// A provider that speaks TLS, and who signed for it.
struct Secure {
    upstream: Upstream,
    front: TlsFront,
    authority: Authority,
}

impl Secure {
    async fn start(name: &str) -> Self {
        let (authority, upstream) = (Authority::new().unwrap(), Upstream::start().await.unwrap());
        let identity = authority.identity(name).unwrap();
        let front = TlsFront::start(&identity, upstream.address().unwrap()).await.unwrap();
        Self { upstream, front, authority }
    }

    fn config(&self) -> OpenAiConfig {
        let mut config = config(&self.upstream);
        config.base_url = format!("https://{}/v1", self.front.address());
        config.ca_certificate = Some(Authorities::from_pem(self.authority.pem().as_bytes()).unwrap());
        config
    }
}

fn through(address: SocketAddr, user: &str, mut config: OpenAiConfig) -> OpenAi {
    config.proxy = Some(Proxy::parse(&format!("http://{user}{address}")).unwrap());
    OpenAi::new(config).unwrap()
}

async fn asked(client: &OpenAi) -> (String, Last) {
    ask(client, request("hello")).await
}

/// The sentence of a failure that is the proxy's, and whether asking again may help.
async fn refused_by_proxy(client: &OpenAi) -> (String, bool) {
    let last = asked(client).await.1;
    let (code, retryable) = code(&last);
    let error = last.unwrap_err();
    assert_eq!(code, Code::Unreachable, "{error}");
    assert_discreet(&error);
    assert!(error.message.contains("proxy") && !error.message.contains("secret"), "{error}");
    (error.message, retryable)
}

#[tokio::test]
async fn an_answer_comes_through_a_proxy_word_by_word() {
    let (secure, proxy) = (Secure::start("127.0.0.1").await, RealProxy::http(Rules::default()).await.unwrap());
    // Through a tunnel, and handed on.
    for (config, gate) in [(secure.config(), "by TLS"), (config(&secure.upstream), "without")] {
        let client = through(proxy.address(), "", config);
        secure.upstream.push(Script::new().chunk("one ").wait_for(gate).chunk("two").ending());
        let mut stream = client.complete(request("x")).await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Delta::text("one "))), "before the second word is said");
        secure.upstream.open(gate);
        assert_eq!(stream.next().await, Some(Ok(Delta::text("two"))), "{gate}");
        assert!(matches!(stream.next().await, Some(Ok(Delta::Done { .. }))), "{gate}");
        let (text, last) = asked(&client).await;
        assert_eq!(text, "You said: hello", "{gate}: {last:?}");
    }
    let log = proxy.log().unwrap();
    assert!(log.contains(&format!("CONNECT {}", secure.front.address())), "{log}");
    assert!(!log.contains(KEY) && !log.contains("https://"), "a tunnel: {log}");
}

#[tokio::test]
async fn only_the_proxy_has_to_know_the_providers_name() {
    let secure = Secure::start("api.provider.example").await;
    let outside = [("api.provider.example:8443".to_owned(), secure.front.address())];
    let outside = Outside::start(outside).await.unwrap();
    let rules = Rules { outside: Some(outside.address()), ..Rules::default() };
    let proxy = RealProxy::http(rules).await.unwrap();
    let variable = format!("http://{}", proxy.address());
    let chosen = |exceptions: &str, base_url: &str| {
        let lookup = |name: &str| match name {
            "HTTPS_PROXY" => Some(variable.clone()),
            "NO_PROXY" => Some(exceptions.to_owned()),
            _ => None,
        };
        let mut config = secure.config();
        base_url.clone_into(&mut config.base_url);
        config.proxy = Proxy::from_environment(&config.base_url, lookup).unwrap().map(|(_, proxy)| proxy);
        OpenAi::new(config).unwrap()
    };
    let far = "https://api.provider.example:8443/v1";
    assert_eq!(asked(&chosen("", far)).await.0, "You said: hello");
    assert_eq!(outside.asked(), ["api.provider.example:8443"]);
    // Straight there: nobody here knows that name, and this machine needs no proxy.
    let alone = asked(&chosen("provider.example", far)).await.1;
    assert_eq!(code(&alone).0, Code::Unreachable);
    assert!(!alone.unwrap_err().message.contains("proxy"));
    let near = format!("https://{}/v1", secure.front.address());
    let last = asked(&chosen("", &near)).await.1;
    assert_eq!(code(&last).0, Code::Untrusted, "there, where it shows another name");
    assert_eq!(outside.asked().len(), 1);
    // What the proxy can't reach is not its fault alone.
    let (message, retryable) = refused_by_proxy(&chosen("", "https://elsewhere.example/v1")).await;
    assert!(message.contains("does not connect to it") && retryable, "{message}");
}

#[tokio::test]
async fn a_proxy_may_want_a_password() {
    let secure = Secure::start("127.0.0.1").await;
    let rules = Rules { password: Some(("reader", "secret-word")), ..Rules::default() };
    let proxy = RealProxy::http(rules).await.unwrap();
    let known = through(proxy.address(), "reader:secret-word@", secure.config());
    assert_eq!(asked(&known).await.0, "You said: hello");
    assert!(!format!("{known:?}").contains("secret-word"));
    let (message, retryable) = refused_by_proxy(&through(proxy.address(), "", secure.config())).await;
    assert!(message.contains("name and password") && !retryable, "{message}");
    // This program answers a wrong one with 401, which among proxies means anything.
    let (message, _) = refused_by_proxy(&through(proxy.address(), "reader:secret-words@", secure.config())).await;
    assert!(message.contains("does not accept the password"), "{message}");
    // The same where it hands on requests instead of connecting.
    let plain = config(&secure.upstream);
    let known = through(proxy.address(), "reader:secret-word@", plain.clone());
    assert_eq!(asked(&known).await.0, "You said: hello");
    let headers = &secure.upstream.requests().pop().unwrap().headers;
    assert!(!headers.contains_key("proxy-authorization"), "{headers:?}");
    let (message, retryable) = refused_by_proxy(&through(proxy.address(), "", plain)).await;
    assert!(message.contains("name and password") && !retryable, "{message}");
}

#[tokio::test]
async fn a_proxy_that_is_no_way_is_told_apart() {
    let secure = Secure::start("127.0.0.1").await;
    // The ports of the provider and of plain HTTP are others than the one that it may connect to.
    let strict = RealProxy::http(Rules { only_port: Some(9), ..Rules::default() }).await.unwrap();
    let (message, retryable) = refused_by_proxy(&through(strict.address(), "", secure.config())).await;
    assert!(message.contains("does not connect to it") && retryable, "{message}");
    let gone = strict.address();
    drop(strict);
    for config in [secure.config(), config(&secure.upstream)] {
        let (message, retryable) = refused_by_proxy(&through(gone, "", config)).await;
        assert!(message.contains("is it running?") && retryable, "{message}");
    }
    let deaf = Deaf::new().unwrap();
    let mut impatient = secure.config();
    impatient.connect_timeout = Duration::from_millis(300);
    impatient.proxy = Some(Proxy::parse(deaf.base_url().trim_end_matches("/v1")).unwrap());
    let (message, retryable) = refused_by_proxy(&OpenAi::new(impatient).unwrap()).await;
    assert!(message.contains("in time") && retryable, "{message}");
    // Connections are taken, and closed without a word, or with a word that is none.
    for acts in [vec![Act::ReadHead], vec![Act::ReadHead, Act::send("x".repeat(20_000))]] {
        let other = RawUpstream::start(vec![acts]).await.unwrap();
        let (message, retryable) = refused_by_proxy(&through(other.address(), "", secure.config())).await;
        assert!((message.contains("work as one") || message.contains("does not connect")) && retryable, "{message}");
    }
    assert_eq!(secure.upstream.counters().requests, 0);
}

#[tokio::test]
async fn what_is_the_providers_stays_the_providers() {
    let (secure, proxy) = (Secure::start("another.example").await, RealProxy::http(Rules::default()).await.unwrap());
    let last = asked(&through(proxy.address(), "", secure.config())).await.1;
    assert_eq!(code(&last), (Code::Untrusted, false));
    // It takes the connection, and closes it in the middle of the handshake.
    let closing = RawUpstream::start(vec![vec![]]).await.unwrap();
    let mut config = secure.config();
    config.base_url = format!("https://{}/v1", closing.address());
    let last = asked(&through(proxy.address(), "", config)).await.1;
    assert_eq!(code(&last).0, Code::Unreachable);
    assert!(!last.unwrap_err().message.contains("proxy"));
}

#[tokio::test]
async fn a_proxy_may_be_spoken_to_by_tls() {
    let (secure, proxy) = (Secure::start("127.0.0.1").await, RealProxy::http(Rules::default()).await.unwrap());
    let identity = secure.authority.identity("127.0.0.1").unwrap();
    let front = TlsFront::start(&identity, proxy.address()).await.unwrap();
    for base_url in [secure.config().base_url, secure.upstream.base_url()] {
        let mut config = secure.config();
        (config.base_url, config.proxy) =
            (base_url, Some(Proxy::parse(&format!("https://{}", front.address())).unwrap()));
        assert_eq!(asked(&OpenAi::new(config.clone()).unwrap()).await.0, "You said: hello");
        config.ca_certificate = None;
        let (message, _) = refused_by_proxy(&OpenAi::new(config).unwrap()).await;
        assert!(message.contains("can't be reached"), "{message}");
    }
}

#[tokio::test]
async fn a_socks_proxy_will_do() {
    let secure = Secure::start("127.0.0.1").await;
    let rules = Rules { password: Some(("reader", "secret-word")), ..Rules::default() };
    let proxy = RealProxy::socks(rules).await.unwrap();
    let through = |scheme: &str, user: &str, mut config: OpenAiConfig| {
        config.proxy = Some(Proxy::parse(&format!("{scheme}://{user}{}", proxy.address())).unwrap());
        OpenAi::new(config).unwrap()
    };
    for scheme in ["socks5", "socks5h"] {
        for config in [secure.config(), config(&secure.upstream)] {
            let client = through(scheme, "reader:secret-word@", config);
            assert_eq!(asked(&client).await.0, "You said: hello", "{scheme}");
        }
    }
    for user in ["", "reader:secret-words@"] {
        let (message, retryable) = refused_by_proxy(&through("socks5h", user, secure.config())).await;
        assert!(message.contains("name and password") && !retryable, "{user} {message}");
    }
    let mut nobody = secure.config();
    nobody.base_url = "https://127.0.0.1:1/v1".to_owned();
    let (message, _) = refused_by_proxy(&through("socks5h", "reader:secret-word@", nobody)).await;
    assert!(message.contains("does not connect to it"), "{message}");
}

#[tokio::test]
async fn who_we_are_is_shown_to_who_asks() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let upstream = Upstream::start().await.unwrap();
    let asking = theirs.identity("127.0.0.1").unwrap().asking_for(&ours).unwrap();
    let front = TlsFront::start(&asking, upstream.address().unwrap()).await.unwrap();
    let with = |identity: Option<&Authority>| {
        let mut config = config(&upstream);
        config.base_url = format!("https://{}/v1", front.address());
        config.ca_certificate = Some(Authorities::from_pem(theirs.pem().as_bytes()).unwrap());
        config.client_certificate = identity.map(|authority| {
            let identity = authority.identity("gpt-r1").unwrap();
            ClientCertificate::from_pem(identity.certificate_pem().as_bytes(), &identity.key_pem().into()).unwrap()
        });
        OpenAi::new(config).unwrap()
    };
    let (text, last) = asked(&with(Some(&ours))).await;
    assert_eq!((text.as_str(), finish(&last)), ("You said: hello", "stop"));
    for refused in [None, Some(&theirs)] {
        let (_, last) = asked(&with(refused)).await;
        // TLS 1.3 says so only after the handshake, with the first bytes or in place of them.
        assert!(matches!(code(&last).0, Code::Unreachable | Code::Unavailable), "{last:?}");
        assert_discreet(&last.unwrap_err());
    }
    assert_eq!(upstream.counters().requests, 1);
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_beside_the_systems() {
    let secure = Secure::start("127.0.0.1").await;
    assert_eq!(asked(&OpenAi::new(secure.config()).unwrap()).await.0, "You said: hello");
    let mut other = secure.config();
    other.ca_certificate = Some(Authorities::from_pem(Authority::new().unwrap().pem().as_bytes()).unwrap());
    assert_eq!(code(&asked(&OpenAi::new(other).unwrap()).await.1), (Code::Untrusted, false));
}

#[tokio::test]
async fn headers_arrive_and_are_not_shown() {
    let upstream = Upstream::start().await.unwrap();
    let mut config = config(&upstream);
    config.headers.insert(HeaderName::from_static("x-title"), HeaderValue::from_static("gpt-r1-secret-title"));
    config.headers.insert(http::header::USER_AGENT, HeaderValue::from_static("another"));
    let client = OpenAi::new(config).unwrap();
    assert_eq!(asked(&client).await.0, "You said: hello");
    assert!(client.models().await.is_some());
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2, "the question and the list");
    for request in requests {
        assert_eq!(request.headers["x-title"], "gpt-r1-secret-title", "{}", request.path);
        assert_eq!(request.headers["user-agent"], "another");
        assert_eq!(request.bearer(), Some(KEY));
    }
    assert!(!format!("{client:?}").contains("secret"), "{client:?}");
}

#[tokio::test]
async fn azure_finds_its_key_and_its_version() {
    let upstream = Upstream::start().await.unwrap();
    let mut config = config(&upstream);
    config.base_url = upstream.base_url().replace("/v1", "/v1/openai/deployments/gpt");
    config.api_key_header = Some(HeaderName::from_static("api-key"));
    config.api_version = Some("2024-10-21".to_owned());
    let client = OpenAi::new(config).unwrap();
    assert_eq!(asked(&client).await.0, "You said: hello");
    assert!(client.models().await.is_some());
    let mut invalid = request("hello");
    invalid.use_invalid_key = true;
    assert_eq!(ask(&client, invalid).await.0, "You said: hello", "this one takes any key");
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    for (request, key) in requests.iter().zip([KEY, KEY, ""]) {
        assert_eq!(request.query, "api-version=2024-10-21", "{}", request.path);
        assert!(request.path.starts_with("/v1/openai/deployments/gpt/"), "{}", request.path);
        assert_eq!(request.headers["api-key"] == KEY, !key.is_empty());
        assert!(!request.headers.contains_key("authorization"), "the key is in one place");
    }
}
