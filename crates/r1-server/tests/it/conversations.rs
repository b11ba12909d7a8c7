//! Conversations, and whose they are.

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use r1_testkit::upstream::{RecordedRequest, Script, Upstream};

use crate::support::{Setup, expect, expect_problem, id_of, stream};

#[tokio::test]
async fn conversations_are_made_renamed_listed_and_deleted() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let made = client.post("/conversations", &json!({"title": "  First  "})).await?.text().await?;
    assert_eq!(made.matches("\"id\":\"").count(), 1, "the seed's script greps for exactly one: {made}");
    let made: Value = serde_json::from_str(&made)?;
    assert_eq!(made["title"], "First");
    let id = id_of(&made, "id")?;

    let renamed =
        client.request(Method::PATCH, &format!("/conversations/{id}")).json(&json!({"title": "Second"})).send();
    assert_eq!(expect(renamed.await?, StatusCode::OK).await?["title"], "Second");
    assert_eq!(client.read(&format!("/conversations/{id}")).await?["title"], "Second");

    let untitled = expect(client.post("/conversations", &json!({})).await?, StatusCode::CREATED).await?;
    assert_eq!((untitled["title"].as_str(), &untitled["generation_id"]), (Some("New conversation"), &Value::Null));

    let gone = client.request(Method::DELETE, &format!("/conversations/{id}")).send().await?;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    expect_problem(client.get(&format!("/conversations/{id}")).await?, 404, "not_found").await?;
    let list = client.read("/conversations").await?;
    assert_eq!(list["conversations"].as_array().context("list")?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn lists_come_in_pages_that_fit_together() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(client.conversation().await?);
    }
    made.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.read(&format!("/conversations?limit=3{cursor}")).await?;
        for conversation in page["conversations"].as_array().context("page")? {
            seen.push(id_of(conversation, "id")?);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made, "the newest first");
    for query in ["limit=0", "limit=201", "limit=x", "cursor=garbage", "unknown=1"] {
        assert_eq!(client.get(&format!("/conversations?{query}")).await?.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn whether_a_conversation_exists_is_told_without_an_error() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let (client, other) = (server.user("ada").await?, server.user("other").await?);
    let (id, foreign) = (client.conversation().await?, other.conversation().await?);
    let page = client.read(&format!("/conversations?id={id}")).await?;
    let whole = client.read(&format!("/conversations/{id}")).await?;
    assert_eq!(page, json!({"conversations": [whole], "next_cursor": null}));
    let none = json!({"conversations": [], "next_cursor": null});
    for id in [foreign.as_str(), "0190a6e1-0000-7000-8000-000000000000", "garbage", "", "%00"] {
        assert_eq!(client.read(&format!("/conversations?id={id}")).await?, none, "{id:?}");
    }
    expect_problem(client.get(&format!("/conversations?id={id}&limit=0")).await?, 400, "bad_parameter").await?;
    expect_problem(server.anonymous().get(&format!("/conversations?id={id}")).await?, 401, "unauthenticated").await?;
    Ok(())
}

#[tokio::test]
async fn another_users_things_do_not_exist() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("private").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let (owner, other) = (server.user("owner").await?, server.user("other").await?);
    let id = owner.conversation().await?;
    let mut running = owner.ask(&json!({"message": "mine", "conversation_id": id})).await?;
    let start = running.next_frame().await?.context("start")?;
    running.next_frame().await?;
    let generation = id_of(&start.data, "generation_id")?;
    let message = id_of(&start.data, "message_id")?;

    let requests = [
        other.request(Method::GET, &format!("/conversations/{id}")),
        other.request(Method::PATCH, &format!("/conversations/{id}")).json(&json!({"title": "stolen"})),
        other.request(Method::PATCH, &format!("/conversations/{id}")).json(&json!({"head_message_id": message})),
        other.request(Method::DELETE, &format!("/conversations/{id}")),
        other.request(Method::GET, &format!("/conversations/{id}/messages")),
        other.request(Method::POST, "/chat/stream").json(&json!({"message": "x", "conversation_id": id})),
        other.request(Method::POST, "/chat").json(&json!({"message": "x", "conversation_id": id})),
        other.request(Method::GET, &format!("/chat/stream?conversation_id={id}")),
        other.request(Method::GET, &format!("/chat/stream?generation_id={generation}")),
        other.request(Method::GET, "/chat/stream").header("last-event-id", start.last_event_id()),
        other.request(Method::POST, &format!("/chat/generations/{generation}/stop")),
    ];
    for request in requests {
        expect_problem(request.send().await?, 404, "not_found").await?;
    }
    let own = other.conversation().await?;
    let foreign_parent = json!({"message": "x", "conversation_id": own, "parent_id": message});
    expect_problem(other.post("/chat/stream", &foreign_parent).await?, 404, "not_found").await?;
    let foreign_head = json!({"head_message_id": message});
    let choosing = other.request(Method::PATCH, &format!("/conversations/{own}")).json(&foreign_head);
    expect_problem(choosing.send().await?, 422, "invalid").await?;
    // The newest running generation is the caller's own, or none.
    assert_eq!(other.get("/chat/stream").await?.status(), StatusCode::NO_CONTENT);
    assert_eq!(owner.messages(&id).await?.len(), 2, "nothing happened to it");
    Ok(())
}

