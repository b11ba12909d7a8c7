//! One conversation of a round: what a user does, with the patience of a robust client, and what
//! each of the user's readers has seen.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use r1_domain::{cursor::EventId, id::GenerationId};
use r1_testkit::{
    follower::{Follower, Origin, insist},
    sse::{Frame, text_of},
};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    answer::{self, Answer, Fault},
    seed::chance,
    world::{ASKING, MODELS, World},
};
use crate::support::{expect, id_of};

/// What a user does besides reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    /// Stops once this many events have been seen, and goes on with it if told so.
    Stop {
        after: usize,
        go_on: bool,
    },
    /// Asks by `POST /chat`, which gives the answer whole.
    Whole,
    /// Deletes the conversation in the end.
    Delete,
}

/// What is going to be done.
#[derive(Debug)]
pub(super) struct Play {
    label: String,
    pub(super) user: usize,
    pub(super) model: &'static str,
    /// Whether the provider can go on from a partial answer.
    pub(super) continues: bool,
    kind: Kind,
    /// The conversation is made by a request of its own.
    made_first: bool,
    answers: Vec<Answer>,
    seed: u64,
}

/// What was seen.
pub(super) struct Played {
    pub(super) conversation: String,
    pub(super) deleted: bool,
    pub(super) turns: Vec<Turn>,
}

/// A question, and the generations of its answer: the first, and those that went on with it.
pub(super) struct Turn {
    pub(super) question: String,
    pub(super) answer: Arc<Answer>,
    pub(super) generations: Vec<Seen>,
}

/// A generation, as its readers have seen it.
pub(super) struct Seen {
    pub(super) id: GenerationId,
    pub(super) message_id: String,
    /// What the answer to `stop` said, if it was stopped.
    pub(super) stop_said: Option<String>,
    pub(super) readings: Vec<Reading>,
}

pub(super) enum Reading {
    /// From the beginning.
    Whole(Vec<Frame>),
    /// The text so far, and all that came after the event with which it ends. None: all of it.
    Snapshot { text: String, after: Option<EventId>, rest: Vec<Frame> },
    /// The answer as one document.
    Document(Value),
}

impl Play {
    /// The `n`-th of a round.
    pub(super) fn new(round: u64, n: u64, chance: &mut StdRng) -> Self {
        let (model, continues) = MODELS.choose(chance).copied().unwrap_or(MODELS[0]);
        let kind = match chance.random_range(0..10) {
            0..=1 => Kind::Stop { after: chance.random_range(1..40), go_on: chance.random() },
            2 => Kind::Whole,
            3 => Kind::Delete,
            _ => Kind::Read,
        };
        // A long one costs time, and is enough.
        let long = n == 1 && round.is_multiple_of(3);
        let turns = if long || chance.random_range(0..3) > 0 { 1 } else { 2 };
        Self {
            label: format!("r{round}p{n}"),
            user: chance.random_range(0..ASKING),
            model,
            continues,
            kind,
            made_first: chance.random(),
            answers: (0..turns).map(|_| an_answer(chance, long)).collect(),
            seed: chance.random(),
        }
    }

