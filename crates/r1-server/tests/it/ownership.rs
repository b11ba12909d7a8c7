//! Another person's things, deleted ones and ones that never were: nobody can tell them apart.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::Frame,
    upstream::{Script, Upstream},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, expect, id_of, stream};

/// The ids that a request can name.
#[derive(Clone)]
struct Things {
    conversation: String,
    message: String,
    generation: String,
}

impl Things {
    async fn of(client: &Client, start: &Frame) -> Result<Self> {
        let conversation = id_of(&start.data, "conversation_id")?;
        let message = id_of(client.messages(&conversation).await?.first().context("a question")?, "id")?;
        Ok(Self { conversation, message, generation: id_of(&start.data, "generation_id")? })
    }

    fn all(id: &str) -> Self {
        Self { conversation: id.to_owned(), message: id.to_owned(), generation: id.to_owned() }
    }
}

/// Every request that names a thing. `own` is a conversation of the caller's.
fn requests(client: &Client, things: &Things, own: &str) -> Vec<(String, RequestBuilder)> {
    let Things { conversation, message, generation } = things;
    let mut requests = Vec::new();
    let mut add = |method: Method, path: String, body: Option<Value>, headers: &[(&str, String)]| {
        let name = format!("{method} {path} {} {headers:?}", body.as_ref().unwrap_or(&Value::Null));
        let request = client.request(method, &path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        requests.push((
            name,
            match body {
                Some(body) => request.json(&body),
                None => request,
            },
        ));
    };
    let thing = format!("/conversations/{conversation}");
    add(Method::GET, thing.clone(), None, &[]);
    add(Method::PATCH, thing.clone(), Some(json!({"title": "mine"})), &[]);
    add(Method::GET, format!("{thing}/messages"), None, &[]);
    for query in ["path=head".to_owned(), format!("path={message}"), format!("path=head&cursor={message}")] {
        add(Method::GET, format!("{thing}/messages?{query}"), None, &[]);
        if query != "path=head" {
            add(Method::GET, format!("/conversations/{own}/messages?{query}"), None, &[]);
        }
    }
    add(Method::DELETE, thing, None, &[]);
    add(Method::GET, format!("/chat/generations/{generation}"), None, &[]);
    for act in ["stop", "continue", "retry"] {
        let path = format!("/chat/generations/{generation}/{act}");
        add(Method::POST, path.clone(), None, &[]);
        if act != "stop" {
            add(Method::POST, path, Some(json!({"max_tokens": 5})), &[("idempotency-key", "key".to_owned())]);
        }
    }
    for path in ["/chat/stream", "/chat"] {
        for headers in [&[][..], &[("idempotency-key", "key".to_owned())]] {
            let question = json!({"message": "x", "conversation_id": conversation});
            add(Method::POST, path.to_owned(), Some(question), headers);
            let below = json!({"message": "x", "conversation_id": own, "parent_id": message});
            add(Method::POST, path.to_owned(), Some(below), headers);
        }
    }
    for query in [
        format!("generation_id={generation}"),
        format!("generation_id={generation}&after=0"),
        format!("generation_id={generation}&after=1.1"),
        format!("generation_id={generation}&after=1.999"),
        format!("conversation_id={conversation}"),
    ] {
        add(Method::GET, format!("/chat/stream?{query}"), None, &[]);
    }
    for (query, cursor) in [("", "1.1"), ("", "1.2"), ("", "1.999"), ("", "9.1"), ("after=0", "1.1")] {
        let id = format!("{generation}:{cursor}");
        add(Method::GET, format!("/chat/stream?{query}"), None, &[("last-event-id", id.clone())]);
        add(Method::GET, format!("/chat/stream?generation_id={generation}"), None, &[("last-event-id", id)]);
    }
    requests
}

/// What a refusal tells, but for the request's own id.
async fn told(response: Response) -> Result<(StatusCode, Vec<String>, Value)> {
    let status = response.status();
    let varies = ["date", "x-request-id"];
    let names = response.headers().keys().map(ToString::to_string).filter(|name| !varies.contains(&name.as_str()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    let mut problem: Value = serde_json::from_str(&response.text().await?)?;
    problem.as_object_mut().context("a document")?.remove("request_id");
    Ok((status, names, problem))
}

/// Ada's answers: one that has ended, one that is cut, one that is being written.
async fn answers(server: &Server, upstream: &Upstream) -> Result<(Client, [Things; 3])> {
    let ada = server.user("ada").await?;
    upstream.push(Script::text("ada's own"));
    let ended = ada.ask_to_end(&json!({"message": "private"})).await?;
    upstream.push(Script::new().role().chunk("ada's").finish("length").done());
    let cut = ada.ask_to_end(&json!({"message": "private"})).await?;
    upstream.push(Script::new().role().chunk("ada's ").wait_for("go").chunk("own").ending());
    let mut reader = ada.ask(&json!({"message": "private"})).await?;
    let running = reader.collect_until(|frame| frame.content().is_some()).await?;
    let things =
        [Things::of(&ada, &ended[0]).await?, Things::of(&ada, &cut[0]).await?, Things::of(&ada, &running[0]).await?];
    Ok((ada, things))
}

#[tokio::test]
async fn what_is_not_yours_is_not_there() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let (ada, things) = answers(&server, &upstream).await?;
    let eve = server.user("eve").await?;
    let own = eve.conversation().await?;

    // Ids that name nothing, and ids that are none where a path can't hold another.
    let unknown = Things::all("0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f");
    let mut expected = Vec::new();
    for (name, request) in requests(&eve, &unknown, &own) {
        let told = told(request.send().await?).await?;
        ensure!(told.0 == StatusCode::NOT_FOUND && told.2["code"] == "not_found", "{name}: {told:?}");
        expected.push(told);
    }
    for foreign in &things {
        for ((name, request), expected) in requests(&eve, foreign, &own).into_iter().zip(&expected) {
            assert_eq!(told(request.send().await?).await?, *expected, "somebody else's: {name}");
        }
    }
    // Ada's key tells Eve nothing, and takes nothing from her.
    let made = |client: &Client| {
        let request = client.request(Method::POST, "/conversations").header("idempotency-key", "ada's");
        request.json(&json!({"title": "A"})).send()
    };
    let of_ada = expect(made(&ada).await?, StatusCode::CREATED).await?;
    assert_ne!(expect(made(&eve).await?, StatusCode::CREATED).await?["id"], of_ada["id"]);

    // Nothing was done to any of it: Ada's answer is still being written, and nobody reached the model.
    assert_eq!(upstream.requests().len(), 3);
    upstream.open("go");
    let running = &things[2];
    let frames = stream(ada.attach(&format!("generation_id={}", running.generation)).await?).await?;
    assert_eq!(frames.collect_to_end().await?.last().context("an end")?.data["status"], "completed");
    for (thing, text) in things.iter().zip(["ada's own", "ada's", "ada's own"]) {
        let messages = ada.messages(&thing.conversation).await?;
        assert_eq!((messages.len(), messages[1]["content"].as_str()), (2, Some(text)));
        assert_eq!(ada.read(&format!("/conversations/{}", thing.conversation)).await?["title"], "private");
    }

    // What is deleted is as if it had never been, for its owner as well.
    let own = ada.conversation().await?;
    for deleted in &things {
        let path = format!("/conversations/{}", deleted.conversation);
        assert_eq!(ada.request(Method::DELETE, &path).send().await?.status(), StatusCode::NO_CONTENT);
        for ((name, request), expected) in requests(&ada, deleted, &own).into_iter().zip(&expected) {
            assert_eq!(told(request.send().await?).await?, *expected, "deleted: {name}");
        }
    }
    assert_eq!(upstream.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_running_answer_of_a_deleted_conversation_is_gone_too() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let (ada, [_, _, running]) = answers(&server, &upstream).await?;
    let path = format!("/conversations/{}", running.conversation);
    assert_eq!(ada.request(Method::DELETE, &path).send().await?.status(), StatusCode::NO_CONTENT);
    let own = ada.conversation().await?;
    for (name, request) in requests(&ada, &running, &own) {
        let told = told(request.send().await?).await?;
        ensure!(told.0 == StatusCode::NOT_FOUND, "{name}: {told:?}");
    }
    upstream.wait_until("the answer is abandoned", |counters| counters.answers_abandoned == 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_disabled_account_reaches_nothing_of_its_own() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let (ada, things) = answers(&server, &upstream).await?;
    let own = ada.conversation().await?;
    let done = server.setup().run(&["user", "disable", "ada"]).await?;
    ensure!(done.ok, "{}", done.stderr);
    // Another process did that: this one learns of it within seconds.
    while ada.get("/auth/me").await?.status() == StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for thing in &things {
        for (name, request) in requests(&ada, thing, &own) {
            let told = told(request.send().await?).await?;
            ensure!(told.0 == StatusCode::UNAUTHORIZED && told.2["code"] == "session_ended", "{name}: {told:?}");
        }
    }
    Ok(())
}
