//! Ways to a provider, seen from outside: the environment's proxy, and what is not to be seen of it.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    real_proxy::{Outside, RealProxy, Rules},
    sse::text_of,
    tls::Authority,
    tls_front::TlsFront,
    upstream::Upstream,
};
use serde_json::json;

use crate::support::Setup;

const NAME: &str = "api.provider.example";
/// What nobody is to read.
const SECRETS: [&str; 3] = ["secret-of-the-proxy", "secret-of-the-provider", "secret-of-a-header"];

#[tokio::test]
async fn the_environments_proxy_leads_to_far_providers_and_to_no_others() -> Result<()> {
    let (far, near, authority) = (Upstream::start().await?, Upstream::start().await?, Authority::new()?);
    let address = far.address().context("TCP")?;
    let front = TlsFront::start(&authority.identity(NAME)?, address).await?;
    let outside = Outside::start([(format!("{NAME}:443"), front.address())]).await?;
    let rules = Rules { password: Some(("reader", SECRETS[0])), outside: Some(outside.address()), ..Rules::default() };
    let proxy = RealProxy::http(rules).await?;
    let proxy_url = format!("http://reader:{}@{}", SECRETS[0], proxy.address());

    let setup = Setup::new()?
        .env("HTTPS_PROXY", &proxy_url)
        .env("HTTP_PROXY", &proxy_url)
        .env("ALL_PROXY", &proxy_url)
        .env("RUST_LOG", "trace");
    let folder = setup.data_dir().parent().context("a folder")?.to_owned();
    std::fs::write(folder.join("authority.pem"), authority.pem())?;
    let file = format!(
        "[providers.far]\nbase_url = 'https://{NAME}/v1'\nca_certificate = 'authority.pem'\napi_key = '{}'\n\
         [providers.far.headers]\nX-Gateway = '{}'\n\
         [providers.near]\nbase_url = '{}'\n",
        SECRETS[1],
        SECRETS[2],
        near.base_url()
    );
    std::fs::write(folder.join("gpt-r1.toml"), file)?;

    let checked = setup.run(&["config", "check"]).await?;
    ensure!(checked.ok, "{checked:?}");
    for line in ["far, through the proxy that HTTPS_PROXY names\n", "near, straight\n"] {
        ensure!(checked.stdout.contains(line), "{}", checked.stdout);
    }
    let server = setup.start().await?;
    let user = server.user("ada").await?;
    for (provider, upstream, requests) in [("far", &far, 1), ("near", &near, 1)] {
        let frames = user.ask_to_end(&json!({"message": "hello", "model": format!("{provider}/echo")})).await?;
        ensure!(text_of(&frames) == "You said: hello", "{provider}: {frames:?}");
        ensure!(upstream.counters().requests == requests, "{provider}");
    }
    ensure!(outside.asked().iter().all(|asked| *asked == format!("{NAME}:443")), "{:?}", outside.asked());
    let request = far.last_request().context("a request")?;
    ensure!(request.bearer() == Some(SECRETS[1]) && request.headers["x-gateway"] == SECRETS[2], "{request:?}");

    // The proxy goes away: the sentence says so, and nothing says where it was.
    let gone = proxy.address();
    drop(proxy);
    let frames = user.ask_to_end(&json!({"message": "hello", "model": "far/echo"})).await?;
    let last = &frames.last().context("a last frame")?.data;
    ensure!(last["code"] == "provider_unreachable", "{last}");
    let message = last["message"].as_str().unwrap_or_default();
    ensure!(message.contains("The proxy on the way to the provider 'far'"), "{message}");
    ensure!(!message.contains(&gone.to_string()), "{message}");
    let shown = format!("{}{}{}", server.log(), checked.stdout, checked.stderr);
    for secret in SECRETS {
        ensure!(!shown.contains(secret), "{secret} is shown");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_certificate_ends_the_start_with_its_reason() -> Result<()> {
    let setup = Setup::new()?
        .set("PROVIDERS__NOBODY__BASE_URL", "https://127.0.0.1:9/v1")
        .set("PROVIDERS__NOBODY__CA_CERTIFICATE", "/nonexistent/ca.pem")
        .set("PROVIDERS__NOBODY__PROXY", "http://u:secret@")
        .set("PROVIDERS__NOBODY__TEMPERATURE", "hot");
    for args in [&["config", "check"][..], &["serve"]] {
        let checked = setup.run(args).await?;
        let said = format!("{}{}", checked.stdout, checked.stderr);
        ensure!(!checked.ok && !said.contains("secret"), "{said}");
        for words in [
            "names a file that can't be read: No such file or directory",
            "give the path of a file in PEM that this user may read",
            "GPT_R1__PROVIDERS__NOBODY__PROXY",
            "must be a number from 0 to 2, false or \"auto\", not \"hot\"",
        ] {
            ensure!(said.contains(words), "{words}: {said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_set_for_a_model_is_what_it_is_sent() -> Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup::new()?;
    let folder = setup.data_dir().parent().context("a folder")?.to_owned();
    let file = format!(
        "[providers.up]\nbase_url = '{}'\nmax_tokens = 500\ntemperature = 0.25\n\
         [providers.up.model.'team/thinker-2.5:free']\nmax_tokens_field = 'max_completion_tokens'\nmax_tokens = 700\n\
         temperature = false\nunsupported = ['stream_options']\nsend_seed = true\n",
        upstream.base_url()
    );
    std::fs::write(folder.join("gpt-r1.toml"), file)?;
    let server = setup.start().await?;
    let user = server.user("ada").await?;
    let mut sent = Vec::new();
    for question in [
        json!({"message": "hello", "model": "up/plain"}),
        json!({"message": "hello", "model": "up/plain", "temperature": 1.5, "max_tokens": 9}),
        json!({"message": "hello", "model": "up/team/thinker-2.5:free", "temperature": 1.5}),
    ] {
        ensure!(text_of(&user.ask_to_end(&question).await?) == "You said: hello");
        let mut body = upstream.last_request().context("a request")?.body;
        if body["seed"].is_number() {
            body["seed"] = json!("some");
        }
        sent.push(body);
    }
    let messages = json!([{"role": "user", "content": "hello"}]);
    let usage = json!({"include_usage": true});
    let expected = [
        json!({"model": "plain", "messages": messages, "stream": true, "stream_options": usage, "temperature": 0.25,
            "max_tokens": 500}),
        json!({"model": "plain", "messages": messages, "stream": true, "stream_options": usage, "temperature": 1.5,
            "max_tokens": 9}),
        json!({"model": "team/thinker-2.5:free", "messages": messages, "stream": true, "max_completion_tokens": 700,
            "seed": "some"}),
    ];
    for (sent, expected) in sent.iter().zip(&expected) {
        ensure!(sent == expected, "{sent} instead of {expected}");
    }
    Ok(())
}
