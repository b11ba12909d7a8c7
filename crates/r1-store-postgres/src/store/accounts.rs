//! What is done with accounts.

use r1_domain::{
    accounts::{Accounts, Activity, Changed, Erased, NewPassword, UsageOfDay},
    id::{SessionId, UserId},
    instance::Instance,
    nodes::Nodes,
    store::StoreResult,
    time::Timestamp,
};

use super::PostgresStore;
use crate::{
    account::{self, activity, change},
    erase, usage,
};

#[async_trait::async_trait]
impl Accounts for PostgresStore {
    async fn account_set_password(&self, password: NewPassword) -> StoreResult<Option<Vec<SessionId>>> {
        let password = &password;
        self.pool.write(|db| async move { change::set_password(&db, password).await }).await
    }

    async fn account_end_sessions(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.pool.write(|db| async move { change::end_sessions(&db, user, now).await }).await
    }

    async fn account_set_admin(&self, user: UserId, is_admin: bool, even_last: bool) -> StoreResult<Changed> {
        self.pool.write(|db| async move { change::set_admin(&db, user, is_admin, even_last).await }).await
    }

    async fn account_activity(&self, user: UserId, now: Timestamp) -> StoreResult<Activity> {
        self.pool.read(|db| async move { activity::activity(&db, user, now).await }).await
    }

    async fn account_usage(&self, user: Option<UserId>, since: Timestamp) -> StoreResult<Vec<UsageOfDay>> {
        self.pool.read(|db| async move { usage::list(&db, user, since).await }).await
    }

    async fn account_delete(&self, user: UserId, even_last: bool, now: Timestamp) -> StoreResult<Changed> {
        self.pool.write(|db| async move { change::delete(&db, user, even_last, now).await }).await
    }

    async fn account_erase(&self, user: Option<UserId>, slice: usize) -> StoreResult<Erased> {
        let erase = || self.pool.write(|db| async move { erase::erase(&db, user, slice).await });
        match erase().await? {
            // Of nodes that are gone nobody waits for: what they ran may be taken over, or removed.
            Erased::Waits(_) if self.reap().await? > 0 => erase().await,
            erased => Ok(erased),
        }
    }
}

#[async_trait::async_trait]
impl Instance for PostgresStore {
    async fn instance_word(&self, first: &str) -> StoreResult<String> {
        self.pool.write(|db| async move { account::instance_word(&db, first).await }).await
    }
}
