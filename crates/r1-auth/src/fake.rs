//! A store in memory with accounts and sessions, for this crate's tests. What no sign-in asks for
//! answers "not found".

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_domain::{
    access::Access,
    accounts::{Accounts, Activity, Changed, Erased, NewPassword, UsageOfDay},
    branch::{BranchPage, BranchRequest},
    conversation::{Conversation, ConversationChange},
    generation::{Generation, Spent},
    history::History,
    id::{ConversationId, GenerationId, MessageId, NodeId, SessionId, UserId},
    instance::Instance,
    jobs::{Claim, Job, Jobs, NewJob, Release},
    message::Message,
    page::{Page, PageRequest},
    session::{NewSession, Rotation, Session, SessionKind, TokenHash},
    store::{
        AppendOutcome, Credentials, Earlier, IdempotencyKey, LogAppend, NewGeneration, NewTurn, Store, StoreError,
        StoreResult, StoredLog, TurnOutcome,
    },
    text::fold_login,
    time::{Clock, Timestamp},
    user::{NewUser, User, normalise_login},
};
use secrecy::{ExposeSecret, SecretString};

/// A clock that is turned by hand.
pub(crate) struct Hand(Mutex<(Timestamp, Duration)>);

impl Hand {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new((Timestamp::from_micros(1_800_000_000_000_000), Duration::ZERO))))
    }

    pub(crate) fn forward(&self, by: Duration) {
        let (now, passed) = &mut *self.0.lock();
        *now = now.plus(by);
        *passed += by;
    }

    pub(crate) fn set_back(&self, by: Duration) {
        let (now, _) = &mut *self.0.lock();
        *now = now.minus(by);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        self.0.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().1
    }
}

struct Row {
    session: NewSession,
    earlier: Vec<TokenHash>,
    ended: bool,
}

#[derive(Default)]
struct Tables {
    users: Vec<Credentials>,
    sessions: Vec<Row>,
    setup_code: Option<TokenHash>,
    /// How often a session was looked up.
    lookups: usize,
    broken: bool,
    /// What takes every hash's place just before the next session is stored.
    next_hash: Option<SecretString>,
}

#[derive(Default)]
pub(crate) struct FakeStore(Mutex<Tables>);

impl FakeStore {
    pub(crate) fn lookups(&self) -> usize {
        self.0.lock().lookups
    }

    pub(crate) fn break_down(&self) {
        self.0.lock().broken = true;
    }

    pub(crate) fn replace_hash_before_next_session(&self, hash: &str) {
        self.0.lock().next_hash = Some(hash.into());
    }

    pub(crate) fn hash_of(&self, login: &str) -> String {
        let tables = self.0.lock();
        let found = tables.users.iter().find(|found| found.user.username == login).unwrap();
        found.password_hash.expose_secret().to_owned()
    }

    /// Everything that was stored about sessions, to look for secrets in.
    pub(crate) fn dump(&self) -> String {
        self.0.lock().sessions.iter().map(|row| format!("{:?}", row.session)).collect()
    }
}

impl Tables {
    fn live(&self, now: Timestamp, which: impl Fn(&NewSession) -> bool) -> Option<Session> {
        let row = self.sessions.iter().find(|row| !row.ended && row.session.expires_at > now && which(&row.session))?;
        let user = &self.users.iter().find(|found| found.user.id == row.session.user_id)?.user;
        (!user.disabled).then(|| Session { id: row.session.id, user: user.clone(), expires_at: row.session.expires_at })
    }
}

impl Tables {
    fn end_sessions(&mut self, user: UserId, kept: Option<SessionId>) -> Vec<SessionId> {
        let rows = self.sessions.iter_mut().filter(|row| row.session.user_id == user && !row.ended);
        let ended = rows.filter(|row| Some(row.session.id) != kept);
        ended
            .map(|row| {
                row.ended = true;
                row.session.id
            })
            .collect()
    }
}

