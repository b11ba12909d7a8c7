//! Which models there are, what is known of them, and whose they stay.

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Setup, expect_problem, id_of};

/// One provider named `old`, and `router` as the default.
fn two(old: &Upstream, router: &Upstream) -> Result<Setup> {
    Ok(Setup::new()?
        .without("PROVIDERS__NOBODY")
        .set("PROVIDERS__OLD__BASE_URL", &old.base_url())
        .set("PROVIDERS__ROUTER__BASE_URL", &router.base_url())
        .set("DEFAULT_MODEL", "router/auto"))
}

#[tokio::test]
async fn a_conversation_does_not_change_its_provider_when_that_has_gone() -> Result<()> {
    let (old, router) = (Upstream::start().await?, Upstream::start().await?);
    let server = two(&old, &router)?.start().await?;
    let client = server.user("ada").await?;
    old.push(Script::new().role().chunk("half").finish("length").done());
    let frames = client.ask_to_end(&json!({"message": "go", "model": "old/gpt-4o"})).await?;
    assert_eq!(frames[0].data["model"], "old/gpt-4o");
    let (conversation, generation) =
        (id_of(&frames[0].data, "conversation_id")?, id_of(&frames[0].data, "generation_id")?);

    let setup = server.kill().await?.without("PROVIDERS__OLD");
    let server = setup.start().await?;
    let client = client.at(&server);
    let gone = |problem: Value| -> Result<()> {
        ensure!(problem.to_string().contains("no longer configured"), "{problem}");
        Ok(())
    };
    for action in ["continue", "retry"] {
        let again = client.request(Method::POST, &format!("/chat/generations/{generation}/{action}")).json(&json!({}));
        gone(expect_problem(again.send().await?, 422, "invalid").await?)?;
    }
    let question = json!({"message": "more", "model": "old/gpt-4o", "conversation_id": conversation});
    gone(expect_problem(client.post("/chat/stream", &question).await?, 422, "invalid").await?)?;
    let messages = client.messages(&conversation).await?;
    let same = json!({"model": "old/gpt-4o"});
    let retry = client.request(Method::POST, &format!("/chat/generations/{generation}/retry")).json(&same);
    gone(expect_problem(retry.send().await?, 422, "invalid").await?)?;
    assert_eq!((messages.len(), router.counters().requests), (2, 0), "nothing was written, nobody was asked");

    // Another model may be chosen; and to a router such a name is one of its own, where no answer has it.
    let chosen = json!({"message": "more", "model": "router/x", "conversation_id": conversation});
    assert_eq!(client.ask_to_end(&chosen).await?[0].data["model"], "router/x");
    let of_vendor = client.ask_to_end(&json!({"message": "go", "model": "old/gpt-4o"})).await?;
    assert_eq!(of_vendor[0].data["model"], "router/old/gpt-4o");
    assert_eq!(router.last_request().context("a request")?.body["model"], "old/gpt-4o");
    let follows = json!({"message": "more", "model": "router/old/gpt-4o", "conversation_id": id_of(&of_vendor[0].data, "conversation_id")?});
    assert_eq!(client.ask_to_end(&follows).await?[0].data["model"], "router/old/gpt-4o");
    Ok(())
}

#[tokio::test]
async fn what_is_known_of_models_is_given_out() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.set_models_script(Script::json(
        StatusCode::OK,
        &json!({"data": [
            {"id": "a", "name": "The A", "context_length": 8192, "supported_parameters": ["tools"]},
            {"id": "gpt-4o"},
            {"id": "text-embedding-3-small"},
            {"id": "unknown"},
        ]}),
    ));
    let server = Setup::with_upstream(&upstream)?.set("DEFAULT_MODEL", "openai/a").start().await?;
    let client = server.user("ada").await?;
    let list = client.read("/models").await?;
    assert_eq!(
        list["models"],
        json!([
            {"id": "openai/a", "provider": "openai", "name": "The A", "default": true, "context_tokens": 8192,
             "tools": true, "reasoning": false},
            {"id": "openai/gpt-4o", "provider": "openai", "default": false, "context_tokens": 128_000,
             "output_tokens": 16_384, "images": true, "tools": true, "reasoning": false},
            {"id": "openai/unknown", "provider": "openai", "default": false},
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_list_that_does_not_come_is_told_once_and_everywhere() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.set_models_script(Script::error(StatusCode::INTERNAL_SERVER_ERROR, "x", "x"));
    let setup = Setup::with_upstream(&upstream)?;
    let listed = setup.run(&["model", "list"]).await?;
    ensure!(
        listed.ok && listed.stdout.contains("openai/…\tcan't be listed: it answered with status 500"),
        "{listed:?}"
    );
    let server = setup.start().await?;
    let client = server.admin("ada").await?;
    for _ in 0..3 {
        let list = client.read("/models").await?;
        assert_eq!(list["models"], json!([{"id": "openai/test-model", "provider": "openai", "default": true}]));
    }
    let health = client.read("/health").await?;
    let provider = json!({"name": "openai", "status": "unknown", "detail": "its models can't be listed: it answered with status 500"});
    assert_eq!((&health["status"], &health["providers"]), (&json!("ok"), &json!([provider])));
    let said = server.log().matches("the models of provider openai can't be listed").count();
    assert_eq!(said, 1, "{}", server.log());
    // Who does not list may answer.
    let answer = client.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(answer.last().context("an end")?.kind(), "end");
    Ok(())
}

#[tokio::test]
async fn the_command_lists_what_can_be_asked() -> Result<()> {
    let (upstream, found) = (Upstream::start().await?, Upstream::start().await?);
    upstream.set_models(&["gpt-4o", "whisper-1"]);
    let data = json!({"data": [{"id": "qwen", "owned_by": "vllm", "max_model_len": 4096}]});
    found.set_models_script(Script::json(StatusCode::OK, &data));
    let place = found.base_url().replace("http://", "vllm=").replace("/v1", "");
    let setup =
        Setup::with_upstream(&upstream)?.set("LOCAL_SERVERS__LOOK", "on").set("LOCAL_SERVERS__ADDRESSES", &place);
    let listed = setup.run(&["model", "list"]).await?;
    ensure!(listed.ok, "{listed:?}");
    for line in [
        "openai/test-model\tthe default",
        "openai/gpt-4o\tcontext 128000 tokens, answer 16384 tokens, images, tools",
        "vllm/qwen\tcontext 4096 tokens",
    ] {
        ensure!(listed.stdout.lines().any(|said| said == line), "{line}: {}", listed.stdout);
    }
    ensure!(!listed.stdout.contains("whisper"), "{}", listed.stdout);
    assert_eq!((upstream.counters().requests, found.counters().requests), (0, 0));
    Ok(())
}