#[tokio::test]
async fn the_chosen_version_is_kept() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_: &RecordedRequest| Script::text("Yes."));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let start = client.ask_to_end(&json!({"message": "one"})).await?[0].data.clone();
    let (id, first) = (id_of(&start, "conversation_id")?, id_of(&start, "message_id")?);
    let further = client.ask_to_end(&json!({"message": "two", "conversation_id": id})).await?[0].data.clone();
    let end = id_of(&further, "message_id")?;
    let retry =
        client.post(&format!("/chat/generations/{}/retry", id_of(&start, "generation_id")?), &json!({})).await?;
    let second = id_of(&stream(retry).await?.collect_to_end().await?[0].data, "message_id")?;

    let path = format!("/conversations/{id}");
    let change = async |body: Value| client.request(Method::PATCH, &path).json(&body).send().await;
    let before = client.read(&path).await?;
    assert_eq!(before["head_message_id"], *second);
    let chosen = expect(change(json!({"head_message_id": first})).await?, StatusCode::OK).await?;
    assert_eq!((&chosen["head_message_id"], &chosen["updated_at"]), (&json!(end), &before["updated_at"]));
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    assert_eq!(client.read(&path).await?, chosen, "on every device, and after a restart");
    // A question without a parent follows what is shown.
    let next = client.ask_to_end(&json!({"message": "three", "conversation_id": id})).await?[0].data.clone();
    let messages = client.messages(&id).await?;
    let answer = messages.iter().find(|message| message["id"] == next["message_id"]).context("an answer")?;
    let question = messages.iter().find(|message| message["id"] == answer["parent_id"]).context("a question")?;
    assert_eq!(question["parent_id"], *end);

    let change = async |body: Value| client.request(Method::PATCH, &path).json(&body).send().await;
    for (body, field) in [
        (json!({"head_message_id": id}), "head_message_id"),
        (json!({"head_message_id": "x"}), "head_message_id"),
        (json!({"head_message_id": first, "title": " "}), "title"),
        (json!({}), "title"),
        (json!({"title": null, "head_message_id": null}), "title"),
    ] {
        let problem = expect_problem(change(body).await?, 422, "invalid").await?;
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let both = expect(change(json!({"head_message_id": second, "title": "Both"})).await?, StatusCode::OK).await?;
    assert_eq!((&both["head_message_id"], &both["title"]), (&json!(second), &json!("Both")));
    Ok(())
}

