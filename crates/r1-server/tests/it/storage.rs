//! A storage that stops, fails or goes away: what readers and senders get, and that all goes on by
//! itself afterwards.

mod disk;
mod full;
mod gone;
mod hang;
mod leftover;
mod locked;
mod sync;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::{Frame, Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Server, Setup, expect_problem, id_of, stream};
use disk::Disk;

/// How long a stalled log keeps its readers here.
const STALL_LIMIT: &str = "3s";

/// A server that sends readers away soon.
fn impatient(upstream: &Upstream) -> Result<Setup> {
    Ok(Setup::with_upstream(upstream)?
        .on_sqlite()
        .set("STREAM__STALL_LIMIT", STALL_LIMIT)
        .set("STREAM__HEARTBEAT", "1s"))
}

/// The same on a disk that can fail.
fn on_disk(upstream: &Upstream) -> Result<(Disk, Setup)> {
    Disk::under(impatient(upstream)?)
}

/// An answer that has begun: it says "one ", and waits for the gate to say "two ".
struct Begun {
    reader: Reader,
    seen: Vec<Frame>,
    generation: String,
    conversation: String,
}

/// The script of [`begin`].
fn two_words(gate: &str) -> Script {
    Script::new().role().chunk("one ").wait_for(gate).chunk("two ").ending()
}

async fn begin(client: &Client) -> Result<Begun> {
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let seen = reader.collect_until(|frame| frame.content() == Some("one ")).await?;
    let generation = id_of(&seen[0].data, "generation_id")?;
    let conversation = id_of(&seen[0].data, "conversation_id")?;
    Ok(Begun { reader, seen, generation, conversation })
}

impl Begun {
    /// Nothing more comes but heartbeats, and then the advice to come back.
    async fn is_sent_away(&mut self) -> Result<()> {
        let more = tokio::time::timeout(PATIENCE, self.reader.next_frame()).await.context("readers are kept")??;
        ensure!(more.is_none(), "{more:?}");
        ensure!(self.reader.retry().is_some(), "without retry");
        Ok(())
    }

    /// Goes on from the last event that was seen to the end. Every event comes once, and the whole answer,
    /// asked for again, is the same byte for byte.
    async fn go_on(&mut self, client: &Client) -> Result<()> {
        let last = self.seen.last().and_then(|frame| frame.id).context("an event")?;
        // Until then the answer may still be on its way.
        let ended = async {
            loop {
                let query = format!("generation_id={}&after={}", self.generation, last.cursor);
                let rest = stream(client.attach(&query).await?).await?.after(last).collect_to_end().await?;
                if rest.last().is_some_and(Frame::is_terminal) {
                    return anyhow::Ok(rest);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        self.seen.extend(tokio::time::timeout(PATIENCE, ended).await.context("it does not go on")??);
        let whole = stream(client.attach(&format!("generation_id={}", self.generation)).await?).await?;
        let whole = whole.collect_to_end().await?;
        ensure!(whole == self.seen, "{whole:?} is not {:?}", self.seen);
        let answer = self.answer(client).await?;
        ensure!(answer["content"] == text_of(&self.seen), "{answer}");
        Ok(())
    }

    async fn answer(&self, client: &Client) -> Result<Value> {
        let path = format!("/conversations/{}/messages?limit=1", self.conversation);
        let question = client.read(&path).await?;
        let cursor = id_of(&question, "next_cursor")?;
        let page = client.read(&format!("{path}&cursor={cursor}")).await?;
        Ok(page["messages"][0].clone())
    }

    fn last(&self) -> &Value {
        self.seen.last().map_or(&Value::Null, |frame| &frame.data)
    }
}

/// Asks in a conversation.
async fn send(client: &Client, conversation: &str) -> Result<Response> {
    client.post("/chat/stream", &json!({"message": "and now?", "conversation_id": conversation})).await
}

/// A refused send, which says when to come again.
async fn expect_refused(response: Response, status: u16, code: &str) -> Result<()> {
    let retry_after = response.headers().get("retry-after").cloned().context("when to come again")?;
    ensure!(retry_after.to_str()?.parse::<u64>()? > 0);
    expect_problem(response, status, code).await?;
    Ok(())
}

/// Waits until the server takes new work.
async fn wait_ready(client: &Client) -> Result<()> {
    let ready = async {
        while client.get("/health/ready").await?.status() != StatusCode::NO_CONTENT {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, ready).await.context("it does not get ready")?
}

/// The database fails, as far as the outside is told: a good finding is kept for a moment.
async fn expect_unhealthy(client: &Client) -> Result<()> {
    let unhealthy = async {
        for path in ["/health", "/health/ready"] {
            while client.get(path).await?.status() != StatusCode::SERVICE_UNAVAILABLE {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, unhealthy).await.context("it is said to be healthy")?
}

/// Reads go on, whatever happens to writes.
async fn expect_readable(client: &Client, conversation: &str) -> Result<()> {
    client.read("/auth/me").await?;
    client.read("/conversations").await?;
    client.messages(conversation).await?;
    Ok(())
}

/// `kill -9` while an answer stalls; the next start, on healthy storage, has what was shown.
async fn expect_survival(
    server: Server,
    begun: &mut Begun,
    client: Client,
    healthy: impl FnOnce() -> Result<()>,
) -> Result<Server> {
    let setup = server.kill().await?;
    healthy()?;
    let again = setup.start().await?;
    let client = client.at(&again);
    begun.go_on(&client).await?;
    ensure!(begun.last()["code"] == "interrupted", "{}", begun.last());
    ensure!(text_of(&begun.seen) == "one ", "nothing that was not shown");
    Ok(again)
}
