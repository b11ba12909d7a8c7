//! How often answers run away: `cargo run --release -p r1-local-model --example sampling`.
//!
//! A small model that has said a sentence twice likes to say it for ever. Asks the default model the
//! walk-through's prompts under several settings and seeds, and prints per setting how many answers
//! ended by themselves, how long those were, and how many ran into the limit. The defaults of
//! [`Sampling`] are chosen by this table. The model file is the first argument.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use r1_local_model::gguf::Gguf;
use r1_local_model::model::Model;
use r1_local_model::prompt::{Partial, fit};
use r1_local_model::sampler::Sampling;
use r1_local_model::scheduler::{Event, Finish, Limits, Request, Scheduler};
use r1_local_model::template::{ChatTemplate, Message, Role};
use r1_local_model::tokenizer::Tokenizer;

const PROMPTS: [&str; 4] = [
    "Write a detailed explanation about artificial intelligence in exactly 5 paragraphs",
    "Explain quantum computing in exactly 3 short paragraphs",
    "Write a story about a robot in exactly 4 paragraphs",
    "Write a detailed 1000-word essay about the future of technology",
];
const SEEDS: u64 = 16;
const LIMIT: usize = 2048;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name the model file")?;
    let file = Gguf::open(Path::new(&path))?;
    let tokenizer = Arc::new(Tokenizer::load(&file)?);
    let template = ChatTemplate::load(&file, &tokenizer)?;
    let threads = std::thread::available_parallelism()?.get();
    let limits = Limits::default();
    let scheduler = Scheduler::start(Model::load(&file, threads)?, Arc::clone(&tokenizer), &[], limits)?;
    println!("temperature penalty window | ended by itself, tokens (shortest, middle, longest) | ran into the limit");
    for (temperature, repetition_penalty, repetition_window) in
        [(0.2, 1.1, 64), (0.2, 1.1, 256), (0.3, 1.1, 256), (0.3, 1.15, 256), (0.5, 1.1, 256), (0.3, 1.1, 1024)]
    {
        let sampling = Sampling { temperature, repetition_penalty, repetition_window, ..Sampling::default() };
        for prompt in PROMPTS {
            let messages = [Message { role: Role::User, content: prompt.to_owned() }];
            let fitted = fit(&tokenizer, &template, &messages, Partial::None, LIMIT, 8192)?;
            let answers = join_all((0..SEEDS).map(async |seed| {
                let request = Request {
                    user: seed.to_string(),
                    prompt: fitted.prompt.clone(),
                    answer: Vec::new(),
                    max_tokens: LIMIT,
                    stop: Vec::new(),
                    sampling: Sampling { seed, ..sampling },
                };
                let Ok(mut answer) = scheduler.submit(request) else { return (Finish::Length, 0) };
                let mut tokens = 0;
                while let Some(event) = answer.next().await {
                    match event {
                        Event::Text { tokens: more, .. } => tokens += more.len(),
                        Event::Done { finish, .. } => return (finish, tokens),
                    }
                }
                (Finish::Length, tokens)
            }));
            let answers = answers.await;
            let mut ended: Vec<usize> =
                answers.iter().filter(|(finish, _)| *finish == Finish::Stop).map(|(_, tokens)| *tokens).collect();
            ended.sort_unstable();
            let at = |i: usize| ended.get(i).copied().unwrap_or(0);
            println!(
                "{temperature} {repetition_penalty} {repetition_window} | {:2}, {} {} {} | {:2} | {prompt}",
                ended.len(),
                at(0),
                at(ended.len() / 2),
                at(ended.len().saturating_sub(1)),
                answers.len() - ended.len(),
            );
        }
    }
    Ok(())
}
