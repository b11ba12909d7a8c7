//! What must be true after a round, whatever happened in it.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use r1_domain::id::GenerationId;
use r1_testkit::{
    follower::{Origin, insist},
    sse::{Frame, text_of},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    answer::{Answer, Fault},
    play::{Play, Played, Reading, Seen, Turn},
    world::World,
};

/// The epoch from which on a generation was taken over too often.
const TOO_OFTEN: u32 = 5;
/// A request that fails before it has given a word is sent this often.
const ATTEMPTS: u64 = 3;

/// A log that must stay as it is.
pub(super) struct Kept {
    user: usize,
    id: GenerationId,
    log: Vec<Frame>,
    text: String,
}

/// Checks all that was seen against what is stored now. Gives back the logs.
pub(super) async fn check(world: &World, play: &Play, played: &Played) -> Result<Vec<Kept>> {
    let path = format!("/conversations/{}", played.conversation);
    if played.deleted {
        let gone = insist(&world.request(play.user, Method::GET, &path)).await?.status();
        ensure!(gone == StatusCode::NOT_FOUND, "a deleted conversation is back: {gone}");
        played.turns.iter().for_each(|turn| {
            world.answers.forget(&turn.question);
        });
        return Ok(Vec::new());
    }
    let messages = world.messages(play.user, &played.conversation).await?;
    ensure!(messages.len() == 2 * played.turns.len(), "a question was sent once, or not at all: {messages:?}");
    let mut kept = Vec::new();
    for (turn, pair) in played.turns.iter().zip(messages.chunks(2)) {
        let checked = check_turn(world, play, turn, pair).await;
        kept.extend(checked.with_context(|| format!("question {}", turn.question))?);
    }
    Ok(kept)
}

async fn check_turn(world: &World, play: &Play, turn: &Turn, messages: &[Value]) -> Result<Vec<Kept>> {
    let (question, message) = (&messages[0], &messages[1]);
    ensure!(question["content"] == turn.question && question["role"] == "user", "{question}");
    let mut kept = Vec::new();
    let mut given = String::new();
    let mut asks = 0;
    for (number, seen) in turn.generations.iter().enumerate() {
        let log = replay(world, play.user, seen.id).await?;
        let text = check_log(&log, &given).and_then(|text| {
            check_readings(seen, &log, &text)?;
            check_end(world, play, &turn.answer, seen, &log, &given)?;
            Ok(text)
        });
        let text = text.with_context(|| format!("generation {number}, {}: {}", seen.id, outline(&log)))?;
        ensure!(seen.message_id == message["id"], "all of a turn is one message");
        asks += u64::from(last_epoch(&log));
        kept.push(Kept { user: play.user, id: seen.id, log, text: text.clone() });
        given = text;
    }
    let newest = kept.last().context("a generation")?;
    ensure!(message["generation_id"] == newest.id.to_string(), "the message is of its newest generation: {message}");
    ensure!(message["content"] == newest.text, "the message is not the fold of its log: {message}");
    ensure!(message["status"] == status_of(&newest.log)?, "{message} after {}", outline(&newest.log));
    let asked = world.answers.forget(&turn.question);
    // A fault may come before the first new word, also where all words were said before a take-over.
    let most = if turn.answer.fault.is_some() { asks * ATTEMPTS } else { asks };
    ensure!(asked <= most, "asked {asked} times");
    Ok(kept)
}

/// A log is `start chunk* (resumed chunk*)* (end | error)`, and its epoch rises with `resumed` only.
/// Gives back its text.
fn check_log(log: &[Frame], given: &str) -> Result<String> {
    let mut epoch = 1;
    for (at, frame) in log.iter().enumerate() {
        let id = frame.id.context("an id")?;
        ensure!(id.cursor.seq == at as u64 + 1, "seq {} at {at}", id.cursor);
        let rises = id.cursor.epoch > epoch;
        let expected: &[&str] = match at {
            0 => &["start"],
            _ if at + 1 == log.len() => &["end", "error"],
            _ if rises => &["resumed"],
            _ => &["chunk"],
        };
        ensure!(expected.contains(&frame.kind()), "{} at {at}", frame.kind());
        ensure!(id.cursor.epoch == epoch || frame.kind() == "resumed", "the epoch rises at {at}");
        epoch = id.cursor.epoch;
    }
    ensure!(log.last().is_some_and(Frame::is_terminal), "no end");
    if !given.is_empty() {
        ensure!(log[1].content() == Some(given), "it begins with {:?}", log[1].data);
    }
    Ok(text_of(log))
}

/// All readers have seen the same bytes, those of the log.
fn check_readings(seen: &Seen, log: &[Frame], text: &str) -> Result<()> {
    for reading in &seen.readings {
        match reading {
            Reading::Whole(frames) => ensure!(frames == log, "a reader saw {}", difference(frames, log)),
            Reading::Snapshot { text: before, after, rest } => {
                let from = after.map_or(0, |after| after.cursor.seq);
                let from = if rest.is_empty() { log.len() } else { usize::try_from(from)? };
                ensure!(log[from..] == rest[..], "after a snapshot: {}", difference(rest, &log[from..]));
                ensure!(format!("{before}{}", text_of(rest)) == text, "a snapshot and what came after it");
            }
            Reading::Document(document) => {
                ensure!(document["content"] == text, "as a document: {document}");
                ensure!(document["status"] == status_of(log)?, "as a document: {document}");
            }
        }
    }
    Ok(())
}

