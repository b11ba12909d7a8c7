//! The port to the database: whole business operations, each of them atomic.
//!
//! Methods are named noun first. Every method that touches a user's thing takes its owner and
//! finds nothing else; that another user's thing exists can't be told from that it doesn't.
//! Stores write the ids and times that they are given.

mod terminal;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use terminal::Terminal;

use crate::{
    access::Access,
    accounts::Accounts,
    branch::{BranchPage, BranchRequest},
    conversation::{Conversation, ConversationChange},
    generation::{Generation, GenerationRequest, Spent},
    history::History,
    id::{ConversationId, GenerationId, MessageId, NodeId, SessionId, UserId},
    instance::Instance,
    jobs::Jobs,
    message::Message,
    nodes::Nodes,
    page::{Page, PageRequest},
    part::Content,
    session::{NewSession, Rotation, Session, TokenHash},
    time::Timestamp,
    user::{NewUser, User},
};

/// What a caller can do about a failed operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing, or it is somebody else's.
    #[error("not found")]
    NotFound,
    /// Another row has this value already.
    #[error("{field} is taken")]
    Taken {
        /// Which one.
        field: &'static str,
    },
    /// The setup code is wrong or was used.
    #[error("the setup code is wrong or was used already")]
    SetupCode,
    /// The disk, or the quota, is full. Nothing was written; it works again once there is room.
    #[error("the database has no room left")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database can't be reached, or is busy for too long. It may work again.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The disk did not confirm what was written. Nothing of it counts, now or later; the same must not
    /// be written again as if nothing had happened.
    #[error("the disk did not confirm what was written")]
    Unsynced(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is being carried out and does not end: whether it will is not known.
    #[error("the database has not confirmed it yet")]
    Unconfirmed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault that waiting does not mend.
    #[error("the database failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Shorthand.
pub type StoreResult<T> = Result<T, StoreError>;

/// An account with what proves it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub user: User,
    /// Argon2id hash in PHC string format.
    pub password_hash: secrecy::SecretString,
}

/// A request that shall be carried out once, however often it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key.
    pub key: String,
    /// SHA-256 of route and body: the same key with another one is a mistake.
    pub fingerprint: [u8; 32],
}

/// What a key that was seen before made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// A generation.
    Generation(GenerationId),
    /// A conversation.
    Conversation(ConversationId),
    /// The key came with another request.
    OtherRequest,
}

/// Where a question goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnPlace {
    /// Into a conversation made for it.
    New,
    /// Into one that exists, after `parent`, or after its newest message.
    Existing {
        /// The message to follow; it must belong to the conversation. None: its head.
        parent: Option<MessageId>,
    },
}

/// A question, its answer-to-be and the generation that will write it: one commit.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// Who asks.
    pub owner: UserId,
    /// The conversation, existing or to be made.
    pub conversation_id: ConversationId,
    /// Where in it.
    pub place: TurnPlace,
    /// Names the conversation, if it has no title yet.
    pub title: String,
    /// Id of the question.
    pub question_id: MessageId,
    /// The question.
    pub question: String,
    /// Id of the answer.
    pub answer_id: MessageId,
    /// Id of the generation.
    pub generation_id: GenerationId,
    /// What the model is asked.
    pub request: GenerationRequest,
    /// The process that will run it, under epoch 1.
    pub node_id: NodeId,
    /// What its log is written in: [`Generation::grammar`].
    pub grammar: u32,
    /// The `start` event as log records: seq 1.
    pub start: Bytes,
    /// The key, if the client gave one.
    pub idempotency: Option<IdempotencyKey>,
    /// Running generations that the owner may have with this one, on all nodes; none: any number.
    pub most_running: Option<usize>,
    /// Now. The answer's `created_at` is one microsecond later.
    pub now: Timestamp,
}

/// Another generation where one has ended: one commit.
#[derive(Debug, Clone)]
pub struct NewGeneration {
    /// Whose.
    pub owner: UserId,
    /// The one that has ended.
    pub earlier: GenerationId,
    /// What the new one writes.
    pub purpose: Purpose,
    /// Id of the generation.
    pub generation_id: GenerationId,
    /// What the model is asked.
    pub request: GenerationRequest,
    /// The process that will run it, under epoch 1.
    pub node_id: NodeId,
    /// What its log is written in: [`Generation::grammar`].
    pub grammar: u32,
    /// The log's first records, from seq 1: `start`, and where it continues the answer so far.
    pub start: Bytes,
    /// The key, if the client gave one.
    pub idempotency: Option<IdempotencyKey>,
    /// Running generations that the owner may have with this one, on all nodes; none: any number.
    pub most_running: Option<usize>,
    /// Now.
    pub now: Timestamp,
}

