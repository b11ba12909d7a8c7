//! Whether the database works: looked at once for all who ask at the same time, and not again for a
//! while.
//!
//! Anybody may ask, as often as they like, and the look goes through the writer's queue, among the requests that
//! wait there.
//!
//! **Invariant:** at most one look is in the queue or under way, whether or not anybody still waits
//! for it, and at most one begins per [`KEPT`] while writes go well.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use r1_domain::store::{StoreError, StoreResult};
use rusqlite::TransactionBehavior;
use tokio::sync::watch;

use crate::{
    account,
    error::Fault,
    reader::Readers,
    writer::{Session, Synchronous, Writer},
};

/// For this long a look's result is good enough; a good one only while no write fails.
const KEPT: Duration = Duration::from_secs(1);

/// What a look found: for many.
type Finding = Result<(), Arc<StoreError>>;

#[derive(Debug, Default)]
struct State {
    /// What was found, and when.
    newest: Option<(Instant, Finding)>,
    /// The look that is under way.
    running: Option<watch::Receiver<Option<Finding>>>,
}

/// What is known of the database's health.
#[derive(Debug, Default)]
pub(crate) struct Ping(Arc<Mutex<State>>);

/// What somebody who asks must do.
enum Step {
    Know(Finding),
    Wait(watch::Receiver<Option<Finding>>),
    Look(Report),
}

impl Ping {
    /// Answers when the database can read and write.
    pub(crate) async fn ask(&self, writer: &Writer, readers: &Readers) -> StoreResult<()> {
        loop {
            match self.step(Instant::now(), writer.is_failing()) {
                Step::Know(finding) => return answer(&finding),
                Step::Wait(mut running) => {
                    if let Ok(found) = running.wait_for(Option::is_some).await {
                        return found.as_ref().map_or(Ok(()), answer);
                    }
                    // It never came to anything: its asker went away before it was in the queue.
                }
                Step::Look(report) => {
                    let readers = readers.clone();
                    let look = move |session: &mut Session| {
                        let found = look(session, &readers).map_err(|fault| Arc::new(StoreError::from(fault)));
                        report.finish(&found);
                        Ok(answer(&found)?)
                    };
                    return writer.run(Synchronous::Normal, look).await;
                }
            }
        }
    }

    fn step(&self, now: Instant, failing: bool) -> Step {
        let mut state = self.0.lock();
        if let Some(running) = &state.running {
            return Step::Wait(running.clone());
        }
        if let Some((at, finding)) = &state.newest
            && now.saturating_duration_since(*at) < KEPT
            && (finding.is_err() || !failing)
        {
            return Step::Know(finding.clone());
        }
        let (sender, running) = watch::channel(None);
        state.running = Some(running);
        Step::Look(Report { state: Arc::clone(&self.0), sender })
    }
}

/// Held by the one look. Dropped unfinished, the next to ask looks.
struct Report {
    state: Arc<Mutex<State>>,
    sender: watch::Sender<Option<Finding>>,
}

impl Report {
    fn finish(&self, finding: &Finding) {
        self.state.lock().newest = Some((Instant::now(), finding.clone()));
        self.sender.send_replace(Some(finding.clone()));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.state.lock().running = None;
    }
}

fn look(session: &mut Session, readers: &Readers) -> Result<(), Fault> {
    session.check_disk()?;
    // Taking the write lock is proof enough while writes go well.
    if session.is_failing() {
        session.transaction(account::write_check)?;
    } else {
        let transaction = session.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.query_row("SELECT count(*) FROM setting", [], |_| Ok(()))?;
        transaction.rollback()?;
    }
    // Microseconds, and here it needs nobody to wait for it.
    readers.read_now(|db| Ok(db.query_row("SELECT count(*) FROM setting", [], |_| Ok(()))?))
}

/// A finding as one asker's own.
fn answer(finding: &Finding) -> StoreResult<()> {
    let Err(error) = finding else { return Ok(()) };
    let source = Box::new(Arc::clone(error));
    Err(match &**error {
        StoreError::Full(_) => StoreError::Full(source),
        StoreError::Unavailable(_) | StoreError::Unsynced(_) => StoreError::Unavailable(source),
        _ => StoreError::Internal(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(step: Step) -> Finding {
        match step {
            Step::Know(finding) => finding,
            _ => panic!("not known"),
        }
    }

    fn report(step: Step) -> Report {
        match step {
            Step::Look(report) => report,
            _ => panic!("no look"),
        }
    }

    #[test]
    fn a_result_is_kept_for_a_while() {
        let ping = Ping::default();
        let look = report(ping.step(Instant::now(), false));
        assert!(matches!(ping.step(Instant::now(), false), Step::Wait(_)), "one at a time");
        look.finish(&Ok(()));
        drop(look);
        let now = Instant::now();
        assert!(finding(ping.step(now, false)).is_ok());
        drop(report(ping.step(now, true)));
        let look = report(ping.step(now + KEPT, false));

        look.finish(&Err(Arc::new(StoreError::Full("a test's".into()))));
        drop(look);
        let full = answer(&finding(ping.step(Instant::now(), true)));
        assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
        drop(report(ping.step(Instant::now() + KEPT, true)));
    }
}
