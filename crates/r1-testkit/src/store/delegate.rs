//! The port's methods, handed on: what writes generations as a commit, the rest as a read.

use r1_domain::{
    access::Access,
    branch::{BranchPage, BranchRequest},
    conversation::{Conversation, ConversationChange},
    generation::{Generation, Spent},
    history::History,
    id::{ConversationId, GenerationId, MessageId, NodeId, SessionId, UserId},
    message::Message,
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

use super::ScriptedStore;

/// `read!(self, method(arguments))`: with arguments that the call may own.
macro_rules! read {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        $self.read(stringify!($method), move |inner| Box::pin(async move { inner.$method($($argument),*).await })).await
    };
}

pub(super) use read;

/// `commit!(self, logs, method(argument))`.
macro_rules! commit {
    ($self:ident, $logs:expr, $method:ident($($argument:expr),*)) => {
        $self.commit(stringify!($method), $logs, move |inner| Box::pin(async move { inner.$method($($argument),*).await })).await
    };
}

#[async_trait::async_trait]
impl Store for ScriptedStore {
    async fn ping(&self) -> StoreResult<()> {
        read!(self, ping())
    }

    async fn user_create(&self, user: NewUser, setup_code: Option<TokenHash>) -> StoreResult<User> {
        read!(self, user_create(user, setup_code))
    }

    async fn user_by_login(&self, login: &str) -> StoreResult<Option<Credentials>> {
        let login = login.to_owned();
        read!(self, user_by_login(&login))
    }

    async fn user_rehash(&self, id: UserId, old: &SecretString, new: SecretString) -> StoreResult<()> {
        let old = old.clone();
        read!(self, user_rehash(id, &old, new))
    }

    async fn user_list(&self, page: PageRequest) -> StoreResult<Page<User>> {
        read!(self, user_list(page))
    }

    async fn user_set_disabled(&self, login: &str, disabled: bool, now: Timestamp) -> StoreResult<User> {
        let login = login.to_owned();
        read!(self, user_set_disabled(&login, disabled, now))
    }

    async fn setup_code_set(&self, code: TokenHash) -> StoreResult<bool> {
        read!(self, setup_code_set(code))
    }

    async fn session_create(&self, session: NewSession) -> StoreResult<()> {
        read!(self, session_create(session))
    }

    async fn session_get(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Session>> {
        read!(self, session_get(id, now))
    }

    async fn session_by_cookie(&self, hash: TokenHash, now: Timestamp) -> StoreResult<Option<Session>> {
        read!(self, session_by_cookie(hash, now))
    }

    async fn session_rotate(
        &self,
        old: TokenHash,
        new: TokenHash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        read!(self, session_rotate(old, new, expires_at, now))
    }

    async fn session_end(&self, owner: UserId, id: SessionId, now: Timestamp) -> StoreResult<()> {
        read!(self, session_end(owner, id, now))
    }

    async fn access_lost(&self, of: &Access) -> StoreResult<Access> {
        let of = of.clone();
        read!(self, access_lost(&of))
    }

    async fn idempotency_find(&self, owner: UserId, key: &IdempotencyKey) -> StoreResult<Option<Earlier>> {
        let key = key.clone();
        read!(self, idempotency_find(owner, &key))
    }

    async fn conversation_create(
        &self,
        owner: UserId,
        id: ConversationId,
        title: Option<&str>,
        idempotency: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> StoreResult<Result<Conversation, Earlier>> {
        let title = title.map(str::to_owned);
        read!(self, conversation_create(owner, id, title.as_deref(), idempotency, now))
    }

    async fn conversation_list(&self, owner: UserId, page: PageRequest) -> StoreResult<Page<Conversation>> {
        read!(self, conversation_list(owner, page))
    }

    async fn conversation_get(&self, owner: UserId, id: ConversationId) -> StoreResult<Conversation> {
        read!(self, conversation_get(owner, id))
    }

    async fn conversation_change(
        &self,
        owner: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> StoreResult<Option<Conversation>> {
        read!(self, conversation_change(owner, id, change.clone(), now))
    }

    async fn conversation_retitle(
        &self,
        owner: UserId,
        id: ConversationId,
        words: &str,
        title: &str,
    ) -> StoreResult<bool> {
        let (words, title) = (words.to_owned(), title.to_owned());
        read!(self, conversation_retitle(owner, id, &words, &title))
    }

    async fn conversation_delete(&self, owner: UserId, id: ConversationId, now: Timestamp) -> StoreResult<()> {
        read!(self, conversation_delete(owner, id, now))
    }

    async fn message_list(
        &self,
        owner: UserId,
        conversation: ConversationId,
        page: PageRequest,
    ) -> StoreResult<Page<Message>> {
        read!(self, message_list(owner, conversation, page))
    }

    async fn message_branch(
        &self,
        owner: UserId,
        conversation: ConversationId,
        request: BranchRequest,
    ) -> StoreResult<BranchPage> {
        read!(self, message_branch(owner, conversation, request))
    }

    async fn message_get(&self, owner: UserId, id: MessageId) -> StoreResult<Message> {
        read!(self, message_get(owner, id))
    }

    async fn turn_begin(&self, turn: NewTurn) -> StoreResult<TurnOutcome> {
        commit!(self, &[], turn_begin(turn))
    }

    async fn generation_begin(&self, generation: NewGeneration) -> StoreResult<TurnOutcome> {
        commit!(self, &[], generation_begin(generation))
    }

    async fn history(&self, owner: UserId, answer: MessageId, max_bytes: usize) -> StoreResult<History> {
        read!(self, history(owner, answer, max_bytes))
    }

    async fn log_append(&self, batch: Vec<LogAppend>) -> StoreResult<Vec<AppendOutcome>> {
        let logs: Vec<_> = batch.iter().map(|append| append.generation_id).collect();
        commit!(self, &logs, log_append(batch))
    }

    async fn generation_get(&self, owner: UserId, id: GenerationId) -> StoreResult<Generation> {
        read!(self, generation_get(owner, id))
    }

    async fn generation_spent(&self, owner: UserId, id: GenerationId) -> StoreResult<Spent> {
        read!(self, generation_spent(owner, id))
    }

    async fn generation_count_running(&self, owner: UserId) -> StoreResult<usize> {
        read!(self, generation_count_running(owner))
    }

    async fn generation_to_follow(
        &self,
        owner: UserId,
        conversation: Option<ConversationId>,
    ) -> StoreResult<Option<GenerationId>> {
        read!(self, generation_to_follow(owner, conversation))
    }

    async fn log_read(&self, owner: UserId, id: GenerationId) -> StoreResult<StoredLog> {
        read!(self, log_read(owner, id))
    }

    async fn generation_list_orphaned(&self, node_id: NodeId) -> StoreResult<Vec<StoredLog>> {
        read!(self, generation_list_orphaned(node_id))
    }

    async fn generation_take_over(
        &self,
        id: GenerationId,
        epoch: u32,
        node_id: NodeId,
        grammar: u32,
    ) -> StoreResult<bool> {
        commit!(self, &[], generation_take_over(id, epoch, node_id, grammar))
    }

    async fn purge(
        &self,
        logs_before: Timestamp,
        keys_before: Timestamp,
        sessions_before: Timestamp,
        slice: usize,
    ) -> StoreResult<usize> {
        read!(self, purge(logs_before, keys_before, sessions_before, slice))
    }
}
