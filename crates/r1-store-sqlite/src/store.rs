//! The store itself: which thread does what, and how durable it must be.

use std::{fs::File, path::PathBuf, pin::pin, sync::Arc};

use parking_lot::Mutex;
use r1_domain::{
    access::Access,
    branch::{BranchPage, BranchRequest},
    conversation::{Conversation, ConversationChange},
    generation::{Generation, Spent},
    history::{History, PastTurn},
    id::{ConversationId, GenerationId, MessageId, NodeId, SessionId, UserId},
    message::{Message, Role, Turn},
    page::{Page, PageRequest},
    session::{NewSession, Rotation, Session, SessionKind, TokenHash},
    store::{
        AppendOutcome, Connections, Credentials, Earlier, HistoryRead, IdempotencyKey, LogAppend, NewGeneration,
        NewTurn, Size, Store, StoreError, StoreResult, StoredLog, TurnOutcome,
    },
    time::Timestamp,
    user::{NewUser, User},
};
use rusqlite::Connection;
use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::{
    access, account, branch,
    checkpoint::{Checkpointer, Gate, Signal},
    conversation,
    error::Fault,
    files::Files,
    generation::{self, Beginning},
    idempotency, log, message,
    open::{self, DataDir, OpenError, SqliteOptions},
    ping::Ping,
    purge,
    reader::Readers,
    recovery,
    resync::Resync,
    session,
    size::Sizes,
    tail::Tails,
    turn,
    writer::{self, Synchronous, Wait, Writer},
};

mod accounts;

