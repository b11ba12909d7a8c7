//! Clients that go away at every point of the exchange, in every way: nothing of them stays but the answers that
//! they asked for.

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use r1_testkit::upstream::{Script, Upstream};
use serde_json::{Value, json};

use crate::{
    metrics::Metrics,
    raw::{Raw, get, post},
    support::{Client, Server, Setup, on_postgres},
};

/// Clients in a wave, in a batch of it, and at the same time.
const WAVE: usize = 500;
const BATCH: usize = 125;
const AT_ONCE: usize = 40;
/// Two waves in which everything that is kept for good is taken, before memory is compared; and the last
/// one in which it may stand still.
const WARM: usize = 2;
const WAVES: usize = 6;
/// What memory may grow from one wave to the next, per client of a wave: far less than one of its
/// buffers. What is kept of each client grows in every wave, the allocator's moods don't.
const GROWTH: u64 = 4 * 1024;
/// Files that may stay open, and on PostgreSQL tasks: connections to the database are opened when first
/// needed, and kept.
const DATABASE: u64 = 8;

#[derive(Debug, Clone, Copy)]
enum Point {
    HalfHeader,
    MidBody,
    WholeRequest,
    BeforeFirstChunk,
    AfterFirstChunk,
    MidReplay,
    Stop,
    WholeAnswer,
    KeepAlive,
}

const POINTS: [Point; 9] = [
    Point::HalfHeader,
    Point::MidBody,
    Point::WholeRequest,
    Point::BeforeFirstChunk,
    Point::AfterFirstChunk,
    Point::MidReplay,
    Point::Stop,
    Point::WholeAnswer,
    Point::KeepAlive,
];

#[derive(Debug, Clone, Copy)]
enum Way {
    Fin,
    Reset,
    HalfClose,
}

const WAYS: [Way; 3] = [Way::Fin, Way::Reset, Way::HalfClose];

/// Where they come from and where they go.
struct Scene<'a> {
    server: &'a Server,
    upstream: &'a Upstream,
    client: Client,
    /// A finished generation with a long answer, and whose it is.
    long: &'a str,
    owner: &'a Client,
}

#[tokio::test]
async fn a_thousand_leave_nothing_behind() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request| {
        let script = Script::new().header("connection", "close").role();
        match request.question().split_once(' ') {
            Some(("long", _)) => (0..5000).fold(script, |script, n| script.chunk(format!("piece {n} "))).ending(),
            Some(("quiet", gate)) => script.wait_for(gate).chunk("one ").chunk("two").ending(),
            _ => script.chunk("one ").wait_for(request.question()).chunk("two").ending(),
        }
    });
    let setup = Setup::with_upstream(&upstream)?.with_metrics();
    // Our own idle connections are to be gone when we look.
    let server = setup.set("SERVER__REQUEST_TIMEOUT", "3s").start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("first").await?;
    let long = client.ask_to_end(&json!({"message": "long one"})).await?;
    let long = long[0].data["generation_id"].as_str().context("an id")?;
    let before = metrics.wait("an idle server", |now| now.connections == 0).await?;

    let mut memory: Vec<u64> = Vec::new();
    for wave in 0..WAVES {
        let user = server.user(&format!("wave-{wave}")).await?;
        let scene = Scene { server: &server, upstream: &upstream, client: user, long, owner: &client };
        for batch in 0..WAVE / BATCH {
            let gate = format!("gate-{wave}-{batch}");
            let leaving = stream::iter(0..BATCH).map(|number| {
                let (scene, gate) = (&scene, gate.as_str());
                let (point, way) = (POINTS[number % POINTS.len()], WAYS[number / POINTS.len() % WAYS.len()]);
                let whole = format!("{gate}-{number}");
                async move { scene.leave(point, way, gate, &whole).await.with_context(|| format!("{point:?}, {way:?}")) }
            });
            leaving.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            upstream.open(&gate);
        }
        let quiet = metrics.wait("what was before", |now| {
            (now.connections, now.readers, now.running) == (0, 0, 0)
                && now.tasks <= before.tasks + if on_postgres() { DATABASE } else { 0 }
                && now.open_files <= before.open_files + DATABASE
        });
        let quiet = quiet.await.with_context(|| format!("before: {before:?}"))?;
        memory.push(quiet.memory);
        scene.check_answers().await?;
        metrics.wait("an idle server", |now| now.connections == 0).await?;
        if wave >= WARM && memory[wave].saturating_sub(memory[wave - 1]) <= GROWTH * WAVE as u64 {
            return Ok(());
        }
    }
    bail!("memory grows with every wave: {memory:?}")
}