#[tokio::test]
async fn deleting_a_conversation_stops_what_runs_in_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("on and on").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    let stream = client.ask(&json!({"message": "go", "conversation_id": id})).await?;
    upstream.wait_requests(1).await?;
    let gone = client.request(Method::DELETE, &format!("/conversations/{id}")).send().await?;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let frames = stream.collect_to_end().await?;
    assert_eq!(frames.last().context("a terminal event")?.data["status"], "stopped");
    upstream.wait_closed(1).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_without_a_word_is_not_in_the_history() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::error(StatusCode::BAD_REQUEST, "x", "y"));
    upstream.push(Script::text("fine"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    for message in ["one", "two"] {
        client.ask_to_end(&json!({"message": message, "conversation_id": id})).await?;
    }
    let asked = upstream.last_request().context("a request")?;
    let turns = asked.body["messages"].as_array().context("turns")?;
    assert_eq!(turns.iter().map(|turn| turn["content"].as_str()).collect::<Vec<_>>(), [Some("one\n\ntwo")]);
    Ok(())
}

#[tokio::test]
async fn a_conversation_is_a_tree() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    upstream.respond_with(|request| Script::text(&format!("answer to {}", request.question())));
    client.ask_to_end(&json!({"message": "one", "conversation_id": id})).await?;
    let first = client.messages(&id).await?;
    let answer = id_of(&first[1], "id")?;
    client.ask_to_end(&json!({"message": "two", "conversation_id": id})).await?;
    // A branch from the first answer: the second question is not in its history.
    client.ask_to_end(&json!({"message": "three", "conversation_id": id, "parent_id": answer})).await?;
    let asked = upstream.last_request().context("a request")?;
    let texts: Vec<_> =
        asked.body["messages"].as_array().context("turns")?.iter().map(|m| m["content"].as_str()).collect();
    assert_eq!(texts, [Some("one"), Some("answer to one"), Some("three")]);
    let messages = client.messages(&id).await?;
    assert_eq!(messages[2]["parent_id"], messages[4]["parent_id"], "siblings");
    // Without a parent the branch that was last written to goes on.
    client.ask_to_end(&json!({"message": "four", "conversation_id": id})).await?;
    assert_eq!(client.messages(&id).await?[6]["parent_id"], messages[5]["id"]);
    Ok(())
}

#[tokio::test]
async fn the_list_names_what_runs() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("x").wait_for("go").ending());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let quiet = client.conversation().await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let start = reader.next_frame().await?.context("start")?.data;
    let listed = client.read("/conversations").await?["conversations"].clone();
    assert_eq!((&listed[0]["id"], &listed[0]["generation_id"]), (&start["conversation_id"], &start["generation_id"]));
    assert_eq!((listed[1]["id"].as_str(), &listed[1]["generation_id"]), (Some(quiet.as_str()), &Value::Null));
    let path = format!("/conversations/{}", id_of(&start, "conversation_id")?);
    assert_eq!(client.read(&path).await?["generation_id"], start["generation_id"]);
    upstream.open("go");
    reader.collect_to_end().await?;
    assert_eq!(client.read(&path).await?["generation_id"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn the_first_question_names_what_nobody_named() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("answer"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let cases = [
        (json!({}), "What is  AI?", "What is AI?"),
        (json!({"title": null}), "What is AI?", "What is AI?"),
        (json!({"title": "Mine"}), "What is AI?", "Mine"),
        (json!({"title": "New conversation"}), "What is AI?", "New conversation"),
    ];
    for (form, question, title) in cases {
        let made = expect(client.post("/conversations", &form).await?, StatusCode::CREATED).await?;
        let id = id_of(&made, "id")?;
        for message in [question, "And then?"] {
            client.ask_to_end(&json!({"message": message, "conversation_id": id})).await?;
            assert_eq!(client.read(&format!("/conversations/{id}")).await?["title"], title, "{form}");
        }
    }
    Ok(())
}
