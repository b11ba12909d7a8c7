//! One branch of a conversation, as it is shown.

use anyhow::{Context, Result};
use reqwest::StatusCode;
use serde_json::{Value, json};

use r1_testkit::upstream::{RecordedRequest, Script, Upstream};

use crate::support::{Client, Setup, expect_problem, id_of, stream};

/// Every page of a branch, the newest first.
async fn pages(client: &Client, conversation: &str, path: &str, limit: usize) -> Result<Vec<Vec<Value>>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let query = format!("path={path}&limit={limit}{cursor}");
        let page = client.read(&format!("/conversations/{conversation}/messages?{query}")).await?;
        pages.push(page["messages"].as_array().cloned().context("messages")?);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(pages),
        }
    }
}

fn ids(messages: &[Value]) -> Vec<&Value> {
    messages.iter().map(|message| &message["id"]).collect()
}

#[tokio::test]
async fn the_shown_branch_comes_newest_page_first() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request: &RecordedRequest| Script::text(&format!("answer to {}", request.question())));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let empty = client.conversation().await?;
    assert_eq!(pages(&client, &empty, "head", 5).await?, [Vec::<Value>::new()]);

    let start = client.ask_to_end(&json!({"message": "one"})).await?[0].data.clone();
    let id = id_of(&start, "conversation_id")?;
    for message in ["two", "three"] {
        client.ask_to_end(&json!({"message": message, "conversation_id": id})).await?;
    }
    let all = client.messages(&id).await?;
    // A second answer to the first question, which is what is shown from now on.
    let retry =
        client.post(&format!("/chat/generations/{}/retry", id_of(&start, "generation_id")?), &json!({})).await?;
    let second = id_of(&stream(retry).await?.collect_to_end().await?[0].data, "message_id")?;
    let versions = json!([all[1]["id"], second]);

    let shown = pages(&client, &id, "head", 50).await?.concat();
    assert_eq!(ids(&shown), [&all[0]["id"], &json!(second)]);
    assert_eq!((&shown[0]["siblings"], &shown[1]["siblings"]), (&json!([all[0]["id"]]), &versions));
    // The other branch, by either of its messages, to its end.
    for (path, limit) in [(1, 50), (1, 2), (4, 4), (5, 1)] {
        let mut read = pages(&client, &id, all[path]["id"].as_str().context("an id")?, limit).await?;
        read.reverse();
        let read = read.concat();
        assert_eq!(ids(&read), ids(&all), "path {path}, {limit} a page");
        assert_eq!(read[1]["siblings"], versions);
        for (mut message, listed) in read.into_iter().zip(&all) {
            let message = message.as_object_mut().context("a message")?;
            assert!(message.remove("siblings").is_some());
            assert_eq!(Some(&*message), listed.as_object(), "all else is as it is listed");
        }
    }
    assert!(all.iter().all(|message| message.get("siblings").is_none()), "without a path nothing is new");
    Ok(())
}

#[tokio::test]
async fn a_running_answer_has_its_text_and_place() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("one ").wait_for("go").chunk("two").ending());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "count"})).await?;
    let id = id_of(&reader.next_frame().await?.context("start")?.data, "conversation_id")?;
    let first = reader.next_frame().await?.context("chunk")?;
    let running = pages(&client, &id, "head", 1).await?[0][0].clone();
    assert_eq!((running["status"].as_str(), running["content"].as_str()), (Some("running"), Some("one ")));
    assert_eq!(running["last_event_id"], first.last_event_id());
    upstream.open("go");
    reader.collect_to_end().await?;
    assert_eq!(pages(&client, &id, "head", 1).await?[0][0]["content"], "one two");
    Ok(())
}

#[tokio::test]
async fn what_is_no_branch_is_refused() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_: &RecordedRequest| Script::text("Yes."));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let start = client.ask_to_end(&json!({"message": "one"})).await?[0].data.clone();
    let id = id_of(&start, "conversation_id")?;
    let (own, elsewhere) = (id_of(&start, "message_id")?, client.conversation().await?);
    let messages = async |id: &str, query: &str| client.get(&format!("/conversations/{id}/messages?{query}")).await;
    for (query, parameter) in [
        ("path=", "path"),
        ("path=tail", "path"),
        ("path=head&cursor=garbage", "cursor"),
        ("path=head&cursor=1.2", "cursor"),
        ("path=head&limit=0", "limit"),
        ("path=head&limit=201", "limit"),
    ] {
        let problem = expect_problem(messages(&id, query).await?, 400, "bad_parameter").await?;
        assert_eq!(problem["errors"][0]["field"], parameter, "{query}");
    }
    for query in ["path=head&path=head", "path=head&what=1", "path=head&limit=x"] {
        assert_eq!(messages(&id, query).await?.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    // A cursor of the whole list is none of a branch, and the other way round.
    expect_problem(messages(&id, &format!("cursor={own}")).await?, 400, "bad_parameter").await?;
    let unknown = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f";
    for query in [format!("path={unknown}"), format!("path=head&cursor={unknown}")] {
        expect_problem(messages(&id, &query).await?, 404, "not_found").await?;
    }
    for query in [format!("path={own}"), format!("path=head&cursor={own}")] {
        expect_problem(messages(&elsewhere, &query).await?, 404, "not_found").await?;
    }
    Ok(())
}
