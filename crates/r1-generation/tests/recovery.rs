//! What a next process finds, where it is not simply the rest of an answer: retired logs, damaged ones,
//! a model that is gone, an answer that kills whoever writes it.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use r1_domain::{
    cursor::{Cursor, EventId},
    generation::State,
    id::{GenerationId, NodeId, UserId},
    log::{FIRST_GRAMMAR, GRAMMAR},
    message::NotContinuable,
    provider::UnknownModel,
    store::{LogAppend, NewTurn, Store},
    time::{Clock, SystemClock, Timestamp},
};
use r1_generation::{Continuation, Engine, EngineError, Options, Reader, Target};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::{
    provider::{ScriptedModels, ScriptedProvider, ScriptedRun},
    store::ScriptedStore,
    store_contract::{append, begin, failing, kinds::newer_records, new_turn, stored, user},
};

#[path = "support/ask.rs"]
mod ask;
use ask::{question, read};

const OPTIONS: Options = Options {
    runs_per_user: None,
    answer_bytes: 10_000,
    answer_time: Duration::from_secs(60),
    max_tokens: Some(100),
    history_bytes: 10_000,
    lease: Duration::from_secs(10),
    stall_limit: Duration::from_secs(60),
};

/// One process over a data directory.
struct Life {
    engine: Engine,
    store: Arc<ScriptedStore>,
    provider: Arc<ScriptedProvider>,
}

impl Life {
    fn begin(dir: &Path, can_continue: bool) -> Result<Self> {
        let provider = ScriptedProvider::new(can_continue);
        Self::with(dir, provider.clone(), ScriptedModels::new(provider))
    }

    fn with(dir: &Path, provider: Arc<ScriptedProvider>, models: Arc<ScriptedModels>) -> Result<Self> {
        let store = ScriptedStore::new(Arc::new(SqliteStore::open(&SqliteOptions::new(dir))?), 0);
        let node = NodeId::new(SystemClock.now());
        let engine = Engine::new(store.clone(), models, Arc::new(SystemClock), node, None, Arc::new(()), OPTIONS);
        Ok(Self { engine, store, provider })
    }

    /// Nothing more comes of it; the directory is free.
    fn killed(self) {
        drop(self.store.die());
    }

    async fn ask(&self, owner: UserId) -> Result<(Reader, ScriptedRun)> {
        let accepted = self.engine.send(owner, question("go")).await?;
        Ok((accepted.reader, self.provider.next_run().await))
    }

    async fn replay(&self, owner: UserId, id: GenerationId, after: Option<Cursor>) -> Result<String> {
        let reader = self.engine.attach(owner, Target::Generation(id), after).await?.context("a stream")?;
        Ok(read(reader).await)
    }
}

/// Says something and waits until the reader has it: a commit of its own.
async fn say(run: &ScriptedRun, reader: &mut Reader, text: &str) -> Result<()> {
    run.text(text).await?;
    let chunk = format!(r#""content": "{text}""#);
    let mut seen = String::new();
    while !seen.contains(&chunk) {
        let frames = std::future::poll_fn(|context| reader.poll_frames(context)).await.context("a frame")?;
        seen.push_str(std::str::from_utf8(&frames)?);
    }
    Ok(())
}

/// Ids and payloads in short: `1.2 chunk "text"`.
fn brief(frames: &str) -> Result<Vec<String>> {
    let brief = |frame: &str| -> Result<String> {
        let (id, data) = frame.split_once("\ndata: ").context("a frame")?;
        let id: EventId = id.trim_start_matches("id: ").parse()?;
        let data: serde_json::Value = serde_json::from_str(data)?;
        let what = ["content", "status", "code"].iter().find_map(|field| data[*field].as_str());
        Ok(format!("{} {} {}", id.cursor, data["type"].as_str().unwrap_or_default(), what.unwrap_or_default()))
    };
    frames.split_terminator("\n\n").map(brief).collect()
}

/// What a process of a newer version left: a question, and a log in which it says more than this one knows.
async fn of_newer(life: &Life, owner: UserId, grammar: u32) -> Result<(GenerationId, Vec<u8>)> {
    let store = life.store.clone() as Arc<dyn Store>;
    let mut turn = NewTurn { grammar, ..new_turn(owner, "go", SystemClock.now()) };
    ScriptedModels::MODEL.clone_into(&mut turn.request.model);
    begin(&store, &turn).await?;
    let records = newer_records("half ");
    stored(&store, vec![LogAppend { records: records.clone(), ..append(turn.generation_id, 1, 2, &[]) }]).await?;
    Ok((turn.generation_id, [&turn.start[..], &records].concat()))
}

#[tokio::test]
async fn kinds_that_are_not_known_go_on_with_the_answer() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (id, written) = of_newer(&life, owner, FIRST_GRAMMAR).await?;
    assert_eq!(life.engine.recover().await?, 1);
    let run = life.provider.next_run().await;
    assert_eq!(run.request().partial_answer.as_deref(), Some("half "));
    run.text("whole").await?;
    run.done().await?;
    let reader = life.engine.attach(owner, Target::Generation(id), None).await?.context("a stream")?;
    let frames = brief(&read(reader).await)?;
    let shown = [
        "1.1 start ",
        "1.2 of_tomorrow ",
        "1.3 reasoning Hm\n",
        "1.4 tool_arguments {\"q\":",
        "1.5 chunk half ",
        "1.6 of_the_day_after ",
        "2.7 resumed ",
        "2.8 chunk whole",
        "2.9 end completed",
    ];
    assert_eq!(frames, shown);
    let log = life.store.log_read(owner, id).await?;
    ensure!(log.records.context("a log")?.starts_with(&written), "byte for byte");
    assert_eq!(log.content.text, "half whole");
    Ok(())
}

