//! The engine over a real database and a scripted provider: what no reader should ever notice.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{FutureExt, future::BoxFuture, stream};
use r1_domain::{
    generation::State,
    id::{GenerationId, NodeId, UserId},
    message::NotContinuable,
    provider::{CompletionRequest, CompletionStream, Delta, Models, Provider, ProviderError, ProviderErrorCode},
    store::{IdempotencyKey, Store},
    time::{Clock, SystemClock},
};
use r1_generation::{Continuation, Engine, EngineError, Options, Question, Reader, Retry, Target};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::{
    provider::{Plan, ScriptedModels, ScriptedProvider},
    store_contract::user,
};

use ask::{question, read};

#[path = "support/ask.rs"]
mod ask;
#[path = "engine/failure.rs"]
mod failure;
#[path = "engine/follow_up.rs"]
mod follow_up;
#[path = "engine/reasoning.rs"]
mod reasoning;
#[path = "engine/stop.rs"]
mod stop;

const OPTIONS: Options = Options {
    runs_per_user: Some(2),
    answer_bytes: 100,
    answer_time: Duration::from_secs(60),
    max_tokens: Some(100),
    history_bytes: 10_000,
    lease: Duration::from_secs(10),
    stall_limit: Duration::from_secs(60),
};

struct World {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    user: UserId,
    dir: tempfile::TempDir,
}

async fn world(provider: Arc<dyn Provider>) -> Result<World> {
    world_with(provider, OPTIONS).await
}

async fn world_with(provider: Arc<dyn Provider>, options: Options) -> Result<World> {
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&SqliteOptions::new(dir.path()))?);
    let user = user(&store, "ada").await?;
    let engine = engine_with(&store, provider, options);
    Ok(World { engine, store, user, dir })
}

fn engine(store: &Arc<dyn Store>, provider: Arc<dyn Provider>) -> Arc<Engine> {
    engine_with(store, provider, OPTIONS)
}

fn engine_with(store: &Arc<dyn Store>, provider: Arc<dyn Provider>, options: Options) -> Arc<Engine> {
    let models: Arc<dyn Models> = ScriptedModels::new(provider);
    let clock = Arc::new(SystemClock);
    Arc::new(Engine::new(store.clone(), models, clock, NodeId::new(SystemClock.now()), None, Arc::new(()), options))
}

/// A provider whose stream panics after a word.
struct Panicking;

impl Provider for Panicking {
    fn complete(&self, _: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        let mut said = false;
        let answer = stream::poll_fn(move |_| {
            assert!(!std::mem::replace(&mut said, true), "a defect in the provider");
            Poll::Ready(Some(Ok(Delta::text("word"))))
        });
        async move { Ok(Box::pin(answer) as CompletionStream) }.boxed()
    }

