use std::time::Duration;

use futures::StreamExt;

use super::*;
use crate::gguf::Gguf;
use crate::tiny::{self, Spec};

struct World {
    scheduler: Scheduler,
    tokenizer: Arc<Tokenizer>,
}

fn world(limits: Limits) -> World {
    let file = Gguf::from_bytes(tiny::model(Spec { context: 8192, ..Spec::default() })).unwrap();
    let tokenizer = Arc::new(Tokenizer::load(&file).unwrap());
    let model = Model::load(&file, 1).unwrap();
    let prefix = tokenizer.encode_text("shared prefix");
    let scheduler = Scheduler::start(model, Arc::clone(&tokenizer), &prefix, limits).unwrap();
    World { scheduler, tokenizer }
}

impl World {
    /// A hot sampling, so that a random model does not repeat itself.
    fn request(&self, user: &str, prompt: &str, max_tokens: usize) -> Request {
        Request {
            user: user.to_owned(),
            prompt: self.tokenizer.encode_text(prompt),
            answer: Vec::new(),
            max_tokens,
            stop: Vec::new(),
            sampling: Sampling { temperature: 1.5, seed: 42, ..Sampling::default() },
        }
    }

    async fn run(&self, request: Request) -> Whole {
        read(self.scheduler.submit(request).unwrap()).await
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Whole {
    text: String,
    tokens: Vec<u32>,
    finish: Finish,
    usage: Usage,
}

async fn read(mut answer: Answer) -> Whole {
    let (mut text, mut tokens) = (String::new(), Vec::new());
    loop {
        match answer.next().await.expect("an answer ends with Done") {
            Event::Text { text: more, tokens: ids } => {
                text.push_str(&more);
                tokens.extend(ids);
            }
            Event::Done { finish, usage } => return Whole { text, tokens, finish, usage },
        }
    }
}

#[tokio::test]
async fn company_changes_no_answer() {
    let world = world(Limits { active: 4, ..Limits::default() });
    let request = |i: usize| {
        let mut request = world.request(&format!("u{i}"), &format!("question {i} ").repeat(i + 1), 40);
        request.sampling.seed = i as u64;
        request
    };
    let mut alone = Vec::new();
    for i in 0..8 {
        alone.push(world.run(Request { user: format!("other{i}"), ..request(i) }).await);
    }
    let together = futures::future::join_all((0..8).map(|i| world.run(request(i)))).await;
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!((&alone.text, &alone.tokens), (&together.text, &together.tokens));
        assert_eq!(alone.finish, together.finish);
    }
    assert!(alone.iter().any(|answer| answer.tokens.len() == 40));
}

#[tokio::test]
async fn continuing_from_tokens_is_as_if_nothing_had_happened() {
    let world = world(Limits::default());
    let request = world.request("a", "hello world", 60);
    let whole = world.run(request.clone()).await;
    assert!(whole.tokens.len() > 20, "{whole:?}");
    for cut in [1, 7, 20] {
        let answer = whole.tokens[..cut].to_vec();
        let rest = Request { answer, max_tokens: 60 - cut, user: String::from("b"), ..request.clone() };
        let rest = world.run(rest).await;
        assert_eq!(rest.tokens, whole.tokens[cut..]);
        assert!(whole.text.ends_with(&rest.text));
        assert_eq!(rest.finish, whole.finish);
    }
    // Nothing left to write.
    let all = Request { answer: whole.tokens.clone(), max_tokens: 0, ..request.clone() };
    let done = world.run(all).await;
    assert_eq!((done.text.as_str(), done.finish), ("", Finish::Length));
}

/// Wherever a run is killed, it has given whole events: each of them is a place to go on from.
#[tokio::test]
async fn after_any_event_an_answer_goes_on_as_if_nothing_had_happened() {
    let world = world(Limits::default());
    let (mut held, mut ended) = (0, 0);
    for seed in 0..60 {
        let mut request = world.request("a", "hello world", 30);
        request.sampling.seed = seed;
        request.sampling.temperature = 2.0;
        let mut answer = world.scheduler.submit(request.clone()).unwrap();
        let (mut texts, mut finish) = (Vec::new(), None);
        while let Some(event) = answer.next().await {
            match event {
                Event::Text { text, tokens } => texts.push((text, tokens)),
                Event::Done { finish: how, .. } => finish = Some(how),
            }
        }
        let said = |texts: &[(String, Vec<u32>)]| texts.iter().map(|(text, _)| text.as_str()).collect::<String>();
        for cut in 1..=texts.len() {
            let answer: Vec<u32> = texts[..cut].iter().flat_map(|(_, tokens)| tokens).copied().collect();
            let last = answer.last().copied().unwrap();
            held += usize::from(texts[cut - 1].1.len() > 1);
            ended += usize::from(world.tokenizer.is_end(last));
            let max_tokens = 30usize.saturating_sub(answer.len());
            let rest = world.run(Request { answer, max_tokens, user: format!("b{cut}"), ..request.clone() }).await;
            assert_eq!((rest.text, Some(rest.finish)), (said(&texts[cut..]), finish), "seed {seed}, cut {cut}");
        }
    }
    // Else this has shown less than it says.
    assert!(held > 0 && ended > 0, "{held} characters of several tokens, {ended} that the end broke off");
}

#[tokio::test]
async fn stop_texts_end_an_answer_and_stay_out_of_it() {
    let world = world(Limits::default());
    let request = world.request("a", "tell me", 60);
    let whole = world.run(request.clone()).await;
    let text: Vec<char> = whole.text.chars().collect();
    let stop: String = text[10..13].iter().collect();
    let at = whole.text.find(&stop).unwrap();
    let stopped = world.run(Request { stop: vec![stop.clone()], ..request.clone() }).await;
    assert_eq!((stopped.text.as_str(), stopped.finish), (&whole.text[..at], Finish::Stop));
    // What only looks like the beginning of one comes out in the end.
    let never = vec![format!("{}\u{7}", whole.text), format!("{}\u{7}", text[text.len() - 1])];
    let kept = world.run(Request { stop: never, ..request }).await;
    assert_eq!((kept.text, kept.tokens), (whole.text, whole.tokens));
}

#[tokio::test]
async fn a_slow_reader_stalls_nobody_else_and_loses_nothing() {
    let world = world(Limits { active: 2, ..Limits::default() });
    let mut slow = world.request("slow", "long story", 400);
    slow.sampling.repetition_penalty = 1.5;
    let expected = world.run(Request { user: String::from("x"), ..slow.clone() }).await;
    assert!(expected.tokens.len() > 2 * CHANNEL, "{}", expected.tokens.len());
    let unread: Vec<Answer> = (0..4).map(|_| world.scheduler.submit(slow.clone()).unwrap()).collect();
    for i in 0..4 {
        world.run(world.request("quick", &format!("q{i}"), 50)).await;
    }
    for answer in unread {
        let answer = read(answer).await;
        assert_eq!((answer.text, answer.tokens), (expected.text.clone(), expected.tokens.clone()));
    }
}

#[tokio::test]
async fn a_dropped_answer_makes_room() {
    let world = world(Limits { active: 1, queued: 4, ..Limits::default() });
    for _ in 0..20 {
        let mut answer = world.scheduler.submit(world.request("a", "x", 5000)).unwrap();
        assert!(answer.next().await.is_some());
    }
    let waiting = world.scheduler.submit(world.request("a", "x", 5000)).unwrap();
    drop(waiting);
    assert_eq!(world.run(world.request("a", "y", 3)).await.usage.completion_tokens, 3);
}

#[tokio::test]
async fn the_queue_is_bounded_and_fair() {
    let limits = Limits { active: 1, queued: 8, queued_per_user: 5, ..Limits::default() };
    let world = world(limits);
    let first = world.scheduler.submit(world.request("greedy", "x", 300)).unwrap();
    let mut greedy = vec![first];
    // The first one may or may not have left the queue yet.
    let error = loop {
        match world.scheduler.submit(world.request("greedy", "x", 300)) {
            Ok(answer) => greedy.push(answer),
            Err(error) => break error,
        }
        assert!(greedy.len() <= 12);
    };
    assert_eq!(error, SubmitError::Overloaded);
    let modest = world.run(world.request("modest", "y", 2)).await;
    assert_eq!(modest.usage.completion_tokens, 2);
    let finished = |answer: &Answer| answer.events.is_closed() && answer.events.is_empty();
    assert!(!greedy.iter().all(finished));
    assert_eq!(
        world.scheduler.submit(Request { prompt: Vec::new(), ..world.request("a", "", 1) }).err(),
        Some(SubmitError::Empty)
    );
}

#[tokio::test]
async fn follow_ups_reuse_what_was_read() {
    let world = world(Limits::default());
    let first = world.request("a", "shared prefix and a question", 20);
    let shared = world.tokenizer.encode_text("shared prefix").len();
    let answer = world.run(first.clone()).await;
    assert_eq!(answer.usage.cached_tokens, shared);
    let mut prompt = [first.prompt.as_slice(), &answer.tokens].concat();
    prompt.extend(world.tokenizer.encode_text(" and more"));
    let follow = Request { prompt, ..world.request("a", "", 20) };
    // The last token of an answer was chosen, not read.
    let read = first.prompt.len() + answer.tokens.len() - 1;
    let again = world.run(follow.clone()).await;
    assert_eq!(again.usage.cached_tokens, read);
    // Another user's memory is not shared, and the answer is the same without it.
    let other = world.run(Request { user: String::from("b"), ..follow }).await;
    assert_eq!(other.usage.cached_tokens, shared);
    assert_eq!(other.tokens, again.tokens);
}

#[tokio::test]
async fn kept_conversations_stay_within_the_budget() {
    let world = world(Limits { kept_bytes: 0, ..Limits::default() });
    let request = world.request("a", "entirely different", 5);
    world.run(request.clone()).await;
    assert_eq!(world.run(request).await.usage.cached_tokens, 0);
}

#[tokio::test]
async fn shutting_down_ends_answers() {
    let world = world(Limits::default());
    let mut answer = world.scheduler.submit(world.request("a", "x", 8000)).unwrap();
    assert!(answer.next().await.is_some());
    world.scheduler.shut_down();
    let ended = async { while answer.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    assert!(world.scheduler.closed().is_cancelled());
    assert_eq!(world.scheduler.submit(world.request("a", "x", 1)).err(), Some(SubmitError::Closed));
}