/// What a [`NewGeneration`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// More of the same message, whose newest generation the earlier one must be. Until it ends the
    /// message keeps its text and parts, and can't be searched for. It becomes the head if nothing follows it.
    Continue,
    /// Another answer to the same question: a sibling of the earlier one's message, and the
    /// conversation's new head.
    Retry {
        /// Id of the answer.
        answer_id: MessageId,
    },
}

/// What came of a [`NewTurn`] or a [`NewGeneration`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnOutcome {
    /// Written; it is durable even through a power loss.
    Accepted,
    /// Nothing was written: the owner has as many running generations as one may have.
    TooMany,
    /// Nothing was written: this generation runs in the conversation.
    Busy(GenerationId),
    /// Nothing was written: the key was seen before.
    Earlier(Earlier),
    /// Nothing was written: the message that was to be continued has this newer generation.
    Superseded(GenerationId),
}

/// New records of one generation's log.
#[derive(Debug, Clone)]
pub struct LogAppend {
    /// Whose log.
    pub generation_id: GenerationId,
    /// The lease under which they were written.
    pub epoch: u32,
    /// Seq of the first event in `records`.
    pub first_seq: u64,
    /// The records.
    pub records: Bytes,
    /// From time to time, and always with `terminal`: all records since the last such fold,
    /// `records` included. A store that keeps the newest records of all generations together
    /// (SQLite) moves them into the generation's own row now; others ignore it.
    pub fold: Option<Fold>,
    /// With the records that end in the terminal event.
    pub terminal: Option<Terminal>,
}

/// The records between two folds.
#[derive(Debug, Clone)]
pub struct Fold {
    /// Seq of the first event in `records`.
    pub first_seq: u64,
    /// The records.
    pub records: Bytes,
}

/// What came of one [`LogAppend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Stored: readers may see it.
    Stored,
    /// Another process has the lease: these records are nowhere, and the run must end.
    Fenced,
}

/// A generation with its log.
#[derive(Debug, Clone)]
pub struct StoredLog {
    /// The generation.
    pub generation: Generation,
    /// Its whole log, from the first record. None when it was retired.
    pub records: Option<Bytes>,
    /// What the message says, for a log that was retired: as this generation left it, whatever a later one
    /// of the same message added.
    pub content: Content,
    /// The payload of the [`Terminal::event`] of a generation that ended, as it was written.
    pub terminal_payload: Option<String>,
}

/// A [`Store::history`] that is being read.
pub type HistoryRead = BoxFuture<'static, StoreResult<History>>;

/// Connections that requests share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// In use: others wait once that is all of them.
    pub lent: usize,
    /// How many there may be.
    pub most: usize,
}

/// Room that the database takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes that it has.
    pub bytes: u64,
    /// Bytes that it may still get on its file system; none where its disk is another machine's.
    pub free: Option<u64>,
}

