//! Hints between nodes, by NOTIFY and LISTEN.
//!
//! Hints are sent over a connection of their own after the commit that they speak of, which they hold up
//! in no way: a NOTIFY in that transaction would have the commits of all nodes wait for each other's disk.
//! What is told while one statement is under way goes with the next, each hint once, and at most one
//! statement begins per [`PACE`].
//!
//! **Invariant:** a node that could not listen for a while is told so when it listens again, before
//! anything else.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_domain::{
    id::SessionId,
    nodes::{Bus, Signal},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use crate::{
    connection::{Connector, Db, Purpose},
    error::Fault,
};

/// From one statement to the next.
const PACE: Duration = Duration::from_millis(5);
/// Hints of different kinds, and sessions, that wait to be sent; and those that wait to be heard.
const WAITING: usize = 1024;
/// Between two looks whether the connection on which we listen still does.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(500);

const LISTEN: &str = "LISTEN gpt_r1";
const TELL: &str = "SELECT pg_notify('gpt_r1', hint) FROM unnest($1::text[]) AS hint";
const LOOK_AT_IT: &str = "SELECT 1";

/// The bus of one process. Its tasks end when it is dropped.
pub(crate) struct PostgresBus {
    telling: Arc<Telling>,
    heard: tokio::sync::Mutex<mpsc::Receiver<Signal>>,
    missed: Arc<Notify>,
    _alive: DropGuard,
}

#[derive(Default)]
struct Telling {
    signals: Mutex<Vec<Signal>>,
    filled: Notify,
}

impl PostgresBus {
    pub(crate) fn new(connector: Connector) -> Self {
        let alive = CancellationToken::new();
        let (telling, missed) = (Arc::<Telling>::default(), Arc::<Notify>::default());
        let (hear, heard) = mpsc::channel(WAITING);
        // Not a node's id: that changes when a lease lapses.
        let own = Uuid::new_v4();
        let tell = tell(connector.clone(), telling.clone(), own);
        let listen = listen(connector, hear, missed.clone(), own);
        let (tasks, ends) = (TaskTracker::new(), alive.clone());
        tasks.spawn(ends.clone().run_until_cancelled_owned(tell));
        tasks.spawn(ends.run_until_cancelled_owned(listen));
        Self { telling, heard: tokio::sync::Mutex::new(heard), missed, _alive: alive.drop_guard() }
    }
}

#[async_trait::async_trait]
impl Bus for PostgresBus {
    fn tell(&self, signal: Signal) {
        let mut signals = self.telling.signals.lock();
        if signals.len() < WAITING && !signals.contains(&signal) {
            signals.push(signal);
            drop(signals);
            self.telling.filled.notify_one();
        }
    }

    async fn hear(&self) -> Signal {
        let mut heard = self.heard.lock().await;
        tokio::select! {
            biased;
            () = self.missed.notified() => Signal::Missed,
            Some(signal) = heard.recv() => signal,
            else => std::future::pending().await,
        }
    }
}

async fn tell(connector: Connector, telling: Arc<Telling>, own: Uuid) {
    let mut current: Option<Db> = None;
    loop {
        telling.filled.notified().await;
        let next = Instant::now() + PACE;
        let signals = std::mem::take(&mut *telling.signals.lock());
        let hints: Vec<String> = signals.into_iter().filter_map(|signal| written(own, signal)).collect();
        let told = async {
            let db = match current.take().filter(Db::is_open) {
                Some(db) => db,
                None => connector.connect(Purpose::Bus).await?,
            };
            db.all(TELL, &[&hints]).await?;
            Ok::<_, Fault>(db)
        };
        match told.await {
            Ok(db) => current = Some(db),
            Err(error) => {
                tracing::debug!(%error, "other nodes can't be told anything now");
                sleep(AGAIN).await;
            }
        }
        sleep_until(next).await;
    }
}

async fn listen(connector: Connector, hear: mpsc::Sender<Signal>, missed: Arc<Notify>, own: Uuid) {
    loop {
        let (hear, lost) = (hear.clone(), missed.clone());
        let heard = move |hint: &str| {
            if let Some(signal) = read(own, hint)
                && hear.try_send(signal).is_err()
            {
                lost.notify_one();
            }
        };
        if let Err(error) = listen_once(&connector, heard, &missed).await {
            tracing::debug!(%error, "other nodes can't be heard now");
        }
        sleep(AGAIN).await;
    }
}

/// Listens until the connection is lost, and says why.
async fn listen_once(
    connector: &Connector,
    heard: impl Fn(&str) + Send + Sync + 'static,
    missed: &Notify,
) -> Result<(), Fault> {
    let db = connector.connect_to_hear(Purpose::Bus, heard).await?;
    db.batch(LISTEN).await?;
    missed.notify_one();
    while timeout(LOOK, db.ended()).await.is_err() {
        let late = |_| Fault::Late("the connection to the database is silent");
        timeout(LOOK, db.one(LOOK_AT_IT, &[])).await.map_err(late)??;
    }
    Ok(())
}

/// As it goes over the wire: who tells, and what.
fn written(own: Uuid, signal: Signal) -> Option<String> {
    let own = own.simple();
    Some(match signal {
        Signal::Log => format!("{own} log"),
        Signal::Stop => format!("{own} stop"),
        Signal::Nodes => format!("{own} nodes"),
        Signal::Jobs => format!("{own} jobs"),
        Signal::Session(id) => format!("{own} session {}", id.as_uuid()),
        Signal::Missed => return None,
    })
}

/// What another node tells. None for our own words; what a newer version may say is worth a look around.
fn read(own: Uuid, hint: &str) -> Option<Signal> {
    let (from, hint) = hint.split_once(' ')?;
    if from.parse() == Ok(own) {
        return None;
    }
    Some(match hint.split_once(' ') {
        None if hint == "log" => Signal::Log,
        None if hint == "stop" => Signal::Stop,
        None if hint == "nodes" => Signal::Nodes,
        None if hint == "jobs" => Signal::Jobs,
        Some(("session", id)) => Signal::Session(SessionId::from_uuid(id.parse().ok()?)),
        _ => Signal::Missed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_tells_another_reads_and_oneself_does_not() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let session = Signal::Session(SessionId::from_uuid(Uuid::from_u128(7)));
        for signal in [Signal::Log, Signal::Stop, Signal::Nodes, Signal::Jobs, session] {
            let hint = written(one, signal).unwrap();
            assert_eq!(read(other, &hint), Some(signal), "{hint}");
            assert_eq!(read(one, &hint), None, "{hint}");
        }
        assert_eq!(written(one, Signal::Missed), None);
        for (hint, signal) in [("x later", Some(Signal::Missed)), ("x session nobody", None), ("", None)] {
            assert_eq!(read(one, hint), signal, "{hint}");
        }
    }
}