#[tokio::test]
async fn a_grammar_that_is_not_known_is_shown_and_left_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (id, written) = of_newer(&life, owner, GRAMMAR + 1).await?;
    assert_eq!(life.engine.recover().await?, 0);
    assert_eq!(life.engine.interrupt_orphans("restored").await?, 0);
    let mut reader = life.engine.attach(owner, Target::Generation(id), None).await?.context("a stream")?;
    let frames = std::future::poll_fn(|context| reader.poll_frames(context)).await.context("frames")?;
    assert_eq!(brief(std::str::from_utf8(&frames)?)?.last().map(String::as_str), Some("1.6 of_the_day_after "));
    let more = futures::poll!(std::future::poll_fn(|context| reader.poll_frames(context)));
    ensure!(more.is_pending(), "it stays, and nothing comes: {more:?}");
    let message_id = life.store.generation_get(owner, id).await?.message_id;
    let mut messages = [life.store.message_get(owner, message_id).await?];
    life.engine.fill_running(owner, &mut messages).await?;
    let [message] = &messages;
    assert_eq!((&*message.content, message.last_event), ("half ", Some(Cursor { epoch: 1, seq: 6 })));
    ensure!(life.engine.stop(owner, id).await.is_err(), "its end is for others to write");
    let log = life.store.log_read(owner, id).await?;
    assert_eq!((log.generation.epoch, log.generation.state), (1, State::Running));
    assert_eq!(log.records.as_deref(), Some(&written[..]), "byte for byte");

    // One that has ended: what its text leaves out is not known here.
    let store = life.store.clone() as Arc<dyn Store>;
    let turn = NewTurn { grammar: GRAMMAR + 1, ..new_turn(owner, "go", SystemClock.now()) };
    begin(&store, &turn).await?;
    stored(&store, vec![failing(&turn, 2, "half", 2, &[], SystemClock.now())]).await?;
    let refused = life.engine.go_on(owner, turn.generation_id, Continuation::default()).await.err();
    ensure!(matches!(refused, Some(EngineError::NotContinuable(NotContinuable::Newer))), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn an_earlier_log_is_made_again_as_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (mut reader, run) = life.ask(owner).await?;
    let first = reader.generation_id();
    say(&run, &mut reader, "half ").await?;
    life.engine.stop(owner, first).await?;
    drop(reader);
    let never = Timestamp::from_micros(0);
    let retired = life.store.purge(SystemClock.now(), never, never, 10).await?;
    assert_eq!(retired, 1);
    let again = ["2.1 start ", "2.2 chunk half ", "2.3 end stopped"];
    assert_eq!(brief(&life.replay(owner, first, None).await?)?, again);

    let accepted = life.engine.go_on(owner, first, Continuation::default()).await?;
    let run = life.provider.next_run().await;
    run.text("whole").await?;
    assert_eq!(brief(&life.replay(owner, first, None).await?)?, again, "while the message is being continued");
    run.done().await?;
    assert_eq!(accepted.reader.fold().await?.content.text, "half whole");
    assert_eq!(brief(&life.replay(owner, first, None).await?)?, again, "and after that");
    let seen = Cursor { epoch: 1, seq: 2 };
    assert_eq!(brief(&life.replay(owner, first, Some(seen)).await?)?, again, "all of it, for a place that is gone");
    let seen = Cursor { epoch: 2, seq: 2 };
    assert_eq!(brief(&life.replay(owner, first, Some(seen)).await?)?, again[2..], "its new places are places");
    Ok(())
}