    fn can_continue(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_panic_ends_one_answer_and_nothing_else() -> Result<()> {
    let world = world(Arc::new(Panicking)).await?;
    for _ in 0..3 {
        let accepted = world.engine.send(world.user, question("go")).await?;
        let id = accepted.generation_id;
        let text = read(accepted.reader).await;
        ensure!(text.contains("\"word\"") && text.contains(r#""code": "internal""#), "{text}");
        assert_eq!(world.engine.stop(world.user, id).await?.state, State::Failed);
    }
    assert_eq!(world.engine.running(), 0, "and takes no place among the runs");
    Ok(())
}

#[tokio::test]
async fn the_answers_limit_cuts_between_characters_and_ends_it() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    run.text(&"x".repeat(98)).await?;
    // Three bytes where two fit.
    run.text("漢").await?;
    run.dropped().await;
    let folded = accepted.reader.fold().await?;
    assert_eq!(folded.content.text, "x".repeat(98));
    ensure!(folded.terminal.context("an end")?.payload().contains(r#""finish_reason": "length""#));
    Ok(())
}

#[tokio::test]
async fn one_user_has_so_many_runs_however_they_come() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    provider.plan_always(Plan::Stall);
    let world = world(provider).await?;
    let sends = (0..6).map(|i| world.engine.send(world.user, question(&i.to_string())));
    let results = futures::future::join_all(sends.map(|send| send.map(|sent| sent.map(|a| a.generation_id)))).await;
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(accepted, 2, "as many as there may be, not fewer: {results:?}");
    ensure!(results.iter().all(|result| matches!(result, Ok(_) | Err(EngineError::TooManyRuns { limit: 2 }))));
    Ok(())
}

#[tokio::test]
async fn a_repeated_key_meets_no_limit() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    provider.plan_always(Plan::Stall);
    let world = world(provider.clone()).await?;
    world.engine.send(world.user, question("another")).await?;
    let key = IdempotencyKey { key: "k".to_owned(), fingerprint: [7; 32] };
    let ask = || Question { idempotency: Some(key.clone()), ..question("once") };
    let results = futures::future::join_all((0..10).map(|_| world.engine.send(world.user, ask()))).await;
    let mut ids = results.into_iter().map(|sent| sent.map(|a| a.generation_id)).collect::<Result<Vec<_>, _>>()?;
    ids.dedup();
    assert_eq!(ids.len(), 1, "one generation for all");
    Ok(())
}

#[tokio::test]
async fn what_can_go_on_is_left_to_the_next_start() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let accepted =
        world.engine.send(world.user, Question { request_id: Some("asked".to_owned()), ..question("go") }).await?;
    let id = accepted.generation_id;
    let run = provider.next_run().await;
    run.text("The sentence ").await?;
    let mut reader = accepted.reader;
    let mut seen = String::new();
    while !seen.contains("The sentence ") {
        let frames = std::future::poll_fn(|context| reader.poll_frames(context)).await.context("a frame")?;
        seen.push_str(&String::from_utf8_lossy(&frames));
    }
    world.engine.drain(Duration::ZERO).await;
    let seen = seen + &read(reader).await;
    ensure!(seen.ends_with("retry: 2000\n\n") && !seen.contains(r#""type": "e"#), "no terminal event: {seen}");

    let next = engine(&world.store, provider.clone());
    assert_eq!(next.recover().await?, 1);
    let run = provider.next_run().await;
    assert_eq!(run.request().partial_answer.as_deref(), Some("The sentence "));
    assert_eq!(run.request().request_id.as_deref(), Some("asked"), "whose it was");
    run.text("ends.").await?;
    run.done().await?;
    let reader = next.attach(world.user, Target::Generation(id), None).await?.context("a stream")?;
    let folded = reader.fold().await?;
    assert_eq!((folded.content.text.as_str(), folded.last.epoch), ("The sentence ends.", 2));
    Ok(())
}

/// Reads until this is there, so it is in storage.
async fn until(reader: &mut Reader, text: &str) -> Result<()> {
    let mut seen = String::new();
    while !seen.contains(text) {
        let frames = std::future::poll_fn(|context| reader.poll_frames(context)).await.context("a frame")?;
        seen.push_str(&String::from_utf8_lossy(&frames));
    }
    Ok(())
}

/// The next life of the server, which has taken over what there was; and a reader of it.
async fn next_life(world: &World, provider: &Arc<ScriptedProvider>, id: GenerationId) -> Result<(Arc<Engine>, Reader)> {
    let next = engine(&world.store, provider.clone());
    assert_eq!(next.recover().await?, 1);
    let reader = next.attach(world.user, Target::Generation(id), None).await?.context("a stream")?;
    Ok((next, reader))
}

#[tokio::test]
async fn a_take_over_asks_with_exactly_the_tokens_whose_text_is_in_the_log() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let mut accepted = world.engine.send(world.user, question("go")).await?;
    let id = accepted.generation_id;
    let run = provider.next_run().await;
    assert_eq!(run.request().partial_ids, None, "a new answer");
    run.tokens("The ", &[1]).await?;
    run.tokens("sun ", &[2, 70_000]).await?;
    until(&mut accepted.reader, "sun ").await?;
    world.engine.drain(Duration::ZERO).await;

    let (next, mut reader) = next_life(&world, &provider, id).await?;
    let run = provider.next_run().await;
    let asked = run.request();
    assert_eq!(asked.partial_answer.as_deref(), Some("The sun "));
    assert_eq!((asked.partial_ids.as_deref(), asked.max_tokens), (Some(&[1, 2, 70_000][..]), Some(97)), "by tokens");
    run.tokens("is ", &[4]).await?;
    until(&mut reader, "is ").await?;
    next.drain(Duration::ZERO).await;

    // A second time, and then one token is not known.
    let (next, mut reader) = next_life(&world, &provider, id).await?;
    let run = provider.next_run().await;
    assert_eq!(run.request().partial_ids.as_deref(), Some(&[1, 2, 70_000, 4][..]));
    run.text("very ").await?;
    run.tokens("very ", &[6]).await?;
    until(&mut reader, "very \"}\n\n").await?;
    next.drain(Duration::ZERO).await;

    let (_next, reader) = next_life(&world, &provider, id).await?;
    let run = provider.next_run().await;
    assert_eq!(run.request().partial_ids, None, "from the text");
    run.text("hot").await?;
    run.done().await?;
    let folded = reader.fold().await?;
    assert_eq!((folded.last.epoch, folded.content.text.ends_with("hot")), (4, true));
    Ok(())
}

/// The run that is gone wrote its last token, but not its end.
#[tokio::test]
async fn an_answer_that_lacks_only_its_end_is_asked_for_that() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let ask = Question { max_tokens: Some(2), ..question("go") };
    let mut accepted = world.engine.send(world.user, ask).await?;
    let run = provider.next_run().await;
    run.tokens("a", &[1]).await?;
    run.tokens("b", &[2]).await?;
    until(&mut accepted.reader, "\"b\"").await?;
    world.engine.drain(Duration::ZERO).await;
    let (_next, reader) = next_life(&world, &provider, accepted.generation_id).await?;
    let run = provider.next_run().await;
    assert_eq!(run.request().max_tokens, Some(0));
    run.done_with("length", None).await?;
    assert_eq!(reader.fold().await?.content.text, "ab");
    Ok(())
}

/// What the user went on from has no tokens; what came after it has.
#[tokio::test]
async fn a_continued_answer_is_taken_over_by_its_own_tokens() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let id = stopped(&world, &provider, "The sun").await?;
    let mut accepted = world.engine.go_on(world.user, id, Continuation::default()).await?;
    let run = provider.next_run().await;
    assert_eq!(
        (run.request().partial_answer.as_deref(), run.request().partial_ids.is_some()),
        (Some("The sun"), false)
    );
    run.tokens(" is", &[7]).await?;
    until(&mut accepted.reader, " is").await?;
    world.engine.drain(Duration::ZERO).await;
    let (_next, reader) = next_life(&world, &provider, accepted.generation_id).await?;
    let run = provider.next_run().await;
    let asked = run.request();
    assert_eq!((asked.partial_answer.as_deref(), asked.partial_ids.as_deref()), (Some("The sun is"), Some(&[7][..])));
    assert_eq!(asked.max_tokens, Some(99), "what was given took none");
    run.done().await?;
    assert_eq!(reader.fold().await?.content.text, "The sun is");
    Ok(())
}

/// The message's row has what a continued answer began with, though its log has lost it.
#[tokio::test]
async fn a_given_text_that_was_lost_to_damage_is_restored() -> Result<()> {
    // The last byte of the text; all that the log began with.
    for damage in [
        "UPDATE generation_log SET records = substr(records, 1, length(records) - 1) WHERE generation_id = ?1",
        "DELETE FROM generation_log WHERE generation_id = ?1",
    ] {
        let provider = ScriptedProvider::new(true);
        let world = world(provider.clone()).await?;
        let id = stopped(&world, &provider, "The sun").await?;
        let mut accepted = world.engine.go_on(world.user, id, Continuation::default()).await?;
        let id = accepted.generation_id;
        let run = provider.next_run().await;
        run.tokens(" is", &[7]).await?;
        until(&mut accepted.reader, " is").await?;
        drop(accepted);
        world.engine.drain(Duration::ZERO).await;
        let World { engine: old, store, user, dir } = world;
        drop((old, store, run));
        let database = rusqlite::Connection::open(dir.path().join("gpt-r1.db"))?;
        assert_eq!(database.execute(damage, [id.as_uuid().into_bytes()])?, 1);
        drop(database);

        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&SqliteOptions::new(dir.path()))?);
        let next = engine(&store, provider.clone());
        assert_eq!(next.recover().await?, 1);
        let run = provider.next_run().await;
        let asked = run.request();
        // What came after it went with it: nothing of that is gone on from.
        assert_eq!((asked.partial_answer.as_deref(), asked.partial_ids.as_deref()), (Some("The sun"), None));
        assert_eq!(asked.max_tokens, Some(100));
        run.tokens(" was", &[8]).await?;
        let mut reader = next.attach(user, Target::Generation(id), None).await?.context("a stream")?;
        until(&mut reader, " was").await?;
        next.drain(Duration::ZERO).await;

