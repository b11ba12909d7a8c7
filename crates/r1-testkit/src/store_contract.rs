//! What every [`Store`] must do: one suite for all of them.
//!
//! A case is a plain async function over a store that holds nothing yet. [`crate::store_contract!`]
//! stamps out a test per case, each on a store of its own:
//!
//! ```text
//! async fn open() -> anyhow::Result<(std::sync::Arc<dyn Store>, impl Sized)> { … }
//! r1_testkit::store_contract!(open);
//! ```
//!
//! The second value is dropped after the case: a directory, a schema, whatever holds the store.
//!
//! **Invariant:** a case knows the port and nothing of what is behind it, and names each instant
//! itself, so it takes the same course on every store.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use r1_domain::{
    event::{End, Event, Failure, Outcome, Start, Usage},
    generation::GenerationRequest,
    id::{ConversationId, GenerationId, MessageId, NodeId, UserId},
    log,
    page::PageRequest,
    store::{AppendOutcome, Fold, IdempotencyKey, LogAppend, NewTurn, Store, Terminal, TurnOutcome, TurnPlace},
    time::Timestamp,
    user::NewUser,
};

pub mod account;
pub mod branch;
pub mod conversation;
pub mod generation_begin;
pub mod history;
pub mod housekeeping;
pub mod jobs;
pub mod kinds;
pub mod log_append;
pub mod parts;
pub mod people;
pub mod recovery;
pub mod session;
pub mod turn;

