//! What a model is given of a conversation: whatever its past, it can be asked again.

#[path = "support/ask.rs"]
mod ask;
#[path = "support/world.rs"]
mod world;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use ask::{question, read};
use r1_domain::{
    generation::State,
    id::{ConversationId, GenerationId, MessageId},
    message::{Message, Role, Turn},
    page::PageRequest,
    provider::{Abilities, Delta, ProviderError, ProviderErrorCode},
    store::Store,
};
use r1_generation::{Continuation, Options, Question, Reader, Retry, Target};
use r1_testkit::provider::{Plan, ScriptedProvider};
use world::{OPTIONS, World};

struct Chat {
    world: World,
    provider: Arc<ScriptedProvider>,
    id: Option<ConversationId>,
}

impl Chat {
    /// With a model of which nothing is known.
    async fn new(options: Options) -> Result<Self> {
        let provider = ScriptedProvider::new(false);
        let world = World::new(provider.clone(), options).await?;
        Ok(Self { world, provider, id: None })
    }

    /// With a model whose context is known.
    async fn with_context(tokens: u32) -> Result<Self> {
        let provider = ScriptedProvider::new(false);
        let abilities = Abilities { context_tokens: Some(tokens), ..Abilities::default() };
        let world = World::with_abilities(provider.clone(), UNLIMITED, abilities).await?;
        Ok(Self { world, provider, id: None })
    }

    /// Asks, and reads the answer to its end.
    async fn ask(&mut self, text: &str) -> Result<(GenerationId, String)> {
        // Messages are listed by their time.
        self.world.clock.advance(Duration::from_secs(1));
        let asked = Question { conversation_id: self.id, max_tokens: None, ..question(text) };
        let accepted = self.world.engine.send(self.world.user, asked).await?;
        let body = read(accepted.reader).await;
        let generation = self.world.store.generation_get(self.world.user, accepted.generation_id).await?;
        self.id = Some(generation.conversation_id);
        Ok((accepted.generation_id, body))
    }

    async fn messages(&self) -> Result<Vec<Message>> {
        let page = PageRequest { after: None, limit: 100 };
        Ok(self.world.store.message_list(self.world.user, self.id.context("a chat")?, page).await?.items)
    }

    /// What the newest answer's model was given first, where that was not all.
    async fn remembers_from(&self) -> Result<Option<MessageId>> {
        Ok(self.messages().await?.last().context("an answer")?.remembers_from)
    }

    /// What each request so far gave the model.
    fn given(&self) -> Vec<Vec<String>> {
        let shown = |turn: &Turn| format!("{}:{}", &turn.role.as_str()[..1], turn.content);
        self.provider.requests().iter().map(|request| request.turns.iter().map(shown).collect()).collect()
    }
}

fn refused(code: ProviderErrorCode) -> ProviderError {
    ProviderError { code, message: "no".to_owned(), detail: None, retryable: false, retry_after: None, status: None }
}

/// No limit on tokens: nobody has set one.
const UNLIMITED: Options = Options { max_tokens: None, ..OPTIONS };

#[tokio::test]
async fn answers_without_a_word_are_no_turns() -> Result<()> {
    let mut chat = Chat::new(UNLIMITED).await?;
    for code in [ProviderErrorCode::Auth, ProviderErrorCode::NoCredit] {
        chat.provider.plan(Plan::Refuse(refused(code)));
    }
    chat.provider.plan(Plan::Answer(" \n".to_owned()));
    chat.provider.plan_always(Plan::Answer("Yes.".to_owned()));
    for text in ["one", "two", "three", "four", "five"] {
        chat.ask(text).await?;
    }
    assert_eq!(chat.given()[3], ["u:one\n\ntwo\n\nthree\n\nfour"]);
    assert_eq!(chat.given()[4], ["u:one\n\ntwo\n\nthree\n\nfour", "a:Yes.", "u:five"]);
    assert_eq!(chat.remembers_from().await?, None, "nothing was forgotten");
    Ok(())
}

