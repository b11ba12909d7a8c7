use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::child::{ChildError, ChildOptions, run};
use crate::tiny::{self, Spec};

type Client = SendRequest<Full<Bytes>>;

struct World {
    directory: tempfile::TempDir,
    stop: CancellationToken,
    child: JoinHandle<Result<(), ChildError>>,
    tracker: TaskTracker,
}

impl World {
    fn start() -> Self {
        Self::start_with(&tiny::model(Spec { context: 512, ..Spec::default() }))
    }

    fn start_with(model: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tiny.gguf");
        std::fs::write(&file, model).unwrap();
        let options = ChildOptions {
            model: file,
            socket: directory.path().join("s"),
            name: String::from("tiny"),
            threads: 1,
            context: None,
            kv_budget_bytes: 1 << 20,
            follow_parent: false,
        };
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let child = tracker.spawn(run(options, stop.clone()));
        Self { directory, stop, child, tracker }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    async fn connect(&self) -> Client {
        let stream = loop {
            match UnixStream::connect(self.socket()).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let (client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.tracker.spawn(connection);
        client
    }

    async fn ready(&self) -> Client {
        let mut client = self.connect().await;
        loop {
            let (status, body) = get(&mut client, "/health").await;
            if status == 200 {
                assert_eq!(body["status"], "ok");
                return client;
            }
            assert_eq!((status, body["status"].as_str()), (503, Some("loading")));
        }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.child).await.unwrap().unwrap().unwrap();
        assert!(!self.directory.path().join("s").exists());
    }
}

async fn send(client: &mut Client, request: Request<Full<Bytes>>) -> Response<Incoming> {
    client.ready().await.unwrap();
    client.send_request(request).await.unwrap()
}

async fn get(client: &mut Client, path: &str) -> (u16, Value) {
    let request = Request::get(path).header("host", "x").body(Full::default()).unwrap();
    whole(send(client, request).await).await
}

async fn whole(response: Response<Incoming>) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/chat/completions").header("host", "x");
    request.body(Full::new(body.into())).unwrap()
}

async fn ask(client: &mut Client, body: Value) -> (u16, Value) {
    whole(send(client, post(body.to_string())).await).await
}

/// All events of a streamed answer, the end marker checked and taken off.
async fn stream(client: &mut Client, body: Value) -> Vec<Value> {
    let response = send(client, post(body.to_string())).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let mut events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    let payload = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap());
    events.into_iter().map(|event| payload(event).unwrap()).collect()
}

fn question(text: &str) -> Value {
    json!({
        "model": "tiny", "messages": [{"role": "user", "content": text}],
        "max_tokens": 24, "seed": 5, "temperature": 1.5, "user": "u",
    })
}

fn with(mut base: Value, mut more: Value) -> Value {
    for (key, value) in more.as_object_mut().unwrap() {
        base[key] = value.take();
    }
    base
}

#[tokio::test]
async fn whole_and_streamed_answers_agree() {
    let world = World::start();
    let mut client = world.ready().await;
    let (status, whole) = ask(&mut client, question("hello")).await;
    assert_eq!((status, whole["object"].as_str()), (200, Some("chat.completion")));
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap();

    let options = json!({"stream": true, "stream_options": {"include_usage": true}, "return_token_ids": true});
    let events = stream(&mut client, with(question("hello"), options)).await;
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, content);
    let ids: usize = events.iter().filter_map(|event| event["choices"][0]["token_ids"].as_array()).map(Vec::len).sum();
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(usage["completion_tokens"], ids);
    assert_eq!(usage["completion_tokens"], whole["usage"]["completion_tokens"]);
    let finish = &events[events.len() - 2]["choices"][0]["finish_reason"];
    assert_eq!(finish, &whole["choices"][0]["finish_reason"]);

    let (status, models) = get(&mut client, "/v1/models").await;
    assert_eq!((status, &models["data"][0]["id"]), (200, &json!("tiny")));
    world.end().await;
}