/// The database in a data directory.
///
/// Reads need a tokio runtime with its blocking threads; a read that is not awaited to its end
/// finishes by itself. Dropping the store carries out what is queued, moves the write-ahead log into
/// the database and gives the directory's lock back; it waits for that, some milliseconds.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped in this order: the log is cut after the last write, the lock goes last.
    pub(crate) writer: Writer,
    _checkpointer: Option<Checkpointer>,
    pub(crate) readers: Readers,
    ping: Ping,
    sizes: Sizes,
    tails: Option<Arc<Mutex<Tails>>>,
    /// Of a guest: the directory, whose lock somebody else has, or nobody.
    guest_of: Option<PathBuf>,
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the database for the process that serves from this directory: makes what is missing,
    /// locks the directory, migrates the schema and reads the journal. Blocks, some milliseconds.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        let DataDir { database, db, lock } = open::owner(&options.data_dir)?;
        let tails = Tails::load(&db)
            .map_err(|source| OpenError::Damaged { path: database.clone(), source: Box::new(source) })?;
        let tails = Some(Arc::new(Mutex::new(tails)));
        let failed = |source| OpenError::Failed { path: database.clone(), source };
        let files = Arc::new(Files::hold(&database).map_err(|source| failed(source.into()))?);
        let resync = Arc::new(Resync::new(Arc::clone(&files)));
        resync.begin();
        let (signal, gate) = (Signal::default(), Gate::default());
        let checkpointer =
            Checkpointer::start(&database, signal.clone(), Arc::clone(&gate), Arc::clone(&resync)).map_err(failed)?;
        let session = writer::Session::new(db, tails.clone(), options.sync_all, Some(resync));
        let writer = Writer::start(session, signal, gate).map_err(failed)?;
        let sizes = Sizes::new(&database);
        let readers = Readers::new(database, options.readers, Some(files));
        Ok(Self {
            writer,
            _checkpointer: Some(checkpointer),
            readers,
            ping: Ping::default(),
            sizes,
            tails,
            guest_of: None,
            _lock: lock,
        })
    }

    /// Opens the database for a short command (`user add`, `user list`, …), beside a process that
    /// may be serving from the same directory: no lock, transactions of its own. Accounts, sessions
    /// and conversations work; whatever has to do with running generations and their logs is the
    /// serving process's and gives `Internal`.
    /// Nothing is made or migrated.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open_guest(options: &SqliteOptions) -> Result<Self, OpenError> {
        Self::guest(open::guest(&options.data_dir)?, options)
    }

    /// The same, for a command that may be the first there is: what is missing is made, and an older schema
    /// migrated where nobody serves.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open_guest_or_make(options: &SqliteOptions) -> Result<Self, OpenError> {
        Self::guest(open::guest_or_make(&options.data_dir)?, options)
    }

    fn guest(directory: DataDir, options: &SqliteOptions) -> Result<Self, OpenError> {
        let DataDir { database, db, lock } = directory;
        let failed = |source| OpenError::Failed { path: database.clone(), source };
        let session = writer::Session::new(db, None, options.sync_all, None);
        // SQLite copies the log when its last connection closes; the serving process does otherwise.
        let writer = Writer::start(session, Signal::default(), Gate::default()).map_err(failed)?;
        let sizes = Sizes::new(&database);
        let readers = Readers::new(database, options.readers, None);
        let (ping, guest_of) = (Ping::default(), Some(options.data_dir.clone()));
        Ok(Self { writer, _checkpointer: None, readers, ping, sizes, tails: None, guest_of, _lock: lock })
    }

    /// Accepts a generation, in a commit that it may share with others.
    async fn accept(
        &self,
        beginning: Beginning,
        begin: impl FnMut(&Connection) -> Result<TurnOutcome, Fault> + Send + 'static,
    ) -> StoreResult<TurnOutcome> {
        let tails = self.tails()?;
        self.writer.share(begin, move |outcome| beginning.committed(&tails, outcome)).await
    }

    fn tails(&self) -> StoreResult<Arc<Mutex<Tails>>> {
        let guest = Fault::Broken("a guest of the data directory has no part in generations");
        Ok(self.tails.clone().ok_or(guest)?)
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    fn connections(&self) -> Option<Connections> {
        Some(self.readers.connections())
    }

    async fn size(&self) -> StoreResult<Option<Size>> {
        self.sizes.look().await.map(Some)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ping.ask(&self.writer, &self.readers).await
    }

    async fn user_create(&self, user: NewUser, setup_code: Option<TokenHash>) -> StoreResult<User> {
        self.writer.write(move |db| account::create(db, user, setup_code.as_ref())).await
    }

    async fn user_by_login(&self, login: &str) -> StoreResult<Option<Credentials>> {
        let login = login.to_owned();
        self.readers.read(move |db| account::by_login(db, &login)).await
    }

    async fn user_rehash(&self, id: UserId, old: &SecretString, new: SecretString) -> StoreResult<()> {
        let old = old.clone();
        self.writer.write(move |db| account::rehash(db, id, &old, &new)).await
    }

    async fn user_list(&self, page: PageRequest) -> StoreResult<Page<User>> {
        self.readers.read(move |db| account::list(db, page)).await
    }

    async fn user_set_disabled(&self, login: &str, disabled: bool, now: Timestamp) -> StoreResult<User> {
        let login = login.to_owned();
        self.writer.write(move |db| account::set_disabled(db, &login, disabled, now)).await
    }

    async fn setup_code_set(&self, code: TokenHash) -> StoreResult<bool> {
        self.writer.write(move |db| account::setup_code_set(db, &code)).await
    }

    async fn session_create(&self, session: NewSession) -> StoreResult<()> {
        self.writer.write(move |db| session::create(db, &session)).await
    }

    async fn session_get(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Session>> {
        self.readers.read(move |db| session::get(db, id, now)).await
    }

    async fn session_by_cookie(&self, hash: TokenHash, now: Timestamp) -> StoreResult<Option<Session>> {
        self.readers.read(move |db| session::by_token(db, SessionKind::Cookie, &hash, now)).await
    }

    async fn session_rotate(
        &self,
        old: TokenHash,
        new: TokenHash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        self.writer.write(move |db| session::rotate(db, &old, &new, expires_at, now)).await
    }

    async fn session_end(&self, owner: UserId, id: SessionId, now: Timestamp) -> StoreResult<()> {
        self.writer.write(move |db| session::end(db, owner, id, now)).await
    }

    async fn access_lost(&self, of: &Access) -> StoreResult<Access> {
        let of = of.clone();
        self.readers.read(move |db| access::lost(db, &of)).await
    }

    async fn idempotency_find(&self, owner: UserId, key: &IdempotencyKey) -> StoreResult<Option<Earlier>> {
        let key = key.clone();
        self.readers.read(move |db| idempotency::find(db, owner, &key)).await
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
        let create = move |db: &_| conversation::create(db, owner, id, title.as_deref(), idempotency.as_ref(), now);
        self.writer.write(create).await
    }

    async fn conversation_list(&self, owner: UserId, page: PageRequest) -> StoreResult<Page<Conversation>> {
        self.readers.read(move |db| conversation::list(db, owner, page)).await
    }

    async fn conversation_get(&self, owner: UserId, id: ConversationId) -> StoreResult<Conversation> {
        self.readers.read(move |db| conversation::get(db, owner, id)).await
    }

    async fn conversation_change(
        &self,
        owner: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> StoreResult<Option<Conversation>> {
        self.writer.write(move |db| conversation::change(db, owner, id, &change, now)).await
    }

    async fn conversation_retitle(
        &self,
        owner: UserId,
        id: ConversationId,
        words: &str,
        title: &str,
    ) -> StoreResult<bool> {
        let (words, title) = (words.to_owned(), title.to_owned());
        let retitle = move |session: &mut writer::Session| {
            session.transaction(|db| conversation::retitle(db, owner, id, &words, &title))
        };
        self.writer.run(Synchronous::Normal, retitle).await
    }

    async fn conversation_delete(&self, owner: UserId, id: ConversationId, now: Timestamp) -> StoreResult<()> {
        self.writer.write(move |db| conversation::delete(db, owner, id, now)).await
    }

    async fn message_list(
        &self,
        owner: UserId,
        conversation: ConversationId,
        page: PageRequest,
    ) -> StoreResult<Page<Message>> {
        self.readers.read(move |db| message::list(db, owner, conversation, page)).await
    }

    async fn message_branch(
        &self,
        owner: UserId,
        conversation: ConversationId,
        request: BranchRequest,
    ) -> StoreResult<BranchPage> {
        self.readers.read(move |db| branch::page(db, owner, conversation, request)).await
    }

    async fn message_get(&self, owner: UserId, id: MessageId) -> StoreResult<Message> {
        self.readers.read(move |db| message::get(db, owner, id)).await
    }

    async fn turn_begin(&self, turn: NewTurn) -> StoreResult<TurnOutcome> {
        let beginning = Beginning::of(turn.generation_id, &turn.start)?;
        self.accept(beginning, move |db| turn::begin(db, &turn, beginning.next_seq, |_| {})).await
    }

    /// Reads while the commit waits for the disk.
    async fn turn_begin_with_history(
        &self,
        turn: NewTurn,
        max_bytes: usize,
    ) -> StoreResult<(TurnOutcome, Option<HistoryRead>)> {
        let (tell, follows) = oneshot::channel();
        let (owner, readers) = (turn.owner, self.readers.clone());
        let question =
            PastTurn { id: turn.question_id, turn: Turn { role: Role::User, content: turn.question.clone() } };
        let mut read: HistoryRead = Box::pin(async move {
            match follows.await {
                Ok(Some(parent)) => {
                    readers.read(move |db| message::history_before(db, owner, parent, question, max_bytes)).await
                }
                Ok(None) => Ok(History { turns: vec![question], whole: true }),
                Err(_) => Err(StoreError::NotFound),
            }
        });
        let beginning = Beginning::of(turn.generation_id, &turn.start)?;
        let mut tell = Some(tell);
        let begin = move |db: &_| {
            turn::begin(db, &turn, beginning.next_seq, |parent| {
                // Carried out again after a rollback, it follows the same message: nothing came in between.
                let _ = tell.take().map(|tell| tell.send(parent));
            })
        };
        let mut begin = pin!(self.accept(beginning, begin));
        let outcome = tokio::select! {
            biased;
            outcome = &mut begin => outcome?,
            history = &mut read => {
                read = Box::pin(async { history });
                begin.await?
            }
        };
        let read = (outcome == TurnOutcome::Accepted).then_some(read);
        Ok((outcome, read))
    }

    async fn generation_begin(&self, generation: NewGeneration) -> StoreResult<TurnOutcome> {
        let beginning = Beginning::of(generation.generation_id, &generation.start)?;
        self.accept(beginning, move |db| generation::begin(db, &generation, beginning.next_seq)).await
    }

    async fn history(&self, owner: UserId, answer: MessageId, max_bytes: usize) -> StoreResult<History> {
        self.readers.read(move |db| message::history(db, owner, answer, max_bytes)).await
    }

    async fn log_append(&self, batch: Vec<LogAppend>) -> StoreResult<Vec<AppendOutcome>> {
        let append = move |session: &mut _| log::append(session, &batch);
        self.writer.run_and_wait(Wait::Append, Synchronous::Normal, append).await
    }

    async fn generation_get(&self, owner: UserId, id: GenerationId) -> StoreResult<Generation> {
        self.readers.read(move |db| generation::get(db, owner, id)).await
    }

    async fn generation_spent(&self, owner: UserId, id: GenerationId) -> StoreResult<Spent> {
        self.readers.read(move |db| generation::spent(db, owner, id)).await
    }

    async fn generation_count_running(&self, owner: UserId) -> StoreResult<usize> {
        self.readers.read(move |db| generation::count_running(db, owner)).await
    }

    async fn generation_to_follow(
        &self,
        owner: UserId,
        conversation: Option<ConversationId>,
    ) -> StoreResult<Option<GenerationId>> {
        self.readers.read(move |db| generation::to_follow(db, owner, conversation)).await
    }

    async fn log_read(&self, owner: UserId, id: GenerationId) -> StoreResult<StoredLog> {
        let tails = self.tails()?;
        self.readers.read(move |db| log::read(db, &tails, owner, id)).await
    }

    async fn generation_list_orphaned(&self, node_id: NodeId) -> StoreResult<Vec<StoredLog>> {
        let tails = self.tails()?;
        self.readers.read_to_end(move |db| recovery::list_orphaned(db, &tails, node_id)).await
    }

    async fn generation_take_over(
        &self,
        id: GenerationId,
        epoch: u32,
        node_id: NodeId,
        grammar: u32,
    ) -> StoreResult<bool> {
        let take_over = move |session: &mut _| recovery::take_over(session, id, epoch, node_id, grammar);
        self.writer.run(Synchronous::Normal, take_over).await
    }

    async fn purge(
        &self,
        logs_before: Timestamp,
        keys_before: Timestamp,
        sessions_before: Timestamp,
        slice: usize,
    ) -> StoreResult<usize> {
        let slice = slice.max(1);
        let run = |work: fn(&rusqlite::Connection, Timestamp, usize) -> Result<usize, Fault>, before| {
            self.writer.run(Synchronous::Normal, move |session| session.transaction(|db| work(db, before, slice)))
        };
        // A transaction each, and room for others between them.
        let mut gone = run(purge::logs, logs_before).await?;
        gone += run(purge::keys, keys_before).await?;
        gone += run(purge::sessions, sessions_before).await?;
        gone += run(|db, _, slice| purge::conversations(db, slice), logs_before).await?;
        Ok(gone)
    }
}

#[cfg(test)]
mod tests;