impl Scene<'_> {
    /// Comes, and goes at this point. Answers wait at `gate`, that of the one who wants it whole at `whole`.
    async fn leave(&self, point: Point, way: Way, gate: &str, whole: &str) -> Result<()> {
        let mut raw = Raw::connect(self.server).await?;
        let ask = |question: &str| post("/chat/stream", &self.client, &json!({"message": question}));
        match point {
            Point::HalfHeader => raw.send(&ask(gate)[..60]).await?,
            Point::MidBody => {
                let request = ask(gate);
                raw.send(&request[..request.len() - 10]).await?;
            }
            Point::WholeRequest => raw.send(ask(gate)).await?,
            Point::BeforeFirstChunk => {
                raw.send(ask(&format!("quiet {gate}"))).await?;
                raw.read_until(r#""type": "start""#).await?;
            }
            Point::AfterFirstChunk => {
                raw.send(ask(gate)).await?;
                raw.read_until("one ").await?;
            }
            Point::MidReplay => {
                let path = format!("/chat/stream?generation_id={}&after=0", self.long);
                raw.send(get(&path, self.owner)).await?;
                raw.read_until("\r\n\r\n").await?;
            }
            Point::Stop => {
                raw.send(ask(gate)).await?;
                let start = raw.read_until("one ").await?;
                let id = start.split_once("id: ").and_then(|(_, rest)| rest.split_once(':')).context("an id")?.0;
                let mut other = Raw::connect(self.server).await?;
                other.send(post(&format!("/chat/generations/{id}/stop"), &self.client, &Value::Null)).await?;
                go(other, way).await?;
            }
            Point::WholeAnswer => {
                raw.send(post("/chat", &self.client, &json!({"message": whole}))).await?;
                self.upstream.wait_reached(whole, 1).await?;
                self.upstream.open(whole);
            }
            Point::KeepAlive => {
                raw.send(get("/health", &self.client)).await?;
                raw.read_answer().await?;
            }
        }
        go(raw, way).await
    }

    /// Every answer that was accepted is whole, or stopped.
    async fn check_answers(&self) -> Result<()> {
        let mut cursor = String::new();
        let (mut completed, mut stopped) = (0, 0);
        loop {
            let page = self.client.read(&format!("/conversations?limit=100{cursor}")).await?;
            let conversations = page["conversations"].as_array().context("conversations")?;
            let answers = stream::iter(conversations).map(|conversation| async move {
                let messages = self.client.messages(conversation["id"].as_str().context("an id")?).await?;
                messages.last().cloned().context("an answer")
            });
            for answer in answers.buffer_unordered(8).try_collect::<Vec<_>>().await? {
                match (answer["status"].as_str(), answer["content"].as_str()) {
                    (Some("completed"), Some("one two")) => completed += 1,
                    (Some("stopped"), Some("one " | "one")) => stopped += 1,
                    _ => anyhow::bail!("{answer}"),
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        // Four of the points are after the acceptance.
        ensure!(
            completed + stopped >= WAVE / POINTS.len() * 4 - POINTS.len(),
            "{completed} completed, {stopped} stopped"
        );
        Ok(())
    }
}

async fn go(mut raw: Raw, way: Way) -> Result<()> {
    match way {
        Way::Fin => {
            drop(raw);
            Ok(())
        }
        Way::Reset => raw.reset(),
        Way::HalfClose => {
            // It may read what is on its way; then it is closed as the others.
            raw.half_close().await;
            raw.read_to_close().await.map(drop)
        }
    }
}
