//! The store itself: which connection does what, and in what kind of transaction.

use std::sync::Arc;

use r1_domain::{
    access::Access,
    branch::{BranchPage, BranchRequest},
    conversation::{Conversation, ConversationChange},
    generation::{Generation, Spent},
    history::History,
    id::{ConversationId, GenerationId, MessageId, NodeId, SessionId, UserId},
    message::Message,
    nodes::{Bus, Nodes},
    page::{Page, PageRequest},
    session::{NewSession, Rotation, Session, TokenHash},
    store::{
        AppendOutcome, Connections, Credentials, Earlier, IdempotencyKey, LogAppend, NewGeneration, NewTurn, Size,
        Store, StoreError, StoreResult, StoredLog, TurnOutcome,
    },
    time::Timestamp,
    user::{NewUser, User},
};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    access, account, branch,
    bus::PostgresBus,
    connection::{Connector, Db, Purpose},
    conversation,
    error::Fault,
    generation, idempotency,
    key::{self, Fingerprint, KeyFingerprints, RotatedKey},
    log::{self, Writer},
    message,
    nodes::{self, Heart},
    open::{self, OpenError, PostgresOptions},
    ping::{self, Ping},
    pool::{Failed, Pool, Wait, Work},
    purge, recovery, session, turn,
};

mod accounts;

/// A database on a PostgreSQL server.
///
/// Needs a tokio runtime. Whatever is dropped before it is answered is either carried out as a whole or
/// not at all. Connections are made at first need.
pub struct PostgresStore {
    pub(crate) pool: Pool,
    pub(crate) log: Writer,
    pub(crate) heart: Heart,
    pub(crate) place: Option<Uuid>,
    signing: Fingerprint,
    ping: Ping,
}

