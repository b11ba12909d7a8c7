//! What users do, each request a task of its own, and what each of its outcomes says.

use std::{convert::Infallible, future::poll_fn, sync::Arc};

use futures::stream;
use parking_lot::Mutex;
use r1_domain::{
    cursor::Cursor,
    generation::{Generation, State},
    id::{ConversationId, GenerationId, UserId},
    page::PageRequest,
    store::{IdempotencyKey, Store},
};
use r1_generation::{Accepted, Continuation, Engine, EngineError, Question, Reader, Retry, Target};
use r1_testkit::{sse, store::ScriptedStore};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    facts::{Facts, Known, Request, Snapshot},
    script::{Pace, Setup},
    upstream::Upstream,
};

/// A user's program, connected to one life of the engine.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) life: usize,
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<ScriptedStore>,
    pub(crate) configured: bool,
    pub(crate) setup: Setup,
    pub(crate) facts: Arc<Mutex<Facts>>,
    pub(crate) upstream: Arc<Mutex<Upstream>>,
    pub(crate) followers: Arc<Mutex<Vec<Arc<Follower>>>>,
}

/// Somebody who follows a generation.
pub(crate) struct Follower {
    pub(crate) life: usize,
    pub(crate) generation: GenerationId,
    pub(crate) pace: Pace,
    /// How often it may read, where it reads on demand.
    pub(crate) demand: Semaphore,
    pub(crate) gone: CancellationToken,
    pub(crate) heard: Mutex<Heard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) last: Option<Cursor>,
    pub(crate) how: Following,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    Still,
    /// To the terminal event.
    ToTheEnd,
    /// Until it was asked to come back.
    SentAway,
}

pub(crate) fn question(text: String, conversation: Option<ConversationId>, key: Option<IdempotencyKey>) -> Question {
    Question {
        text,
        conversation_id: conversation,
        parent_id: None,
        model: None,
        temperature: None,
        max_tokens: None,
        use_invalid_key: false,
        request_id: None,
        shows_details: false,
        idempotency: key,
    }
}

impl Client {
    fn fault(&self, what: &str) {
        self.facts.lock().fault(format!("life {}: {what}", self.life));
    }

    /// Whether a request may be refused so, whatever it is.
    fn may_refuse(&self, error: &EngineError) -> bool {
        match error {
            EngineError::Draining => self.engine.is_draining(),
            EngineError::UnknownModel(_) => !self.configured,
            EngineError::TooManyRuns { limit } => self.setup.runs_per_user == Some(*limit),
            // A dead process says nothing any more; what waited in it for its time is no word of its.
            EngineError::Store(_)
            | EngineError::StopNotStored
            | EngineError::RunsNowhere
            | EngineError::Undecided
            | EngineError::NoLease => self.facts.lock().disturbed || self.engine.is_draining() || self.store.is_dead(),
            _ => false,
        }
    }

    /// Asks, continues or retries; with a key, or again with one.
    pub(crate) async fn ask(self, owner: UserId, request: Request, keyed: Option<(u8, IdempotencyKey)>, pace: Pace) {
        let key = keyed.as_ref().map(|(_, key)| key.clone());
        let made = keyed.as_ref().and_then(|(n, _)| self.facts.lock().keys.get(n).and_then(|keyed| keyed.made));
        let (result, continues) = match &request {
            Request::Send { text, conversation } => {
                (self.engine.send(owner, question(text.clone(), *conversation, key)).await, None)
            }
            Request::Continue(id) => {
                let how = Continuation { idempotency: key, ..Continuation::default() };
                (self.engine.go_on(owner, *id, how).await, Some(*id))
            }
            Request::Retry(id) => {
                (self.engine.retry(owner, *id, Retry { idempotency: key, ..Retry::default() }).await, None)
            }
        };
        match result {
            Ok(accepted) => self.accepted(owner, accepted, keyed.map(|(n, _)| n), continues, pace).await,
            Err(EngineError::Busy { .. }) if made.is_none() => {
                let alone = matches!(request, Request::Send { conversation: None, .. });
                self.facts.lock().expect(!alone, || "a new conversation was busy".to_owned());
            }
            Err(EngineError::Superseded { .. } | EngineError::NotContinuable(_))
                if continues.is_some() && made.is_none() => {}
            // What a key made is given whatever the limits and the state of the server say.
            Err(error @ (EngineError::Store(_) | EngineError::RunsNowhere | EngineError::Undecided))
                if self.may_refuse(&error) => {}
            Err(EngineError::Draining) if self.is_left(owner, made).await => {}
            Err(error) if made.is_none() && self.may_refuse(&error) => {}
            Err(error) => self.fault(&format!("{request:?} (made {made:?}): {error:?}")),
        }
    }

