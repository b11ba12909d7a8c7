//! What is done with accounts, handed on as reads are.

use r1_domain::{
    accounts::{Accounts, Activity, Changed, Erased, NewPassword, UsageOfDay},
    id::{SessionId, UserId},
    instance::Instance,
    store::StoreResult,
    time::Timestamp,
};

use super::{ScriptedStore, delegate::read};

#[async_trait::async_trait]
impl Accounts for ScriptedStore {
    async fn account_set_password(&self, password: NewPassword) -> StoreResult<Option<Vec<SessionId>>> {
        read!(self, account_set_password(password))
    }

    async fn account_end_sessions(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        read!(self, account_end_sessions(user, now))
    }

    async fn account_set_admin(&self, user: UserId, is_admin: bool, even_last: bool) -> StoreResult<Changed> {
        read!(self, account_set_admin(user, is_admin, even_last))
    }

    async fn account_activity(&self, user: UserId, now: Timestamp) -> StoreResult<Activity> {
        read!(self, account_activity(user, now))
    }

    async fn account_usage(&self, user: Option<UserId>, since: Timestamp) -> StoreResult<Vec<UsageOfDay>> {
        read!(self, account_usage(user, since))
    }

    async fn account_delete(&self, user: UserId, even_last: bool, now: Timestamp) -> StoreResult<Changed> {
        read!(self, account_delete(user, even_last, now))
    }

    async fn account_erase(&self, user: Option<UserId>, slice: usize) -> StoreResult<Erased> {
        read!(self, account_erase(user, slice))
    }
}

#[async_trait::async_trait]
impl Instance for ScriptedStore {
    async fn instance_word(&self, first: &str) -> StoreResult<String> {
        let first = first.to_owned();
        read!(self, instance_word(&first))
    }
}