/// Stamps out one test per case. Takes an async function that gives an `anyhow::Result` of an
/// `Arc<dyn Store>` and whatever must live as long. Needs tokio and anyhow where it is used.
#[macro_export]
macro_rules! store_contract {
    ($open:path) => {
        $crate::store_contract! { @tests $open;
            account::names_and_addresses_are_unique_without_regard_to_case
            account::names_and_addresses_are_one_in_all_spellings
            account::a_setup_code_makes_one_administrator
            account::a_new_setup_code_replaces_the_old_one
            account::an_administrator_made_otherwise_ends_the_setup_code
            account::users_are_listed_oldest_first
            account::a_disabled_user_has_no_sessions
            account::a_hash_is_replaced_only_if_it_is_still_the_same
            account::of_many_with_one_name_one_is_made
            people::a_new_password_ends_the_other_sessions
            people::a_sign_out_ends_all_sessions_of_one
            people::the_last_administrator_stays_one
            people::what_an_account_has_is_counted
            people::usage_is_by_day_and_model_and_outlives_its_conversation
            people::a_deleted_account_goes_with_all_that_it_has
            session::a_session_is_found_until_it_ends
            session::a_session_is_found_until_it_expires
            session::a_cookie_is_no_refresh_token
            session::a_refresh_token_works_once
            session::any_earlier_refresh_token_ends_the_session
            session::only_its_owner_ends_a_session
            session::of_many_that_rotate_one_token_one_does
            session::access_is_lost_with_what_it_rests_on
            conversation::one_is_made_read_renamed_and_deleted
            conversation::the_chosen_branch_is_the_shown_one
            conversation::another_user_finds_nothing
            conversation::a_key_makes_one_conversation
            conversation::an_id_is_not_given_twice
            conversation::the_list_is_newest_first_and_paged
            conversation::what_runs_in_it_is_named
            conversation::the_first_question_names_it_unless_somebody_did
            turn::a_new_turn_is_there_as_a_whole
            turn::a_turn_goes_after_the_head_or_the_named_parent
            turn::one_generation_runs_in_a_conversation
            turn::a_key_makes_one_generation_and_comes_before_busy
            turn::as_many_run_as_one_may_have
            turn::of_many_at_once_as_many_run_as_one_may_have
            turn::a_refused_turn_leaves_nothing
            turn::another_user_finds_no_turn
            turn::messages_are_paged_oldest_first
            turn::a_page_of_messages_ends_at_a_mebibyte
            turn::the_generation_to_follow
            branch::the_shown_branch_comes_newest_page_first
            branch::a_message_leads_to_its_newest_end
            branch::versions_stand_side_by_side
            branch::of_very_many_versions_the_newest_are_told
            branch::a_page_of_a_branch_ends_at_a_mebibyte
            branch::an_empty_conversation_has_an_empty_branch
            branch::another_user_finds_no_branch
            turn::of_many_at_once_one_is_accepted
            turn::any_text_comes_back
            generation_begin::a_continued_answer_stays_one_message
            generation_begin::only_the_newest_generation_is_continued
            generation_begin::the_head_moves_only_to_a_last_message
            generation_begin::a_retry_is_a_sibling
            generation_begin::a_key_makes_one_generation
            generation_begin::one_runs_in_a_conversation
            generation_begin::another_user_finds_nothing_to_go_on_with
            generation_begin::a_continued_run_is_taken_over_with_its_text
            generation_begin::a_retired_log_keeps_to_its_own_text
            history::the_path_goes_from_the_question_to_the_root
            history::the_path_ends_where_the_bytes_do
            history::another_user_has_no_history
            history::a_path_among_many_branches
            history::a_path_whose_clock_was_set_back
            history::what_is_read_on_the_way_is_the_history
            history::where_a_memory_begins_is_kept_with_the_answer
            log_append::what_is_appended_is_read_back
            log_append::an_append_goes_in_once_and_in_order
            log_append::a_fenced_append_does_not_hold_up_the_others
            log_append::folds_change_nothing_that_a_reader_sees
            log_append::the_terminal_event_ends_all_at_once
            log_append::a_failure_leaves_its_code
            log_append::nothing_follows_a_terminal_event
            log_append::an_empty_batch_is_fine
            kinds::what_nobody_knows_is_kept
            kinds::what_has_no_seq_never_stands_last
            kinds::a_newer_grammar_is_left_alone
            parts::parts_are_stored_with_the_end
            parts::parts_of_a_continued_answer
            parts::a_page_of_messages_counts_parts
            recovery::orphans_are_those_of_other_nodes
            recovery::one_node_takes_an_orphan_over
            recovery::of_many_that_take_over_one_does
            recovery::a_log_goes_on_after_a_take_over
            jobs::a_job_is_handed_in_claimed_and_done
            jobs::of_open_jobs_one_has_a_key
            jobs::the_oldest_of_the_wanted_kinds_come_first
            jobs::of_many_that_claim_each_job_has_one
            jobs::what_is_given_back_comes_again
            jobs::the_jobs_of_a_node_that_is_gone_are_anothers
            jobs::an_end_hands_its_work_in
            jobs::jobs_go_with_what_they_are_about
            jobs::a_model_names_what_nobody_named
            housekeeping::a_store_answers
            housekeeping::its_size_is_known_and_grows
            housekeeping::old_logs_are_retired_and_their_text_kept
            housekeeping::old_keys_and_sessions_go
            housekeeping::deleted_conversations_go_in_slices
            housekeeping::what_runs_in_a_deleted_conversation_can_end
        }
    };
    (@tests $open:path; $($file:ident::$case:ident)*) => {$(
        #[tokio::test]
        async fn $case() -> anyhow::Result<()> {
            let (store, _guard) = $open().await?;
            $crate::store_contract::$file::$case(store).await
        }
    )*};
}

/// What cases are given.
pub type SharedStore = Arc<dyn Store>;

/// An instant: this many seconds into the year 2026.
#[must_use]
pub const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + seconds) * 1_000_000)
}

/// Does the same eight times at once; each is told its number.
///
/// # Errors
/// That one of them panicked.
pub async fn eight_at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    store: &SharedStore,
    work: impl Fn(SharedStore, u8) -> F,
) -> anyhow::Result<Vec<T>> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        tasks.spawn(work(store.clone(), number));
    }
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        done.push(ended?);
    }
    Ok(done)
}