    async fn accepted(
        &self,
        owner: UserId,
        accepted: Accepted,
        key: Option<u8>,
        continues: Option<GenerationId>,
        pace: Pace,
    ) {
        let id = accepted.generation_id;
        {
            let mut facts = self.facts.lock();
            facts.acknowledged.push((owner, id));
            if let Some(keyed) = key.and_then(|key| facts.keys.get_mut(&key)) {
                let made = *keyed.made.get_or_insert(id);
                facts.expect(made == id, || format!("one key made {made} and {id}"));
            }
        }
        match self.store.generation_get(owner, id).await {
            Ok(generation) => self.facts.lock().accepted(known(&generation, continues)),
            Err(error) => self.refused(&format!("reading the accepted {id}"), &error.into()),
        }
        self.follow(owner, accepted.reader, None, pace).await;
    }

    /// Whether a generation is left to the next start.
    async fn is_left(&self, owner: UserId, made: Option<GenerationId>) -> bool {
        let Some(made) = made else { return false };
        matches!(self.engine.attach(owner, Target::Generation(made), None).await, Err(EngineError::Draining))
    }

    fn refused(&self, what: &str, error: &EngineError) {
        if !self.may_refuse(error) {
            self.fault(&format!("{what}: {error:?}"));
        }
    }

    /// The same key with another body.
    pub(crate) async fn mistake(self, owner: UserId, key: IdempotencyKey) {
        let key = IdempotencyKey { fingerprint: [0xff; 32], ..key };
        match self.engine.send(owner, question("another".to_owned(), None, Some(key))).await {
            Err(EngineError::KeyReused) => {}
            Err(error @ (EngineError::Store(_) | EngineError::RunsNowhere | EngineError::Undecided))
                if self.may_refuse(&error) => {}
            other => self.fault(&format!("a key was used again: {:?}", other.map(|accepted| accepted.generation_id))),
        }
    }

    /// `bogus`: the cursor is one that no log has.
    pub(crate) async fn attach(self, owner: UserId, target: Target, after: Option<Cursor>, bogus: bool, pace: Pace) {
        let reader = match self.engine.attach(owner, target, after).await {
            Ok(Some(reader)) => reader,
            Ok(None) => {
                match (target, after) {
                    (Target::Generation(id), Some(cursor)) if !bogus => self.facts.lock().at_end.push((id, cursor)),
                    (Target::Newest, _) => {}
                    _ => self.fault(&format!("nothing to follow: {target:?} after {after:?}")),
                }
                return;
            }
            Err(error) => return self.refused(&format!("attaching to {target:?}"), &error),
        };
        if matches!(target, Target::Generation(id) if id != reader.generation_id()) {
            self.fault(&format!("{target:?} gave {}", reader.generation_id()));
        }
        let after = match target {
            Target::Generation(_) if !bogus => after,
            _ => None,
        };
        self.follow(owner, reader, after, pace).await;
    }

    /// Reads on from `after`, to the end or until it is told to leave.
    async fn follow(&self, owner: UserId, reader: Reader, after: Option<Cursor>, pace: Pace) {
        if pace == Pace::Gone {
            return;
        }
        let follower = Arc::new(Follower {
            life: self.life,
            generation: reader.generation_id(),
            pace,
            demand: Semaphore::new(0),
            gone: CancellationToken::new(),
            heard: Mutex::new(Heard { last: after, how: Following::Still }),
        });
        self.followers.lock().push(follower.clone());
        let body = stream::unfold((reader, follower.clone()), |(mut reader, follower)| async move {
            if follower.pace == Pace::OnDemand {
                follower.demand.acquire().await.ok()?.forget();
            }
            let frames = poll_fn(|context| reader.poll_frames(context)).await?;
            Some((Ok::<_, Infallible>(frames), (reader, follower)))
        });
        let mut body = sse::Reader::new(body);
        loop {
            let next = tokio::select! {
                biased;
                () = follower.gone.cancelled() => return,
                next = body.next_frame() => next,
            };
            match next {
                Ok(Some(frame)) => self.heard(owner, &follower, &frame),
                Ok(None) => return self.left(&follower, body.retry().is_some()),
                Err(error) => return self.fault(&format!("following {}: {error:#}", follower.generation)),
            }
        }
    }

