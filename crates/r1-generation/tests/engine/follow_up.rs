//! What follows an answer: who is asked about which, and that it comes with the end.

use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use r1_domain::{
    id::{JobId, NodeId},
    jobs::{EndingAnswer, FollowUp, NewJob},
    provider::ProviderError,
    store::Store,
    time::{Clock, SystemClock},
};
use r1_generation::{Continuation, Engine, Question, Retry};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::{
    provider::{Plan, ScriptedModels, ScriptedProvider},
    store_contract::user,
};

use super::{OPTIONS, World, passing, question, read, until};

/// Notes what it is asked, and has one job follow each answer.
#[derive(Default)]
struct Asked(Mutex<Vec<(bool, String)>>);

impl FollowUp for Asked {
    fn after(&self, answer: &EndingAnswer<'_>) -> Vec<NewJob> {
        self.0.lock().push((answer.is_first, answer.text.to_owned()));
        vec![NewJob {
            id: JobId::new(answer.now),
            owner: answer.owner,
            conversation: Some(answer.conversation),
            kind: "test",
            key: answer.message.to_string(),
            payload: "{}".to_owned(),
            now: answer.now,
        }]
    }
}

async fn world(provider: &Arc<ScriptedProvider>) -> Result<(World, Arc<Asked>)> {
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&SqliteOptions::new(dir.path()))?);
    let user = user(&store, "ada").await?;
    let (models, node) = (ScriptedModels::new(provider.clone()), NodeId::new(SystemClock.now()));
    let asked = Arc::<Asked>::default();
    let engine = Engine::new(store.clone(), models, Arc::new(SystemClock), node, None, Arc::new(()), OPTIONS);
    Ok((World { engine: Arc::new(engine.with_follow_up(asked.clone())), store, user, dir }, asked))
}

impl World {
    /// The keys of the jobs that were handed in since.
    async fn handed_in(&self) -> Result<usize> {
        let jobs = self.store.job_claim(NodeId::new(SystemClock.now()), &["test"], 100, SystemClock.now()).await?;
        for job in &jobs {
            self.store.job_end(job.claim).await?;
        }
        Ok(jobs.len())
    }
}

#[tokio::test]
async fn the_first_answer_of_a_branch_is_told_from_the_others() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let (world, asked) = world(&provider).await?;
    let woken = world.engine.handed_in();
    let say = |text: &str| provider.plan(Plan::Answer(text.to_owned()));
    // One that failed without a word is none, and what fails is followed by nothing.
    provider.plan(Plan::Refuse(ProviderError { retryable: false, ..passing() }));
    let failed = world.engine.send(world.user, question("nothing")).await?;
    let first = failed.generation_id;
    read(failed.reader).await;
    assert_eq!(world.handed_in().await?, 0);
    assert!(asked.0.lock().is_empty());

    let conversation_id = Some(world.store.generation_get(world.user, first).await?.conversation_id);
    say("one");
    let one = world.engine.send(world.user, Question { conversation_id, ..question("a") }).await?;
    read(one.reader).await;
    woken.notified().await;
    assert_eq!(world.handed_in().await?, 1, "with the end, or before anybody sees it");
    say("two");
    read(world.engine.send(world.user, Question { conversation_id, ..question("b") }).await?.reader).await;
    // A sibling of the one that failed, and a branch of its own.
    say("three");
    read(world.engine.retry(world.user, first, Retry::default()).await?.reader).await;
    let seen = asked.0.lock().clone();
    let seen: Vec<_> = seen.iter().map(|(is_first, text)| (*is_first, text.as_str())).collect();
    assert_eq!(seen, [(true, "one"), (false, "two"), (true, "three")]);
    assert_eq!(world.handed_in().await?, 2);
    Ok(())
}

#[tokio::test]
async fn one_that_was_stopped_counts_with_its_words() -> Result<()> {
    let provider = ScriptedProvider::new(true);
    let (world, asked) = world(&provider).await?;
    let mut accepted = world.engine.send(world.user, question("go")).await?;
    let run = provider.next_run().await;
    run.text("half").await?;
    until(&mut accepted.reader, "half").await?;
    world.engine.stop(world.user, accepted.generation_id).await?;
    provider.plan(Plan::Answer(" whole".to_owned()));
    let more = world.engine.go_on(world.user, accepted.generation_id, Continuation::default()).await?;
    read(more.reader).await;
    assert_eq!(*asked.0.lock(), [(true, "half".to_owned()), (true, "half whole".to_owned())]);
    assert_eq!(world.handed_in().await?, 1, "one open job has its key");
    Ok(())
}