#[async_trait::async_trait]
impl Accounts for FakeStore {
    async fn account_set_password(&self, new: NewPassword) -> StoreResult<Option<Vec<SessionId>>> {
        let mut tables = self.0.lock();
        let found = tables.users.iter_mut().find(|found| found.user.id == new.user).ok_or(StoreError::NotFound)?;
        let present = found.password_hash.expose_secret();
        if new.expected.is_some_and(|expected| expected.expose_secret() != present) {
            return Ok(None);
        }
        found.password_hash = new.hash;
        Ok(Some(tables.end_sessions(new.user, new.kept)))
    }

    async fn account_end_sessions(&self, user: UserId, _: Timestamp) -> StoreResult<Vec<SessionId>> {
        Ok(self.0.lock().end_sessions(user, None))
    }

    async fn account_set_admin(&self, _: UserId, _: bool, _: bool) -> StoreResult<Changed> {
        Err(StoreError::NotFound)
    }

    async fn account_activity(&self, _: UserId, _: Timestamp) -> StoreResult<Activity> {
        Err(StoreError::NotFound)
    }

    async fn account_usage(&self, _: Option<UserId>, _: Timestamp) -> StoreResult<Vec<UsageOfDay>> {
        Err(StoreError::NotFound)
    }

    async fn account_delete(&self, _: UserId, _: bool, _: Timestamp) -> StoreResult<Changed> {
        Err(StoreError::NotFound)
    }

    async fn account_erase(&self, _: Option<UserId>, _: usize) -> StoreResult<Erased> {
        Err(StoreError::NotFound)
    }
}

#[async_trait::async_trait]
impl Instance for FakeStore {
    async fn instance_word(&self, first: &str) -> StoreResult<String> {
        Ok(first.to_owned())
    }
}

#[async_trait::async_trait]
impl Jobs for FakeStore {
    async fn job_add(&self, _: NewJob) -> StoreResult<bool> {
        Err(StoreError::NotFound)
    }

    async fn job_claim(&self, _: NodeId, _: &[&'static str], _: usize, _: Timestamp) -> StoreResult<Vec<Job>> {
        Err(StoreError::NotFound)
    }

    async fn job_progress(&self, _: Claim, _: &str) -> StoreResult<bool> {
        Err(StoreError::NotFound)
    }

    async fn job_release(&self, _: Claim, _: Release) -> StoreResult<bool> {
        Err(StoreError::NotFound)
    }

    async fn job_end(&self, _: Claim) -> StoreResult<bool> {
        Err(StoreError::NotFound)
    }
}

#[async_trait::async_trait]
impl Store for FakeStore {
    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn user_create(&self, user: NewUser, setup_code: Option<TokenHash>) -> StoreResult<User> {
        let mut tables = self.0.lock();
        for found in &tables.users {
            if fold_login(&found.user.username) == fold_login(&user.username) {
                return Err(StoreError::Taken { field: "username" });
            }
            if fold_login(&found.user.email) == fold_login(&user.email) {
                return Err(StoreError::Taken { field: "email" });
            }
        }
        if setup_code.is_some() && tables.setup_code.take_if(|code| Some(*code) == setup_code).is_none() {
            return Err(StoreError::SetupCode);
        }
        let NewUser { id, username, email, password_hash, is_admin, created_at } = user;
        let user = User { id, username, email, is_admin, disabled: false, created_at };
        tables.users.push(Credentials { user: user.clone(), password_hash });
        Ok(user)
    }

    async fn user_by_login(&self, login: &str) -> StoreResult<Option<Credentials>> {
        let tables = self.0.lock();
        if tables.broken {
            return Err(StoreError::Unavailable("on purpose".into()));
        }
        let by = |form: fn(&str) -> String| {
            let is = |name: &str| form(name) == form(login);
            tables.users.iter().find(|found| is(&found.user.username) || is(&found.user.email))
        };
        Ok(by(normalise_login).or_else(|| by(fold_login)).cloned())
    }

