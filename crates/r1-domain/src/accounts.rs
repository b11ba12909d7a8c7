//! The port for what an administrator does with accounts, and for what their people do with their own.
//!
//! Everything goes by the account's id: who has a name or an address finds it by
//! [`Store::user_by_login`](crate::store::Store::user_by_login) first.

use secrecy::SecretString;

use crate::{
    id::{SessionId, UserId},
    store::StoreResult,
    time::Timestamp,
    user::User,
};

/// Microseconds of a day (UTC, without leap seconds): [`UsageOfDay::day`] counts these.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// A password that takes another one's place.
#[derive(Debug, Clone)]
pub struct NewPassword {
    /// Whose.
    pub user: UserId,
    /// Only where the present hash still is this one; none: whatever it is.
    pub expected: Option<SecretString>,
    /// Argon2id hash in PHC string format.
    pub hash: SecretString,
    /// The session that goes on; all others end.
    pub kept: Option<SessionId>,
    /// Now.
    pub now: Timestamp,
}

/// What came of a change that could leave an instance without an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done(User),
    /// Nothing was changed: nobody else who can sign in is an administrator.
    LastAdministrator,
}

/// What an account has and does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// When its newest session was made.
    pub last_sign_in: Option<Timestamp>,
    /// Its rows are being removed ([`Accounts::account_erase`]).
    pub deleting: bool,
    /// Sessions that live.
    pub sessions: u64,
    /// Conversations that were not deleted.
    pub conversations: u64,
    /// Messages in those, questions and answers, all branches.
    pub messages: u64,
    /// Answers that are being written.
    pub running: u64,
}

/// What an account's answers by one model used on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageOfDay {
    /// Whose.
    pub user: UserId,
    /// The day on which they were asked for, in days since 1970-01-01 UTC.
    pub day: i64,
    /// As `provider/model`.
    pub model: String,
    /// Answers that have ended, however: each time that a model was asked for one.
    pub answers: u64,
    /// Those of them whose tokens are an estimate.
    pub estimated: u64,
    /// Those of them whose tokens nobody counted: they are in no sum.
    pub uncounted: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// What came of a slice of [`Accounts::account_erase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// This many rows are gone; there may be more.
    Rows(usize),
    /// Nothing is gone: this many answers are still being written, and have to end first.
    Waits(usize),
    /// There is nothing left to remove, the account included.
    Done,
}

/// What is done with accounts. `NotFound` where there is no such account.
#[async_trait::async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Replaces an account's password hash and ends its sessions, in one commit. Gives back the sessions that
    /// ended; none where the present hash is not the expected one, and then nothing was changed.
    /// A session that is being made meanwhile either ends too, or its maker finds the new hash afterwards.
    async fn account_set_password(&self, password: NewPassword) -> StoreResult<Option<Vec<SessionId>>>;

    /// Ends all of an account's sessions; gives them back.
    async fn account_end_sessions(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<SessionId>>;

    /// Makes an account an administrator's, which ends the setup code, or a plain one. The last administrator
    /// stays one unless `even_last`.
    async fn account_set_admin(&self, user: UserId, is_admin: bool, even_last: bool) -> StoreResult<Changed>;

    /// What an account has and does.
    async fn account_activity(&self, user: UserId, now: Timestamp) -> StoreResult<Activity>;

    /// What answers used that were asked for since, of one account or of all, also of those whose
    /// conversation was deleted: by day, then account, then model.
    async fn account_usage(&self, user: Option<UserId>, since: Timestamp) -> StoreResult<Vec<UsageOfDay>>;

    /// Begins to delete an account: from this commit on it is disabled for ever, and has no sessions. The last
    /// administrator stays unless `even_last`. [`Accounts::account_erase`] removes the rest.
    async fn account_delete(&self, user: UserId, even_last: bool, now: Timestamp) -> StoreResult<Changed>;

    /// Removes a slice of what an account has whose deletion has begun: this one, or any. At most `slice` rows
    /// go in one commit, and fewer where that would take some milliseconds. Its answers have to end before,
    /// where somebody writes them. Call again until it is done; whoever calls takes up where it stands.
    async fn account_erase(&self, user: Option<UserId>, slice: usize) -> StoreResult<Erased>;
}
