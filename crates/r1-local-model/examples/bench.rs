//! Times the engine on the default model: `cargo run --release -p r1-local-model --example bench`.
//!
//! Prints the medians of several rounds: time to the first token after prompts of 30 and 500
//! tokens, tokens per second after them, eight users together, a chat question on a warm system
//! prefix through the scheduler, and memory. Beside the clock's time stands the CPU time per round,
//! which says more on a machine that others use at the same time. `THREADS` (default 1) and `ROUNDS` (default 5) are
//! taken from the environment, the model file from the first argument or the cache.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use r1_local_model::gguf::Gguf;
use r1_local_model::model::{Chunk, KvCache, Logits, Model, Workspace};
use r1_local_model::prompt::{Partial, fit};
use r1_local_model::sampler::Sampling;
use r1_local_model::scheduler::{Limits, Request, Scheduler};
use r1_local_model::template::{ChatTemplate, Message, Role};
use r1_local_model::tokenizer::Tokenizer;

const PREFILL: usize = 32;
const TEXT: &str = "The quick brown fox jumps over the lazy dog near the old river bank while \
seven clever engineers discuss how to build a streaming chat server in Rust. ";

type Failure = Box<dyn Error>;

struct Bench {
    model: Model,
    work: Workspace,
    text: Vec<u32>,
    rounds: usize,
}

impl Bench {
    fn read(&mut self, cache: &mut KvCache, tokens: std::ops::Range<usize>) {
        for tokens in self.text[tokens].chunks(PREFILL) {
            let chunk = Chunk { cache, tokens, logits: Logits::Last };
            self.model.forward(&mut [chunk], &mut self.work);
        }
    }

    fn choose(&mut self) -> u32 {
        let sampling = Sampling { temperature: 0.7, ..Sampling::default() };
        self.work.logits_mut().first_mut().map_or(0, |logits| sampling.choose(logits, &[]))
    }

    fn one_user(&mut self, prompt: usize) {
        let (mut first, mut rate) = (Vec::new(), Vec::new());
        let (mut first_cpu, mut rate_cpu) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let mut cache = self.model.new_cache();
            let (start, used) = (Instant::now(), cpu_ms());
            self.read(&mut cache, 0..prompt);
            let mut next = self.choose();
            first.push(start.elapsed().as_secs_f64() * 1e3);
            first_cpu.push(cpu_ms() - used);
            let (start, used) = (Instant::now(), cpu_ms());
            for _ in 0..128 {
                let chunk = Chunk { cache: &mut cache, tokens: &[next], logits: Logits::Last };
                self.model.forward(&mut [chunk], &mut self.work);
                next = self.choose();
            }
            rate.push(128.0 / start.elapsed().as_secs_f64());
            rate_cpu.push(128e3 / (cpu_ms() - used));
        }
        report(&format!("first token after {prompt} tokens"), "ms", first);
        report("  by CPU time", "ms", first_cpu);
        report(&format!("tokens per second after {prompt}"), "/s", rate);
        report("  by CPU time", "/s", rate_cpu);
    }

    fn many_users(&mut self, users: usize) {
        let (mut rate, mut rate_cpu) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let mut caches: Vec<KvCache> = (0..users).map(|_| self.model.new_cache()).collect();
            for (i, cache) in caches.iter_mut().enumerate() {
                self.read(cache, i..i + 100);
            }
            let (start, used) = (Instant::now(), cpu_ms());
            for step in 0..48 {
                let tokens = &self.text[step..=step];
                let mut chunks: Vec<Chunk<'_>> =
                    caches.iter_mut().map(|cache| Chunk { cache, tokens, logits: Logits::Last }).collect();
                self.model.forward(&mut chunks, &mut self.work);
                for logits in self.work.logits_mut() {
                    Sampling::default().choose(logits, &[]);
                }
            }
            rate.push(48.0 * users as f64 / start.elapsed().as_secs_f64());
            rate_cpu.push(48e3 * users as f64 / (cpu_ms() - used));
        }
        report(&format!("{users} users, tokens per second in all"), "/s", rate);
        report("  by CPU time", "/s", rate_cpu);
    }
}

/// Asks a question through the scheduler, the system prompt being in memory.
async fn chat(file: &Gguf, model: Model, tokenizer: Arc<Tokenizer>, rounds: usize) -> Result<(), Failure> {
    let template = ChatTemplate::load(file, &tokenizer)?;
    let prompt = |question: &str| {
        let messages = [Message { role: Role::User, content: question.to_owned() }];
        fit(&tokenizer, &template, &messages, Partial::None, 256, 8192).map(|fitted| fitted.prompt)
    };
    let (a, b) = (prompt("Hello")?, prompt("What")?);
    let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let scheduler = Scheduler::start(model, Arc::clone(&tokenizer), &a[..shared], Limits::default())?;
    let question = "Explain in two or three plain sentences what a hash map is and when it is \
better than a sorted list.";
    let mut first = Vec::new();
    for i in 0..rounds {
        let start = Instant::now();
        let prompt = prompt(question)?;
        let length = prompt.len();
        let mut answer = scheduler.submit(Request {
            user: format!("user {i}"),
            prompt,
            answer: Vec::new(),
            max_tokens: 32,
            stop: Vec::new(),
            sampling: Sampling::default(),
        })?;
        answer.next().await.ok_or("no answer")?;
        first.push(start.elapsed().as_secs_f64() * 1e3);
        while answer.next().await.is_some() {}
        if i == 0 {
            print(&format!("chat prompt of {length} tokens, {shared} of them warm"));
        }
    }
    report("first text of a chat answer", "ms", first);
    print_memory("with the scheduler");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (threads, rounds) = (number("THREADS", 1), number("ROUNDS", 5));
    let path = match (std::env::args_os().nth(1), std::env::var_os("HOME")) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(home)) => PathBuf::from(home).join(".cache/gpt-r1/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
        (None, None) => return Err("name the model file".into()),
    };
    let start = Instant::now();
    let file = Gguf::open(&path)?;
    let tokenizer = Arc::new(Tokenizer::load(&file)?);
    let model = Model::load(&file, threads)?;
    print(&format!("{threads} threads, loaded in {} ms", start.elapsed().as_millis()));
    drop(file);
    print_memory("after loading");

    let text = tokenizer.encode_text(&TEXT.repeat(30));
    let mut bench = Bench { model, work: Workspace::default(), text, rounds };
    bench.one_user(30);
    bench.one_user(500);
    for users in [2, 4, 8, 16] {
        bench.many_users(users);
    }
    print_memory("after the rounds");

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let file = Gguf::open(&path)?;
    runtime.block_on(chat(&file, bench.model, tokenizer, rounds))
}

fn report(what: &str, unit: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    if let [low, .., high] = samples.as_slice() {
        let median = samples[samples.len() / 2];
        print(&format!("{what:42} {median:8.1} {unit}  ({low:.1} to {high:.1})"));
    }
}

/// Milliseconds that the main thread has run.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ran = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    ran.unwrap_or(0.0) / 1e6
}

fn print_memory(when: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    print(&format!("memory {when}: {} MB, at most {} MB", of("VmRSS:"), of("VmHWM:")));
}

#[expect(clippy::print_stdout, reason = "a bench's purpose")]
fn print(line: &str) {
    println!("{line}");
}
