//! What is stored in the end, against all that anybody was told.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    future::poll_fn,
};

use anyhow::{Context, Result, bail, ensure};
use futures::stream;
use r1_domain::{
    cursor::Cursor,
    event::INTERRUPTED,
    generation::State,
    id::{GenerationId, UserId},
    message::{Message, Role},
    page::PageRequest,
    part::{Content, Part, reasoning_bytes},
    store::Store,
};
use r1_generation::Target;
use r1_testkit::sse::{self, Frame, text_of};

use crate::{
    client::{Client, known},
    facts::{Facts, Known},
    upstream::{Call, Upstream},
    world::World,
};

/// How often what happened, so that it is seen that it happens at all.
pub(crate) type Tally = BTreeMap<&'static str, u64>;

pub(crate) async fn verdict(world: &World, client: &Client, tally: &mut Tally) -> Result<()> {
    let mut all: Vec<Known> = world.facts.lock().known.clone();
    for owner in world.users {
        for message in messages(client, owner, tally).await? {
            let id = message.generation_id.context("an answer without a generation")?;
            let generation = client.store.generation_get(owner, id).await?;
            let frames = replay(client, owner, id, None).await?;
            let what = || format!("message {} of {id}", message.id);
            as_the_log_says(&message, &frames).with_context(what)?;
            let question = client.store.message_get(owner, message.parent_id.context("no question")?).await?;
            let given: Vec<_> =
                all.iter().filter(|known| known.message == message.id).map(|known| known.given).collect();
            let given = [&given[..], &[generation.request.given_bytes]].concat();
            let beside = world.facts.lock().beside.clone();
            let seed = generation.request.seed;
            let said = Said { seed, question: &question.content, given: &given, beside: &beside };
            said.in_full(&world.upstream.lock(), &message, client.setup.answer_bytes).with_context(what)?;
            if all.iter().all(|known| known.id != id) {
                *tally.entry("accepted, though nobody was told").or_default() += 1;
                all.push(known(&generation, None));
            }
        }
    }
    for known in &all {
        look_at(world, client, known, tally).await.with_context(|| format!("generation {}", known.id))?;
    }
    if let Some(known) = all.first() {
        one_read_for_all(client, known).await?;
    }
    world.facts.lock().check()
}

/// All answers of a user; each of its questions is there once.
async fn messages(client: &Client, owner: UserId, tally: &mut Tally) -> Result<Vec<Message>> {
    let (mut answers, mut questions) = (Vec::new(), Vec::new());
    let first = PageRequest { after: None, limit: 1000 };
    for conversation in client.store.conversation_list(owner, first).await?.items {
        let mut page = first;
        loop {
            let found = client.store.message_list(owner, conversation.id, page).await?;
            for message in found.items {
                match message.role {
                    Role::User => questions.push(message.content),
                    _ => answers.push(message),
                }
            }
            let Some(next) = found.next else { break };
            page.after = Some(next);
        }
    }
    *tally.entry("answers").or_default() += answers.len() as u64;
    let asked = questions.len();
    questions.sort();
    questions.dedup();
    ensure!(questions.len() == asked, "a question was stored twice");
    Ok(answers)
}

/// What a reader gets that comes now; nothing where there is nothing to follow.
async fn replay(client: &Client, owner: UserId, id: GenerationId, after: Option<Cursor>) -> Result<Vec<Frame>> {
    let Some(reader) = client.engine.attach(owner, Target::Generation(id), after).await? else {
        return Ok(Vec::new());
    };
    let body = stream::unfold(reader, |mut reader| async move {
        let frames = poll_fn(|context| reader.poll_frames(context)).await?;
        Some((Ok::<_, Infallible>(frames), reader))
    });
    sse::Reader::new(body).collect_to_end().await
}

fn cursor(frame: &Frame) -> Cursor {
    frame.id.map_or(Cursor::BEGINNING, |id| id.cursor)
}

fn state(terminal: &Frame) -> Result<State> {
    let status = terminal.data["status"].as_str();
    Ok(match (terminal.kind(), status, terminal.data["code"].as_str()) {
        ("end", Some("completed"), _) => State::Completed,
        ("end", Some("stopped"), _) => State::Stopped,
        ("error", _, Some(INTERRUPTED)) => State::Interrupted,
        ("error", _, Some(_)) => State::Failed,
        _ => bail!("no terminal event: {:?}", terminal.data),
    })
}