/// It ended as it had to.
fn check_end(world: &World, play: &Play, answer: &Answer, seen: &Seen, log: &[Frame], given: &str) -> Result<()> {
    let (text, last) = (text_of(log), &log[log.len() - 1].data);
    let same = text.bytes().zip(answer.said().bytes()).take_while(|(a, b)| a == b).count();
    let around =
        || String::from_utf8_lossy(&text.as_bytes()[same.saturating_sub(40)..]).chars().take(120).collect::<String>();
    ensure!(same == text.len(), "the text is no beginning of the answer from byte {same} on: …{:?}", around());
    let taken_over_too_often = last_epoch(log) >= TOO_OFTEN;
    let status = status_of(log)?;
    if let Some(said) = &seen.stop_said {
        ensure!(said == status, "stop said {said}");
    }
    // What could not be continued was not.
    if !play.continues {
        let mut text = String::new();
        let mut resumed_after_words = false;
        for frame in log {
            resumed_after_words |= frame.kind() == "resumed" && text.len() > given.len();
            ensure!(!(resumed_after_words && frame.content().is_some()), "a word after it was interrupted");
            text.push_str(frame.content().unwrap_or_default());
        }
    }
    match status {
        "completed" => {
            ensure!(answer.fault.is_none() && text == answer.text, "completed: {last}");
        }
        "stopped" => ensure!(seen.stop_said.is_some(), "nobody stopped it"),
        "interrupted" => {
            ensure!(last["retryable"] == true, "{last}");
            let broken_off = !play.continues && text.len() > given.len();
            ensure!(taken_over_too_often || broken_off, "it could have gone on");
            let by_crash = log[log.len() - 2].kind() == "resumed";
            let by_shutdown = world.terminated.load(Ordering::Relaxed);
            ensure!(by_crash || by_shutdown, "nothing has interrupted it");
        }
        "failed" => {
            let (_, fault) = answer.fault.with_context(|| format!("nothing has failed: {last}"))?;
            ensure!(last["code"].as_str().is_some_and(|code| fault.codes().contains(&code)), "{fault:?}: {last}");
            let said = if matches!(fault, Fault::Status(_)) { given } else { answer.said() };
            // A reset takes with it what had not been read yet.
            let lost = fault == Fault::Reset && !said.is_empty();
            // Whoever is asked to go on may repeat the end of what was said: a few bytes that break off before
            // that is clear are not used.
            let new_words = log.iter().rev().take_while(|frame| frame.kind() != "resumed");
            let new_words = new_words.filter(|frame| frame.content().is_some_and(|content| content != given)).count();
            let undecided = !play.continues && !given.is_empty() && new_words == 0;
            ensure!(text == said || lost || undecided, "{} bytes of {} before {fault:?}", text.len(), said.len());
        }
        other => bail!("{other}"),
    }
    Ok(())
}

/// The status of a message with this log.
fn status_of(log: &[Frame]) -> Result<&str> {
    let last = &log.last().context("an end")?.data;
    match (last["type"].as_str(), last["code"].as_str()) {
        (Some("end"), _) => last["status"].as_str().context("a status"),
        (_, Some("interrupted")) => Ok("interrupted"),
        _ => Ok("failed"),
    }
}

fn last_epoch(log: &[Frame]) -> u32 {
    log.last().and_then(|frame| frame.id).map_or(0, |id| id.cursor.epoch)
}

/// The kinds of a log's events and where its epochs begin, short.
fn outline(log: &[Frame]) -> String {
    let marks = log.iter().filter(|frame| frame.kind() != "chunk");
    let marks: Vec<_> = marks
        .map(|frame| format!("{} {}", frame.id.map(|id| id.cursor.to_string()).unwrap_or_default(), frame.data))
        .collect();
    marks.join(", ")
}

/// The first event in which two differ.
fn difference(seen: &[Frame], log: &[Frame]) -> String {
    let at = seen.iter().zip(log).position(|(a, b)| a != b).unwrap_or(seen.len().min(log.len()));
    format!(
        "{} events, the log has {}; the first difference is at {at}: {:?}, {:?}",
        seen.len(),
        log.len(),
        seen.get(at),
        log.get(at)
    )
}

async fn replay(world: &World, user: usize, generation_id: GenerationId) -> Result<Vec<Frame>> {
    let mut follower = world.follower(user, Origin::Attached { generation_id, after: None });
    Ok(follower.to_end().await.context("the replay")?.to_vec())
}

/// A log of an earlier round has not changed.
pub(super) async fn same_as_before(world: &World, kept: &Kept) -> Result<()> {
    let log = replay(world, kept.user, kept.id).await?;
    ensure!(log == kept.log, "{}: {}", kept.id, difference(&log, &kept.log));
    Ok(())
}

/// Nor has one that may have been retired since; then the whole text comes from a `start`, and it is its own,
/// whatever other generations have made of the message. True if it was.
pub(super) async fn same_or_retired(world: &World, kept: &Kept) -> Result<bool> {
    let log = replay(world, kept.user, kept.id).await?;
    let retired = log != kept.log;
    if retired {
        ensure!(log.len() <= 3, "{}: neither the log nor the text of it: {}", kept.id, difference(&log, &kept.log));
        ensure!(text_of(&log) == kept.text, "{}: another text", kept.id);
        ensure!(status_of(&log)? == status_of(&kept.log)?, "{}: {}", kept.id, outline(&log));
    }
    Ok(retired)
}