    async fn user_rehash(&self, id: UserId, old: &SecretString, new: SecretString) -> StoreResult<()> {
        let mut tables = self.0.lock();
        let found = tables.users.iter_mut().find(|found| found.user.id == id).ok_or(StoreError::NotFound)?;
        if found.password_hash.expose_secret() == old.expose_secret() {
            found.password_hash = new;
        }
        Ok(())
    }

    async fn user_set_disabled(&self, login: &str, disabled: bool, _now: Timestamp) -> StoreResult<User> {
        let mut tables = self.0.lock();
        let tables = &mut *tables;
        let found = tables.users.iter_mut().find(|found| fold_login(&found.user.username) == fold_login(login));
        let user = &mut found.ok_or(StoreError::NotFound)?.user;
        user.disabled = disabled;
        for row in tables.sessions.iter_mut().filter(|row| row.session.user_id == user.id) {
            row.ended = true;
        }
        Ok(user.clone())
    }

    async fn setup_code_set(&self, code: TokenHash) -> StoreResult<bool> {
        let mut tables = self.0.lock();
        if tables.users.iter().any(|found| found.user.is_admin) {
            return Ok(false);
        }
        tables.setup_code = Some(code);
        Ok(true)
    }

    async fn session_create(&self, session: NewSession) -> StoreResult<()> {
        let mut tables = self.0.lock();
        if let Some(hash) = tables.next_hash.take() {
            tables.users.iter_mut().for_each(|found| found.password_hash = hash.clone());
        }
        tables.sessions.push(Row { session, earlier: Vec::new(), ended: false });
        Ok(())
    }

