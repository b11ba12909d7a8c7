//! Titles that a model makes after a conversation's first answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::text_of,
    upstream::{RecordedRequest, Script, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Client, PATIENCE, Setup, expect, id_of};

const QUESTION: &str = "How high do trees grow?";

/// Whether a title is asked for.
fn is_of_title(request: &RecordedRequest) -> bool {
    request.question().starts_with("Write a title")
}

/// How often it was.
fn asked(upstream: &Upstream) -> usize {
    upstream.requests().iter().filter(|request| is_of_title(request)).count()
}

/// An upstream whose answers are all the same, and whose titles these scripts are, one after the other.
async fn upstream(titles: Vec<Script>) -> Result<Upstream> {
    let upstream = Upstream::start().await?;
    let next = Arc::new(AtomicUsize::new(0));
    upstream.respond_with(move |request| {
        if !is_of_title(request) {
            return Script::text("Some hundred metres.");
        }
        titles.get(next.fetch_add(1, Ordering::SeqCst)).cloned().unwrap_or_else(|| Script::text("Asked too often"))
    });
    Ok(upstream)
}

fn setup(upstream: &Upstream) -> Result<Setup> {
    Ok(Setup::with_upstream(upstream)?.set("TITLES__ENABLED", "on"))
}

/// Asks, and gives back the conversation, as it is when the answer has ended.
async fn answered(client: &Client, more: &Value) -> Result<Value> {
    let mut body = json!({"message": QUESTION});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let frames = client.ask_to_end(&body).await?;
    ensure!(text_of(&frames) == "Some hundred metres.");
    client.read(&format!("/conversations/{}", id_of(&frames[0].data, "conversation_id")?)).await
}