        // Restored text needs no tokens either.
        let next = engine(&store, provider.clone());
        assert_eq!(next.recover().await?, 1);
        let run = provider.next_run().await;
        assert_eq!(run.request().partial_ids.as_deref(), Some(&[8][..]), "{damage}");
        run.text(" hot").await?;
        run.done().await?;
        let reader = next.attach(user, Target::Generation(id), None).await?.context("a stream")?;
        let folded = reader.fold().await?;
        assert_eq!((folded.content.text.as_str(), folded.last.epoch), ("The sun was hot", 3));
        ensure!(folded.start.is_some(), "a log begins with a start: {damage}");
    }
    Ok(())
}

#[tokio::test]
async fn a_draining_engine_takes_nothing_and_finishes_what_it_has() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    let engine = world.engine.clone();
    let mut draining = pin!(engine.drain(Duration::from_secs(60)));
    ensure!(draining.as_mut().now_or_never().is_none(), "it waits for the run");
    ensure!(matches!(world.engine.send(world.user, question("more")).await, Err(EngineError::Draining)));
    run.text("whole").await?;
    run.done().await?;
    draining.await;
    assert_eq!(accepted.reader.fold().await?.content.text, "whole");
    Ok(())
}

/// Asks, and stops once this text is there.
async fn stopped(world: &World, provider: &ScriptedProvider, text: &str) -> Result<GenerationId> {
    let accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    run.text(text).await?;
    let mut reader = accepted.reader;
    until(&mut reader, "\"chunk\"").await?;
    world.engine.stop(world.user, accepted.generation_id).await?;
    Ok(accepted.generation_id)
}

