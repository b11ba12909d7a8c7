//! Conversations whose own past would make them unusable, and what of one a model is given.

use anyhow::{Context, Result};
use r1_testkit::upstream::{RecordedRequest, Script, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Setup, expect, id_of};

/// A provider as strict as the strictest: no empty turn, no two of one role, the user first and last.
fn strict(request: &RecordedRequest) -> Script {
    let messages = request.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let role = |message: &Value| message["role"].as_str().unwrap_or_default().to_owned();
    let refuse = |why| Script::error(StatusCode::BAD_REQUEST, "invalid_value", why);
    if messages.iter().any(|message| message["content"].as_str().is_none_or(|text| text.trim().is_empty())) {
        return refuse("messages: text content blocks must contain non-whitespace text");
    }
    if messages.windows(2).any(|pair| role(&pair[0]) == role(&pair[1])) {
        return refuse("Conversation roles must alternate user/assistant/user/assistant/...");
    }
    if messages.first().map(role).as_deref() != Some("user") || messages.last().map(role).as_deref() != Some("user") {
        return refuse("first and last message must use the user role");
    }
    Script::text("Here is the answer.")
}

/// What each of a request's messages says, after its role's first letter.
fn asked(request: &RecordedRequest) -> Vec<String> {
    let messages = request.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    messages.iter().map(|message| format!("{}:{}", &text(&message["role"])[..1], text(&message["content"]))).collect()
}

/// Asks in this conversation; gives back its id and the terminal event.
async fn ask(client: &Client, conversation: Option<&str>, message: &str) -> Result<(String, Value)> {
    let frames = client.ask_to_end(&json!({"message": message, "conversation_id": conversation})).await?;
    let end = frames.last().context("an end")?.data.clone();
    Ok((id_of(&frames[0].data, "conversation_id")?, end))
}

#[tokio::test]
async fn a_conversation_outlives_whatever_went_wrong_in_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    // Nothing came; only white space came; nobody was there; a word came.
    upstream.push(Script::error(StatusCode::BAD_REQUEST, "invalid_value", "no"));
    let (id, end) = ask(&client, None, "one").await?;
    assert_eq!(end["type"], "error", "{end}");
    for (script, message) in [
        (Script::text(" \n "), "two"),
        (Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "no"), "three"),
        (Script::new().role().chunk("A word").cut(), "four"),
    ] {
        upstream.push(script);
        ask(&client, Some(&id), message).await?;
    }
    upstream.respond_with(strict);
    let (_, end) = ask(&client, Some(&id), "five").await?;
    assert_eq!(end["status"], "completed", "{end}");
    let request = upstream.last_request().context("a request")?;
    assert_eq!(asked(&request), ["u:one\n\ntwo\n\nthree\n\nfour", "a:A word", "u:five"]);
    let (_, end) = ask(&client, Some(&id), "six").await?;
    assert_eq!(end["status"], "completed", "{end}");

    let answers = client.messages(&id).await?;
    assert!(answers.iter().all(|message| message.get("remembers_from").is_none()), "nothing was forgotten");
    Ok(())
}

#[tokio::test]
async fn a_history_that_is_cut_by_its_bytes_is_one_that_providers_take() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(strict);
    let setup = Setup::with_upstream(&upstream)?.set("GENERATION__HISTORY", "1KiB");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let long = "a long question ".repeat(63);
    let (id, _) = ask(&client, None, &long).await?;
    let (_, end) = ask(&client, Some(&id), "and now?").await?;
    assert_eq!(end["status"], "completed", "{end}");
    assert_eq!(asked(&upstream.last_request().context("a request")?), ["u:and now?"]);
    let messages = client.messages(&id).await?;
    assert_eq!(messages[3]["remembers_from"], messages[2]["id"]);
    assert_eq!(messages[1].get("remembers_from"), None);
    Ok(())
}

#[tokio::test]
async fn what_is_too_long_is_asked_again_with_less() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let (id, _) = ask(&client, None, "one").await?;
    ask(&client, Some(&id), "two").await?;
    let told = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.";
    upstream.push(Script::error(StatusCode::BAD_REQUEST, "context_length_exceeded", told));
    upstream.respond_with(strict);
    let (_, end) = ask(&client, Some(&id), "three").await?;
    assert_eq!(end["status"], "completed", "{end}");
    let requests = upstream.requests();
    let [.., refused, taken] = &requests[..] else { anyhow::bail!("two requests") };
    let (refused, taken) = (asked(refused), asked(taken));
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(taken.len() < 5 && taken == refused[5 - taken.len()..], "its newest part: {taken:?}");

    let messages = client.messages(&id).await?;
    let from = &messages[5 - taken.len()]["id"];
    assert_eq!(&messages[5]["remembers_from"], from, "{messages:?}");
    // Also without its text, and for nobody else.
    let generation = id_of(&messages[5], "generation_id")?;
    let path = format!("/chat/generations/{generation}");
    let details = client.read(&path).await?;
    assert_eq!((&details["remembers_from"], &details["status"]), (from, &json!("completed")));
    assert_eq!((&details["message_id"], &details["conversation_id"]), (&messages[5]["id"], &json!(id)));
    let stranger = server.user("eve").await?;
    expect(stranger.request(Method::GET, &path).send().await?, StatusCode::NOT_FOUND).await?;
    let earlier = id_of(&messages[3], "generation_id")?;
    let details = client.read(&format!("/chat/generations/{earlier}")).await?;
    assert_eq!(details.get("remembers_from"), None, "{details}");

    // Where nothing is left that could go, the error stays, and so does the way on.
    let refuse = move |_: &RecordedRequest| Script::error(StatusCode::BAD_REQUEST, "context_length_exceeded", told);
    upstream.respond_with(refuse);
    let before = upstream.requests().len();
    let (fresh, end) = ask(&client, None, "too long by itself").await?;
    assert_eq!((&end["code"], upstream.requests().len()), (&json!("context_too_long"), before + 1));
    upstream.respond_with(strict);
    assert_eq!(ask(&client, Some(&fresh), "shorter").await?.1["status"], "completed");
    Ok(())
}
