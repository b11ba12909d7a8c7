//! Nodes that are killed, stopped, or sent away; a database that goes and comes back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    follower::{Follower, Origin},
    namespace::Namespace,
    postgres::{OwnServer, Stop},
    proxy::Proxy,
    sse::{Frame, text_of},
    upstream::{Script, Upstream},
};
use serde_json::json;

use super::{LEASE, follow, setup, start, two};
use crate::support::{Client, PATIENCE, Server, Setup, Signal, id_of};

/// Beyond the lease, for a busy machine.
const GRACE: Duration = Duration::from_secs(10);

/// An answer that has begun on the first node: its start, its first chunk.
async fn begun(client: &Client) -> Result<(String, String, Vec<Frame>)> {
    let mut asking = client.ask(&json!({"message": "go"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    let chunk = asking.next_frame().await?.context("a chunk")?;
    let (generation, conversation) = (id_of(&start.data, "generation_id")?, id_of(&start.data, "conversation_id")?);
    Ok((generation, conversation, vec![start, chunk]))
}

/// Nothing doubled, nothing left out, an epoch for each take-over.
fn check(log: &[Frame], seen: &[Frame], text: &str, epoch: u32) -> Result<()> {
    ensure!(log[..seen.len()] == *seen, "what was seen stays: {log:?}");
    ensure!(text_of(log) == text, "{log:?}");
    for (at, frame) in log.iter().enumerate() {
        ensure!(frame.id.context("an id")?.cursor.seq == at as u64 + 1, "{log:?}");
    }
    let last = log.last().context("an end")?;
    ensure!(last.is_terminal() && last.id.context("an id")?.cursor.epoch == epoch, "{last:?}");
    Ok(())
}

#[tokio::test]
async fn a_killed_nodes_answer_goes_on_on_another() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("never"));
    upstream.push(Script::text("finishes."));
    let ((first, one), (_second, other)) = two(&upstream).await?;
    let (generation, _, seen) = begun(&one).await?;
    // This reader is there before, and notices nothing but `resumed`.
    let reader = follow(&other, &generation).await?;
    let killed = Instant::now();
    drop(first.kill().await?);
    let log = reader.collect_to_end().await?;
    ensure!(killed.elapsed() < LEASE + GRACE, "taken over after {:?}", killed.elapsed());
    check(&log, &seen, "The sentence finishes.", 2)?;
    let asked = upstream.last_request().context("a request")?;
    assert_eq!(asked.body["continue_final_message"], true);
    assert_eq!(follow(&other, &generation).await?.collect_to_end().await?, log);
    Ok(())
}

#[tokio::test]
async fn a_killed_node_that_comes_back_at_once_goes_on_itself() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("never"));
    upstream.push(Script::text("finishes."));
    let server = setup(&upstream)?.set("DATABASE__LEASE", "1m").start().await?;
    let client = server.user("ada").await?;
    let (generation, _, seen) = begun(&client).await?;
    let again = server.kill().await?.start().await?;
    let log = follow(&client.at(&again), &generation).await?.collect_to_end().await?;
    check(&log, &seen, "The sentence finishes.", 2)
}

#[tokio::test]
async fn what_nobody_can_go_on_with_is_interrupted_by_another_node() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("so far").wait_for("never"));
    let ((first, one), (_second, other)) = two(&upstream).await?;
    let mut asking = one.ask(&json!({"message": "go", "model": "unable/m"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    asking.next_frame().await?.context("a chunk")?;
    drop(first.kill().await?);
    let generation = id_of(&start.data, "generation_id")?;
    let log = follow(&other, &generation).await?.collect_to_end().await?;
    assert_eq!(log.last().context("an end")?.data["code"], "interrupted");
    assert_eq!(text_of(&log), "so far");
    assert_eq!(upstream.requests().len(), 1, "not asked again");
    Ok(())
}

#[tokio::test]
async fn a_node_that_was_stopped_for_long_writes_nothing_more() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("woken").chunk("ZOMBIE").wait_for("never"));
    upstream.push(Script::new().role().chunk("goes on ").wait_for("end").chunk("and ends.").ending());
    let ((first, one), (_second, other)) = two(&upstream).await?;
    let (generation, conversation, seen) = begun(&one).await?;
    let mut reader = follow(&other, &generation).await?;
    first.signal(Signal::STOP)?;
    let taken = reader.collect_until(|frame| frame.kind() == "resumed").await?;
    assert_eq!(taken[..seen.len()], seen[..]);
    upstream.open("woken");
    first.signal(Signal::CONT)?;
    // The provider's connection of the one that was stopped is closed; the other's goes on.
    upstream.wait_closed(1).await?;
    upstream.open("end");
    reader.collect_to_end().await?;
    let log = follow(&other, &generation).await?.collect_to_end().await?;
    check(&log, &seen, "The sentence goes on and ends.", 2)?;
    // It is a node like any other again.
    assert_eq!(follow(&one, &generation).await?.collect_to_end().await?, log);
    upstream.push(Script::text("Again."));
    let mut answered = Err(anyhow::anyhow!("not asked"));
    let woken = Instant::now();
    while answered.is_err() && woken.elapsed() < PATIENCE {
        answered = one.ask_to_end(&json!({"message": "again", "conversation_id": conversation})).await;
    }
    assert_eq!(text_of(&answered?), "Again.");
    Ok(())
}

