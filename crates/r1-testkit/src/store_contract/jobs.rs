//! Background work: handed in, claimed, given back, gone.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, ensure};
use r1_domain::{
    accounts::Erased,
    id::{ConversationId, JobId, NodeId, UserId},
    jobs::{Claim, Job, NewJob, Release, TITLE},
    log::GRAMMAR,
    store::{AppendOutcome, LogAppend},
    time::Timestamp,
};

use super::{
    SharedStore, answer, at, begin, chunks, eight_at_once, ending, gone, joined, new_turn, node, stored, user,
};

const KINDS: &[&str] = &["count", TITLE];

fn new_job(owner: UserId, key: &str, now: Timestamp) -> NewJob {
    let payload = format!("{{\"key\":\"{key}\"}}");
    NewJob { id: JobId::new(now), owner, conversation: None, kind: "count", key: key.to_owned(), payload, now }
}

async fn claim(store: &SharedStore, node: NodeId, now: Timestamp) -> anyhow::Result<Vec<Job>> {
    Ok(store.job_claim(node, KINDS, 100, now).await?)
}

async fn claim_one(store: &SharedStore, node: NodeId, now: Timestamp) -> anyhow::Result<Job> {
    let jobs = claim(store, node, now).await?;
    ensure!(jobs.len() == 1, "{jobs:?}");
    jobs.into_iter().next().context("a job")
}

/// The plain course of one job.
pub async fn a_job_is_handed_in_claimed_and_done(store: SharedStore) -> anyhow::Result<()> {
    let (owner, node) = (user(&store, "demo").await?, joined(&store, node()).await?);
    let job = NewJob { payload: "{\"text\":\"a\\u0000b \u{1} ä\"}".to_owned(), ..new_job(owner, "a", at(5)) };
    assert!(claim(&store, node, at(9)).await?.is_empty());
    assert!(store.job_add(job.clone()).await?);
    assert!(claim(&store, node, at(4)).await?.is_empty(), "not yet");
    let claimed = claim_one(&store, node, at(5)).await?;
    let expected = Job {
        claim: Claim { id: job.id, node_id: node, epoch: 1 },
        owner,
        conversation: None,
        kind: "count".to_owned(),
        payload: job.payload,
        progress: None,
        attempts: 1,
    };
    assert_eq!(claimed, expected);
    assert!(claim(&store, node, at(100)).await?.is_empty(), "who has it does not get it again");
    assert!(store.job_end(claimed.claim).await?);
    assert!(!store.job_end(claimed.claim).await?, "it is gone");
    assert!(!store.job_progress(claimed.claim, "{}").await?);
    assert!(!store.job_release(claimed.claim, Release::Back).await?);
    assert!(claim(&store, node, at(100)).await?.is_empty());
    Ok(())
}

/// Until it is done, whoever has it.
pub async fn of_open_jobs_one_has_a_key(store: SharedStore) -> anyhow::Result<()> {
    let (owner, node) = (user(&store, "demo").await?, joined(&store, node()).await?);
    assert!(store.job_add(new_job(owner, "a", at(1))).await?);
    assert!(!store.job_add(new_job(owner, "a", at(2))).await?);
    assert!(store.job_add(new_job(owner, "b", at(3))).await?);
    assert!(store.job_add(NewJob { kind: TITLE, ..new_job(owner, "a", at(4)) }).await?, "of another kind");
    let jobs = claim(&store, node, at(9)).await?;
    assert_eq!(jobs.len(), 3);
    assert!(!store.job_add(new_job(owner, "a", at(10))).await?, "one that is claimed is open");
    for job in &jobs {
        assert!(store.job_end(job.claim).await?);
    }
    assert!(store.job_add(new_job(owner, "a", at(11))).await?);
    let added =
        eight_at_once(&store, |store, _| async move { store.job_add(new_job(owner, "c", at(12))).await }).await?;
    let added = added.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(added.iter().filter(|added| **added).count(), 1, "of many at once one");
    Ok(())
}