fn passing() -> ProviderError {
    ProviderError {
        code: ProviderErrorCode::Unavailable,
        message: "busy".to_owned(),
        detail: None,
        retryable: true,
        retry_after: Some(Duration::ZERO),
        status: None,
    }
}

#[tokio::test]
async fn a_repetition_is_not_a_word() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    let id = stopped(&world, &provider, "The sun is").await?;
    let accepted = world.engine.go_on(world.user, id, Continuation::default()).await?;
    // It fails while it has only repeated what was there: it may be asked again.
    let run = provider.next_run().await;
    run.text("The sun").await?;
    run.fail(passing()).await?;
    let run = provider.next_run().await;
    run.text("sun is").await?;
    run.text(" hot").await?;
    run.done().await?;
    assert_eq!(accepted.reader.fold().await?.content.text, "The sun is hot");
    let asked = provider.requests();
    assert_eq!((asked.len(), asked[1].turns.len(), asked[1].partial_answer.as_deref()), (3, 3, None));
    assert_eq!(asked[1], asked[2]);
    Ok(())
}

#[tokio::test]
async fn a_continued_answer_has_the_room_that_is_left() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let id = stopped(&world, &provider, &"x".repeat(90)).await?;
    let accepted = world.engine.go_on(world.user, id, Continuation::default()).await?;
    let newest = accepted.generation_id;
    let run = provider.next_run().await;
    assert_eq!(run.request().partial_answer.as_ref().map(String::len), Some(90));
    run.text(&"y".repeat(20)).await?;
    run.dropped().await;
    let folded = accepted.reader.fold().await?;
    assert_eq!((folded.content.text.len(), folded.content.text.matches('y').count()), (100, 10));
    let refused = world.engine.go_on(world.user, newest, Continuation::default()).await.err();
    ensure!(matches!(refused, Some(EngineError::NotContinuable(NotContinuable::Full))), "{refused:?}");
    let refused = world.engine.go_on(world.user, id, Continuation::default()).await.err();
    ensure!(
        matches!(refused, Some(EngineError::Superseded { generation_id }) if generation_id == newest),
        "{refused:?}"
    );
    Ok(())
}