/// Damages the newest journal row but `behind` ones.
fn damage(dir: &Path, behind: u32) -> Result<()> {
    let changed = rusqlite::Connection::open(dir.join("gpt-r1.db"))?.execute(
        "UPDATE journal SET entries = CAST(substr(entries, 1, length(entries) - 1) || 'X' AS BLOB)
         WHERE id = (SELECT id FROM journal ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        [behind],
    )?;
    ensure!(changed == 1, "there is such a row");
    Ok(())
}

#[tokio::test]
async fn a_damaged_log_goes_on_from_before_the_damage() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (mut reader, run) = life.ask(owner).await?;
    let id = reader.generation_id();
    for text in ["a", "b", "c", "d"] {
        say(&run, &mut reader, text).await?;
    }
    life.killed();
    damage(dir.path(), 1)?;

    let life = Life::begin(dir.path(), true)?;
    assert_eq!(life.engine.recover().await?, 1);
    let run = life.provider.next_run().await;
    assert_eq!(run.request().partial_answer.as_deref(), Some("ab"));
    run.text("C").await?;
    run.done().await?;
    let whole = ["1.1 start ", "1.2 chunk a", "1.3 chunk b", "2.4 resumed ", "2.5 chunk C", "2.6 end completed"];
    assert_eq!(brief(&life.replay(owner, id, None).await?)?, whole);
    let lost = Cursor { epoch: 1, seq: 4 };
    assert_eq!(brief(&life.replay(owner, id, Some(lost)).await?)?, whole, "who saw what is lost begins anew");
    let kept = Cursor { epoch: 1, seq: 3 };
    assert_eq!(brief(&life.replay(owner, id, Some(kept)).await?)?, whole[3..], "and others go on");
    Ok(())
}

/// The message's row still has it, and the generation's all that a `start` says.
#[tokio::test]
async fn the_given_text_of_a_damaged_log_is_not_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (mut reader, run) = life.ask(owner).await?;
    say(&run, &mut reader, "half ").await?;
    let first = reader.generation_id();
    life.engine.stop(owner, first).await?;
    let mut reader = life.engine.go_on(owner, first, Continuation::default()).await?.reader;
    let id = reader.generation_id();
    let run = life.provider.next_run().await;
    say(&run, &mut reader, "lost").await?;
    life.killed();
    let gone = rusqlite::Connection::open(dir.path().join("gpt-r1.db"))?
        .execute("DELETE FROM generation_log WHERE generation_id = ?1", [id.as_uuid().into_bytes()])?;
    assert_eq!(gone, 1);

    let life = Life::begin(dir.path(), true)?;
    assert_eq!(life.engine.recover().await?, 1);
    let run = life.provider.next_run().await;
    assert_eq!(run.request().partial_answer.as_deref(), Some("half "));
    run.text("whole").await?;
    run.done().await?;
    let frames = brief(&life.replay(owner, id, None).await?)?;
    let whole = ["1.1 start ", "2.2 resumed ", "2.3 chunk half ", "2.4 chunk whole", "2.5 end completed"];
    assert_eq!(frames, whole, "and it begins as every log does");
    Ok(())
}

#[tokio::test]
async fn a_model_that_is_gone_leaves_its_answer_interrupted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (mut reader, run) = life.ask(owner).await?;
    let id = reader.generation_id();
    say(&run, &mut reader, "half ").await?;
    let (nothing_said, _run) = life.ask(owner).await?;
    let ids = [id, nothing_said.generation_id()];
    life.killed();

    // Another name than what was asked.
    rusqlite::Connection::open(dir.path().join("gpt-r1.db"))?
        .execute("UPDATE generation SET request = replace(request, 'test/scripted', 'gone/model')", [])?;
    let life = Life::begin(dir.path(), true)?;
    assert_eq!(life.engine.recover().await?, 2);
    for id in ids {
        let frames = brief(&life.replay(owner, id, None).await?)?;
        ensure!(frames.last().is_some_and(|last| last.ends_with("error interrupted")), "{frames:?}");
        assert_eq!(life.engine.stop(owner, id).await?.state, State::Interrupted);
    }
    assert_eq!(life.engine.running(), 0);
    let refused = life.engine.go_on(owner, id, Continuation::default()).await.err();
    ensure!(
        matches!(&refused, Some(EngineError::UnknownModel(UnknownModel::NoProvider { name })) if name == "gone/model"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_is_taken_over_three_times() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let life = Life::begin(dir.path(), true)?;
    let owner = user(&(life.store.clone() as Arc<dyn Store>), "ada").await?;
    let (mut reader, run) = life.ask(owner).await?;
    let id = reader.generation_id();
    say(&run, &mut reader, "0").await?;
    life.killed();
    let mut text = "0".to_owned();
    for n in 1..=3 {
        let life = Life::begin(dir.path(), true)?;
        assert_eq!(life.engine.recover().await?, 1);
        let run = life.provider.next_run().await;
        assert_eq!(run.request().partial_answer.as_deref(), Some(text.as_str()));
        let mut reader = life.engine.attach(owner, Target::Generation(id), None).await?.context("a stream")?;
        say(&run, &mut reader, &n.to_string()).await?;
        text.push_str(&n.to_string());
        life.killed();
    }
    let life = Life::begin(dir.path(), true)?;
    assert_eq!(life.engine.recover().await?, 1);
    let frames = brief(&life.replay(owner, id, None).await?)?;
    assert_eq!(frames[frames.len() - 2..], ["5.9 resumed ", "5.10 error interrupted"], "{frames:?}");
    ensure!(life.provider.requests().is_empty(), "nobody is asked any more");
    let stored = life.store.generation_get(owner, id).await?;
    let message = life.store.message_get(owner, stored.message_id).await?;
    assert_eq!((message.content.as_str(), message.state), ("0123", State::Interrupted));
    Ok(())
}