    /// Does it.
    pub(super) async fn run(&self, world: &World) -> Result<Played> {
        let mut dice = chance(self.seed, 0);
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..600))).await;
        let mut conversation = None;
        if self.made_first {
            let (key, body) = (format!("{}-made", self.label), json!({"title": self.label}));
            conversation = Some(id_of(&self.document(world, "/conversations", &key, &body).await?, "id")?);
        }
        let mut turns = Vec::new();
        for (number, answer) in self.answers.iter().enumerate() {
            let turn = Box::pin(self.turn(world, &mut dice, number, answer, &mut conversation));
            turns.push(turn.await.with_context(|| format!("turn {number}"))?);
        }
        let conversation = conversation.context("a conversation")?;
        if self.kind == Kind::Delete {
            let path = format!("/conversations/{conversation}");
            let status = insist(&world.request(self.user, Method::DELETE, &path)).await?.status();
            // The second if the answer to the first was lost.
            ensure!([StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&status), "deleted: {status}");
        }
        Ok(Played { conversation, deleted: self.kind == Kind::Delete, turns })
    }

    async fn turn(
        &self,
        world: &World,
        dice: &mut StdRng,
        number: usize,
        answer: &Answer,
        conversation: &mut Option<String>,
    ) -> Result<Turn> {
        let question = format!("{}q{number}", self.label);
        let answer = world.answers.learn(&question, answer.clone());
        let mut body = json!({"message": question, "model": self.model});
        if let Some(conversation) = &conversation {
            body["conversation_id"] = Value::from(conversation.as_str());
        }
        let first = if self.kind == Kind::Whole {
            self.whole(world, &question, &body, conversation).await?
        } else {
            let origin = Origin::Made { path: "/chat/stream".to_owned(), body, key: question.clone() };
            let stop_after = match self.kind {
                Kind::Stop { after, .. } => Some(after),
                _ => None,
            };
            self.follow(world, dice, origin, stop_after, conversation).await?
        };
        let mut generations = vec![first];
        while let Some(newest) = generations.last()
            && self.wants_more(newest)
        {
            ensure!(generations.len() < 12, "it never comes to its end");
            let path = format!("/chat/generations/{}/continue", newest.id);
            let key = format!("{question}-{}", generations.len());
            let origin = Origin::Made { path, body: json!({}), key };
            generations.push(self.follow(world, dice, origin, None, conversation).await?);
        }
        Ok(Turn { question, answer, generations })
    }

    /// Whether the user goes on with an answer: where there is none to go on with, it is at its end.
    fn wants_more(&self, seen: &Seen) -> bool {
        let stopped = matches!(self.kind, Kind::Stop { go_on: true, .. });
        match seen.readings.first() {
            Some(Reading::Whole(frames)) => frames.last().is_some_and(|last| {
                let early = last.data["code"] == "interrupted" || (stopped && last.data["status"] == "stopped");
                early && !text_of(frames).is_empty()
            }),
            Some(Reading::Document(document)) => document["status"] == "interrupted" && document["content"] != "",
            _ => false,
        }
    }

    /// Asks by `POST /chat`, again until it says how it ended.
    async fn whole(&self, world: &World, key: &str, body: &Value, conversation: &mut Option<String>) -> Result<Seen> {
        for _ in 0..100 {
            let document = self.document(world, "/chat", key, body).await?;
            let id: GenerationId = id_of(&document, "generation_id")?.parse()?;
            *conversation = Some(id_of(&document, "conversation_id")?);
            // A server that goes down lets go of it.
            if document["status"] != "running" {
                let message_id = id_of(&document, "message_id")?;
                let readings = vec![Reading::Document(document)];
                return Ok(Seen { id, message_id, stop_said: None, readings });
            }
        }
        bail!("it never says how it ended")
    }

    /// A document by a request that is sent until all of its answer has arrived.
    async fn document(&self, world: &World, path: &str, key: &str, body: &Value) -> Result<Value> {
        loop {
            let response = world.post(self.user, path, key, body).await?;
            let status = response.status();
            ensure!(status.is_success(), "{path}: {}", response.text().await.unwrap_or_default());
            if let Ok(text) = response.text().await {
                return Ok(serde_json::from_str(&text)?);
            }
        }
    }

    /// Has a generation made and reads it to its end, by several readers.
    async fn follow(
        &self,
        world: &World,
        dice: &mut StdRng,
        origin: Origin,
        stop_after: Option<usize>,
        conversation: &mut Option<String>,
    ) -> Result<Seen> {
        world.sent.fetch_add(1, Ordering::Relaxed);
        let mut asking = world.follower(self.user, origin);
        let start = asking.next_frame().await?.context("start")?.clone();
        let id = start.id.context("an id")?.generation_id;
        let in_conversation = id_of(&start.data, "conversation_id")?;
        world.generations.lock().push((id, in_conversation.clone()));
        let (mut first_dice, mut second_dice) = (chance(dice.random(), 1), chance(dice.random(), 2));
        let late = Duration::from_millis(dice.random_range(0..300));
        let snapshot = dice.random();
        let second = async {
            tokio::time::sleep(late).await;
            if snapshot {
                return self.snapshot(world, id, &in_conversation).await;
            }
            let mut reader = world.follower(self.user, Origin::Attached { generation_id: id, after: None });
            come_and_go(&mut reader, &mut second_dice).await?;
            Ok(Reading::Whole(reader.frames().to_vec()))
        };
        let first = async {
            let mut stop_said = None;
            while asking.next_frame().await?.is_some() {
                if first_dice.random_range(0..80) == 0 {
                    asking.leave();
                }
                let due = stop_after.is_some_and(|after| asking.frames().len() >= after) || asking.at_end();
                if stop_after.is_some() && stop_said.is_none() && due {
                    stop_said = Some(self.stop(world, id).await?);
                }
            }
            Ok(stop_said)
        };
        let (stop_said, second) = futures::try_join!(first, second)?;
        *conversation = Some(in_conversation);
        let message_id = id_of(&start.data, "message_id")?;
        let readings = vec![Reading::Whole(asking.frames().to_vec()), second];
        Ok(Seen { id, message_id, stop_said, readings })
    }

    /// Stops it; gives back what it has become.
    async fn stop(&self, world: &World, id: GenerationId) -> Result<String> {
        let path = format!("/chat/generations/{id}/stop");
        loop {
            let response = insist(&world.request(self.user, Method::POST, &path)).await?;
            match expect(response, StatusCode::OK).await {
                Err(error) if error.is::<reqwest::Error>() => {}
                other => return id_of(&other?, "status"),
            }
        }
    }

    /// What a page does that is opened now: the messages first, then what comes after them.
    async fn snapshot(&self, world: &World, id: GenerationId, conversation: &str) -> Result<Reading> {
        let messages = world.messages(self.user, conversation).await?;
        let of_it = |message: &&Value| message["generation_id"] == id.to_string();
        let message = messages.iter().find(of_it).with_context(|| format!("its message in {messages:?}"))?;
        let text = id_of(message, "content")?;
        if message["status"] != "running" {
            return Ok(Reading::Snapshot { text, after: None, rest: Vec::new() });
        }
        let after: Option<EventId> = message["last_event_id"].as_str().map(str::parse).transpose()?;
        ensure!(after.is_some() || text.is_empty(), "a running answer's text without its cursor: {message}");
        let mut reader = world.follower(self.user, Origin::Attached { generation_id: id, after });
        reader.to_end().await?;
        Ok(Reading::Snapshot { text, after, rest: reader.frames().to_vec() })
    }
}

