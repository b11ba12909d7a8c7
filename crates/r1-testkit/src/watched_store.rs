//! A store in front of a store: a test counts its calls, holds them up, or makes them fail.
//!
//! **Invariant:** a call that is held up or made to fail has not reached the store behind.

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use r1_domain::{
    conversation::Conversation,
    generation::Generation,
    id::{ConversationId, GenerationId, MessageId, NodeId, SessionId, UserId},
    message::{Message, Turn},
    page::{Page, PageRequest},
    session::{NewSession, Rotation, Session, TokenHash},
    store::{
        AppendOutcome, Credentials, Earlier, IdempotencyKey, LogAppend, NewGeneration, NewTurn, Store, StoreResult,
        StoredLog, TurnOutcome,
    },
    time::Timestamp,
    user::{NewUser, User},
};
use secrecy::SecretString;

/// What happens before a call, by the method's name, goes through. An error is the call's.
type Before = Box<dyn Fn(&'static str) -> BoxFuture<'static, StoreResult<()>> + Send + Sync>;

/// The store in front.
pub struct WatchedStore {
    behind: Arc<dyn Store>,
    before: Mutex<Arc<Before>>,
    calls: Mutex<HashMap<&'static str, usize>>,
}

impl WatchedStore {
    /// In front of `behind`; every call goes through at once.
    #[must_use]
    pub fn new(behind: Arc<dyn Store>) -> Arc<Self> {
        let through: Before = Box::new(|_| Box::pin(std::future::ready(Ok(()))));
        Arc::new(Self { behind, before: Mutex::new(Arc::new(through)), calls: Mutex::default() })
    }

    /// From now on this happens before each call, from its name on.
    pub fn before(&self, before: impl Fn(&'static str) -> BoxFuture<'static, StoreResult<()>> + Send + Sync + 'static) {
        *self.before.lock() = Arc::new(Box::new(before));
    }

    /// How often this method was called, whatever became of it.
    #[must_use]
    pub fn calls(&self, method: &str) -> usize {
        self.calls.lock().get(method).copied().unwrap_or_default()
    }

    fn call(&self, method: &'static str) -> BoxFuture<'static, StoreResult<()>> {
        *self.calls.lock().entry(method).or_default() += 1;
        let before = self.before.lock().clone();
        before(method)
    }
}

macro_rules! watched {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait::async_trait]
        impl Store for WatchedStore {
            $(async fn $method(&self, $($argument: $kind),*) -> StoreResult<$answer> {
                self.call(stringify!($method)).await?;
                self.behind.$method($($argument),*).await
            })*
        }
    };
}

watched! {
    ping() -> ();
    user_create(user: NewUser, setup_code: Option<TokenHash>) -> User;
    user_by_login(login: &str) -> Option<Credentials>;
    user_rehash(id: UserId, old: &SecretString, new: SecretString) -> ();
    user_list(page: PageRequest) -> Page<User>;
    user_set_disabled(login: &str, disabled: bool, now: Timestamp) -> User;
    setup_code_set(code: TokenHash) -> bool;
    session_create(session: NewSession) -> ();
    session_get(id: SessionId, now: Timestamp) -> Option<Session>;
    session_by_cookie(hash: TokenHash, now: Timestamp) -> Option<Session>;
    session_rotate(old: TokenHash, new: TokenHash, expires_at: Timestamp, now: Timestamp) -> Rotation;
    session_end(owner: UserId, id: SessionId, now: Timestamp) -> ();
    idempotency_find(owner: UserId, key: &IdempotencyKey) -> Option<Earlier>;
    conversation_create(
        owner: UserId, id: ConversationId, title: Option<&str>, key: Option<IdempotencyKey>, now: Timestamp
    ) -> Result<Conversation, Earlier>;
    conversation_list(owner: UserId, page: PageRequest) -> Page<Conversation>;
    conversation_get(owner: UserId, id: ConversationId) -> Conversation;
    conversation_rename(owner: UserId, id: ConversationId, title: &str, now: Timestamp) -> Conversation;
    conversation_delete(owner: UserId, id: ConversationId, now: Timestamp) -> ();
    message_list(owner: UserId, conversation: ConversationId, page: PageRequest) -> Page<Message>;
    message_get(owner: UserId, id: MessageId) -> Message;
    turn_begin(turn: NewTurn) -> TurnOutcome;
    generation_begin(generation: NewGeneration) -> TurnOutcome;
    history(owner: UserId, answer: MessageId, max_bytes: usize) -> Vec<Turn>;
    log_append(batch: Vec<LogAppend>) -> Vec<AppendOutcome>;
    generation_get(owner: UserId, id: GenerationId) -> Generation;
    generation_count_running(owner: UserId) -> usize;
    generation_to_follow(owner: UserId, conversation: Option<ConversationId>) -> Option<GenerationId>;
    log_read(owner: UserId, id: GenerationId) -> StoredLog;
    generation_list_orphaned(node_id: NodeId) -> Vec<StoredLog>;
    generation_take_over(id: GenerationId, epoch: u32, node_id: NodeId) -> bool;
    purge(logs_before: Timestamp, keys_before: Timestamp, sessions_before: Timestamp, slice: usize) -> usize;
}