/// `start (chunk | reasoning)* (resumed (chunk | reasoning)*)* (end | error)`, numbered from 1, an epoch raised where
/// it says so.
fn well_formed(frames: &[Frame], known: &Known, retired: bool) -> Result<()> {
    let (start, rest) = frames.split_first().context("no frame")?;
    let (terminal, middle) = rest.split_last().context("no terminal event")?;
    ensure!(start.kind() == "start" && cursor(start).seq == 1, "begins with {start:?}");
    ensure!(terminal.is_terminal(), "ends with {terminal:?}");
    let mut epoch = cursor(start).epoch;
    ensure!(epoch == 1 || retired, "begins in epoch {epoch}");
    for frame in middle {
        match frame.kind() {
            "chunk" => ensure!(frame.content().is_some_and(|text| !text.is_empty()), "an empty chunk"),
            "reasoning" => ensure!(frame.data["content"] != "", "an empty thought"),
            "resumed" => {
                ensure!(cursor(frame).epoch > epoch && frame.data["epoch"] == cursor(frame).epoch, "{frame:?}");
                epoch = cursor(frame).epoch;
            }
            other => bail!("{other} in the middle"),
        }
        ensure!(cursor(frame).epoch == epoch, "{frame:?} in epoch {epoch}");
    }
    ensure!(cursor(terminal).epoch == epoch, "{terminal:?} in epoch {epoch}");
    for (frame, field, id) in [
        (start, "generation_id", known.id.to_string()),
        (start, "conversation_id", known.conversation.to_string()),
        (start, "message_id", known.message.to_string()),
    ] {
        ensure!(frame.data[field] == id, "{field} in {frame:?}");
    }
    let named = terminal.kind() == "error" || terminal.data["message_id"] == known.message.to_string();
    ensure!(named, "another message's end: {terminal:?}");
    Ok(())
}

/// The message is the fold of its newest generation's log.
fn as_the_log_says(message: &Message, frames: &[Frame]) -> Result<()> {
    let terminal = frames.last().context("no frame")?;
    ensure!(message.content == text_of(frames), "{:?} is stored, {:?} was shown", message.content, text_of(frames));
    let stored = parts_stored(&Content { text: message.content.clone(), parts: message.parts.clone() });
    ensure!(stored == parts_shown(frames), "{stored:?} are stored, {:?} were shown", parts_shown(frames));
    ensure!(message.state == state(terminal)?, "{:?}: {terminal:?}", message.state);
    ensure!(message.finish_reason.as_deref() == terminal.data["finish_reason"].as_str(), "{terminal:?}");
    ensure!(message.error_code.as_deref() == terminal.data["code"].as_str(), "{terminal:?}");
    Ok(())
}

/// What was thought or said at a stretch: which of the two, and the words.
type Stretches = Vec<(bool, String)>;

fn add(stretches: &mut Stretches, is_thought: bool, words: &str) {
    match stretches.last_mut() {
        Some((was_thought, last)) if *was_thought == is_thought => last.push_str(words),
        _ => stretches.push((is_thought, words.to_owned())),
    }
}

/// What a client makes of a stream.
fn parts_shown(frames: &[Frame]) -> Stretches {
    let mut shown = Stretches::new();
    for frame in frames {
        let words = frame.data["content"].as_str().unwrap_or_default();
        match frame.kind() {
            "start" => shown.clear(),
            "chunk" => add(&mut shown, false, words),
            "reasoning" => add(&mut shown, true, words),
            "resumed" if frame.data["discard"] == "reasoning" => drop(shown.pop_if(|(is_thought, _)| *is_thought)),
            _ => {}
        }
    }
    shown
}

fn parts_stored(content: &Content) -> Stretches {
    let mut stored = Stretches::new();
    if content.parts.is_empty() && !content.text.is_empty() {
        add(&mut stored, false, &content.text);
    }
    for part in &content.parts {
        match part {
            Part::Text(span) => add(&mut stored, false, &content.text[span.clone()]),
            Part::Reasoning(reasoning) => add(&mut stored, true, &reasoning.text),
            Part::Other(part) => add(&mut stored, true, &part.to_string()),
        }
    }
    stored
}