impl PostgresStore {
    /// Opens the database for a process that serves, and migrates the schema. It is a node once it has
    /// joined ([`Nodes::join`]).
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub async fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        let (connector, signing) = open::node(options).await?;
        Ok(Self { signing, ..Self::with(connector, options) })
    }

    /// Opens the database for a short command (`user add`, `user list`, …), beside nodes that may be
    /// serving from it. Nothing is made or migrated.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub async fn open_guest(options: &PostgresOptions) -> Result<Self, OpenError> {
        Ok(Self::with(open::guest(options).await?, options))
    }

    /// The same, for a command that may be the first there is: what is missing is made, and an older schema
    /// migrated where nobody serves.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub async fn open_guest_or_make(options: &PostgresOptions) -> Result<Self, OpenError> {
        Ok(Self::with(open::guest_or_make(options).await?.0, options))
    }

    fn with(connector: Connector, options: &PostgresOptions) -> Self {
        Self {
            pool: Pool::new(connector.clone(), options.connections),
            log: Writer::new(connector.clone()),
            heart: Heart::new(connector),
            place: options.place,
            signing: options.keys.key,
            ping: Ping::default(),
        }
    }

    /// Of its keys, the one with which a process that serves signs tokens.
    #[must_use]
    pub const fn signing_key(&self) -> Fingerprint {
        self.signing
    }

    /// Puts a key in force, instead of the one before it: processes sign with it from their next start on.
    /// Those that have only the one before may start for a day yet; with `forget` at no time, and then it
    /// may be any key that was in force.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rotate_key(&self, keys: KeyFingerprints, forget: bool) -> StoreResult<RotatedKey> {
        key::rotate(&self.pool, keys, forget).await
    }

    /// The way of hints to the other nodes.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(PostgresBus::new(self.pool.connector().clone()))
    }

    /// Accepts a generation, to the end: where the commit's answer was lost, it is found out what it was.
    async fn accept<F: Work<TurnOutcome>>(
        &self,
        id: GenerationId,
        node_id: NodeId,
        work: impl Fn(Arc<Db>) -> F,
    ) -> StoreResult<TurnOutcome> {
        let work = &work;
        let accepted = self
            .pool
            .transaction(Wait::End, |db| async move {
                nodes::hold(&db, node_id).await?;
                work(db).await
            })
            .await;
        match accepted {
            Ok(outcome) => Ok(outcome),
            Err(Failed::Before(Fault::Refused(outcome))) => Ok(outcome),
            Err(Failed::Before(fault)) => Err(fault.into()),
            Err(Failed::Unknown(backend)) => {
                match self.pool.find_out(backend, |db| async move { generation::is_there(&db, id).await }).await {
                    true => Ok(TurnOutcome::Accepted),
                    false => Err(StoreError::Unavailable("the connection to the database was lost".into())),
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl Store for PostgresStore {
    fn nodes(&self) -> Option<&dyn Nodes> {
        Some(self)
    }

    fn connections(&self) -> Option<Connections> {
        Some(self.pool.connections())
    }

    async fn size(&self) -> StoreResult<Option<Size>> {
        Ok(Some(self.pool.read(|db| async move { ping::size(&db).await }).await?))
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping.ask(&self.pool).await
    }

    async fn user_create(&self, user: NewUser, setup_code: Option<TokenHash>) -> StoreResult<User> {
        let (user, setup_code) = (&user, setup_code.as_ref());
        self.pool.write(|db| async move { account::create(&db, user, setup_code).await }).await
    }

    async fn user_by_login(&self, login: &str) -> StoreResult<Option<Credentials>> {
        self.pool.read(|db| async move { account::by_login(&db, login).await }).await
    }

    async fn user_rehash(&self, id: UserId, old: &SecretString, new: SecretString) -> StoreResult<()> {
        let new = &new;
        self.pool.write(|db| async move { account::rehash(&db, id, old, new).await }).await
    }

    async fn user_list(&self, page: PageRequest) -> StoreResult<Page<User>> {
        self.pool.read(|db| async move { account::list(&db, page).await }).await
    }

    async fn user_set_disabled(&self, login: &str, disabled: bool, now: Timestamp) -> StoreResult<User> {
        self.pool.write(|db| async move { account::set_disabled(&db, login, disabled, now).await }).await
    }

    async fn setup_code_set(&self, code: TokenHash) -> StoreResult<bool> {
        self.pool.write(|db| async move { account::setup_code_set(&db, &code).await }).await
    }

    async fn session_create(&self, session: NewSession) -> StoreResult<()> {
        let session = &session;
        self.pool.write(|db| async move { session::create(&db, session).await }).await
    }

    async fn session_get(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Session>> {
        self.pool.read(|db| async move { session::get(&db, id, now).await }).await
    }

    async fn session_by_cookie(&self, hash: TokenHash, now: Timestamp) -> StoreResult<Option<Session>> {
        self.pool.read(|db| async move { session::by_cookie(&db, &hash, now).await }).await
    }

    async fn session_rotate(
        &self,
        old: TokenHash,
        new: TokenHash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        self.pool.write(|db| async move { session::rotate(&db, &old, &new, expires_at, now).await }).await
    }

    async fn session_end(&self, owner: UserId, id: SessionId, now: Timestamp) -> StoreResult<()> {
        self.pool.write(|db| async move { session::end(&db, owner, id, now).await }).await
    }

    async fn access_lost(&self, of: &Access) -> StoreResult<Access> {
        self.pool.read(|db| async move { access::lost(&db, of).await }).await
    }

    async fn idempotency_find(&self, owner: UserId, key: &IdempotencyKey) -> StoreResult<Option<Earlier>> {
        self.pool.read(|db| async move { idempotency::find(&db, owner, key).await }).await
    }

    async fn conversation_create(
        &self,
        owner: UserId,
        id: ConversationId,
        title: Option<&str>,
        idempotency: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> StoreResult<Result<Conversation, Earlier>> {
        let key = idempotency.as_ref();
        self.pool.write(|db| async move { conversation::create(&db, owner, id, title, key, now).await }).await
    }

    async fn conversation_list(&self, owner: UserId, page: PageRequest) -> StoreResult<Page<Conversation>> {
        self.pool.read(|db| async move { conversation::list(&db, owner, page).await }).await
    }

    async fn conversation_get(&self, owner: UserId, id: ConversationId) -> StoreResult<Conversation> {
        self.pool.read(|db| async move { conversation::get(&db, owner, id).await }).await
    }

    async fn conversation_change(
        &self,
        owner: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> StoreResult<Option<Conversation>> {
        let change = &change;
        self.pool.write(|db| async move { conversation::change(&db, owner, id, change, now).await }).await
    }

    async fn conversation_retitle(
        &self,
        owner: UserId,
        id: ConversationId,
        words: &str,
        title: &str,
    ) -> StoreResult<bool> {
        self.pool.write(|db| async move { conversation::retitle(&db, owner, id, words, title).await }).await
    }

    async fn conversation_delete(&self, owner: UserId, id: ConversationId, now: Timestamp) -> StoreResult<()> {
        self.pool.write(|db| async move { conversation::delete(&db, owner, id, now).await }).await
    }

    async fn message_list(
        &self,
        owner: UserId,
        conversation: ConversationId,
        page: PageRequest,
    ) -> StoreResult<Page<Message>> {
        self.pool.read(|db| async move { message::list(&db, owner, conversation, page).await }).await
    }

    async fn message_branch(
        &self,
        owner: UserId,
        conversation: ConversationId,
        request: BranchRequest,
    ) -> StoreResult<BranchPage> {
        self.pool.read(|db| async move { branch::page(&db, owner, conversation, request).await }).await
    }

    async fn message_get(&self, owner: UserId, id: MessageId) -> StoreResult<Message> {
        self.pool.read(|db| async move { message::get(&db, owner, id).await }).await
    }

    async fn turn_begin(&self, turn: NewTurn) -> StoreResult<TurnOutcome> {
        let turn = &turn;
        self.accept(turn.generation_id, turn.node_id, |db| async move { turn::begin(&db, turn).await }).await
    }

    async fn generation_begin(&self, generation: NewGeneration) -> StoreResult<TurnOutcome> {
        let new = &generation;
        self.accept(new.generation_id, new.node_id, |db| async move { generation::begin(&db, new).await }).await
    }

    async fn history(&self, owner: UserId, answer: MessageId, max_bytes: usize) -> StoreResult<History> {
        self.pool.read(|db| async move { message::history(&db, owner, answer, max_bytes).await }).await
    }

    async fn log_append(&self, batch: Vec<LogAppend>) -> StoreResult<Vec<AppendOutcome>> {
        self.log.append(&batch).await
    }

    async fn generation_get(&self, owner: UserId, id: GenerationId) -> StoreResult<Generation> {
        self.pool.read(|db| async move { generation::get(&db, owner, id).await }).await
    }

    async fn generation_spent(&self, owner: UserId, id: GenerationId) -> StoreResult<Spent> {
        self.pool.read(|db| async move { generation::spent(&db, owner, id).await }).await
    }

    async fn generation_count_running(&self, owner: UserId) -> StoreResult<usize> {
        self.pool.read(|db| async move { generation::count_running(&db, owner).await }).await
    }

    async fn generation_to_follow(
        &self,
        owner: UserId,
        conversation: Option<ConversationId>,
    ) -> StoreResult<Option<GenerationId>> {
        self.pool.read(|db| async move { generation::to_follow(&db, owner, conversation).await }).await
    }

    async fn log_read(&self, owner: UserId, id: GenerationId) -> StoreResult<StoredLog> {
        self.pool.read(|db| async move { log::read(&db, owner, id).await }).await
    }

    async fn generation_list_orphaned(&self, _: NodeId) -> StoreResult<Vec<StoredLog>> {
        // As long as it takes: it may be many.
        let db = self.pool.connector().connect(Purpose::Patient).await?;
        Ok(recovery::list_orphaned(&db).await?)
    }

    async fn generation_take_over(
        &self,
        id: GenerationId,
        epoch: u32,
        node_id: NodeId,
        grammar: u32,
    ) -> StoreResult<bool> {
        let take_over = |db: Arc<Db>| async move {
            nodes::hold(&db, node_id).await?;
            recovery::take_over(&db, id, epoch, node_id, grammar).await
        };
        self.pool.write(take_over).await
    }

    async fn purge(
        &self,
        logs_before: Timestamp,
        keys_before: Timestamp,
        sessions_before: Timestamp,
        slice: usize,
    ) -> StoreResult<usize> {
        let slice = slice.max(1);
        // A transaction each.
        let mut gone = self.pool.write(|db| async move { purge::logs(&db, logs_before, slice).await }).await?;
        gone += self.pool.write(|db| async move { purge::keys(&db, keys_before, slice).await }).await?;
        gone += self.pool.write(|db| async move { purge::sessions(&db, sessions_before, slice).await }).await?;
        gone += self.pool.write(|db| async move { purge::conversations(&db, slice).await }).await?;
        Ok(gone)
    }
}