/// The database.
#[async_trait::async_trait]
pub trait Store: Accounts + Instance + Jobs + Send + Sync + 'static {
    /// How processes share it. None: one process serves from it.
    fn nodes(&self) -> Option<&dyn Nodes> {
        None
    }

    /// The connections that requests share, where there are such.
    fn connections(&self) -> Option<Connections> {
        None
    }

    /// The room that it takes; none of a store that can't tell. Looked up anew each time: don't ask often.
    async fn size(&self) -> StoreResult<Option<Size>> {
        Ok(None)
    }

    /// Answers when the database can read and write.
    async fn ping(&self) -> StoreResult<()>;

    /// Makes an account. With `setup_code`, the account is an administrator's: the code must be
    /// the one set by [`Store::setup_code_set`], and is used up in the same transaction.
    /// Taken is a name or address whose [`fold_login`](crate::text::fold_login) another account has.
    /// `Taken { username | email }`, `SetupCode`.
    async fn user_create(&self, user: NewUser, setup_code: Option<TokenHash>) -> StoreResult<User>;

    /// Finds an account by name or e-mail address: the one that is spelled like this (case aside), or
    /// else the one that has the same [`fold_login`](crate::text::fold_login).
    async fn user_by_login(&self, login: &str) -> StoreResult<Option<Credentials>>;

    /// Replaces an account's password hash, if it still is `old`: a sign-in found that it was made
    /// with other parameters than today's. A store without this keeps the old hash, which goes on
    /// working.
    async fn user_rehash(
        &self,
        _id: UserId,
        _old: &secrecy::SecretString,
        _new: secrecy::SecretString,
    ) -> StoreResult<()> {
        Ok(())
    }

    /// All accounts, oldest first.
    async fn user_list(&self, page: PageRequest) -> StoreResult<Page<User>>;

    /// Disables (and ends all sessions of) or enables an account.
    async fn user_set_disabled(&self, login: &str, disabled: bool, now: Timestamp) -> StoreResult<User>;

    /// Sets the code that makes the first administrator, unless there is an administrator already:
    /// then false. Replaces an earlier code.
    async fn setup_code_set(&self, code: TokenHash) -> StoreResult<bool>;

    /// Stores a sign-in.
    async fn session_create(&self, session: NewSession) -> StoreResult<()>;

    /// Finds a live session by its id.
    async fn session_get(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Session>>;

    /// Finds a live cookie session by its secret's digest.
    async fn session_by_cookie(&self, hash: TokenHash, now: Timestamp) -> StoreResult<Option<Session>>;

    /// Replaces a refresh token, once: the old one's second use ends the session.
    async fn session_rotate(
        &self,
        old: TokenHash,
        new: TokenHash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Rotation>;

    /// Ends a session. Ending an ended one is fine.
    async fn session_end(&self, owner: UserId, id: SessionId, now: Timestamp) -> StoreResult<()>;

    /// Which of these do not stand any more. No more than some hundred of each at a time.
    async fn access_lost(&self, of: &Access) -> StoreResult<Access>;

    /// What an earlier request of this key made, if there was one.
    async fn idempotency_find(&self, owner: UserId, key: &IdempotencyKey) -> StoreResult<Option<Earlier>>;

    /// Makes a conversation, or names the one that the key made.
    async fn conversation_create(
        &self,
        owner: UserId,
        id: ConversationId,
        title: Option<&str>,
        idempotency: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> StoreResult<Result<Conversation, Earlier>>;

    /// A page of conversations, the newest `updated_at` first.
    async fn conversation_list(&self, owner: UserId, page: PageRequest) -> StoreResult<Page<Conversation>>;

    /// One conversation.
    async fn conversation_get(&self, owner: UserId, id: ConversationId) -> StoreResult<Conversation>;

    /// Changes one. A new title is a change that lists are sorted by; another head is none. The new head is the
    /// newest message that follows the given one, or that one itself; an answer may be written elsewhere meanwhile.
    /// None where that message is not in this conversation: nothing was changed.
    async fn conversation_change(
        &self,
        owner: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> StoreResult<Option<Conversation>>;

    /// Gives it the title that a model has made, where it still has the words of its question, these ones. False where
    /// it has not, and then nothing was changed. No list is sorted by that.
    async fn conversation_retitle(
        &self,
        owner: UserId,
        id: ConversationId,
        words: &str,
        title: &str,
    ) -> StoreResult<bool>;

    /// Deletes one: it is gone for every reader at once, its rows go in the background
    /// ([`Store::purge`]). The caller has stopped what ran in it.
    async fn conversation_delete(&self, owner: UserId, id: ConversationId, now: Timestamp) -> StoreResult<()>;

    /// A page of a conversation's messages, oldest first, all branches. A running answer has the
    /// text and parts of before its generation (none, where it isn't continued) and no `last_event`: what it says
    /// is in its log. Besides at the limit, a page ends
    /// before the message whose `content` and stored parts would make those of the page more than 1 MiB (UTF-8,
    /// added up), with at least one message always; no more is read than that.
    async fn message_list(
        &self,
        owner: UserId,
        conversation: ConversationId,
        page: PageRequest,
    ) -> StoreResult<Page<Message>>;

    /// A page of one branch of a conversation, the newest page first; each message with its siblings. A page ends where
    /// one of [`Store::message_list`] does, here before an older message, and a running answer has what it has there. A
    /// conversation without messages has an empty page. `NotFound` for a message that is not in the conversation.
    ///
    /// Cost: by the page, not by the length of the conversation; to find the end of a branch, by what follows the named
    /// message.
    async fn message_branch(
        &self,
        owner: UserId,
        conversation: ConversationId,
        request: BranchRequest,
    ) -> StoreResult<BranchPage>;

    /// One message.
    async fn message_get(&self, owner: UserId, id: MessageId) -> StoreResult<Message>;

    /// Accepts a question.
    async fn turn_begin(&self, turn: NewTurn) -> StoreResult<TurnOutcome>;

    /// The same, with the reading of what [`Store::history`] would give for its answer under way: a store
    /// that can reads it beside the commit, and answers about the commit whatever becomes of the reading.
    /// None where it has not begun, or nothing was accepted.
    async fn turn_begin_with_history(
        &self,
        turn: NewTurn,
        _max_bytes: usize,
    ) -> StoreResult<(TurnOutcome, Option<HistoryRead>)> {
        Ok((self.turn_begin(turn).await?, None))
    }

    /// Accepts another generation after one that has ended. `NotFound` for an unknown or foreign
    /// earlier one.
    async fn generation_begin(&self, generation: NewGeneration) -> StoreResult<TurnOutcome>;

    /// The path from the question that `answer` answers up to the root, given back oldest first:
    /// the newest turns whose text adds up to at most `max_bytes`, the question always among them, and
    /// so is a system turn with which the conversation begins.
    /// Cost: by what is given back, not by the length of the conversation.
    async fn history(&self, owner: UserId, answer: MessageId, max_bytes: usize) -> StoreResult<History>;

    /// Appends to any number of logs in one commit, and ends those that have a `terminal`: state,
    /// text, parts, usage and search index go into the same commit. One outcome per append, in order.
    async fn log_append(&self, batch: Vec<LogAppend>) -> StoreResult<Vec<AppendOutcome>>;

    /// One generation.
    async fn generation_get(&self, owner: UserId, id: GenerationId) -> StoreResult<Generation>;

    /// What it took.
    async fn generation_spent(&self, owner: UserId, id: GenerationId) -> StoreResult<Spent>;

    /// How many generations of this user run.
    async fn generation_count_running(&self, owner: UserId) -> StoreResult<usize>;

    /// The generation to follow: the running one of `conversation`, else its newest; without a
    /// conversation the caller's newest running one.
    async fn generation_to_follow(
        &self,
        owner: UserId,
        conversation: Option<ConversationId>,
    ) -> StoreResult<Option<GenerationId>>;

    /// A generation with its whole log, read in one snapshot.
    async fn log_read(&self, owner: UserId, id: GenerationId) -> StoreResult<StoredLog>;

    /// Generations that are not terminal and whose process is gone, with their logs. Where processes have
    /// leases, those of nodes without one. On SQLite
    /// every such generation of another node id: the data directory's lock proves that it is gone.
    /// Of a damaged log the whole records before the damage are given. No records come with those whose
    /// grammar is newer than [`GRAMMAR`](crate::log::GRAMMAR): they are for other builds.
    async fn generation_list_orphaned(&self, node_id: NodeId) -> StoreResult<Vec<StoredLog>>;

    /// Takes an orphan over: raises its epoch from `epoch` by one and puts it under this node. A
    /// damaged log is cut to what [`Store::generation_list_orphaned`] gave, in the same transaction. From
    /// then on its log is written in `grammar`, where that is newer than what it was written in.
    /// False if somebody else did, or its grammar is newer than [`GRAMMAR`](crate::log::GRAMMAR).
    async fn generation_take_over(
        &self,
        id: GenerationId,
        epoch: u32,
        node_id: NodeId,
        grammar: u32,
    ) -> StoreResult<bool>;

    /// Removes what has served its time, in slices of at most `slice` rows: logs of generations
    /// that ended before `logs_before`, idempotency keys from before `keys_before`, sessions that
    /// ended or expired before `sessions_before`, rows of deleted conversations. Gives back how
    /// many rows went; call again while that is not 0.
    async fn purge(
        &self,
        logs_before: Timestamp,
        keys_before: Timestamp,
        sessions_before: Timestamp,
        slice: usize,
    ) -> StoreResult<usize>;
}