    async fn session_get(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Session>> {
        let mut tables = self.0.lock();
        tables.lookups += 1;
        Ok(tables.live(now, |session| session.id == id))
    }

    async fn session_by_cookie(&self, hash: TokenHash, now: Timestamp) -> StoreResult<Option<Session>> {
        let mut tables = self.0.lock();
        tables.lookups += 1;
        Ok(tables.live(now, |session| session.kind == SessionKind::Cookie && session.token_hash == hash))
    }

    async fn session_rotate(
        &self,
        old: TokenHash,
        new: TokenHash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Rotation> {
        let mut tables = self.0.lock();
        if let Some(mut session) =
            tables.live(now, |session| session.kind == SessionKind::Bearer && session.token_hash == old)
        {
            let row = tables.sessions.iter_mut().find(|row| row.session.id == session.id).unwrap();
            row.earlier.push(old);
            row.session.token_hash = new;
            row.session.expires_at = expires_at;
            session.expires_at = expires_at;
            return Ok(Rotation::Rotated(session));
        }
        let reused = tables.sessions.iter_mut().find(|row| !row.ended && row.earlier.contains(&old));
        Ok(reused.map_or(Rotation::Unknown, |row| {
            row.ended = true;
            Rotation::Reused(row.session.id)
        }))
    }

    async fn session_end(&self, owner: UserId, id: SessionId, _now: Timestamp) -> StoreResult<()> {
        let mut tables = self.0.lock();
        for row in tables.sessions.iter_mut().filter(|row| row.session.id == id && row.session.user_id == owner) {
            row.ended = true;
        }
        Ok(())
    }

    async fn access_lost(&self, of: &Access) -> StoreResult<Access> {
        let tables = self.0.lock();
        if tables.broken {
            return Err(StoreError::Unavailable("on purpose".into()));
        }
        let over = |id: &SessionId| tables.sessions.iter().any(|row| row.session.id == *id && row.ended);
        let stands = |id: &UserId| tables.users.iter().any(|found| found.user.id == *id && !found.user.disabled);
        Ok(Access {
            sessions: of.sessions.iter().copied().filter(over).collect(),
            users: of.users.iter().copied().filter(|id| !stands(id)).collect(),
            generations: Vec::new(),
        })
    }

    async fn user_list(&self, _: PageRequest) -> StoreResult<Page<User>> {
        Err(StoreError::NotFound)
    }

    async fn idempotency_find(&self, _: UserId, _: &IdempotencyKey) -> StoreResult<Option<Earlier>> {
        Err(StoreError::NotFound)
    }

    async fn conversation_create(
        &self,
        _: UserId,
        _: ConversationId,
        _: Option<&str>,
        _: Option<IdempotencyKey>,
        _: Timestamp,
    ) -> StoreResult<Result<Conversation, Earlier>> {
        Err(StoreError::NotFound)
    }

    async fn conversation_list(&self, _: UserId, _: PageRequest) -> StoreResult<Page<Conversation>> {
        Err(StoreError::NotFound)
    }

    async fn conversation_get(&self, _: UserId, _: ConversationId) -> StoreResult<Conversation> {
        Err(StoreError::NotFound)
    }

    async fn conversation_change(
        &self,
        _: UserId,
        _: ConversationId,
        _: ConversationChange,
        _: Timestamp,
    ) -> StoreResult<Option<Conversation>> {
        Err(StoreError::NotFound)
    }

    async fn conversation_retitle(&self, _: UserId, _: ConversationId, _: &str, _: &str) -> StoreResult<bool> {
        Err(StoreError::NotFound)
    }

    async fn conversation_delete(&self, _: UserId, _: ConversationId, _: Timestamp) -> StoreResult<()> {
        Err(StoreError::NotFound)
    }

    async fn message_list(&self, _: UserId, _: ConversationId, _: PageRequest) -> StoreResult<Page<Message>> {
        Err(StoreError::NotFound)
    }

    async fn message_branch(&self, _: UserId, _: ConversationId, _: BranchRequest) -> StoreResult<BranchPage> {
        Err(StoreError::NotFound)
    }

    async fn message_get(&self, _: UserId, _: MessageId) -> StoreResult<Message> {
        Err(StoreError::NotFound)
    }

    async fn turn_begin(&self, _: NewTurn) -> StoreResult<TurnOutcome> {
        Err(StoreError::NotFound)
    }

    async fn generation_begin(&self, _: NewGeneration) -> StoreResult<TurnOutcome> {
        Err(StoreError::NotFound)
    }

    async fn history(&self, _: UserId, _: MessageId, _: usize) -> StoreResult<History> {
        Err(StoreError::NotFound)
    }

    async fn log_append(&self, _: Vec<LogAppend>) -> StoreResult<Vec<AppendOutcome>> {
        Err(StoreError::NotFound)
    }

    async fn generation_get(&self, _: UserId, _: GenerationId) -> StoreResult<Generation> {
        Err(StoreError::NotFound)
    }

    async fn generation_spent(&self, _owner: UserId, _id: GenerationId) -> StoreResult<Spent> {
        Err(StoreError::NotFound)
    }

    async fn generation_count_running(&self, _: UserId) -> StoreResult<usize> {
        Err(StoreError::NotFound)
    }

    async fn generation_to_follow(&self, _: UserId, _: Option<ConversationId>) -> StoreResult<Option<GenerationId>> {
        Err(StoreError::NotFound)
    }

    async fn log_read(&self, _: UserId, _: GenerationId) -> StoreResult<StoredLog> {
        Err(StoreError::NotFound)
    }

    async fn generation_list_orphaned(&self, _: NodeId) -> StoreResult<Vec<StoredLog>> {
        Err(StoreError::NotFound)
    }

    async fn generation_take_over(&self, _: GenerationId, _: u32, _: NodeId, _: u32) -> StoreResult<bool> {
        Err(StoreError::NotFound)
    }

    async fn purge(&self, _: Timestamp, _: Timestamp, _: Timestamp, _: usize) -> StoreResult<usize> {
        Err(StoreError::NotFound)
    }
}