/// Reads to the end and leaves in between.
async fn come_and_go(reader: &mut Follower, chance: &mut StdRng) -> Result<()> {
    while reader.next_frame().await?.is_some() {
        if chance.random_range(0..60) == 0 {
            reader.leave();
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
        }
    }
    Ok(())
}

/// Some answer: short or long, fast or slow, late, good or bad.
fn an_answer(chance: &mut StdRng, long: bool) -> Answer {
    let words = if long { 30_000 } else { chance.random_range(1..150) };
    let text = answer::text(chance, words);
    let millis = |chance: &mut StdRng, to| Duration::from_millis(chance.random_range(0..to));
    let late = if chance.random_range(0..4) == 0 { millis(chance, 700) } else { Duration::ZERO };
    let pause = if chance.random_range(0..4) == 0 { Duration::ZERO } else { millis(chance, 15) };
    let faults =
        [Fault::Cut, Fault::Reset, Fault::ErrorObject, Fault::NoFinish, Fault::Status(401), Fault::Status(500)];
    let fault = (!long && chance.random_range(0..6) == 0).then(|| {
        let fault = faults.choose(chance).copied().unwrap_or(Fault::Cut);
        // A status comes before all words; what comes in their middle may have to wait for the second.
        let at = text.floor_char_boundary(chance.random_range(0..text.len()));
        if matches!(fault, Fault::Status(_)) { (0, fault) } else { (at.max(text.ceil_char_boundary(1)), fault) }
    });
    let piece = if long { 4_000 } else { chance.random_range(1..30) };
    Answer { text, late, pause, piece, fault, echo: chance.random_range(0..4) == 0, seed: chance.random() }
}