/// The first page of a list, all of it.
pub const ALL: PageRequest = PageRequest { after: None, limit: 1000 };

/// A key with a fingerprint made of one byte.
#[must_use]
pub fn key(key: &str, fingerprint: u8) -> IdempotencyKey {
    IdempotencyKey { key: key.to_owned(), fingerprint: [fingerprint; 32] }
}

/// An account to be made, with a name of the caller's and the address `<name>@example.com`.
#[must_use]
pub fn new_user(name: &str) -> NewUser {
    NewUser {
        id: UserId::new(at(0)),
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        password_hash: format!("$argon2id$of-{name}").into(),
        is_admin: false,
        created_at: at(0),
    }
}

/// Makes an account.
///
/// # Errors
/// What the store says.
pub async fn user(store: &SharedStore, name: &str) -> anyhow::Result<UserId> {
    Ok(store.user_create(new_user(name), None).await.context("an account")?.id)
}

/// A turn that makes its conversation.
#[must_use]
pub fn new_turn(owner: UserId, question: &str, now: Timestamp) -> NewTurn {
    let (conversation_id, generation_id, answer_id) =
        (ConversationId::new(now), GenerationId::new(now), MessageId::new(now));
    let request = GenerationRequest {
        model: "local/tiny".to_owned(),
        temperature: Some(0.3),
        max_tokens: Some(64),
        seed: u64::MAX,
        use_invalid_key: false,
        given_bytes: 0,
        request_id: Some("from-a-proxy".to_owned()),
        shows_details: true,
    };
    NewTurn {
        owner,
        conversation_id,
        place: TurnPlace::New,
        title: question.to_owned(),
        question_id: MessageId::new(now),
        question: question.to_owned(),
        answer_id,
        generation_id,
        start: start_record(conversation_id, generation_id, answer_id, &request.model),
        request,
        node_id: node(),
        grammar: log::FIRST_GRAMMAR,
        idempotency: None,
        most_running: None,
        now,
    }
}

/// A turn in a conversation that exists.
#[must_use]
pub fn next_turn(
    owner: UserId,
    conversation_id: ConversationId,
    parent: Option<MessageId>,
    question: &str,
    now: Timestamp,
) -> NewTurn {
    let turn = new_turn(owner, question, now);
    let start = start_record(conversation_id, turn.generation_id, turn.answer_id, &turn.request.model);
    NewTurn { conversation_id, place: TurnPlace::Existing { parent }, start, ..turn }
}

fn start_record(
    conversation_id: ConversationId,
    generation_id: GenerationId,
    message_id: MessageId,
    model: &str,
) -> Bytes {
    records(&[Event::Start(Start { conversation_id, generation_id, message_id, model: model.to_owned() })])
}

/// Events as log records.
#[must_use]
pub fn records(events: &[Event]) -> Bytes {
    let mut bytes = Vec::new();
    for event in events {
        log::push(&mut bytes, event);
    }
    bytes.into()
}

/// Chunks as log records.
#[must_use]
pub fn chunks(texts: &[&str]) -> Bytes {
    let mut bytes = Vec::new();
    for text in texts {
        log::push_chunk(&mut bytes, text);
    }
    bytes.into()
}

/// Begins a turn that must be accepted.
///
/// # Errors
/// What the store says, or that it did not accept it.
pub async fn begin(store: &SharedStore, turn: &NewTurn) -> anyhow::Result<()> {
    let outcome = store.turn_begin(turn.clone()).await?;
    ensure!(outcome == TurnOutcome::Accepted, "{outcome:?}");
    Ok(())
}

/// The node on which the contract's generations run.
#[must_use]
pub fn node() -> NodeId {
    static NODE: LazyLock<NodeId> = LazyLock::new(|| NodeId::new(at(0)));
    *NODE
}