    fn heard(&self, owner: UserId, follower: &Follower, frame: &sse::Frame) {
        let Some(id) = frame.id else { return };
        let mut facts = self.facts.lock();
        facts.frame(owner, frame);
        let mut heard = follower.heard.lock();
        let after = heard.last.map_or(0, |last| last.seq);
        let follows = id.generation_id == follower.generation && id.cursor.seq == after + 1;
        // The whole answer again, from a start: only where the log has gone since.
        let anew = facts.purged && id.cursor.seq == 1 && frame.kind() == "start";
        facts.expect(follows || anew, || format!("life {}: {id} came after {:?}", self.life, heard.last));
        heard.last = Some(id.cursor);
        if frame.is_terminal() {
            heard.how = Following::ToTheEnd;
        }
    }

    fn left(&self, follower: &Follower, told_to_come_back: bool) {
        let mut heard = follower.heard.lock();
        match (heard.how, told_to_come_back) {
            (Following::ToTheEnd, false) => {}
            (Following::Still, true) => heard.how = Following::SentAway,
            other => self.fault(&format!("a stream of {} ended so: {other:?}", follower.generation)),
        }
    }

    pub(crate) async fn stop(self, known: Known) {
        let calls = self.upstream.lock().calls.len();
        self.facts.lock().stopping.push((self.life, known.clone(), calls));
        let generation = match self.engine.stop(known.owner, known.id).await {
            Ok(generation) => generation,
            Err(error) => return self.refused(&format!("stopping {}", known.id), &error),
        };
        let mut facts = self.facts.lock();
        facts.ended(known.id, generation.state);
        // A newer generation of the message has calls of the same seed.
        if !facts.continued.contains(&known.id) {
            let live = self.upstream.lock().live_among(calls, self.life, known.seed);
            facts.expect(!live, || format!("{} was stopped, and its provider is still connected", known.id));
        }
    }

    /// A page of messages, with the texts of running answers.
    pub(crate) async fn page(self, known: Known) {
        let all = PageRequest { after: None, limit: 1000 };
        let page = match self.store.message_list(known.owner, known.conversation, all).await {
            Ok(page) => page,
            Err(error) => return self.refused("a page of messages", &error.into()),
        };
        let mut messages = page.items;
        if let Err(error) = self.engine.fill_running(known.owner, &mut messages).await {
            return self.refused("filling a page", &error);
        }
        let mut facts = self.facts.lock();
        let running = messages.iter().filter(|message| message.state == State::Running).count();
        facts.expect(running <= 1, || format!("{running} answers run in one conversation"));
        for message in messages {
            let Some(generation) = message.generation_id else { continue };
            match message.last_event {
                Some(cursor) => {
                    facts.snapshots.push(Snapshot { generation, cursor, content: message.into_content() });
                }
                None if message.state.is_terminal() => {
                    facts.ended(generation, message.state);
                    facts.finals.insert(generation, (message.content, message.state));
                }
                None => {}
            }
        }
    }

    /// All that another user might try: there is no such thing for it.
    pub(crate) async fn intrude(self, other: UserId, known: Known) {
        let engine = &self.engine;
        let (id, conversation) = (known.id, Some(known.conversation));
        let mut outcomes = vec![
            engine.attach(other, Target::Generation(id), None).await.map(|_| "attached"),
            engine.attach(other, Target::Conversation(known.conversation), None).await.map(|_| "attached"),
            engine.stop(other, id).await.map(|_| "stopped"),
            engine.go_on(other, id, Continuation::default()).await.map(|_| "continued"),
            engine.retry(other, id, Retry::default()).await.map(|_| "retried"),
            engine.send(other, question("mine".to_owned(), conversation, None)).await.map(|_| "sent"),
        ];
        engine.stop_conversation(other, known.conversation).await;
        if let Ok(message) = self.store.message_get(known.owner, known.message).await {
            let mut page = [message.clone()];
            let filled = engine.fill_running(other, &mut page).await;
            outcomes.push(if page[0] == message { Err(EngineError::NotFound) } else { filled.map(|()| "read") });
        }
        for outcome in outcomes {
            match outcome {
                Err(EngineError::NotFound) => {}
                Err(error) if self.may_refuse(&error) => {}
                other => self.fault(&format!("another user's {id}: {other:?}")),
            }
        }
    }
}

pub(crate) fn known(generation: &Generation, continues: Option<GenerationId>) -> Known {
    Known {
        id: generation.id,
        owner: generation.owner,
        conversation: generation.conversation_id,
        message: generation.message_id,
        seed: generation.request.seed,
        given: generation.request.given_bytes,
        continues,
    }
}