#[tokio::test]
async fn what_is_shortened_by_its_bytes_begins_with_a_question() -> Result<()> {
    let mut chat = Chat::new(Options { history_bytes: 20, ..UNLIMITED }).await?;
    chat.provider.plan_always(Plan::Answer("An answer.".to_owned()));
    chat.ask("a long question").await?;
    chat.ask("more?").await?;
    assert_eq!(chat.given()[1], ["u:more?"], "an answer without its question stays away");
    assert_eq!(chat.remembers_from().await?, Some(chat.messages().await?[2].id));
    chat.ask("and?").await?;
    assert_eq!(chat.given()[2], ["u:more?", "a:An answer.", "u:and?"]);
    assert_eq!(chat.remembers_from().await?, Some(chat.messages().await?[2].id));

    // Who takes an answer over before its first word gives the model the same, and keeps the same with it.
    chat.provider.plan(Plan::Stall);
    let asked = Question { conversation_id: chat.id, ..question("then?") };
    chat.world.clock.advance(Duration::from_secs(1));
    chat.world.engine.send(chat.world.user, asked).await?;
    // The plan is that request's, not the one of the take-over.
    while chat.provider.requests().len() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let options = Options { history_bytes: 20, ..UNLIMITED };
    chat.world = chat.world.restart(chat.provider.clone(), options).await?;
    chat.world.engine.drain(Duration::from_secs(60)).await;
    assert_eq!(chat.given().last(), Some(&vec!["u:and?".to_owned(), "a:An answer.".to_owned(), "u:then?".to_owned()]));
    assert_eq!(chat.remembers_from().await?, Some(chat.messages().await?[4].id));
    Ok(())
}

#[tokio::test]
async fn a_history_is_cut_to_the_models_context() -> Result<()> {
    let mut chat = Chat::with_context(200).await?;
    let answer = "word ".repeat(60);
    chat.provider.plan_always(Plan::Answer(answer.clone()));
    for text in ["one", "two", "three", "four"] {
        chat.ask(text).await?;
    }
    let given = chat.given();
    assert_eq!(given[1].len(), 3, "it fits: {given:?}");
    // A question, its answer and the newest question: two answers are too much for three quarters of 200.
    assert_eq!(given[3], ["u:three".to_owned(), format!("a:{answer}"), "u:four".to_owned()]);
    let messages = chat.messages().await?;
    let marks: Vec<_> = messages.iter().filter(|m| m.role == Role::Assistant).map(|m| m.remembers_from).collect();
    assert_eq!(marks, [None, None, Some(messages[2].id), Some(messages[4].id)]);
    // What is asked for besides is left free.
    let more = Question { conversation_id: chat.id, max_tokens: Some(140), ..question("five") };
    read(chat.world.engine.send(chat.world.user, more).await?.reader).await;
    assert_eq!(chat.given()[4], ["u:five"]);
    Ok(())
}

