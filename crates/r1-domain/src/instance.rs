//! The port to what makes an instance itself, whatever its keys are.

use crate::store::StoreResult;

/// What all processes of an instance share.
#[async_trait::async_trait]
pub trait Instance: Send + Sync + 'static {
    /// The instance's word, which is part of its cookie's name: the one that was kept first. Where there is
    /// none yet, `first` is kept. It outlives the key that it came from.
    async fn instance_word(&self, first: &str) -> StoreResult<String>;
}
