//! Stop in the phases of a run that can't be told apart from outside, and on the way out.

use std::{pin::pin, sync::mpsc, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use r1_domain::{generation::State, provider::ProviderError};
use r1_generation::{EngineError, Options, Question, Target};
use r1_testkit::{
    provider::{Plan, ScriptedProvider},
    store_contract::ALL,
};

use super::{OPTIONS, World, passing, question, read, world, world_with};

/// The terminal events in a stream's bytes.
fn ends(stream: &str) -> usize {
    stream.matches(r#"{"type": "end""#).count() + stream.matches(r#"{"type": "error""#).count()
}

/// Stops the generation that is just being asked for; it must not have got a word.
async fn stop_wordless(world: &World) -> Result<()> {
    let accepted = world.engine.send(world.user, question("go")).await?;
    let state = world.engine.stop(world.user, accepted.generation_id).await?.state;
    let seen = read(accepted.reader).await;
    ensure!(state == State::Stopped && ends(&seen) == 1 && !seen.contains(r#""chunk""#), "{state:?}: {seen}");
    Ok(())
}

/// What came before is read on one of the runtime's blocking threads: here there is one, and it is busy.
#[test]
fn while_the_history_is_read() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
    runtime.block_on(async {
        let provider = ScriptedProvider::new(false);
        let world = world(provider.clone()).await?;
        provider.plan(Plan::Answer("Gone.".to_owned()));
        read(world.engine.send(world.user, question("before")).await?.reader).await;
        let list = world.store.conversation_list(world.user, ALL).await?;
        let conversation_id = Some(list.items.first().context("a conversation")?.id);
        let (let_go, held) = mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let accepted = world.engine.send(world.user, Question { conversation_id, ..question("go") }).await?;
        let engine = world.engine.clone();
        let mut stopping = Box::pin(engine.stop(world.user, accepted.generation_id));
        ensure!(stopping.as_mut().now_or_never().is_none());
        // The end comes though nothing can be read.
        let seen = read(accepted.reader).await;
        ensure!(ends(&seen) == 1 && seen.contains(r#""status": "stopped""#), "{seen}");
        let_go.send(())?;
        assert_eq!(stopping.await?.state, State::Stopped);
        busy.await??;
        assert_eq!(provider.requests().len(), 1, "nobody was asked again");
        Ok(())
    })
}

#[tokio::test]
async fn while_the_provider_is_connected_to() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    provider.plan_always(Plan::Stall);
    let world = world(provider.clone()).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    while provider.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.engine.stop(world.user, accepted.generation_id).await?.state, State::Stopped);
    // Its request is dropped.
    provider.wait_abandoned().await;
    Ok(())
}

#[tokio::test]
async fn while_it_pauses_between_two_attempts() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    // The longest pause that there is: no test waits for it.
    let refusal = ProviderError { retry_after: Some(Duration::from_secs(10)), ..passing() };
    provider.plan_always(Plan::Refuse(refusal));
    let world = world(provider.clone()).await?;
    stop_wordless(&world).await?;
    ensure!(provider.requests().len() <= 1);
    Ok(())
}

/// Whoever learns that one has ended may ask the next question, though one has as many as one may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_place_is_free_before_anybody_knows() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    provider.plan_always(Plan::Stall);
    let world = world(provider).await?;
    let _other = world.engine.send(world.user, question("the other of two")).await?;
    let mut conversation = None;
    for _ in 0..200 {
        let ask = Question { conversation_id: conversation, ..question("go") };
        let accepted = world.engine.send(world.user, ask).await.context("after a stop")?;
        // The reader learns of it first, and the look at storage comes after it.
        let mut stopping = pin!(world.engine.stop(world.user, accepted.generation_id));
        // On a busy machine all of it may have happened by now.
        let stopped = stopping.as_mut().now_or_never();
        read(accepted.reader).await;
        let again = world.engine.send(world.user, question("another")).await.context("after an end")?;
        let stopped = match stopped {
            Some(stopped) => stopped?,
            None => stopping.await?,
        };
        conversation = Some(stopped.conversation_id);
        world.engine.stop(world.user, again.generation_id).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_natural_end_there_is_one_end() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    let (mut completed, mut stopped) = (0, 0);
    for round in 0..400 {
        let accepted = world.engine.send(world.user, question("go")).await?;
        let run = provider.next_run().await;
        run.text("word").await?;
        let reading = read(accepted.reader);
        let ending = async {
            // Nobody listens any more where the stop was first.
            let _ = run.done().await;
        };
        let stopping = async {
            for _ in 0..round % 8 {
                tokio::task::yield_now().await;
            }
            world.engine.stop(world.user, accepted.generation_id).await
        };
        // Each is first for certain in some rounds, in the others the scheduler decides.
        let (generation, seen) = match round % 8 {
            0 => {
                let generation = stopping.await;
                ending.await;
                (generation, reading.await)
            }
            7 => {
                ending.await;
                let seen = reading.await;
                (stopping.await, seen)
            }
            _ => {
                let ((), generation, seen) = tokio::join!(ending, stopping, reading);
                (generation, seen)
            }
        };
        let state = generation?.state;
        assert_eq!(ends(&seen), 1, "{seen}");
        match state {
            State::Completed => completed += 1,
            State::Stopped => stopped += 1,
            other => anyhow::bail!("{other:?}"),
        }
        ensure!(seen.contains(&format!(r#""status": "{}""#, state.as_str())), "{state:?}: {seen}");
        let folded = world.engine.attach(world.user, Target::Generation(accepted.generation_id), None).await?;
        let folded = folded.context("a log")?.fold().await?;
        ensure!(seen.contains(r#""content": "word""#) == (folded.content.text == "word"), "{folded:?}");
    }
    ensure!(completed > 0 && stopped > 0, "both ways were tried: {completed} completed, {stopped} stopped");
    Ok(())
}

/// 1 MiB is read ahead of a storage that takes nothing; a stop ends the run there, not the writer.
#[tokio::test]
async fn while_the_read_ahead_waits_for_storage() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world_with(provider.clone(), Options { answer_bytes: 8 << 20, ..OPTIONS }).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    let lock = rusqlite::Connection::open(world.dir.path().join("gpt-r1.db"))?;
    lock.execute_batch("BEGIN IMMEDIATE")?;
    // With the 32nd of 32 KiB and a little more than 1 MiB waits, and no more is taken; 16 stand before the run.
    let text = "x".repeat(32 << 10);
    for _ in 0..32 + 16 {
        run.text(&text).await?;
    }
    ensure!(run.text(&text).now_or_never().is_none(), "no more is taken");
    let mut stop = pin!(world.engine.stop(world.user, accepted.generation_id));
    ensure!(stop.as_mut().now_or_never().is_none(), "its end can't be stored yet");
    run.dropped().await;
    drop(lock);
    assert_eq!(stop.await?.state, State::Stopped);
    let folded = accepted.reader.fold().await?;
    ensure!(folded.content.text.len() == 32 << 15 && folded.terminal.is_some(), "{} bytes", folded.content.text.len());
    Ok(())
}

/// What is left to the next start is neither stopped nor followed here.
#[tokio::test]
async fn after_the_drain_it_is_the_next_starts() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    let id = accepted.generation_id;
    let _run = provider.next_run().await;
    world.engine.drain(Duration::ZERO).await;
    let refused = world.engine.stop(world.user, id).await.err();
    ensure!(matches!(refused, Some(EngineError::Draining)), "{refused:?}");
    let refused = world.engine.attach(world.user, Target::Generation(id), None).await.err();
    ensure!(matches!(refused, Some(EngineError::Draining)), "{refused:?}");
    let next = super::engine(&world.store, provider.clone());
    assert_eq!(next.recover().await?, 1);
    assert_eq!(next.stop(world.user, id).await?.state, State::Stopped);
    Ok(())
}