#[tokio::test]
async fn too_long_is_asked_once_more_with_half() -> Result<()> {
    for mut chat in [Chat::new(UNLIMITED).await?, Chat::with_context(1_000_000).await?] {
        chat.provider.plan_always(Plan::Answer("Yes, so it is.".to_owned()));
        for text in ["one", "two", "three"] {
            chat.ask(text).await?;
        }
        chat.provider.plan(Plan::Refuse(refused(ProviderErrorCode::ContextTooLong)));
        let (_, body) = chat.ask("four").await?;
        ensure!(body.contains("so ") && body.contains(r#""status": "completed""#), "{body}");
        let given = chat.given();
        assert_eq!((given.len(), given[3].len(), &given[4][..]), (5, 7, &given[3][4..]), "{given:?}");
        assert_eq!(chat.remembers_from().await?, Some(chat.messages().await?[4].id));
        // The next one begins with all of it again: another model may read more.
        chat.ask("five").await?;
        assert_eq!(chat.given()[5].len(), 9);
        assert_eq!(chat.remembers_from().await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn halving_is_for_once_and_only_where_something_can_go() -> Result<()> {
    let mut chat = Chat::new(UNLIMITED).await?;
    chat.provider.plan_always(Plan::Refuse(refused(ProviderErrorCode::ContextTooLong)));
    let (_, body) = chat.ask("a question that is too long by itself").await?;
    ensure!(body.contains(r#""code": "context_too_long""#), "{body}");
    assert_eq!(chat.given().len(), 1);
    let (_, body) = chat.ask("and another").await?;
    ensure!(body.contains(r#""code": "context_too_long""#), "{body}");
    assert_eq!(
        chat.given()[1..].to_vec(),
        [vec!["u:a question that is too long by itself\n\nand another".to_owned()], vec!["u:and another".to_owned()],]
    );
    Ok(())
}

#[tokio::test]
async fn halving_uses_up_no_retry_and_comes_before_the_first_word_only() -> Result<()> {
    let mut chat = Chat::new(UNLIMITED).await?;
    chat.provider.plan(Plan::Answer("Yes.".to_owned()));
    chat.ask("one").await?;
    let busy =
        ProviderError { retryable: true, retry_after: Some(Duration::ZERO), ..refused(ProviderErrorCode::Unavailable) };
    chat.provider.plan(Plan::Refuse(busy.clone()));
    chat.provider.plan(Plan::Items(vec![Err(refused(ProviderErrorCode::ContextTooLong))]));
    chat.provider.plan(Plan::Refuse(busy));
    chat.provider.plan(Plan::Answer("Still there.".to_owned()));
    let (_, body) = chat.ask("two").await?;
    ensure!(body.contains("there.") && body.contains("completed"), "{body}");
    let lengths: Vec<_> = chat.given().iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 3, 3, 1, 1], "and what was left out stays out");

    let late = vec![Ok(Delta::text("A word")), Err(refused(ProviderErrorCode::ContextTooLong))];
    chat.provider.plan(Plan::Items(late));
    let (_, body) = chat.ask("three").await?;
    ensure!(body.contains("A word") && body.contains("context_too_long"), "{body}");
    assert_eq!(chat.given().len(), 6);
    Ok(())
}

/// The first item of an answer that begins with this.
fn left_out(turns: usize, then: &str) -> Plan {
    let done = Delta::Done { finish_reason: "stop".to_owned(), usage: None };
    Plan::Items(vec![Ok(Delta::LeftOut(turns)), Ok(Delta::text(then)), Ok(done)])
}

#[tokio::test]
async fn a_provider_that_shortens_a_history_itself_says_where_it_begins() -> Result<()> {
    let provider = ScriptedProvider::that_fits_history();
    let world = World::new(provider.clone(), UNLIMITED).await?;
    let mut chat = Chat { world, provider, id: None };
    chat.provider.plan(left_out(0, "Yes."));
    chat.ask("one").await?;
    chat.provider.plan(left_out(0, "Yes."));
    chat.ask("two").await?;
    assert_eq!(chat.remembers_from().await?, None, "all of it was given");
    chat.provider.plan(left_out(2, "Well."));
    let (generation, _) = chat.ask("three").await?;
    assert_eq!(chat.given()[2].len(), 5, "it was given everything");
    let second = chat.messages().await?[2].id;
    assert_eq!(chat.remembers_from().await?, Some(second));

    // Another answer to the same question has its own.
    chat.provider.plan(left_out(4, "Well."));
    chat.world.clock.advance(Duration::from_secs(1));
    read(chat.world.engine.retry(chat.world.user, generation, Retry::default()).await?.reader).await;
    let third = chat.messages().await?[4].id;
    assert_eq!(chat.remembers_from().await?, Some(third));
    Ok(())
}

#[tokio::test]
async fn where_a_memory_begins_outlives_stops_and_processes() -> Result<()> {
    let provider = ScriptedProvider::that_fits_history();
    let world = World::new(provider.clone(), UNLIMITED).await?;
    let mut chat = Chat { world, provider, id: None };
    chat.provider.plan(left_out(0, "Yes."));
    chat.ask("one").await?;
    let more = |chat: &Chat| {
        chat.world.clock.advance(Duration::from_secs(1));
        Question { conversation_id: chat.id, max_tokens: None, ..question("two") }
    };

    // Taken over by the next process.
    chat.world.engine.send(chat.world.user, more(&chat)).await?;
    let run = chat.provider.next_run().await;
    run.left_out(2).await?;
    run.tokens("Half", &[1]).await?;
    chat.provider.plan(left_out(2, " of it"));
    chat.world = chat.world.restart(chat.provider.clone(), UNLIMITED).await?;
    chat.world.engine.drain(Duration::from_secs(60)).await;
    let messages = chat.messages().await?;
    assert_eq!((messages[3].remembers_from, messages[3].state), (Some(messages[2].id), State::Completed));

    // Stopped in mid-answer; and then gone on with, in vain.
    let provider = ScriptedProvider::that_fits_history();
    chat.world = chat.world.restart(provider.clone(), UNLIMITED).await?;
    chat.provider = provider;
    let generation = chat.world.engine.send(chat.world.user, more(&chat)).await?.generation_id;
    let run = chat.provider.next_run().await;
    run.left_out(2).await?;
    run.text("Half").await?;
    let user = chat.world.user;
    let mut reader = chat.world.engine.attach(user, Target::Generation(generation), None).await?.context("a reader")?;
    while !frames(&mut reader).await.context("a chunk")?.contains("Half") {}
    chat.world.engine.stop(user, generation).await?;
    let stopped = chat.messages().await?.pop().context("an answer")?;
    assert_eq!((stopped.remembers_from, stopped.state), (Some(messages[2].id), State::Stopped));
    chat.provider.plan_always(Plan::Refuse(refused(ProviderErrorCode::Rejected)));
    read(chat.world.engine.go_on(user, generation, Continuation::default()).await?.reader).await;
    let failed = chat.messages().await?.pop().context("an answer")?;
    assert_eq!((failed.remembers_from, failed.state), (stopped.remembers_from, State::Failed));
    Ok(())
}

/// What comes next.
async fn frames(reader: &mut Reader) -> Option<String> {
    let bytes = std::future::poll_fn(|context| reader.poll_frames(context)).await?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn going_on_with_an_answer_keeps_it_whatever_is_left_out() -> Result<()> {
    let mut chat = Chat::new(UNLIMITED).await?;
    chat.provider.plan(Plan::Answer("Yes.".to_owned()));
    chat.ask("one").await?;
    chat.provider.plan(Plan::Items(vec![Ok(Delta::text("The sun is")), Err(refused(ProviderErrorCode::Failed))]));
    let (generation, _) = chat.ask("two").await?;
    chat.provider.plan(Plan::Refuse(refused(ProviderErrorCode::ContextTooLong)));
    chat.provider.plan(Plan::Answer("is hot.".to_owned()));
    let more = chat.world.engine.go_on(chat.world.user, generation, Continuation::default()).await?;
    assert_eq!(more.reader.fold().await?.content.text, "The sun is hot.");
    let given = chat.given();
    assert_eq!((given[2].len(), &given[3][..2]), (5, &["u:two".to_owned(), "a:The sun is".to_owned()][..]));
    ensure!(given[3].len() == 3 && given[3] == given[2][2..], "{given:?}");
    assert_eq!(chat.remembers_from().await?, Some(chat.messages().await?[2].id));

    // Where there is nothing to be seen yet, the question is asked again.
    chat.provider.plan(Plan::Items(vec![Ok(Delta::text("\n")), Err(refused(ProviderErrorCode::Failed))]));
    let (generation, _) = chat.ask("three").await?;
    chat.provider.plan(Plan::Answer("Well.".to_owned()));
    let more = chat.world.engine.go_on(chat.world.user, generation, Continuation::default()).await?;
    assert_eq!(more.reader.fold().await?.content.text, "\nWell.");
    let given = chat.given();
    assert_eq!(given[given.len() - 1].last().map(String::as_str), Some("u:three"));
    Ok(())
}