/// The text and the tokens of each event, and the finish.
async fn said(client: &mut Client, body: Value) -> (Vec<(String, Vec<u64>)>, Value) {
    let (mut said, mut finish) = (Vec::new(), Value::Null);
    for event in stream(client, with(body, json!({"stream": true, "return_token_ids": true}))).await {
        let choice = &event["choices"][0];
        if let Some(text) = choice["delta"]["content"].as_str() {
            let ids = choice["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
            said.push((text.to_owned(), ids.collect()));
        }
        if !choice["finish_reason"].is_null() {
            finish = choice["finish_reason"].clone();
        }
    }
    (said, finish)
}

fn text_of(said: &[(String, Vec<u64>)]) -> String {
    said.iter().map(|(text, _)| text.as_str()).collect()
}

fn go_on(text: &str, ids: Option<&[u64]>, max_tokens: usize) -> Value {
    let messages = json!([{"role": "user", "content": "go on"}, {"role": "assistant", "content": text}]);
    let more = json!({"messages": messages, "continue_final_message": true, "max_tokens": max_tokens});
    with(with(question("go on"), more), json!({"continue_token_ids": ids}))
}

#[tokio::test]
async fn a_continued_answer_is_the_same_answer() {
    let world = World::start();
    let mut client = world.ready().await;
    // One that is new, and one that a user goes on with.
    for given in ["", "Once upon "] {
        let first = if given.is_empty() { question("go on") } else { go_on(given, None, 24) };
        let (whole, finish) = said(&mut client, first).await;
        assert!(whole.len() > 9, "{whole:?}");
        for cut in 1..=whole.len() {
            let ids: Vec<u64> = whole[..cut].iter().flat_map(|(_, ids)| ids).copied().collect();
            let text = format!("{given}{}", text_of(&whole[..cut]));
            let (rest, how) = said(&mut client, go_on(&text, Some(&ids), 24usize.saturating_sub(ids.len()))).await;
            assert_eq!((rest, &how), (whole[cut..].to_vec(), &finish), "{cut}");
        }
        // By text alone, or with tokens that are not the text's, it goes on from the text.
        let text = text_of(&whole);
        let by_text = said(&mut client, go_on(&text, None, 5)).await;
        assert_ne!(text_of(&by_text.0), text);
        assert_eq!(said(&mut client, go_on(&text, Some(&[1, 2, 3]), 5)).await, by_text);
    }
    world.end().await;
}

/// What is said of a request's messages that were left out.
async fn left_out(client: &mut Client, body: Value) -> usize {
    let response = send(client, post(body.to_string())).await;
    assert_eq!(response.status(), 200);
    let said = response.headers()[LEFT_OUT].to_str().unwrap().parse().unwrap();
    response.into_body().collect().await.unwrap();
    said
}

#[tokio::test]
async fn what_is_left_out_is_counted() {
    let world = World::start();
    let mut client = world.ready().await;
    let long = "many words ".repeat(8);
    let turn = |role: &str| json!({"role": role, "content": long});
    let (system, user, assistant) = (turn("system"), turn("user"), turn("assistant"));
    let turns = |count: usize| [&user, &assistant].into_iter().cycle().take(count).cloned().collect::<Vec<_>>();
    assert_eq!(left_out(&mut client, with(question("x"), json!({"messages": turns(1)}))).await, 0);

    let mut last = 0;
    for count in [9, 11, 13] {
        let whole = with(question("x"), json!({"messages": turns(count)}));
        let left = left_out(&mut client, whole.clone()).await;
        assert!(left > last && left < count && left % 2 == 0, "{left} of {count}: it begins with a question");
        assert_eq!(left_out(&mut client, with(whole.clone(), json!({"stream": true}))).await, left);
        // The same answer as without the turns that were left out.
        let short = with(whole.clone(), json!({"messages": turns(count)[left..]}));
        assert_eq!(left_out(&mut client, short.clone()).await, 0);
        assert_eq!(said(&mut client, short).await, said(&mut client, whole.clone()).await);

        // Instructions stay, wherever they stand, and count neither way.
        let (mut before, mut within) = (turns(count), turns(count));
        before.insert(0, system.clone());
        within.insert(2, system.clone());
        let before = left_out(&mut client, with(whole.clone(), json!({"messages": before}))).await;
        assert_eq!(left_out(&mut client, with(whole.clone(), json!({"messages": within}))).await, before);
        assert!(before >= left && before % 2 == 0, "{before}");

        // An answer that is gone on with is none of the turns.
        let partial = [turns(count), vec![assistant.clone()]].concat();
        let go_on = json!({"messages": partial, "continue_final_message": true});
        assert!(left_out(&mut client, with(whole, go_on)).await >= left);
        last = left;
    }
    world.end().await;
}

#[tokio::test]
async fn errors_are_openai_objects() {
    let world = World::start();
    let mut client = world.ready().await;
    for (body, code) in [
        (json!({}), "invalid_request"),
        (json!({"messages": []}), "invalid_request"),
        (json!({"messages": [{"role": "wizard", "content": "x"}]}), "invalid_request"),
        (with(question("x"), json!({"temperature": -1})), "invalid_request"),
        (with(question("x"), json!({"max_tokens": 0})), "invalid_request"),
        (go_on("x", None, 0), "invalid_request"),
        (with(question("x"), json!({"continue_token_ids": [1]})), "invalid_request"),
        (with(question("x"), json!({"continue_final_message": true})), "invalid_request"),
        (question(&"long ".repeat(500)), "context_length_exceeded"),
    ] {
        let (status, error) = ask(&mut client, body).await;
        assert_eq!((status, error["error"]["code"].as_str()), (400, Some(code)), "{error}");
        assert!(error["error"]["message"].is_string() && error["error"]["type"].is_string());
    }
    let (status, _) = whole(send(&mut client, post("not json")).await).await;
    assert_eq!(status, 400);
    assert_eq!(get(&mut client, "/nowhere").await.0, 404);
    assert_eq!(get(&mut client, "/v1/chat/completions").await.0, 405);
    let (status, error) = whole(send(&mut client, post(vec![b' '; MAX_BODY + 1])).await).await;
    assert_eq!((status, error["error"]["code"].as_str()), (413, Some("request_too_large")));
    world.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_answer() {
    let world = World::start_with(&tiny::model(Spec { context: 1 << 19, ..Spec::default() }));
    drop(world.ready().await);
    // As many as run at a time, each of them for far longer than this test.
    for _ in 0..16 {
        let mut client = world.connect().await;
        let endless = with(question("x"), json!({"stream": true, "max_tokens": 400_000}));
        let mut body = send(&mut client, post(endless.to_string())).await.into_body();
        assert!(body.frame().await.is_some());
    }
    let mut client = world.connect().await;
    let answer = tokio::time::timeout(Duration::from_secs(60), ask(&mut client, question("y")));
    assert_eq!(answer.await.unwrap().0, 200);
    world.end().await;
}

#[tokio::test]
async fn the_end_interrupts_answers() {
    let world = World::start_with(&tiny::model(Spec { context: 1 << 19, ..Spec::default() }));
    let mut client = world.ready().await;
    let endless = with(question("x"), json!({"stream": true, "max_tokens": 400_000}));
    let mut body = send(&mut client, post(endless.to_string())).await.into_body();
    assert!(body.frame().await.is_some());
    world.stop.cancel();
    let rest = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(rest.to_vec()).unwrap();
    assert!(text.contains("\"code\":\"interrupted\"") && !text.contains("[DONE]"));
    world.end().await;
}

#[tokio::test]
async fn an_unusable_file_ends_the_child_with_the_reason() {
    let world = World::start_with(b"not a model");
    let error = world.child.await.unwrap().unwrap_err();
    assert!(matches!(error, ChildError::Load(crate::error::LoadError::NotGguf)), "{error}");
    assert!(!world.directory.path().join("s").exists());
}
