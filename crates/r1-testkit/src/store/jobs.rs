//! Background work, handed on as reads are.

use r1_domain::{
    id::NodeId,
    jobs::{Claim, Job, Jobs, NewJob, Release},
    store::StoreResult,
    time::Timestamp,
};

use super::{ScriptedStore, delegate::read};

#[async_trait::async_trait]
impl Jobs for ScriptedStore {
    async fn job_add(&self, job: NewJob) -> StoreResult<bool> {
        read!(self, job_add(job))
    }

    async fn job_claim(
        &self,
        node_id: NodeId,
        kinds: &[&'static str],
        most: usize,
        now: Timestamp,
    ) -> StoreResult<Vec<Job>> {
        let kinds = kinds.to_vec();
        read!(self, job_claim(node_id, &kinds, most, now))
    }

    async fn job_progress(&self, claim: Claim, progress: &str) -> StoreResult<bool> {
        let progress = progress.to_owned();
        read!(self, job_progress(claim, &progress))
    }

    async fn job_release(&self, claim: Claim, release: Release) -> StoreResult<bool> {
        read!(self, job_release(claim, release))
    }

    async fn job_end(&self, claim: Claim) -> StoreResult<bool> {
        read!(self, job_end(claim))
    }
}