/// What waits longest comes first, and no more than is asked for; other kinds wait for who knows them.
pub async fn the_oldest_of_the_wanted_kinds_come_first(store: SharedStore) -> anyhow::Result<()> {
    let (owner, node) = (user(&store, "demo").await?, joined(&store, node()).await?);
    for (key, kind, second) in [("c", "count", 3), ("a", "count", 1), ("x", "unheard of", 0), ("b", TITLE, 2)] {
        assert!(store.job_add(NewJob { kind, ..new_job(owner, key, at(second)) }).await?);
    }
    let keys = |jobs: &[Job]| {
        let mut keys: Vec<_> = jobs.iter().map(|job| job.payload.clone()).collect();
        keys.sort_unstable();
        keys
    };
    let first = store.job_claim(node, KINDS, 2, at(9)).await?;
    assert_eq!(keys(&first), ["{\"key\":\"a\"}", "{\"key\":\"b\"}"]);
    assert_eq!(keys(&claim(&store, node, at(9)).await?), ["{\"key\":\"c\"}"]);
    assert!(store.job_claim(node, &[], 9, at(9)).await?.is_empty());
    assert_eq!(store.job_claim(node, &["unheard of"], 9, at(9)).await?.len(), 1);
    Ok(())
}

/// Eight nodes where there may be as many, else eight times the one.
pub async fn of_many_that_claim_each_job_has_one(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    for number in 0..40 {
        assert!(store.job_add(new_job(owner, &number.to_string(), at(number))).await?);
    }
    joined(&store, node()).await?;
    let claimed = eight_at_once(&store, |store, number| async move {
        let node = if store.nodes().is_some() { NodeId::new(at(i64::from(number))) } else { node() };
        joined(&store, node).await?;
        let mut all = Vec::new();
        loop {
            // One that others were sooner at may find less than there was.
            let jobs = store.job_claim(node, KINDS, 3, at(99)).await?;
            if jobs.is_empty() {
                return anyhow::Ok(all);
            }
            all.extend(jobs);
        }
    });
    let claimed = claimed.await?.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let ids: HashSet<_> = claimed.iter().map(|job| job.claim.id).collect();
    assert_eq!((claimed.len(), ids.len()), (40, 40), "each once");
    assert!(claimed.iter().all(|job| job.claim.epoch == 1 && job.attempts == 1));
    for job in claimed {
        assert!(store.job_end(job.claim).await?);
    }
    Ok(())
}

/// It comes again when it is time, with what was kept of the attempt; one that was broken off does not count.
pub async fn what_is_given_back_comes_again(store: SharedStore) -> anyhow::Result<()> {
    let (owner, node) = (user(&store, "demo").await?, joined(&store, node()).await?);
    assert!(store.job_add(new_job(owner, "a", at(1))).await?);
    let first = claim_one(&store, node, at(2)).await?;
    assert!(store.job_progress(first.claim, "{\"half\":\u{0020}true}").await?);
    assert!(store.job_release(first.claim, Release::Retry(at(10))).await?);
    assert!(claim(&store, node, at(9)).await?.is_empty());
    let second = claim_one(&store, node, at(10)).await?;
    assert_eq!((second.attempts, second.claim.epoch), (2, 2));
    assert_eq!(second.progress.as_deref(), Some("{\"half\": true}"));
    assert!(!store.job_end(first.claim).await?, "an earlier claim of the same node's");
    assert!(!store.job_progress(first.claim, "{}").await?);
    assert!(!store.job_release(first.claim, Release::Back).await?);
    assert!(store.job_release(second.claim, Release::Back).await?);
    let third = claim_one(&store, node, at(10)).await?;
    assert_eq!((third.attempts, third.claim.epoch), (2, 3));
    assert_eq!(third.progress, second.progress);
    assert!(!store.job_add(new_job(owner, "a", at(11))).await?, "it is open all the time");
    assert!(store.job_end(third.claim).await?);
    Ok(())
}

