//! A few threads, a bounded queue, and nothing else: where hashing happens.
//!
//! **Invariant:** at most `workers` jobs run and at most `queue` wait; one more is refused at
//! once. A job whose caller has gone away is not run.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::memory::Memory;

/// A worker without work keeps its memory for this long.
const KEEP_MEMORY: Duration = Duration::from_secs(1);

/// How far the workers stand back, of 19: a tenth of the weight of other threads (sched(7)).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Why a job was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PoolError {
    /// Too many wait.
    #[error("the queue for password hashing is full")]
    Full,
    /// It panicked.
    #[error("a password hash was not finished")]
    Lost,
}

struct State {
    jobs: VecDeque<Job>,
    /// Workers without a job, those that are being woken for one included.
    idle: usize,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    queue: usize,
}

/// The threads. They end, in their own time, once this is dropped.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("waiting", &self.shared.state.lock().jobs.len()).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(workers: usize, queue: usize) -> std::io::Result<Self> {
        let workers = workers.max(1);
        let state = Mutex::new(State { jobs: VecDeque::new(), idle: workers, closed: false });
        let shared = Arc::new(Shared { state, wake: Condvar::new(), queue });
        // From here on a drop ends the threads that were started.
        let pool = Self { shared };
        for number in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let work = move || {
                stand_back();
                shared.work();
            };
            std::thread::Builder::new().name(format!("password-{number}")).spawn(work)?;
        }
        Ok(pool)
    }

    /// Runs a job on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply, done) = oneshot::channel();
        self.push(Box::new(move |memory| {
            if !reply.is_closed() {
                // Nobody left to tell: fine.
                let _ = reply.send(work(memory));
            }
        }))?;
        done.await.map_err(|_| PoolError::Lost)
    }

    fn push(&self, job: Job) -> Result<(), PoolError> {
        let mut state = self.shared.state.lock();
        // A job that an idle worker is about to take does not count as waiting.
        if state.jobs.len() >= self.shared.queue + state.idle {
            return Err(PoolError::Full);
        }
        state.jobs.push_back(job);
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

/// Lets whoever else has work go first: a hash may take twice as long, an answer's next word may not.
/// Where all processors are busy the thread still gets a tenth of one.
fn stand_back() {
    // On Linux a priority is the calling thread's; elsewhere it would be the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("passwords are hashed at the usual priority: {error}");
    }
}

impl Shared {
    fn work(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            // A panic loses this job, whose caller learns it from the dropped reply; the worker stays.
            let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
            self.state.lock().idle += 1;
        }
    }

    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut state = self.state.lock();
        let mut kept = true;
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                return Some(job);
            }
            if !kept {
                self.wake.wait(&mut state);
            } else if self.wake.wait_for(&mut state, KEEP_MEMORY).timed_out() {
                memory.release();
                kept = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A job that says when it runs and ends when it is told to.
    fn gate() -> (impl FnOnce(&mut Memory) + Send, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (entered, wait_entered) = mpsc::channel();
        let (open, wait_open) = mpsc::channel::<()>();
        let job = move |_: &mut Memory| {
            entered.send(()).unwrap();
            let _ = wait_open.recv();
        };
        (job, wait_entered, open)
    }

    #[tokio::test]
    async fn one_more_than_workers_and_queue_is_refused_at_once() {
        let pool = Pool::new(2, 3).unwrap();
        let mut open = Vec::new();
        let mut running = Vec::new();
        let mut entered = Vec::new();
        for _ in 0..5 {
            let (job, wait_entered, door) = gate();
            let mut run = Box::pin(pool.run(job));
            assert!(futures_poll(run.as_mut()).await.is_none());
            running.push(run);
            entered.push(wait_entered);
            open.push(door);
        }
        entered[0].recv().unwrap();
        entered[1].recv().unwrap();
        assert!(entered[2].try_recv().is_err(), "only two at a time");
        assert_eq!(pool.run(|_| ()).await, Err(PoolError::Full));
        drop(open);
        for run in running {
            assert_eq!(run.await, Ok(()));
        }
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn workers_stand_back_and_nobody_else() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let pool = Pool::new(1, 1).unwrap();
        assert_eq!(pool.run(move |_| priority()).await, Ok((before + NICENESS).min(19)));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_is_not_run_and_a_panic_does_not_end_a_worker() {
        let pool = Pool::new(1, 8).unwrap();
        let (job, entered, open) = gate();
        let mut first = Box::pin(pool.run(job));
        assert!(futures_poll(first.as_mut()).await.is_none());
        entered.recv().unwrap();

        let (said, heard) = mpsc::channel();
        let mut left = Box::pin(pool.run(move |_| said.send(()).unwrap()));
        assert!(futures_poll(left.as_mut()).await.is_none());
        drop(left);
        drop(open);
        assert_eq!(first.await, Ok(()));
        assert!(heard.recv().is_err(), "dropped without being run");

        assert_eq!(pool.run(|_| panic!("on purpose")).await, Err::<(), _>(PoolError::Lost));
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }
}
