//! A request with a key is carried out once, whatever happens to its client, its answer and the limits.

#[path = "support/ask.rs"]
mod ask;
#[path = "support/world.rs"]
mod world;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use ask::{question, read};
use futures::{FutureExt, future::join_all};
use r1_domain::{
    id::{ConversationId, GenerationId, MessageId},
    store::{IdempotencyKey, Store, StoreError},
    time::{Clock, Timestamp},
};
use r1_generation::{Accepted, Continuation, EngineError, Options, Question, Retry};
use r1_testkit::provider::{Plan, ScriptedProvider};
use tokio::sync::Semaphore;
use world::{OPTIONS, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A key whose request is told from others by a number.
fn key(key: &str, request: u8) -> IdempotencyKey {
    IdempotencyKey { key: key.to_owned(), fingerprint: [request; 32] }
}

fn keyed(text: &str, request: u8) -> Question {
    Question { idempotency: Some(key("k", request)), ..question(text) }
}

/// What housekeeping does, with keys that live for a day.
async fn purge(world: &World) -> Result<()> {
    let before = world.clock.now().minus(DAY);
    while world.store.purge(before, before, before, 10).await? > 0 {}
    Ok(())
}

/// The generation that all of these made; an error if they made several.
fn one(accepted: Vec<Result<Accepted, EngineError>>) -> Result<GenerationId> {
    let mut ids = accepted.into_iter().map(|one| Ok(one?.generation_id)).collect::<Result<Vec<_>>>()?;
    ids.dedup();
    ensure!(ids.len() == 1, "{ids:?}");
    ids.pop().context("one")
}

#[tokio::test]
async fn a_request_is_decided_though_its_client_is_gone() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let options = Options { runs_per_user: Some(1), ..OPTIONS };
    let world = World::new(provider.clone(), options).await?;
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (told, held) = (begun.clone(), gate.clone());
    world.store.before(move |method| {
        let (begun, gate) = (told.clone(), held.clone());
        async move {
            if method == "turn_begin" {
                begun.add_permits(1);
                let _ = gate.acquire().await;
            }
            Ok(())
        }
        .boxed()
    });
    {
        let first = world.engine.send(world.user, keyed("once", 1));
        tokio::select! {
            _ = first => anyhow::bail!("it can't be accepted yet"),
            begun = begun.acquire() => begun?.forget(),
        }
        // The client hangs up while its commit is on the way. It holds the only place among the runs.
    }
    let mut again = Box::pin(world.engine.send(world.user, keyed("once", 1)));
    tokio::select! {
        again = &mut again => {
            anyhow::bail!("nothing is decided yet, but: {:?}", again.map(|accepted| accepted.generation_id));
        }
        // Whoever comes by another way finds out that the place is taken, after the same look at storage.
        other = world.engine.send(world.user, Question { idempotency: Some(key("o", 2)), ..question("another") }) => {
            ensure!(matches!(other.err(), Some(EngineError::TooManyRuns { .. })));
        }
    }
    gate.add_permits(9);
    let accepted = again.await?;
    let run = provider.next_run().await;
    run.text("one answer").await?;
    run.done().await?;
    assert_eq!(accepted.reader.fold().await?.content.text, "one answer");
    assert_eq!((world.store.calls("turn_begin"), provider.requests().len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn fifty_at_once_continue_once_and_retry_once() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = World::new(provider.clone(), OPTIONS).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    let first = accepted.generation_id;
    let run = provider.next_run().await;
    run.text("half").await?;
    run.done_with("length", None).await?;
    accepted.reader.fold().await?;

    let how = || Continuation { idempotency: Some(key("c", 1)), ..Default::default() };
    let continued = one(join_all((0..50).map(|_| world.engine.go_on(world.user, first, how()))).await)?;
    let run = provider.next_run().await;
    // Busy, superseded, or with no place left: the key is known whatever the request would meet now.
    let again = world.engine.go_on(world.user, first, how()).await?;
    assert_eq!(again.generation_id, continued);
    run.text(" more").await?;
    run.done().await?;
    assert_eq!(again.reader.fold().await?.content.text, "half more");
    assert_eq!(world.engine.go_on(world.user, first, how()).await?.generation_id, continued);

    let how = || Retry { idempotency: Some(key("r", 1)), ..Default::default() };
    provider.plan(Plan::Answer("again".to_owned()));
    let retried = one(join_all((0..50).map(|_| world.engine.retry(world.user, first, how()))).await)?;
    assert_eq!(world.engine.retry(world.user, first, how()).await?.reader.fold().await?.content.text, "again");
    assert_ne!(retried, continued);
    assert_eq!(provider.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_known_key_is_asked_for_before_everything_else() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = World::new(provider.clone(), Options { runs_per_user: Some(1), ..OPTIONS }).await?;
    let made = world.engine.send(world.user, keyed("once", 1)).await?;
    let run = provider.next_run().await;
    // The run limit is reached, another model is asked for than there is, and the server goes down.
    let unknown = || Question { model: Some("gone".to_owned()), ..keyed("once", 1) };
    assert_eq!(world.engine.send(world.user, unknown()).await?.generation_id, made.generation_id);
    let other = world.engine.send(world.user, keyed("another", 2)).await;
    ensure!(matches!(other.err(), Some(EngineError::KeyReused)), "before the run limit");
    world.engine.begin_drain();
    let again = world.engine.send(world.user, unknown()).await?;
    ensure!(matches!(world.engine.send(world.user, keyed("another", 2)).await.err(), Some(EngineError::KeyReused)));
    ensure!(matches!(world.engine.send(world.user, question("new")).await.err(), Some(EngineError::Draining)));
    let found = world.engine.earlier(world.user, &key("k", 1)).await?.context("it was accepted")?;
    ensure!(world.engine.earlier(world.user, &key("other", 1)).await?.is_none());
    run.text("whole").await?;
    run.done().await?;
    let bodies = join_all([made, again, found].map(|accepted| read(accepted.reader))).await;
    ensure!(bodies[0].contains("whole") && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    Ok(())
}

#[tokio::test]
async fn the_key_of_a_refused_request_is_free() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = World::new(provider.clone(), Options { runs_per_user: Some(1), ..OPTIONS }).await?;
    let refused = |question| async { world.engine.send(world.user, question).await.map(|a| a.generation_id).err() };
    let unknown = Question { model: Some("gone".to_owned()), ..keyed("a", 1) };
    ensure!(matches!(refused(unknown).await, Some(EngineError::UnknownModel(_))));
    let now = world.clock.now();
    let nowhere = Question { conversation_id: Some(ConversationId::new(now)), ..keyed("b", 2) };
    ensure!(matches!(refused(nowhere).await, Some(EngineError::NotFound)));
    world.store.before(|method| {
        let fails = method == "turn_begin";
        let outcome = if fails { Err(StoreError::Unavailable("out of order".into())) } else { Ok(()) };
        async { outcome }.boxed()
    });
    ensure!(matches!(refused(keyed("c", 3)).await, Some(EngineError::Store(StoreError::Unavailable(_)))));
    world.store.before(|_| async { Ok(()) }.boxed());

    let running = world.engine.send(world.user, question("first")).await?;
    let run = provider.next_run().await;
    ensure!(matches!(refused(keyed("d", 4)).await, Some(EngineError::TooManyRuns { .. })));
    run.done().await?;
    let folded = running.reader.fold().await?;
    let place = folded.start.context("a start")?.conversation_id;
    let elsewhere = Question { conversation_id: Some(place), parent_id: Some(MessageId::new(now)), ..keyed("e", 5) };
    ensure!(matches!(refused(elsewhere).await, Some(EngineError::NotFound)));

    // None of them is remembered: each was another request under the key, and so is this.
    provider.plan(Plan::Answer("fine".to_owned()));
    assert_eq!(world.engine.send(world.user, keyed("f", 6)).await?.reader.fold().await?.content.text, "fine");
    ensure!(matches!(refused(keyed("a", 1)).await, Some(EngineError::KeyReused)), "now it is");
    Ok(())
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day_longer_than_the_log() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    provider.plan_always(Plan::Answer("the answer".to_owned()));
    let world = World::new(provider.clone(), OPTIONS).await?;
    let made = world.engine.send(world.user, keyed("once", 1)).await?;
    let id = made.generation_id;
    let whole = read(made.reader).await;
    world.clock.advance(DAY - Duration::from_secs(1));
    purge(&world).await?;
    let again = world.engine.send(world.user, keyed("once", 1)).await?;
    assert_eq!((again.generation_id, read(again.reader).await), (id, whole));

    // The log may be retired by then: the answer is the same, its events are made anew.
    let (end, never) = (world.clock.now(), Timestamp::from_micros(0));
    while world.store.purge(end, never, never, 10).await? > 0 {}
    let again = world.engine.send(world.user, keyed("once", 1)).await?;
    assert_eq!(again.generation_id, id);
    let folded = again.reader.fold().await?;
    assert_eq!((folded.content.text.as_str(), folded.terminal.is_some()), ("the answer", true));

    world.clock.advance(Duration::from_secs(2));
    purge(&world).await?;
    let anew = world.engine.send(world.user, keyed("another", 2)).await?;
    assert_ne!(anew.generation_id, id, "after a day it is any other key");
    anew.reader.fold().await?;
    assert_eq!(provider.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_key_outlives_its_process() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = World::new(provider.clone(), OPTIONS).await?;
    let made = world.engine.send(world.user, keyed("once", 1)).await?;
    let run = provider.next_run().await;
    run.text("half ").await?;
    while world.store.calls("log_append") == 0 {
        tokio::task::yield_now().await;
    }
    let id = made.generation_id;
    let world = world.restart(provider.clone(), OPTIONS).await?;
    let run = provider.next_run().await;
    let again = join_all((0..50).map(|_| world.engine.send(world.user, keyed("once", 1)))).await;
    let again = again.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure!(again.iter().all(|accepted| accepted.generation_id == id));
    run.text("and whole").await?;
    run.done().await?;
    let bodies = join_all(again.into_iter().map(|accepted| read(accepted.reader))).await;
    ensure!(bodies[0].contains("\"resumed\"") && bodies[0].contains("and whole"), "{}", bodies[0]);
    ensure!(bodies.iter().all(|body| *body == bodies[0]));
    let partial: Vec<_> = provider.requests().into_iter().map(|request| request.partial_answer).collect();
    assert_eq!(partial, [None, Some("half ".to_owned())], "one call, and the one that goes on after the restart");
    Ok(())
}

#[tokio::test]
async fn what_a_key_made_may_be_deleted() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    provider.plan_always(Plan::Answer("x".to_owned()));
    let world = World::new(provider.clone(), OPTIONS).await?;
    let made = world.engine.send(world.user, keyed("once", 1)).await?;
    let conversation = world.store.generation_get(world.user, made.generation_id).await?.conversation_id;
    made.reader.fold().await?;
    world.store.conversation_delete(world.user, conversation, world.clock.now()).await?;
    for _ in 0..2 {
        let again = world.engine.send(world.user, keyed("once", 1)).await;
        ensure!(matches!(again.err(), Some(EngineError::NotFound)), "not a second answer");
        let other = world.engine.send(world.user, keyed("another", 2)).await;
        ensure!(matches!(other.err(), Some(EngineError::KeyReused)));
        // The same once its rows are gone.
        let (end, never) = (world.clock.now(), Timestamp::from_micros(0));
        while world.store.purge(end, never, never, 10).await? > 0 {}
    }
    assert_eq!(provider.requests().len(), 1);
    Ok(())
}