/// Killed, lapsed or on its way out: what it had is another's, and it has no say in it.
pub async fn the_jobs_of_a_node_that_is_gone_are_anothers(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    assert!(store.job_add(new_job(owner, "a", at(1))).await?);
    let (one, other) = (NodeId::new(at(1)), NodeId::new(at(2)));
    joined(&store, one).await?;
    let lost = claim_one(&store, one, at(2)).await?;
    joined(&store, other).await?;
    if store.nodes().is_some() {
        assert!(claim(&store, other, at(3)).await?.is_empty(), "it lives");
        assert!(store.job_progress(lost.claim, "{}").await?);
    }
    gone(&store, one).await?;
    let taken = claim_one(&store, other, at(3)).await?;
    assert_eq!((taken.claim.id, taken.claim.epoch, taken.attempts), (lost.claim.id, 2, 2));
    assert!(!store.job_end(lost.claim).await?);
    assert!(!store.job_release(lost.claim, Release::Back).await?);
    assert!(!store.job_progress(lost.claim, "{}").await?);
    assert!(store.job_release(taken.claim, Release::Back).await?);

    if let Some(nodes) = store.nodes() {
        let late = NodeId::new(at(3));
        assert!(claim(&store, late, at(4)).await?.is_empty(), "without a lease nothing is claimed");
        nodes.join(late, Duration::ZERO, GRAMMAR).await?;
        let lapsed = claim_one(&store, late, at(4)).await?;
        assert!(claim(&store, other, at(5)).await?.is_empty(), "a lease that has run out counts until it is ended");
        assert_eq!(nodes.reap().await?, 1);
        assert!(!store.job_end(lapsed.claim).await?, "nothing is said under it any more");
        let taken = claim_one(&store, other, at(5)).await?;
        assert_eq!((taken.claim.epoch, taken.attempts), (4, 3));
        assert!(store.job_end(taken.claim).await?);
    }
    Ok(())
}

fn title_job(owner: UserId, conversation: ConversationId, now: Timestamp) -> NewJob {
    let conversation = Some(conversation);
    NewJob { conversation, kind: TITLE, ..new_job(owner, &format!("{conversation:?}"), now) }
}

fn with_job(mut end: LogAppend, job: NewJob) -> LogAppend {
    if let Some(terminal) = &mut end.terminal {
        terminal.also.push(job);
    }
    end
}

/// With the end that wants it, or not at all; a second one with its key does not hold up the end.
pub async fn an_end_hands_its_work_in(store: SharedStore) -> anyhow::Result<()> {
    let (owner, node) = (user(&store, "demo").await?, joined(&store, node()).await?);
    let turns = [new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2)), new_turn(owner, "Three", at(3))];
    for turn in &turns {
        begin(&store, turn).await?;
    }
    let [one, two, three] = &turns;
    let end = |turn, job| with_job(ending(turn, 2, "", 2, &[], at(5)), job);
    let first = title_job(owner, one.conversation_id, at(5));
    let second = NewJob { id: JobId::new(at(5)), conversation: Some(two.conversation_id), ..first.clone() };
    let late = LogAppend { epoch: 7, ..end(three, title_job(owner, three.conversation_id, at(5))) };
    let outcomes = store.log_append(vec![end(one, first.clone()), end(two, second), late]).await?;
    assert_eq!(outcomes, [AppendOutcome::Stored, AppendOutcome::Stored, AppendOutcome::Fenced]);
    let pending = async |id| anyhow::Ok(store.conversation_get(owner, id).await?.title_pending);
    assert!(pending(one.conversation_id).await?, "a title is on its way");
    assert!(!pending(two.conversation_id).await? && !pending(three.conversation_id).await?);
    let job = claim_one(&store, node, at(5)).await?;
    assert_eq!((job.claim.id, job.conversation, &*job.kind), (first.id, Some(one.conversation_id), TITLE));
    assert_eq!((job.owner, job.payload), (owner, first.payload));
    assert!(pending(one.conversation_id).await?);
    assert!(store.job_end(job.claim).await?);
    assert!(!pending(one.conversation_id).await?);
    Ok(())
}

