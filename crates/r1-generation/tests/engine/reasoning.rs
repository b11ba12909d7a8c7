//! What a model thinks, on its way into the log and through the lives of a server.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use r1_domain::{
    call::Call,
    event::Usage,
    fold::fold,
    id::{GenerationId, UserId},
    part::{Content, Part},
    store::Store,
};
use r1_generation::{Continuation, EngineError, Target};
use r1_testkit::{
    provider::{Plan, ScriptedProvider},
    store_contract::ALL,
};

use super::{World, engine, passing, question, read, until, world};

/// Parts in short: `(hm)` was thought, the rest was said.
fn brief(content: &Content) -> String {
    let part = |part: &Part| match part {
        Part::Text(span) => content.text[span.clone()].to_owned(),
        Part::Reasoning(reasoning) => format!("({})", reasoning.text),
        Part::Other(part) => part.to_string(),
    };
    if content.parts.is_empty() { content.text.clone() } else { content.parts.iter().map(part).collect() }
}

/// The newest message.
async fn answer(world: &World) -> Result<Content> {
    let conversation = world.store.conversation_list(world.user, ALL).await?.items.first().context("a chat")?.id;
    let messages = world.store.message_list(world.user, conversation, ALL).await?.items;
    Ok(messages.into_iter().next_back().context("a message")?.into_content())
}

async fn calls(store: &dyn Store, owner: UserId, id: GenerationId) -> Result<Vec<Call>> {
    let log = store.log_read(owner, id).await?.records.context("a log")?;
    Ok(fold(&log)?.calls)
}

#[tokio::test]
async fn each_call_is_kept_with_the_event_after_it() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    // An attempt that came to nothing is one; it is not heard, and so made again.
    provider.plan(Plan::Refuse(passing()));
    let accepted = world.engine.send(world.user, question("go")).await?;
    let id = accepted.generation_id;
    let run = provider.next_run().await;
    run.thought("h").await?;
    run.thought("m").await?;
    run.text("so").await?;
    run.done().await?;
    let folded = accepted.reader.fold().await?;
    assert_eq!((brief(&folded.content).as_str(), brief(&answer(&world).await?).as_str()), ("(hm)so", "(hm)so"));
    assert_eq!(folded.content, answer(&world).await?, "with the time that it took");
    let calls = calls(&*world.store, world.user, id).await?;
    assert_eq!(calls, folded.calls);
    let [refused, whole] = &calls[..] else { anyhow::bail!("{calls:?}") };
    assert_eq!((refused.finish_reason.as_deref(), refused.timings.first_token), (None, None));
    let usage = Usage { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, estimated: false };
    assert_eq!((whole.model.as_str(), whole.finish_reason.as_deref()), ("test/scripted", Some("stop")));
    assert_eq!((whole.usage, whole.timings.reasoning.len()), (Some(usage), 1));
    ensure!(whole.timings.first_token <= Some(whole.timings.total), "{whole:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_thought_counts_as_bytes_of_the_answer() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let world = world(provider.clone()).await?;
    let accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    run.thought(&"t".repeat(60)).await?;
    run.text(&"x".repeat(30)).await?;
    run.text(&"y".repeat(30)).await?;
    run.dropped().await;
    let id = accepted.generation_id;
    let folded = accepted.reader.fold().await?;
    assert_eq!((folded.content.bytes(), folded.content.text.len()), (100, 40));
    let refused = world.engine.go_on(world.user, id, Continuation::default()).await.err();
    ensure!(matches!(refused, Some(EngineError::NotContinuable(_))), "{refused:?}");

    // A model that never comes to an end of thinking.
    let accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    run.thought(&"t".repeat(120)).await?;
    run.dropped().await;
    let folded = accepted.reader.fold().await?;
    assert_eq!((folded.content.bytes(), folded.content.text.as_str()), (100, ""));
    Ok(())
}

/// There is nothing to go on from, so whoever can't go on can do that too; what is thought again counts alone.
#[tokio::test]
async fn a_run_that_only_thought_is_left_to_the_next_start() -> Result<()> {
    let provider = ScriptedProvider::new(false);
    let world = world(provider.clone()).await?;
    let mut accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    run.thought("lost").await?;
    until(&mut accepted.reader, "lost").await?;
    world.engine.drain(Duration::ZERO).await;
    let seen = read(accepted.reader).await;
    ensure!(seen.ends_with("retry: 2000\n\n") && !seen.contains(r#""type": "e"#), "no terminal event: {seen}");

    let next = engine(&world.store, provider.clone());
    assert_eq!(next.recover().await?, 1);
    let run = provider.next_run().await;
    assert_eq!((run.request().partial_answer.as_deref(), run.request().max_tokens), (None, Some(100)));
    run.thought("found").await?;
    run.text("so").await?;
    run.done().await?;
    let reader = next.attach(world.user, Target::Generation(accepted.generation_id), None).await?;
    let folded = reader.context("a stream")?.fold().await?;
    assert_eq!((brief(&folded.content).as_str(), folded.last.epoch), ("(found)so", 2));
    assert_eq!(answer(&world).await?, folded.content);
    Ok(())
}

/// Whatever it did last.
#[tokio::test]
async fn what_is_stopped_keeps_what_it_thought() -> Result<()> {
    for (said, expected) in [("", "(a)"), ("half", "(a)half(b)")] {
        let provider = ScriptedProvider::new(false);
        let world = world(provider.clone()).await?;
        let mut accepted = world.engine.send(world.user, question("go")).await?;
        let run = provider.next_run().await;
        run.thought("a").await?;
        until(&mut accepted.reader, "\"a\"").await?;
        if !said.is_empty() {
            run.text(said).await?;
            run.thought("b").await?;
            until(&mut accepted.reader, "\"b\"").await?;
        }
        world.engine.stop(world.user, accepted.generation_id).await?;
        let folded = accepted.reader.fold().await?;
        assert_eq!((brief(&folded.content).as_str(), folded.content == answer(&world).await?), (expected, true));
    }
    Ok(())
}
