//! Connections: closed when an answer is given up, kept when it was heard to its end.

use std::time::Duration;

use futures::StreamExt;
use r1_domain::provider::{Delta, Provider};
use r1_providers::openai::OpenAi;
use r1_testkit::upstream::{Script, Upstream, paced_marks};

use crate::support::{ask, client, config, finish, read, request};

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let upstream = Upstream::start().await.unwrap();
    upstream.push(Script::new().chunk("a").hang());
    let mut stream = client(&upstream).complete(request("x")).await.unwrap();
    assert_eq!(stream.next().await, Some(Ok(Delta::text("a"))));
    assert_eq!(upstream.counters().connections_closed, 0);
    drop(stream);
    upstream.wait_closed(1).await.unwrap();
    assert_eq!(upstream.counters().answers_abandoned, 1);
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    // Takes the request, answers nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let client = OpenAi::new(r1_providers::openai::OpenAiConfig::new("up", base_url)).unwrap();
    let mut asking = client.complete(request("x"));
    let accepted = tokio::select! {
        _ = &mut asking => panic!("there was no answer to have"),
        accepted = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 16];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut some).await.unwrap();
            stream
        } => accepted,
    };
    drop(asking);
    let (mut stream, mut rest) = (accepted, Vec::new());
    let closed = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the connection closes").unwrap();
}

#[tokio::test]
async fn an_answer_that_ended_leaves_its_connection_for_the_next() {
    let upstream = Upstream::start().await.unwrap();
    let client = client(&upstream);
    for i in 0..5 {
        let question = format!("number {i}");
        assert_eq!(ask(&client, request(&question)).await.0, format!("You said: {question}"));
    }
    // One, unless the machine is so busy that the end of a body comes too late.
    assert!(upstream.counters().connections_opened < 5, "{upstream:?}");
}

#[tokio::test]
async fn of_a_crowds_connections_a_bounded_number_is_kept() {
    let (kept, more) = (64, 10);
    let upstream = Upstream::start().await.unwrap();
    upstream.respond_with(|_| Script::new().chunk("a").wait_for("all").ending());
    let client = client(&upstream);
    let asked = (0..kept + more).map(|_| client.complete(request("x")));
    let streams = futures::future::try_join_all(asked).await.unwrap();
    assert_eq!(upstream.counters().connections_opened, kept + more);
    upstream.open("all");
    for (text, last) in futures::future::join_all(streams.into_iter().map(read)).await {
        assert_eq!((text.as_str(), finish(&last)), ("a", "stop"));
    }
    upstream.wait_closed(more).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.sock");
    let upstream = Upstream::start_unix(&path).unwrap();
    let mut config = config(&upstream);
    config.unix_socket = Some(path);
    let (text, last) = ask(&OpenAi::new(config).unwrap(), request("over a socket")).await;
    assert_eq!((text.as_str(), finish(&last)), ("You said: over a socket", "stop"));
}

/// How much of a history was left out is our own engine's to say, and comes before the first word.
#[tokio::test]
async fn only_our_own_engine_says_what_it_left_out() {
    let upstream = Upstream::start().await.unwrap();
    for (own_engine, said, expected) in [
        (true, "3", Some(Delta::LeftOut(3))),
        (true, "0", Some(Delta::LeftOut(0))),
        (false, "3", None),
        (true, "many", None),
        (true, "-1", None),
        (true, "99999999999999999999999", None),
    ] {
        upstream.push(Script::text("Well.").header("x-messages-left-out", said));
        let mut config = config(&upstream);
        config.own_engine = own_engine;
        let client = OpenAi::new(config).unwrap();
        let items: Vec<_> = client.complete(request("x")).await.unwrap().map(Result::unwrap).collect().await;
        let first = items.first().filter(|item| matches!(item, Delta::LeftOut(_)));
        assert_eq!(first, expected.as_ref(), "{said}");
        assert_eq!(items.iter().filter(|item| matches!(item, Delta::LeftOut(_))).count(), expected.iter().count());
    }
}

#[tokio::test]
async fn many_answers_at_once_keep_apart() {
    let upstream = Upstream::start().await.unwrap();
    upstream.pace(40, Duration::from_millis(2));
    let client = client(&upstream);
    let answers = (0..50).map(|_| async {
        let (text, last) = read(client.complete(request("x")).await.unwrap()).await;
        assert!(paced_marks(&text).map(|mark| mark.index).eq(0..40), "{text}");
        assert_eq!(finish(&last), "stop");
    });
    futures::future::join_all(answers).await;
}