/// At once with a conversation that is deleted, in time with all that an account had.
pub async fn jobs_go_with_what_they_are_about(store: SharedStore) -> anyhow::Result<()> {
    let (owner, node) = (user(&store, "demo").await?, joined(&store, node()).await?);
    let other = user(&store, "other").await?;
    let turns = [new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2)), new_turn(other, "Three", at(3))];
    for turn in &turns {
        begin(&store, turn).await?;
        answer(&store, turn, "Answer", at(4)).await?;
        assert!(store.job_add(title_job(turn.owner, turn.conversation_id, at(4))).await?);
    }
    assert!(store.job_add(new_job(owner, "of the account", at(4))).await?);
    let [one, two, three] = &turns;
    let claimed = claim(&store, node, at(5)).await?;
    assert_eq!(claimed.len(), 4);
    let of = |conversation| claimed.iter().find(|job| job.conversation == Some(conversation)).context("its job");
    store.conversation_delete(owner, one.conversation_id, at(6)).await?;
    assert!(!store.job_end(of(one.conversation_id)?.claim).await?, "it is gone, whoever has it");
    // One that comes late goes with the rest.
    assert!(store.job_add(title_job(owner, one.conversation_id, at(7))).await?);
    while store.purge(at(0), at(0), at(0), 3).await? > 0 {}
    assert!(claim(&store, node, at(9)).await?.is_empty());

    store.account_delete(owner, true, at(8)).await?;
    while store.account_erase(Some(owner), 2).await? != Erased::Done {}
    assert!(!store.job_end(of(two.conversation_id)?.claim).await?);
    assert!(store.job_add(new_job(other, "of the account", at(9))).await?, "its key is free");
    assert!(store.job_end(of(three.conversation_id)?.claim).await?, "another's stays");
    Ok(())
}

/// A title of a model's takes the place of the question's words, and of nothing else.
pub async fn a_model_names_what_nobody_named(store: SharedStore) -> anyhow::Result<()> {
    use r1_domain::conversation::{ConversationChange, TitledBy};
    let (owner, other) = (user(&store, "demo").await?, user(&store, "other").await?);
    let turn = new_turn(owner, "The first words", at(1));
    begin(&store, &turn).await?;
    let chunk = chunks(&["Answer"]);
    stored(&store, vec![super::append(turn.generation_id, 1, 2, &["Answer"])]).await?;
    stored(&store, vec![ending(&turn, 3, "Answer", 2, &chunk, at(2))]).await?;
    let id = turn.conversation_id;
    let get = async || store.conversation_get(owner, id).await;
    let before = get().await?;
    assert_eq!((before.title.as_deref(), before.titled_by), (Some("The first words"), TitledBy::Question));
    assert!(!store.conversation_retitle(other, id, "The first words", "Stolen").await?);
    assert!(!store.conversation_retitle(owner, id, "Other words", "Late").await?);
    assert!(store.conversation_retitle(owner, id, "The first words", "A title with \0 in it").await?);
    let titled = get().await?;
    assert_eq!((titled.title.as_deref(), titled.titled_by), (Some("A title with \0 in it"), TitledBy::Model));
    assert_eq!(titled.updated_at, before.updated_at, "no list is sorted by that");
    assert!(!store.conversation_retitle(owner, id, "A title with \0 in it", "Again").await?, "once");

    // A person's stays, even one that says the same.
    let change = ConversationChange { title: Some("The first words".to_owned()), head: None };
    store.conversation_change(owner, id, change, at(3)).await?;
    assert_eq!(get().await?.titled_by, TitledBy::Person);
    assert!(!store.conversation_retitle(owner, id, "The first words", "Over it").await?);
    let given = store.conversation_create(owner, ConversationId::new(at(4)), Some("Given"), None, at(4)).await?;
    let given = given.ok().context("made")?;
    assert!(!store.conversation_retitle(owner, given.id, "Given", "Over it").await?);
    // One that was made without a title has its question's words from the first one on.
    let made = store.conversation_create(owner, ConversationId::new(at(5)), None, None, at(5)).await?;
    let made = made.ok().context("made")?;
    begin(&store, &super::next_turn(owner, made.id, None, "Words", at(6))).await?;
    assert!(store.conversation_retitle(owner, made.id, "Words", "A title").await?);
    store.conversation_delete(owner, id, at(7)).await?;
    assert!(!store.conversation_retitle(owner, id, "The first words", "Gone").await?);
    Ok(())
}