#[tokio::test]
async fn a_node_that_goes_down_hands_over_at_once() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("never"));
    let first = setup(&upstream)?.set("DATABASE__LEASE", "1m");
    let second = first.another()?;
    let ((first, one), (_second, other)) = start(first, second).await?;
    let (generation, _, seen) = begun(&one).await?;
    let reader = follow(&other, &generation).await?;
    // Something that nobody else can go on with keeps it from ending.
    upstream.push(Script::new().role().chunk("slow").wait_for("slow").ending());
    upstream.push(Script::text("finishes."));
    let mut slow = one.ask(&json!({"message": "go", "model": "unable/m"})).await?;
    slow.collect_until(|frame| frame.content().is_some()).await?;
    // It must know of the other before.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    first.signal(Signal::TERM)?;
    let log = reader.collect_to_end().await?;
    ensure!(asked.elapsed() < GRACE, "handed over after {:?}", asked.elapsed());
    check(&log, &seen, "The sentence finishes.", 2)?;
    upstream.open("slow");
    let ended = slow.collect_to_end().await?;
    assert_eq!(ended.last().context("an end")?.data["status"], "completed");
    let (well, _) = first.ended().await?;
    assert!(well);
    Ok(())
}

/// An answer of 3 s, read where it runs and elsewhere, is whole and the same, and was asked for once, whatever
/// is done meanwhile.
async fn unharmed(first: Setup, upstream: &Upstream, meanwhile: impl AsyncFnOnce(&Server) -> Result<()>) -> Result<()> {
    upstream.push(Script::paced(300, Duration::from_millis(10)));
    let second = first.another()?;
    let ((first, one), (second, _)) = start(first, second).await?;
    let mut asking = one.ask(&json!({"message": "go"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    let generation_id = id_of(&start.data, "generation_id")?.parse()?;
    let token = one.token.clone().context("a token")?;
    let base = format!("{}/api/v1", second.api);
    let origin = Origin::Attached { generation_id, after: None };
    let mut elsewhere = Follower::new(reqwest::Client::builder().no_proxy().build()?, &base, &token, origin);
    let (mut frames, seen, ()) = futures::try_join!(asking.collect_to_end(), elsewhere.to_end(), meanwhile(&first))?;
    frames.insert(0, start);
    assert_eq!(frames, seen);
    let last = frames.last().context("an end")?;
    assert_eq!((last.data["status"].as_str(), last.id.context("an id")?.cursor.epoch), (Some("completed"), 1));
    assert_eq!(upstream.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn connections_that_the_database_ends_cost_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    unharmed(setup(&upstream)?, &upstream, async |node| {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let database = node.setup().database().context("a database")?;
            database.client().await?.execute(end, &[]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_database_that_restarts_costs_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    let database = OwnServer::start(None).await?;
    // It may take its time, on a busy machine.
    let setup = setup(&upstream)?.set("DATABASE__LEASE", "1m").env("DATABASE_URL", &database.url());
    unharmed(setup, &upstream, async |_| {
        for how in [Stop::Fast, Stop::Immediate] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            database.stop(how).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            database.begin().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_database_that_is_away_for_longer_than_a_lease_is_waited_for() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("late").chunk("ZOMBIE").wait_for("never"));
    upstream.push(Script::text("finishes."));
    let database = OwnServer::start(None).await?;
    let first = setup(&upstream)?.env("DATABASE_URL", &database.url());
    let second = first.another()?;
    let ((_first, one), (_second, other)) = start(first, second).await?;
    let (generation, conversation, seen) = begun(&one).await?;
    let reader = follow(&other, &generation).await?;
    database.stop(Stop::Immediate).await?;
    // Whoever has no lease keeps nothing open at its provider's.
    upstream.wait_closed(1).await?;
    upstream.open("late");
    let refused = other.post("/chat/stream", &json!({"message": "now?", "conversation_id": conversation})).await?;
    assert_eq!(refused.status(), 503);
    database.begin().await?;
    let log = reader.collect_to_end().await?;
    check(&log, &seen, "The sentence finishes.", 2)?;
    assert_eq!(follow(&one, &generation).await?.collect_to_end().await?, log);
    Ok(())
}

#[tokio::test]
async fn without_hints_it_is_only_later() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("one ").wait_for("on").chunk("two").wait_for("never"));
    let ((first, one), (_second, other)) = two(&upstream).await?;
    let (generation, _, _) = begun(&one).await?;
    let mut reader = follow(&other, &generation).await?;
    // Whoever listens is sent away again and again.
    let database = first.setup().database().context("a database")?;
    let client = database.client().await?;
    let deafen = async {
        loop {
            let listeners = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND query IN ('LISTEN gpt_r1', 'SELECT 1')";
            client.execute(listeners, &[]).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reading = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        upstream.open("on");
        reader.collect_until(|frame| frame.content() == Some("two")).await?;
        let stopped = other.post(&format!("/chat/generations/{generation}/stop"), &json!({})).await?;
        ensure!(stopped.status().is_success(), "{}", stopped.text().await?);
        anyhow::Ok(())
    };
    tokio::select! {
        deaf = deafen => deaf,
        read = reading => read,
    }
}

/// Cuts the first of two nodes off from the database. Nobody is told, nothing comes back.
async fn cut_off(
    upstream: &Upstream,
    (first, second): (Setup, Setup),
    cut: impl Fn() -> Result<()>,
    mend: impl Fn() -> Result<()>,
) -> Result<()> {
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("late").chunk("ZOMBIE").wait_for("never"));
    upstream.push(Script::new().role().chunk("goes on ").wait_for("end").chunk("and ends.").ending());
    let ((_first, one), (_second, other)) = start(first, second).await?;
    let (generation, _, seen) = begun(&one).await?;
    let mut reader = follow(&other, &generation).await?;
    cut()?;
    let since = Instant::now();
    upstream.wait_closed(1).await?;
    ensure!(since.elapsed() < LEASE + Duration::from_millis(300), "the provider was kept for {:?}", since.elapsed());
    upstream.open("late");
    let taken = reader.collect_until(|frame| frame.kind() == "resumed").await?;
    assert_eq!(taken[..seen.len()], seen[..]);
    mend()?;
    upstream.open("end");
    reader.collect_to_end().await?;
    let log = follow(&other, &generation).await?.collect_to_end().await?;
    check(&log, &seen, "The sentence goes on and ends.", 2)?;
    // It comes back by itself.
    let (begun, mut there) = (Instant::now(), None);
    while there.is_none() && begun.elapsed() < PATIENCE {
        there = match follow(&one, &generation).await {
            Ok(reader) => reader.collect_to_end().await.ok(),
            Err(_) => None,
        };
    }
    assert_eq!(there, Some(log));
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_the_database_lets_go_in_time() -> Result<()> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start().await?;
    let first = setup(&upstream)?;
    let second = first.another()?;
    let url = first.database().context("a database")?.url();
    let host = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).context("a host")?.to_owned();
    proxy.lead_to([host.parse().context("an address and a port")?]);
    let first = first.env("DATABASE_URL", &url.replacen(&host, proxy.url().trim_start_matches("http://"), 1));
    let freeze = |frozen| {
        proxy.freeze(frozen);
        Ok(())
    };
    cut_off(&upstream, (first, second), || freeze(true), || freeze(false)).await
}

/// The same by a network's own means, where this machine has them.
#[tokio::test]
async fn a_node_whose_network_is_gone_lets_go_in_time() -> Result<()> {
    let Some(namespace) = Namespace::make()?.map(Arc::new) else {
        eprintln!("not played: network namespaces are not allowed here");
        return Ok(());
    };
    let [to_database, to_others] = namespace.cables();
    let upstream = Upstream::start_on((to_others.here(), 0).into()).await?;
    let database = OwnServer::start_at(to_database.here(), None).await?;
    let first = setup(&upstream)?.env("DATABASE_URL", &database.url());
    let second = first.another()?;
    cut_off(&upstream, (first.inside(&namespace), second), || to_database.pull(), || to_database.plug()).await
}