/// What models were asked for a message.
struct Said<'a> {
    seed: u64,
    question: &'a str,
    /// Lengths of the texts that its generations began with.
    given: &'a [usize],
    /// Lives that began while another one still wrote.
    beside: &'a HashSet<usize>,
}

fn before_is_more(before: &str, partial: &str) -> bool {
    before.len() > partial.len() && before.starts_with(partial)
}

impl Said<'_> {
    /// The text is what each call said, from its beginning on without a gap, one call after the other; and
    /// each was asked to go on from just what stands before.
    fn in_full(&self, upstream: &Upstream, message: &Message, limit: usize) -> Result<()> {
        let (text, mut at, mut whole, mut life) = (&message.content, 0, true, 0);
        // What was thought takes room as well.
        let limit = limit.saturating_sub(reasoning_bytes(&message.parts));
        for call in upstream.calls.iter().filter(|call| call.request.seed == self.seed) {
            // Asked again by a process that does not know that it was succeeded: it is fenced, and what
            // it is told is nowhere.
            if call.life < life {
                continue;
            }
            life = call.life;
            // What its predecessor wrote between its look and its take-over fences it as well.
            if self.beside.contains(&life) && before_is_more(&text[..at], call.partial()) {
                continue;
            }
            self.was_asked(call, &text[..at])?;
            whole = call.done;
            for token in &call.said {
                let ends = token.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
                let taken = ends.into_iter().find(|to| text[at..].starts_with(&token[..*to])).unwrap_or_default();
                at += taken;
                if taken < token.len() {
                    ensure!(taken == 0 || at + 3 > limit, "a token was cut at {at}: {token:?}");
                    whole = false;
                    break;
                }
            }
        }
        ensure!(at == text.len(), "nobody said {:?}, after {:?}", &text[at..], &text[..at]);
        let full = text.len() + 3 > limit;
        ensure!(message.state != State::Completed || whole || full, "it is complete without its end: {text:?}");
        Ok(())
    }

    fn was_asked(&self, call: &Call, before: &str) -> Result<()> {
        let (partial, request) = (call.partial(), &call.request);
        ensure!(partial == before, "life {} was to go on from {partial:?}; {before:?} is stored", call.life);
        let turns = &request.turns;
        // What asks to go on with an answer comes after it.
        let question =
            if partial.is_empty() || request.partial_answer.is_some() { turns.len() } else { turns.len() - 2 };
        let asked =
            turns.get(question.wrapping_sub(1)).filter(|turn| turn.role == Role::User).map(|turn| &turn.content);
        // Behind questions that were not answered, maybe.
        let asked = asked.and_then(|asked| asked.strip_suffix(&self.question));
        ensure!(asked.is_some_and(|before| before.is_empty() || before.ends_with("\n\n")), "asked {turns:?}");
        ensure!(turns.windows(2).all(|pair| pair[0].role != pair[1].role), "two of one role: {turns:?}");
        ensure!(turns[0].role == Role::User && turns.iter().all(|turn| !turn.is_blank()), "asked {turns:?}");
        // Where it can't go on from a partial answer, only its user asks it to.
        let may = partial.is_empty() || request.partial_answer.is_some() || self.given.contains(&partial.len());
        ensure!(may, "life {} went on by itself, after {partial:?}", call.life);
        Ok(())
    }
}

async fn look_at(world: &World, client: &Client, known: &Known, tally: &mut Tally) -> Result<()> {
    let stored = client.store.log_read(known.owner, known.id).await?;
    let retired = stored.records.is_none();
    let frames = replay(client, known.owner, known.id, None).await?;
    well_formed(&frames, known, retired)?;
    let terminal = frames.last().context("no frame")?;
    ensure!(stored.generation.state == state(terminal)?, "{:?}: {terminal:?}", stored.generation.state);
    let payload = stored.terminal_payload.context("no payload")?;
    ensure!(terminal.raw.ends_with(format!("\ndata: {payload}\n\n").as_bytes()), "{payload} and {terminal:?}");
    count(tally, &frames, retired, stored.generation.state);
    resumes(client, known, &frames).await?;
    if let Some(earlier) = known.continues {
        *tally.entry("continued").or_default() += 1;
        let earlier = replay(client, known.owner, earlier, None).await?;
        let (given, parts) = (text_of(&earlier), parts_shown(&earlier));
        let begins = retired || (1..frames.len()).any(|first| parts_shown(&frames[..first]) == parts);
        ensure!(begins && text_of(&frames).starts_with(&given), "it goes on from {earlier:?}: {frames:?}");
    }
    as_it_was_told(&world.facts.lock(), known.id, &frames, retired)
}

