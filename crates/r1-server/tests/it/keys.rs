//! Another signing key takes the old one's place, and nobody is signed out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode, header};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Client, SECRET_KEY, Server, Setup, expect, expect_problem};

const NEW_KEY: &str = "another-key-of-more-than-thirty-two-characters";

/// The page's cookie, as name and value.
async fn cookie(server: &Server) -> Result<String> {
    let login = json!({"username": "ada", "password": "correct horse", "session": "cookie"});
    let request = server.anonymous().request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin");
    let set = request.json(&login).send().await?.headers()[header::SET_COOKIE].to_str()?.to_owned();
    set.split(';').next().map(str::to_owned).context("name=value")
}

async fn is_signed_in(server: &Server, pair: &str) -> Result<bool> {
    let request = server.anonymous().request(Method::GET, "/auth/me").header(header::COOKIE, pair);
    Ok(request.send().await?.status() == StatusCode::OK)
}

async fn knows(client: &Client, server: &Server) -> Result<bool> {
    Ok(client.clone().at(server).get("/auth/me").await?.status() == StatusCode::OK)
}

#[tokio::test]
async fn a_new_key_in_the_data_directory_signs_nobody_out() -> Result<()> {
    let server = Setup::new()?.on_sqlite().start().await?;
    let mut client = server.user("ada").await?;
    let session = client.sign_in("ada", "correct horse").await?;
    let pair = cookie(&server).await?;
    let rotated = server.setup().run(&["rotate-key"]).await?;
    ensure!(rotated.ok && rotated.stdout.contains("next start"), "{rotated:?}");
    client.read("/auth/me").await.context("beside a running server nothing changes")?;
    let again = server.setup().run(&["rotate-key"]).await?;
    ensure!(!again.ok && again.stderr.contains("--forget") && again.stderr.contains("1 h"), "{again:?}");

    let server = server.kill().await?.start().await?;
    ensure!(knows(&client, &server).await?, "a token of before");
    ensure!(is_signed_in(&server, &pair).await?, "a cookie of before");
    assert_eq!(cookie(&server).await?.split('=').next(), pair.split('=').next(), "the cookie keeps its name");
    let mut newer = server.anonymous();
    newer.sign_in("ada", "correct horse").await?;

    // Once more, and what came before is forgotten at once.
    let forgotten = server.setup().run(&["rotate-key", "--forget"]).await?;
    ensure!(forgotten.ok && forgotten.stdout.contains("refresh"), "{forgotten:?}");
    let server = server.kill().await?.start().await?;
    for client in [&client, &newer] {
        expect_problem(client.clone().at(&server).get("/auth/me").await?, 401, "token_invalid").await?;
    }
    ensure!(is_signed_in(&server, &pair).await?);
    let refresh = json!({"refresh_token": session["refresh_token"]});
    expect(server.anonymous().post("/auth/refresh", &refresh).await?, StatusCode::OK).await?;
    Ok(())
}

#[tokio::test]
async fn the_key_before_goes_once_none_of_its_tokens_can_live() -> Result<()> {
    let server = Setup::new()?.on_sqlite().set("AUTH__ACCESS_TOKEN_TTL", "1s").start().await?;
    ensure!(server.setup().run(&["rotate-key"]).await?.ok);
    let previous = server.setup().data_dir().join("signing-key.previous");
    ensure!(previous.exists());
    let server = server.kill().await?.start().await?;
    let gone = async {
        while previous.exists() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.context("it stays")?;
    ensure!(server.setup().run(&["rotate-key"]).await?.ok, "so there may be another one");
    Ok(())
}

#[tokio::test]
async fn with_a_given_key_the_environment_says_both() -> Result<()> {
    let setup = Setup::new()?.on_sqlite().env("SECRET_KEY", SECRET_KEY);
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let pair = cookie(&server).await?;
    let told = server.setup().run(&["rotate-key"]).await?;
    ensure!(!told.ok && told.stderr.contains("SECRET_KEY_PREVIOUS"), "{told:?}");
    let setup = server.kill().await?.env("SECRET_KEY", NEW_KEY);
    let server = setup.env("SECRET_KEY_PREVIOUS", SECRET_KEY).start().await?;
    ensure!(knows(&client, &server).await? && is_signed_in(&server, &pair).await?);
    let setup = server.kill().await?.env("SECRET_KEY_PREVIOUS", "");
    let server = setup.start().await?;
    ensure!(!knows(&client, &server).await? && is_signed_in(&server, &pair).await?);
    Ok(())
}

#[tokio::test]
async fn two_nodes_get_a_new_key_one_after_the_other() -> Result<()> {
    let first = Setup::new()?.on_postgres()?;
    let second = first.another()?.start().await?;
    let first = first.start().await?;
    let client = first.user("ada").await?;
    let pair = cookie(&first).await?;
    let with_both = |setup: Setup| setup.env("SECRET_KEY", NEW_KEY).env("SECRET_KEY_PREVIOUS", SECRET_KEY);

    // One node has both keys, the other only the old one: each accepts what either signs.
    let first = with_both(first.kill().await?).start().await?;
    let (mut here, mut there) = (first.anonymous(), second.anonymous());
    here.sign_in("ada", "correct horse").await?;
    there.sign_in("ada", "correct horse").await?;
    for client in [&client, &here, &there] {
        ensure!(knows(client, &first).await? && knows(client, &second).await?);
    }
    // The old one alone is not yet out of force, the new one alone not yet in.
    let hasty = first.setup().another()?.env("SECRET_KEY_PREVIOUS", "");
    let refused = hasty.run(&["serve"]).await?;
    ensure!(!refused.ok && refused.stderr.contains("SECRET_KEY_PREVIOUS"), "{refused:?}");
    let refused = hasty.run(&["rotate-key"]).await?;
    ensure!(!refused.ok && refused.stderr.contains("SECRET_KEY_PREVIOUS"), "{refused:?}");

    let second = with_both(second.kill().await?).start().await?;
    let rotated = first.setup().run(&["rotate-key"]).await?;
    ensure!(rotated.ok && rotated.stdout.contains("in force"), "{rotated:?}");
    ensure!(first.setup().run(&["rotate-key"]).await?.stdout.contains("already"));
    // From its next start on a node signs with the new one; the other knows that one too.
    let first = first.kill().await?.start().await?;
    let mut newer = first.anonymous();
    newer.sign_in("ada", "correct horse").await?;
    for client in [&client, &here, &there, &newer] {
        ensure!(knows(client, &first).await? && knows(client, &second).await?);
    }
    ensure!(is_signed_in(&first, &pair).await? && is_signed_in(&second, &pair).await?);
    // A node that was forgotten in the roll comes up, for a day.
    let late = first.setup().another()?.env("SECRET_KEY", SECRET_KEY).env("SECRET_KEY_PREVIOUS", "").start().await?;
    ensure!(late.log().contains("is the one before"), "{}", late.log());
    let setup = late.kill().await?;
    ensure!(first.setup().run(&["rotate-key", "--forget"]).await?.ok);
    ensure!(!setup.run(&["serve"]).await?.ok, "and not where the old one was forgotten");

    let second = second.kill().await?.env("SECRET_KEY_PREVIOUS", "").start().await?;
    ensure!(knows(&newer, &second).await? && !knows(&client, &second).await?);
    ensure!(is_signed_in(&second, &pair).await?, "a cookie is no matter of the key");
    Ok(())
}
