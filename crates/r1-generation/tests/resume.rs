//! Thousands who come back at once: the log is read once for all of them.

#[path = "support/ask.rs"]
mod ask;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ask::{question, read};
use futures::{FutureExt, future::join_all};
use r1_domain::{
    id::GenerationId,
    store::{Store, StoreError},
};
use r1_generation::{EngineError, Reader, Target};
use r1_testkit::provider::{Plan, ScriptedProvider};
use tokio::sync::Semaphore;
use world::{OPTIONS, World};

/// How many come at once.
const CROWD: usize = 2_000;

/// Answers that have ended, with the bytes that their first reader got.
async fn ended(world: &World, provider: &ScriptedProvider, count: usize) -> Result<Vec<(GenerationId, String)>> {
    let mut generations = Vec::new();
    for n in 0..count {
        provider.plan(Plan::Answer(format!("answer {n} of {} \u{2028}ümläut ", "many words ".repeat(40 * n))));
        let accepted = world.engine.send(world.user, question("go")).await?;
        generations.push((accepted.generation_id, read(accepted.reader).await));
    }
    Ok(generations)
}

/// Holds every read of a log up until the gate has room for it.
fn hold_reads(world: &World) -> Arc<Semaphore> {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    world.store.before(move |method| {
        let gate = held.clone();
        async move {
            if method == "log_read" {
                // Never closed.
                let _ = gate.acquire().await;
            }
            Ok(())
        }
        .boxed()
    });
    gate
}

async fn attach(world: &World, id: GenerationId) -> Result<Reader> {
    world.engine.attach(world.user, Target::Generation(id), None).await?.context("a stream")
}

/// Two thousand attach, round and round the generations.
fn crowd(world: &World, ids: &[GenerationId]) -> impl Future<Output = Vec<Result<Reader>>> {
    join_all((0..CROWD).map(|n| attach(world, ids[n % ids.len()])))
}

#[tokio::test]
async fn a_crowd_after_a_restart_reads_each_log_once() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = World::new(provider.clone(), OPTIONS).await?;
    let generations = ended(&world, &provider, 3).await?;
    // And one that is in the middle of a word when the process goes.
    let accepted = world.engine.send(world.user, question("go")).await?;
    let half = accepted.generation_id;
    let run = provider.next_run().await;
    run.text("half ").await?;
    let mut live = accepted.reader;
    let mut before = String::new();
    while !before.contains("half") {
        let frames = std::future::poll_fn(|context| live.poll_frames(context)).await.context("a frame")?;
        before.push_str(&String::from_utf8_lossy(&frames));
    }

    let world = world.restart(provider.clone(), OPTIONS).await?;
    let taken_over = provider.next_run().await;
    let gate = hold_reads(&world);
    let ids: Vec<_> = generations.iter().map(|(id, _)| *id).chain([half]).collect();
    let mut coming = Box::pin(crowd(&world, &ids));
    // Each of them has asked by now, and the reads are under way.
    ensure!(futures::poll!(coming.as_mut()).is_pending());
    assert_eq!(world.store.calls("log_read"), generations.len(), "one read per log, none of the one that runs");
    gate.add_permits(CROWD);
    let readers = coming.await;
    // Who comes while somebody reads shares what there is, in whatever place they stand.
    let later = crowd(&world, &ids).await;
    assert_eq!(world.store.calls("log_read"), generations.len());

    taken_over.text("and whole").await?;
    taken_over.done().await?;
    let mut expected = generations.clone();
    let first = readers.into_iter().chain(later).collect::<Result<Vec<_>>>()?;
    let mut bodies = join_all(first.into_iter().map(read)).await.into_iter();
    for _ in 0..2 {
        for n in 0..CROWD {
            let body = bodies.next().context("a body each")?;
            if let Some((_, whole)) = expected.get(n % ids.len()) {
                ensure!(body == *whole, "reader {n} of {} got something else", ids[n % ids.len()]);
            } else {
                ensure!(body.starts_with(&before) && body.contains("and whole"), "the taken-over one: {body}");
                expected.push((half, body));
            }
        }
    }

    // All have left: the next crowd shares one read again, of the one that has ended since as well.
    let back = crowd(&world, &ids).await.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(world.store.calls("log_read"), generations.len() + ids.len());
    for (n, body) in join_all(back.into_iter().map(read)).await.into_iter().enumerate() {
        ensure!(body == expected[n % ids.len()].1, "reader {n} who came back");
    }
    Ok(())
}