/// Every cursor gets exactly what comes after it; one that the log does not have gets all of it.
async fn resumes(client: &Client, known: &Known, frames: &[Frame]) -> Result<()> {
    let step = frames.len() / 4 + 1;
    for at in (0..frames.len()).step_by(step).chain([frames.len() - 1]) {
        let rest = replay(client, known.owner, known.id, Some(cursor(&frames[at]))).await?;
        ensure!(rest == frames[at + 1..], "after {:?} came {rest:?}", frames[at].id);
    }
    let last = cursor(&frames[frames.len() - 1]);
    for nowhere in [Cursor { epoch: last.epoch + 1, seq: 1 }, Cursor { seq: last.seq + 1, ..last }] {
        let whole = replay(client, known.owner, known.id, Some(nowhere)).await?;
        ensure!(whole == frames, "after {nowhere}, which is nowhere, came {whole:?}");
    }
    Ok(())
}

fn as_it_was_told(facts: &Facts, id: GenerationId, frames: &[Frame], retired: bool) -> Result<()> {
    let stored: BTreeMap<Cursor, &Frame> = frames.iter().map(|frame| (cursor(frame), frame)).collect();
    for (cursor, raw) in facts.frames.get(&id).into_iter().flatten() {
        match stored.get(cursor) {
            Some(frame) => ensure!(frame.raw == *raw, "{cursor} was {raw:?} and is {:?}", frame.raw),
            None => ensure!(retired, "{cursor} is gone: {raw:?}"),
        }
    }
    let terminal = frames.last().context("no frame")?;
    let state = state(terminal)?;
    if let Some(told) = facts.ended.get(&id) {
        ensure!(*told == state, "it was {told:?} and is {state:?}");
    }
    ensure!(state != State::Stopped || facts.stops.contains(&id), "nobody stopped it");
    if let Some((text, told)) = facts.finals.get(&id) {
        ensure!((text, *told) == (&text_of(frames), state), "a page said {told:?}, {text:?}");
    }
    if retired {
        return Ok(());
    }
    for at_end in facts.at_end.iter().filter(|(of, _)| *of == id) {
        ensure!(at_end.1 == cursor(terminal), "nothing to follow after {}", at_end.1);
    }
    for snapshot in facts.snapshots.iter().filter(|snapshot| snapshot.generation == id) {
        ensure!(stored.contains_key(&snapshot.cursor), "a page had the cursor {}", snapshot.cursor);
        let frames: Vec<Frame> = stored.range(..=snapshot.cursor).map(|(_, frame)| (*frame).clone()).collect();
        let (shown, said) = (parts_shown(&frames), parts_stored(&snapshot.content));
        ensure!(shown == said, "a page said {said:?} at {}, it is {shown:?}", snapshot.cursor);
    }
    Ok(())
}

/// Who follows an ended generation shares one read of its log, which goes with the last of them.
async fn one_read_for_all(client: &Client, known: &Known) -> Result<()> {
    let attach = || client.engine.attach(known.owner, Target::Generation(known.id), None);
    let before = client.store.calls("log_read");
    let readers = (attach().await?, attach().await?);
    ensure!(client.store.calls("log_read") == before + 1, "two readers, not one read");
    drop(readers);
    attach().await?;
    ensure!(client.store.calls("log_read") == before + 2, "a log is kept that nobody reads");
    Ok(())
}

fn count(tally: &mut Tally, frames: &[Frame], retired: bool, state: State) {
    let mut add = |what, times: usize| *tally.entry(what).or_default() += times as u64;
    add("generations", 1);
    add("frames", frames.len());
    add("take-overs", frames.iter().filter(|frame| frame.kind() == "resumed").count());
    add("thoughts", frames.iter().filter(|frame| frame.kind() == "reasoning").count());
    add("discarded thoughts", frames.iter().filter(|frame| frame.data["discard"] == "reasoning").count());
    add("retired", retired.into());
    add(state.as_str(), 1);
}
