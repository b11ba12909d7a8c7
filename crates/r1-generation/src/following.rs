//! Logs of other nodes' generations that readers here follow.
//!
//! One read fetches what was added to all of them, each from its own seq on, so the order in which
//! transactions commit doesn't matter. A hint says when; without hints it is looked every [`POLL`] as long
//! as there is anybody to show it to. Readers are those of any log: a cursor and a wake-up.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use r1_domain::{
    id::GenerationId,
    nodes::{LogPart, Nodes},
    store::StoreResult,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    engine::Engine,
    log::{Log, SharedLog},
};

/// From one look to the next where no hint comes.
const POLL: Duration = Duration::from_millis(250);
/// From one look to the next at the least, however many hints come.
const PACE: Duration = Duration::from_millis(2);
/// At most this many logs in one read.
const LOGS: usize = 1000;

/// The logs that are followed. Each lives for as long as it has readers.
#[derive(Default)]
pub(crate) struct Following {
    logs: Mutex<HashMap<GenerationId, Weak<Log>>>,
    woken: Notify,
}

impl Following {
    /// Follows a log that was just read from storage.
    pub(crate) fn begin(&self, log: &SharedLog) {
        self.logs.lock().insert(log.id(), Arc::downgrade(log));
        self.woken.notify_one();
    }

    /// Follows a log no more. It is given back if it has readers.
    pub(crate) fn end(&self, id: GenerationId) -> Option<SharedLog> {
        self.logs.lock().remove(&id)?.upgrade().filter(|log| !log.is_closed())
    }

    /// There may be something new.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    fn live(&self) -> Vec<SharedLog> {
        let mut live = Vec::new();
        self.logs.lock().retain(|_, log| {
            let log = log.upgrade().filter(|log| !log.is_closed());
            live.extend(log.clone());
            log.is_some()
        });
        live
    }
}

impl Engine {
    /// Reads on, for as long as it is not dropped.
    pub(crate) async fn follow(&self, nodes: &dyn Nodes) {
        let mut failing_since = None;
        loop {
            let next = Instant::now() + PACE;
            let logs = self.following.live();
            let idle = logs.is_empty();
            match read_on(nodes, &logs).await {
                Ok(()) => failing_since = None,
                Err(error) => {
                    let since = *failing_since.get_or_insert_with(|| {
                        tracing::warn!("other nodes' answers can't be read now: {error}");
                        Instant::now()
                    });
                    for log in &logs {
                        log.unread(since, self.options().stall_limit);
                    }
                }
            }
            drop(logs);
            let woken = self.following.woken.notified();
            if idle {
                woken.await;
            } else {
                let _ = timeout(POLL, woken).await;
            }
            sleep_until(next).await;
        }
    }

    /// Reads on in one log now: somebody has seen more of it elsewhere.
    pub(crate) async fn read_on_now(&self, log: &SharedLog) -> StoreResult<()> {
        match self.store.nodes() {
            Some(nodes) => read_on(nodes, std::slice::from_ref(log)).await,
            None => Ok(()),
        }
    }
}

/// Adds to each log all that it has in storage.
async fn read_on(nodes: &dyn Nodes, logs: &[SharedLog]) -> StoreResult<()> {
    for logs in logs.chunks(LOGS) {
        loop {
            let cursors: Vec<(GenerationId, u64)> = logs.iter().map(|log| (log.id(), log.head().seq + 1)).collect();
            let parts = nodes.read_on(&cursors).await?;
            if !add(logs, &parts) {
                break;
            }
        }
    }
    Ok(())
}

/// Whether anything was new.
fn add(logs: &[SharedLog], parts: &[LogPart]) -> bool {
    let by_id: HashMap<GenerationId, &SharedLog> = logs.iter().map(|log| (log.id(), log)).collect();
    let mut any = false;
    for part in parts {
        let Some(log) = by_id.get(&part.generation_id) else { continue };
        match part.records.as_deref().map(|records| log.extend(part.first_seq, records)) {
            Some(Ok(new)) => any |= new,
            Some(Err(damage)) => {
                tracing::error!(generation_id = %log.id(), "the log of generation {} can't be read on: {damage}", log.id());
                log.abandon();
            }
            // Whoever comes back is told what became of it.
            None => log.abandon(),
        }
    }
    any
}
