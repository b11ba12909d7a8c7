//! Killed and undisturbed runs of the local model: the same seed, the same bytes.
//!
//! The undisturbed run is the model's process alone, asked over its own socket for what the server
//! asked of it, with the seed that the server drew and stored.

use std::{
    hash::{BuildHasher, RandomState},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use r1_domain::generation::GenerationRequest;
use r1_testkit::sse::{self, Frame, text_of};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::{Client, GPT_R1, PATIENCE, Server, Setup, expect, id_of, stream};

/// High: a model that says the expected is tokenised again as it was, by luck.
const TEMPERATURE: f64 = 2.0;
/// Has characters of several tokens in the answer.
const QUESTION: &str = "Tell a long story about a cat named 小猫 and her friend Zoë, with emoji like 🐈‍⬛ in it.";
const MAX_TOKENS: u32 = 96;
/// This often another answer is asked for, where one is over too soon: its length is drawn as well.
const TRIES: usize = 20;

/// Numbers that follow from one that is printed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit).unwrap_or_default()
    }
}

/// `KILL_SEED`, to see again what was printed, else a new one.
fn kill_seed() -> u64 {
    let given = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| RandomState::new().hash_one(0))
}

/// The model's process without a server.
struct Undisturbed {
    http: reqwest::Client,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Undisturbed {
    async fn start() -> Result<Self> {
        let pulled = Setup::new()?.run(&["model", "pull"]).await?;
        ensure!(pulled.ok, "{pulled:?}");
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("s");
        let model = pulled.stdout.trim();
        let mut command = Command::new(GPT_R1);
        command.args(["local-model", "--model", model, "--name", "alone", "--threads", "1", "--socket"]).arg(&socket);
        // It ends when its standard input does.
        let process = command.stdin(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let http = reqwest::Client::builder().no_proxy().unix_socket(socket).build()?;
        let ready = async {
            while !http.get("http://alone/health").send().await.is_ok_and(|health| health.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.context("the model did not get ready")?;
        Ok(Self { http, _process: process, _folder: folder })
    }

    /// What it says to this question, after `given` where it goes on from a text.
    async fn answer(&self, question: &str, given: &str, asked: &GenerationRequest) -> Result<String> {
        let mut messages = vec![json!({"role": "user", "content": question})];
        if !given.is_empty() {
            messages.push(json!({"role": "assistant", "content": given}));
        }
        let body = json!({
            "model": "alone", "messages": messages, "continue_final_message": !given.is_empty(),
            "temperature": asked.temperature, "max_tokens": asked.max_tokens, "seed": asked.seed,
        });
        let response = self.http.post("http://alone/v1/chat/completions").json(&body).send().await?;
        let answer: Value = expect(response, reqwest::StatusCode::OK).await?;
        answer["choices"][0]["message"]["content"].as_str().map(str::to_owned).context("a content")
    }
}

/// A server with the local model, and its user.
struct World {
    server: Server,
    client: Client,
    /// How often it was killed.
    kills: usize,
}

impl World {
    async fn start() -> Result<Self> {
        let server = Setup::with_local_model()?.set("LOCAL_MODEL__THREADS", "1").start().await?;
        let client = server.user("ada").await?;
        Ok(Self { server, client, kills: 0 })
    }

    /// Follows an answer to its end through lives of the server: each is killed after this many frames.
    async fn follow(mut self, mut reader: sse::Reader, lives: &[usize]) -> Result<(Self, Vec<Frame>)> {
        let mut frames: Vec<Frame> = Vec::new();
        for life in lives {
            for _ in 0..*life {
                frames.extend(reader.next_frame().await?);
            }
            let last = frames.last().context("a frame")?.clone();
            if last.is_terminal() {
                break;
            }
            self.server = self.server.kill().await?.start().await?;
            self.client = self.client.at(&self.server);
            self.kills += 1;
            let request = self.client.request(Method::GET, "/chat/stream");
            let response = request.header("last-event-id", last.last_event_id()).send().await?;
            reader = stream(response).await?.after(last.id.context("an id")?);
        }
        frames.extend(reader.collect_to_end().await?);

        // The reader has seen to it that seq is dense and nothing comes after a terminal event.
        let end = frames.last().context("a frame")?;
        ensure!(end.data["status"] == "completed", "{}", end.data);
        let generation = id_of(&frames[0].data, "generation_id")?;
        let replay = self.client.attach(&format!("generation_id={generation}")).await?;
        assert_eq!(stream(replay).await?.collect_to_end().await?, frames, "byte for byte");
        let conversation = id_of(&frames[0].data, "conversation_id")?;
        assert_eq!(self.client.messages(&conversation).await?[1]["content"], text_of(&frames));
        Ok((self, frames))
    }

    /// Ends the server and reads what it asked of the model.
    async fn asked(self, generations: &[String]) -> Result<Vec<GenerationRequest>> {
        let owner = id_of(&self.client.read("/auth/me").await?, "id")?.parse()?;
        let setup = self.server.kill().await?;
        let store = setup.store().await?;
        let mut asked = Vec::new();
        for generation in generations {
            asked.push(store.generation_get(owner, generation.parse()?).await?.request);
        }
        Ok(asked)
    }
}

#[tokio::test]
async fn killed_runs_say_what_undisturbed_ones_say() -> Result<()> {
    let mut random = Random(kill_seed());
    eprintln!("KILL_SEED={}", random.0);
    let mut world = World::start().await?;
    let (mut answers, mut generations) = (Vec::new(), Vec::new());
    for kills in [1, 1, 2].into_iter().chain([1; TRIES]) {
        if answers.len() >= 3 && world.kills >= 2 {
            break;
        }
        let lives: Vec<usize> = (0..kills).map(|_| 1 + random.below(u64::from(MAX_TOKENS) / 2)).collect();
        let ask = json!({"message": QUESTION, "temperature": TEMPERATURE, "max_tokens": MAX_TOKENS});
        let reader = world.client.ask(&ask).await?;
        let (after, frames) = world.follow(reader, &lives).await?;
        world = after;
        eprintln!("killed after {lives:?} frames, {} in all", frames.len());
        generations.push(id_of(&frames[0].data, "generation_id")?);
        answers.push(text_of(&frames));
    }
    assert!(world.kills >= 2, "{} killed: the answers are too short for this", world.kills);
    let undisturbed = Undisturbed::start().await?;
    for (asked, answer) in world.asked(&generations).await?.iter().zip(answers) {
        assert_eq!(asked.temperature, Some(TEMPERATURE));
        assert_eq!(answer, undisturbed.answer(QUESTION, "", asked).await?, "seed {}", asked.seed);
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_continuation_says_what_an_undisturbed_one_says() -> Result<()> {
    let mut random = Random(kill_seed());
    eprintln!("KILL_SEED={}", random.0);
    let mut world = World::start().await?;
    let ask = json!({"message": QUESTION, "temperature": TEMPERATURE, "max_tokens": 12});
    let more = json!({"max_tokens": MAX_TOKENS, "temperature": TEMPERATURE});
    let mut killed = None;
    for _ in 0..TRIES {
        let given = world.client.ask_to_end(&ask).await?;
        if given.last().context("an end")?.data["finish_reason"] != "length" {
            continue; // Nothing to go on with.
        }
        let first = id_of(&given[0].data, "generation_id")?;
        let reader = stream(world.client.post(&format!("/chat/generations/{first}/continue"), &more).await?).await?;
        let lives = [30 + random.below(20), 1 + random.below(20)];
        let (after, frames) = world.follow(reader, &lives).await?;
        world = after;
        eprintln!("killed after {lives:?} frames, {} in all", frames.len());
        if world.kills > 0 {
            killed = Some((given, frames));
            break;
        }
    }
    let (given, frames) = killed.context("the answers are too short for this")?;
    let (given, newest) = (text_of(&given), id_of(&frames[0].data, "generation_id")?);
    let asked = world.asked(&[newest]).await?;
    let undisturbed = Undisturbed::start().await?.answer(QUESTION, &given, &asked[0]).await?;
    assert_eq!(text_of(&frames), format!("{given}{undisturbed}"));
    Ok(())
}