/// Gives a node a lease, where nodes have them.
///
/// # Errors
/// What the store says.
pub async fn joined(store: &SharedStore, node: NodeId) -> anyhow::Result<NodeId> {
    if let Some(nodes) = store.nodes() {
        nodes.join(node, Duration::from_secs(3600), log::GRAMMAR).await?;
    }
    Ok(node)
}

/// Ends a node's lease.
///
/// # Errors
/// What the store says.
pub async fn gone(store: &SharedStore, node: NodeId) -> anyhow::Result<()> {
    match store.nodes() {
        Some(nodes) => Ok(nodes.leave(node).await?),
        None => Ok(()),
    }
}

/// Plain chunks to be appended.
#[must_use]
pub fn append(generation_id: GenerationId, epoch: u32, first_seq: u64, texts: &[&str]) -> LogAppend {
    LogAppend { generation_id, epoch, first_seq, records: chunks(texts), fold: None, terminal: None }
}

/// The end of a turn's log under epoch 1: its last event at `seq`, with all records since the fold
/// that ended before `folded_from`.
#[must_use]
pub fn ending(turn: &NewTurn, seq: u64, text: &str, folded_from: u64, unfolded: &[u8], now: Timestamp) -> LogAppend {
    let usage = Usage { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, estimated: true };
    let event = Event::End(End {
        conversation_id: turn.conversation_id,
        message_id: turn.answer_id,
        outcome: Outcome::Completed { finish_reason: "stop".to_owned() },
        usage: Some(usage),
    });
    terminal_append(turn, seq, &event, text, folded_from, unfolded, now)
}

/// What ends an answer in an error.
#[must_use]
pub fn failure() -> Failure {
    Failure {
        retry_after: Some(7),
        request_id: Some("from-a-proxy".to_owned()),
        detail: Some("It says \"no\": 'nein', 不".to_owned()),
        ..Failure::new("provider_auth", "The key was rejected.", false)
    }
}

/// The same for an error.
#[must_use]
pub fn failing(turn: &NewTurn, seq: u64, text: &str, folded_from: u64, unfolded: &[u8], now: Timestamp) -> LogAppend {
    let event = Event::Error(failure());
    terminal_append(turn, seq, &event, text, folded_from, unfolded, now)
}

fn terminal_append(
    turn: &NewTurn,
    seq: u64,
    event: &Event,
    text: &str,
    folded_from: u64,
    unfolded: &[u8],
    now: Timestamp,
) -> LogAppend {
    let records = records(std::slice::from_ref(event));
    let terminal = Terminal::new(event.clone(), text.into(), now);
    LogAppend {
        generation_id: turn.generation_id,
        epoch: 1,
        first_seq: seq,
        fold: Some(Fold { first_seq: folded_from, records: [unfolded, &records].concat().into() }),
        records,
        terminal: Some(terminal),
    }
}

/// Answers a turn with one chunk and ends it.
///
/// # Errors
/// What the store says, or that it did not take it.
pub async fn answer(store: &SharedStore, turn: &NewTurn, text: &str, now: Timestamp) -> anyhow::Result<()> {
    let chunk = append(turn.generation_id, 1, 2, &[text]);
    let end = ending(turn, 3, text, 2, &chunk.records, now);
    stored(store, vec![chunk, end]).await
}

/// Appends what must go in.
///
/// # Errors
/// What the store says, or that it did not take all.
pub async fn stored(store: &SharedStore, batch: Vec<LogAppend>) -> anyhow::Result<()> {
    let outcomes = store.log_append(batch).await?;
    ensure!(outcomes.iter().all(|outcome| *outcome == AppendOutcome::Stored), "{outcomes:?}");
    Ok(())
}

/// The whole of a log as it is stored.
///
/// # Errors
/// What the store says, or that the log was retired.
pub async fn log_of(store: &SharedStore, turn: &NewTurn) -> anyhow::Result<Bytes> {
    store.log_read(turn.owner, turn.generation_id).await?.records.context("the log was retired")
}