/// The text that it began with is no word of its own, before and after a restart.
#[tokio::test]
async fn a_continued_run_without_a_word_is_left_to_the_next_start() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    let id = stopped(&world, &provider, "The sun is").await?;
    let how = Continuation { max_tokens: Some(7), request_id: Some("continued".to_owned()), ..Default::default() };
    let accepted = world.engine.go_on(world.user, id, how).await?;
    let newest = accepted.generation_id;
    let _run = provider.next_run().await;
    world.engine.drain(Duration::ZERO).await;
    let seen = read(accepted.reader).await;
    ensure!(seen.contains("The sun is") && seen.ends_with("retry: 2000\n\n"), "{seen}");
    // Who comes meanwhile is told to come again, and nobody that something is wrong.
    let refused = world.engine.attach(world.user, Target::Generation(newest), None).await.err();
    ensure!(matches!(refused, Some(EngineError::Draining)), "{refused:?}");

    let next = engine(&world.store, provider.clone());
    assert_eq!(next.recover().await?, 1);
    let run = provider.next_run().await;
    assert_eq!(run.request().max_tokens, Some(7), "nothing of it is used up");
    assert_eq!(run.request().request_id.as_deref(), Some("continued"), "of the last request");
    run.text(" hot").await?;
    run.done().await?;
    let reader = next.attach(world.user, Target::Generation(newest), None).await?.context("a stream")?;
    let folded = reader.fold().await?;
    assert_eq!((folded.content.text.as_str(), folded.last.epoch), ("The sun is hot", 2));
    Ok(())
}

#[tokio::test]
async fn a_retry_asks_as_before_but_for_what_is_changed() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let sent = Question {
        temperature: Some(0.5),
        max_tokens: Some(9),
        request_id: Some("first".to_owned()),
        ..question("go")
    };
    let accepted = world.engine.send(world.user, sent).await?;
    let id = accepted.generation_id;
    let run = provider.next_run().await;
    let refused = world.engine.retry(world.user, id, Retry::default()).await.err();
    ensure!(matches!(refused, Some(EngineError::Busy { generation_id }) if generation_id == id), "{refused:?}");
    run.text("first").await?;
    run.done().await?;
    accepted.reader.fold().await?;
    let again = world
        .engine
        .retry(
            world.user,
            id,
            Retry { max_tokens: Some(8), request_id: Some("second".to_owned()), ..Default::default() },
        )
        .await?;
    let run = provider.next_run().await;
    run.text("second").await?;
    run.done().await?;
    assert_eq!(again.reader.fold().await?.content.text, "second");
    let [first, second] = &provider.requests()[..] else { anyhow::bail!("two requests") };
    assert_eq!((&first.turns, second.temperature, second.max_tokens), (&second.turns, Some(0.5), Some(8)));
    assert_eq!(second.partial_answer, None);
    assert_ne!(first.seed, second.seed, "another answer");
    assert_eq!(second.request_id.as_deref(), Some("second"), "the request's own");
    Ok(())
}
