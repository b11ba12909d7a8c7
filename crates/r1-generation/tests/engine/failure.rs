//! What an `error` event says besides its kind: who asked, and to those who may read it the provider's own words.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use r1_domain::{
    event::{Failure, INTERRUPTED},
    provider::{Delta, ProviderError},
};
use r1_generation::{Continuation, Question, Retry, Target};
use r1_testkit::{
    provider::{Plan, ScriptedProvider},
    store_contract::ALL,
};

use super::{World, engine, passing, question, read, world};

fn refused() -> ProviderError {
    ProviderError { detail: Some("Its own \"words\".".to_owned()), retryable: false, ..passing() }
}

/// The failure of the newest message, which is what its stream said.
async fn failure(world: &World, stream: &str) -> Result<Failure> {
    let conversation = world.store.conversation_list(world.user, ALL).await?.items.first().context("a chat")?.id;
    let messages = world.store.message_list(world.user, conversation, ALL).await?.items;
    let failure = messages.last().context("a message")?.failure.clone().context("a failure")?;
    let payload = stream.rsplit("data: ").next().context("an event")?;
    assert_eq!(Some(&failure), Failure::read(payload.trim_end()).as_ref(), "{stream}");
    Ok(failure)
}

fn asked(shows_details: bool, id: &str) -> Question {
    Question { shows_details, request_id: Some(id.to_owned()), ..question("go") }
}

#[tokio::test]
async fn who_asked_and_may_read_it_is_kept_with_the_question() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let half = Plan::Items(vec![Ok(Delta::text("Half")), Err(refused())]);
    provider.plan(Plan::Refuse(refused()));
    provider.plan_always(half);
    for (shows_details, detail) in [(false, None), (true, Some("Its own \"words\".".to_owned()))] {
        let accepted = world.engine.send(world.user, asked(shows_details, "r-1")).await?;
        let id = accepted.generation_id;
        let said = failure(&world, &read(accepted.reader).await).await?;
        assert_eq!((said.request_id.as_deref(), &said.detail), (Some("r-1"), &detail));
        // Asked again, or gone on with, it is another request's.
        let how = Retry { shows_details, request_id: Some("r-2".to_owned()), ..Retry::default() };
        let accepted = world.engine.retry(world.user, id, how).await?;
        let id = accepted.generation_id;
        let said = failure(&world, &read(accepted.reader).await).await?;
        assert_eq!((said.request_id.as_deref(), &said.detail), (Some("r-2"), &detail));
        let how = Continuation { shows_details, request_id: Some("r-3".to_owned()), ..Continuation::default() };
        let accepted = world.engine.go_on(world.user, id, how).await?;
        let said = failure(&world, &read(accepted.reader).await).await?;
        assert_eq!((said.request_id.as_deref(), &said.detail), (Some("r-3"), &detail));
    }
    Ok(())
}

#[tokio::test]
async fn the_next_process_knows_it() -> Result<()> {
    for can_continue in [false, true] {
        let provider = ScriptedProvider::new(can_continue);
        let world = world(provider.clone()).await?;
        let id = world.engine.send(world.user, asked(true, "r-1")).await?.generation_id;
        let run = provider.next_run().await;
        run.text("Half").await?;
        let mut reader = world.engine.attach(world.user, Target::Generation(id), None).await?.context("a reader")?;
        let mut seen = String::new();
        while !seen.contains("Half") {
            let frames = std::future::poll_fn(|context| reader.poll_frames(context)).await.context("a frame")?;
            seen.push_str(&String::from_utf8_lossy(&frames));
        }
        provider.plan(Plan::Refuse(refused()));
        world.engine.drain(Duration::ZERO).await;
        let next = engine(&world.store, provider.clone());
        next.recover().await?;
        let reader = next.attach(world.user, Target::Generation(id), None).await?.context("a reader")?;
        let said = failure(&world, &read(reader).await).await?;
        let (code, detail) = match can_continue {
            true => ("provider_unavailable", Some("Its own \"words\".")),
            false => (INTERRUPTED, None),
        };
        ensure!((&*said.code, said.detail.as_deref()) == (code, detail), "{said:?}");
        assert_eq!(said.request_id.as_deref(), Some("r-1"));
    }
    Ok(())
}