#[tokio::test]
async fn one_who_leaves_in_the_middle_of_the_read_leaves_it_to_the_next() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = World::new(provider.clone(), OPTIONS).await?;
    let (id, whole) = ended(&world, &provider, 1).await?.remove(0);
    let gate = hold_reads(&world);
    let mut first = Box::pin(attach(&world, id));
    ensure!(futures::poll!(first.as_mut()).is_pending());
    let ids = [id];
    let mut others = Box::pin(crowd(&world, &ids));
    ensure!(futures::poll!(others.as_mut()).is_pending());
    drop(first);
    gate.add_permits(CROWD);
    for reader in others.await {
        assert_eq!(read(reader?).await, whole);
    }
    assert_eq!(world.store.calls("log_read"), 2, "the one that was left, and one for all the others");
    Ok(())
}

#[tokio::test]
async fn a_read_that_fails_fails_for_all_who_waited() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = World::new(provider.clone(), OPTIONS).await?;
    let (id, whole) = ended(&world, &provider, 1).await?.remove(0);
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    world.store.before(move |method| {
        let gate = held.clone();
        async move {
            if method != "log_read" {
                return Ok(());
            }
            let _ = gate.acquire().await;
            Err(StoreError::Unavailable("out of order".into()))
        }
        .boxed()
    });
    let mut coming =
        Box::pin(join_all((0..CROWD).map(|_| world.engine.attach(world.user, Target::Generation(id), None))));
    ensure!(futures::poll!(coming.as_mut()).is_pending());
    gate.add_permits(CROWD);
    for refused in coming.await {
        ensure!(matches!(refused.err(), Some(EngineError::Store(StoreError::Unavailable(_)))));
    }
    assert_eq!(world.store.calls("log_read"), 1, "they don't try one after the other");
    world.store.before(|_| async { Ok(()) }.boxed());
    assert_eq!(read(attach(&world, id).await?).await, whole, "and it is over when it is over");
    Ok(())
}

/// Retired, rewound or continued since: a cursor that the log does not have is none.
#[tokio::test]
async fn a_retired_log_is_made_again_from_a_start() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = World::new(provider.clone(), OPTIONS).await?;
    let (id, whole) = ended(&world, &provider, 1).await?.remove(0);
    let now = r1_domain::time::Clock::now(&*world.clock);
    let long_ago = r1_domain::time::Timestamp::from_micros(0);
    let soon = r1_domain::time::Timestamp::from_micros(now.as_micros() + 1);
    while world.store.purge(soon, long_ago, long_ago, 10).await? > 0 {}
    let again = read(attach(&world, id).await?).await;
    ensure!(again.starts_with(&format!("id: {id}:2.1\ndata: {{\"type\": \"start\"")), "{again}");
    for old in ["1.1", "1.2", "1.4", "3.1"] {
        let reader = world.engine.attach(world.user, Target::Generation(id), Some(old.parse()?)).await?;
        assert_eq!(read(reader.context("a stream")?).await, again, "after {old}");
    }
    // Its own cursors hold, however often it is made.
    let last = again.lines().filter_map(|line| line.strip_prefix(&format!("id: {id}:"))).next_back();
    let at_end = world.engine.attach(world.user, Target::Generation(id), Some(last.context("an id")?.parse()?)).await?;
    ensure!(at_end.is_none(), "after {last:?}");
    ensure!(whole.lines().last().is_some() && again.contains("\"type\": \"end\""));
    Ok(())
}
