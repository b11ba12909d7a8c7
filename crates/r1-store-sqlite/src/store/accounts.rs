//! What is done with accounts.

use r1_domain::{
    accounts::{Accounts, Activity, Changed, Erased, NewPassword, UsageOfDay},
    id::{SessionId, UserId},
    instance::Instance,
    store::{StoreError, StoreResult},
    time::Timestamp,
};

use super::SqliteStore;
use crate::{
    account::{self, activity, change},
    erase, open,
    purge::Slice,
    usage,
    writer::Synchronous,
};

#[async_trait::async_trait]
impl Accounts for SqliteStore {
    async fn account_set_password(&self, password: NewPassword) -> StoreResult<Option<Vec<SessionId>>> {
        self.writer.write(move |db| change::set_password(db, &password)).await
    }

    async fn account_end_sessions(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.writer.write(move |db| change::end_sessions(db, user, None, now)).await
    }

    async fn account_set_admin(&self, user: UserId, is_admin: bool, even_last: bool) -> StoreResult<Changed> {
        self.writer.write(move |db| change::set_admin(db, user, is_admin, even_last)).await
    }

    async fn account_activity(&self, user: UserId, now: Timestamp) -> StoreResult<Activity> {
        self.readers.read(move |db| activity::activity(db, user, now)).await
    }

    async fn account_usage(&self, user: Option<UserId>, since: Timestamp) -> StoreResult<Vec<UsageOfDay>> {
        self.readers.read(move |db| usage::list(db, user, since)).await
    }

    async fn account_delete(&self, user: UserId, even_last: bool, now: Timestamp) -> StoreResult<Changed> {
        self.writer.write(move |db| change::delete(db, user, even_last, now)).await
    }

    async fn account_erase(&self, user: Option<UserId>, slice: usize) -> StoreResult<Erased> {
        let erase = |is_served| {
            self.writer.run(Synchronous::Normal, move |session| {
                session.transaction(|db| erase::erase(db, user, is_served, &mut Slice::begin(slice)))
            })
        };
        let erased = erase(true).await?;
        if let (Erased::Waits(_), Some(data_dir)) = (erased, &self.guest_of) {
            let failed = |error| StoreError::Unavailable(Box::new(error));
            // While it is held nobody begins to serve, so nobody goes on with an answer that goes.
            let lock = open::try_lock(data_dir).map_err(failed)?;
            if lock.is_some() {
                return erase(false).await;
            }
        }
        Ok(erased)
    }
}

#[async_trait::async_trait]
impl Instance for SqliteStore {
    async fn instance_word(&self, first: &str) -> StoreResult<String> {
        let first = first.to_owned();
        self.writer.write(move |db| account::instance_word(db, &first)).await
    }
}