/// A conversation, once no title is on its way any more.
async fn settled(client: &Client, conversation: &Value) -> Result<Value> {
    let path = format!("/conversations/{}", id_of(conversation, "id")?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = client.read(&path).await?;
        if now["title_pending"] == false {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "its title does not come: {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_first_answer_gets_its_conversation_a_title() -> Result<()> {
    let upstream = upstream(vec![Script::new().role().chunk("**\"Tree ").wait_for("go").chunk("heights\"**").ending()]);
    let upstream = upstream.await?;
    let server = setup(&upstream)?.with_metrics().start().await?;
    let client = server.user("ada").await?;
    // The answer has ended though the title hangs.
    let before = answered(&client, &json!({})).await?;
    assert_eq!((&before["title"], &before["title_pending"]), (&json!(QUESTION), &json!(true)));
    let listed = client.read("/conversations").await?;
    assert_eq!(listed["conversations"][0], before);
    upstream.open("go");
    let after = settled(&client, &before).await?;
    assert_eq!(after["title"], "Tree heights");
    assert_eq!(after["updated_at"], before["updated_at"], "no list is sorted by it");
    let request = upstream.last_request().context("a request")?;
    assert_eq!((&request.body["model"], request.body["max_tokens"].as_u64()), (&json!("test-model"), Some(64)));
    assert_eq!(request.body["messages"].as_array().map(Vec::len), Some(1));
    // No later one does.
    let further = answered(&client, &json!({"conversation_id": before["id"]})).await?;
    assert_eq!((&further["title"], &further["title_pending"]), (&json!("Tree heights"), &json!(false)));
    assert_eq!(asked(&upstream), 1);
    let metrics = crate::metrics::Metrics::of(&server)?;
    metrics.wait_line(r#"gpt_r1_jobs_total{kind="title",outcome="done"}"#, |done| done == 1.0).await?;
    let page = metrics.page().await?;
    let tokens = r#"gpt_r1_job_tokens_total{kind="title",provider="openai",model="test-model",direction="prompt""#;
    ensure!(page.contains(tokens), "{page}");
    ensure!(!server.log().contains("Tree"), "no title stands in the log: {}", server.log());
    Ok(())
}

#[tokio::test]
async fn a_name_that_a_person_gives_stays() -> Result<()> {
    let upstream = upstream(vec![Script::new().role().chunk("Tree ").wait_for("go").chunk("heights").ending()]).await?;
    let server = setup(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let made = client.post("/conversations", &json!({"title": "Given"})).await?;
    let made = expect(made, StatusCode::CREATED).await?;
    let given = answered(&client, &json!({"conversation_id": made["id"]})).await?;
    assert_eq!(settled(&client, &given).await?["title"], "Given");
    assert_eq!(asked(&upstream), 0, "nobody is asked for what isn't wanted");

    let before = answered(&client, &json!({})).await?;
    upstream.wait_requests(3).await?;
    let path = format!("/conversations/{}", id_of(&before, "id")?);
    // Given while the model writes: not even these words of its question are taken for a title that nobody gave.
    let renamed = client.request(Method::PATCH, &path).json(&json!({"title": QUESTION})).send().await?;
    expect(renamed, StatusCode::OK).await?;
    upstream.open("go");
    assert_eq!(settled(&client, &before).await?["title"], QUESTION);
    Ok(())
}

#[tokio::test]
async fn where_no_model_gives_one_the_first_words_stay() -> Result<()> {
    let upstream = upstream(vec![
        Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "no"),
        Script::rate_limited("1"),
        Script::text("Tree heights"),
    ]);
    let upstream = upstream.await?;
    let server = setup(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let refused = answered(&client, &json!({})).await?;
    assert_eq!(settled(&client, &refused).await?["title"], QUESTION);
    ensure!(server.log().contains("is given up"), "{}", server.log());
    let later = answered(&client, &json!({})).await?;
    assert_eq!(settled(&client, &later).await?["title"], "Tree heights", "asked again when the provider said");
    assert_eq!(asked(&upstream), 3);
    // An answer that failed is followed by none.
    upstream.respond_with(|_| Script::error(StatusCode::BAD_REQUEST, "x", "y"));
    let failed = client.ask_to_end(&json!({"message": QUESTION})).await?;
    let path = format!("/conversations/{}", id_of(&failed[0].data, "conversation_id")?);
    assert_eq!(client.read(&path).await?["title_pending"], false);
    Ok(())
}

#[tokio::test]
async fn a_killed_server_makes_it_after_its_next_start() -> Result<()> {
    let hangs = Script::new().role().chunk("Tree ").hang();
    let upstream = upstream(vec![hangs.clone(), hangs, Script::text("Tree heights")]).await?;
    let server = setup(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let before = answered(&client, &json!({})).await?;
    upstream.wait_requests(2).await?;
    let server = server.kill().await?.start().await?;
    upstream.wait_requests(3).await?;
    // A shutdown waits for no title.
    let begun = Instant::now();
    server.signal(crate::support::Signal::TERM)?;
    let (well, setup) = server.ended().await?;
    ensure!(well && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let server = setup.start().await?;
    let client = client.at(&server);
    assert_eq!(settled(&client, &before).await?["title"], "Tree heights");
    assert_eq!(asked(&upstream), 3);
    Ok(())
}

#[tokio::test]
async fn another_node_goes_on_where_one_was_killed() -> Result<()> {
    let upstream = upstream(vec![Script::new().role().chunk("Tree ").hang(), Script::text("Tree heights")]).await?;
    let first = setup(&upstream)?.on_postgres()?.set("DATABASE__LEASE", "2s");
    let second = first.another()?;
    let (first, second) = (first.start().await?, second.start().await?);
    let client = first.user("ada").await?;
    let before = answered(&client, &json!({})).await?;
    upstream.wait_requests(2).await?;
    let other = client.at(&second);
    assert_eq!(other.read(&format!("/conversations/{}", id_of(&before, "id")?)).await?["title_pending"], true);
    assert_eq!(asked(&upstream), 1, "while it lives nobody else has it");
    first.kill().await?;
    assert_eq!(settled(&other, &before).await?["title"], "Tree heights");
    Ok(())
}

#[tokio::test]
async fn a_setting_names_the_model_or_turns_it_off() -> Result<()> {
    let upstream = upstream(vec![Script::text("Tree heights")]).await?;
    let server = setup(&upstream)?.set("TITLES__MODEL", "openai/small").start().await?;
    let client = server.user("ada").await?;
    let titled = answered(&client, &json!({})).await?;
    assert_eq!(settled(&client, &titled).await?["title"], "Tree heights");
    assert_eq!(upstream.last_request().context("a request")?.body["model"], "small");
    let checked = server.setup().run(&["config", "check"]).await?;
    ensure!(checked.stdout.contains("#   titles          openai/small"), "{checked:?}");

    let off = setup(&upstream)?.set("TITLES__ENABLED", "off").start().await?;
    let client = off.user("ada").await?;
    let untitled = answered(&client, &json!({})).await?;
    assert_eq!((&untitled["title"], &untitled["title_pending"]), (&json!(QUESTION), &json!(false)));
    let checked = off.setup().run(&["config", "check"]).await?;
    ensure!(checked.stdout.contains("#   titles          first words of the question"), "{checked:?}");
    let mistyped = setup(&upstream)?.set("TITLES__MODEL", "opanai/small").run(&["config", "check"]).await?;
    ensure!(mistyped.stderr.contains("did you mean \"openai/small\"?"), "{mistyped:?}");
    assert_eq!(asked(&upstream), 1);
    Ok(())
}

#[tokio::test]
async fn whatever_a_model_says_is_one_harmless_line() -> Result<()> {
    let said = [
        ("<think>They ask.\nHm.</think>\n\n# Title: \"Tree\u{202e} heights.\"\n\nI hope it helps!", "Tree heights"),
        ("Here is a title:\n\n**Höhe von Bäumen**", "Höhe von Bäumen"),
        ("<script>alert(1)</script>", "alert(1)"),
    ];
    let upstream = upstream(said.iter().map(|(said, _)| Script::new().role().chunk(*said).ending()).collect()).await?;
    let server = setup(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    for (said, title) in said {
        let conversation = answered(&client, &json!({})).await?;
        assert_eq!(settled(&client, &conversation).await?["title"], title, "{said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn open_jobs_go_over_to_another_database() -> Result<()> {
    let upstream = upstream(vec![Script::new().role().hang(), Script::text("Tree heights")]).await?;
    let server = setup(&upstream)?.on_sqlite().start().await?;
    let client = server.user("ada").await?;
    let before = answered(&client, &json!({})).await?;
    upstream.wait_requests(2).await?;
    let source = server.kill().await?;
    let database = r1_testkit::postgres::TestDatabase::make()?;
    let to = database.url();
    let from = format!("sqlite:{}", source.data_dir().display());
    let moved = source.run(&["migrate", "--from", &from, "--to", &to]).await?;
    ensure!(moved.ok && moved.stdout.contains("job: 1 rows"), "{moved:?}");
    let key = std::fs::read_to_string(source.data_dir().join("signing-key"))?;
    let there = setup(&upstream)?.on_sqlite().env("DATABASE_URL", &to).env("SECRET_KEY", key.trim());
    let server = there.start().await?;
    let client = client.at(&server);
    assert_eq!(settled(&client, &before).await?["title"], "Tree heights");
    Ok(())
}
