use std::sync::atomic::AtomicU32;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use r1_domain::{
    id::{JobId, UserId},
    jobs::NewJob,
    time::SystemClock,
};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::sync::mpsc;

use super::*;

const KIND: &str = "test";
/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A handler that a test plays: each attempt comes to it, and waits for what becomes of it.
struct Played(mpsc::Sender<(Job, tokio::sync::oneshot::Sender<Result<(), JobError>>)>);

impl Handler for Played {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn attempts(&self) -> u32 {
        3
    }

    fn time(&self) -> Duration {
        PATIENCE
    }

    fn run<'a>(&'a self, job: &'a Job, progress: &'a Progress) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async move {
            let (answer, answered) = tokio::sync::oneshot::channel();
            self.0.send((job.clone(), answer)).await.unwrap();
            if job.progress.is_none() {
                progress.keep("{\"begun\":true}").await?;
            }
            answered.await.unwrap()
        })
    }
}

/// A lease that a test takes away.
struct Leased(Mutex<Option<Held>>, AtomicU32);

impl Leased {
    fn join(&self) -> Held {
        let held = Held { node_id: NodeId::new(SystemClock.now()), over: CancellationToken::new() };
        *self.0.lock() = Some(held.clone());
        held
    }
}

impl Lease for Leased {
    fn held(&self) -> Option<Held> {
        self.0.lock().clone()
    }

    fn tell(&self, signal: Signal) {
        assert_eq!(signal, Signal::Jobs);
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<Ending>>);

impl Observer for Seen {
    fn attempted(&self, kind: &'static str, ending: Ending, _: Duration) {
        assert_eq!(kind, KIND);
        self.0.lock().push(ending);
    }
}

struct World {
    store: Arc<dyn Store>,
    lease: Arc<Leased>,
    seen: Arc<Seen>,
    runner: Arc<Runner>,
    attempts: mpsc::Receiver<(Job, tokio::sync::oneshot::Sender<Result<(), JobError>>)>,
    tasks: JoinSet<()>,
    stopping: CancellationToken,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&SqliteOptions::new(directory.path())).unwrap());
        let (lease, seen) = (Arc::new(Leased(Mutex::default(), AtomicU32::new(0))), Arc::<Seen>::default());
        lease.join();
        let (send, attempts) = mpsc::channel(1);
        let handlers: Vec<Arc<dyn Handler>> = vec![Arc::new(Played(send))];
        let runner =
            Runner::new(store.clone(), Arc::new(SystemClock), lease.clone(), seen.clone(), handlers, Arc::default());
        let (tasks, stopping) = (JoinSet::new(), CancellationToken::new());
        Self { store, lease, seen, runner, attempts, tasks, stopping, _directory: directory }
    }

    fn start(&mut self) {
        self.tasks.spawn(self.runner.clone().run(self.stopping.clone()));
    }

    async fn add(&self, key: &str) {
        let now = SystemClock.now();
        let (id, owner, key) = (JobId::new(now), UserId::new(now), key.to_owned());
        let job = NewJob { id, owner, conversation: None, kind: KIND, key, payload: "{}".to_owned(), now };
        assert!(self.store.job_add(job).await.unwrap());
        self.runner.wake();
    }

    /// The next attempt.
    async fn attempt(&mut self) -> (Job, tokio::sync::oneshot::Sender<Result<(), JobError>>) {
        timeout(PATIENCE, self.attempts.recv()).await.unwrap().unwrap()
    }

    /// Waits until attempts have ended so.
    async fn ended(&self, endings: &[Ending]) {
        let ended = async {
            while *self.seen.0.lock() != endings || self.runner.running() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("{:?}", self.seen.0.lock()));
    }

    /// What another node finds that comes when this one is gone.
    async fn left(&self) -> Vec<Job> {
        let (node, later) = (NodeId::new(SystemClock.now()), SystemClock.now().plus(Duration::from_secs(3600)));
        self.store.job_claim(node, &[KIND], 100, later).await.unwrap()
    }

    async fn stop(mut self) -> Self {
        self.stopping.cancel();
        timeout(PATIENCE, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
        self
    }
}

fn soon() -> Result<(), JobError> {
    Err(JobError::Passing { why: "on purpose".to_owned(), after: Some(Duration::from_millis(20)) })
}

#[tokio::test]
async fn what_is_handed_in_is_done() {
    let mut world = World::new();
    world.add("before").await;
    world.start();
    let (job, answer) = world.attempt().await;
    assert_eq!((job.attempts, world.runner.running()), (1, 1));
    answer.send(Ok(())).unwrap();
    world.ended(&[Ending::Done]).await;
    world.add("while it runs").await;
    world.attempt().await.1.send(Ok(())).unwrap();
    world.ended(&[Ending::Done, Ending::Done]).await;
    assert!(world.stop().await.left().await.is_empty());
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_a_bounded_number_of_times() {
    let mut world = World::new();
    world.start();
    world.add("a").await;
    for attempt in 1..=3 {
        let (job, answer) = world.attempt().await;
        let kept = job.progress.as_deref();
        assert_eq!((job.attempts, kept), (attempt, (attempt > 1).then_some("{\"begun\":true}")));
        answer.send(soon()).unwrap();
    }
    world.ended(&[Ending::Retried, Ending::Retried, Ending::Failed]).await;
    world.add("b").await;
    world.attempt().await.1.send(Err(JobError::lasting("on purpose"))).unwrap();
    world.ended(&[Ending::Retried, Ending::Retried, Ending::Failed, Ending::Failed]).await;
    assert!(world.stop().await.left().await.is_empty());
}

#[tokio::test]
async fn as_many_run_as_may_and_others_are_told_of_more() {
    let mut world = World::new();
    for number in 0..6 {
        world.add(&number.to_string()).await;
    }
    world.start();
    let mut answers = Vec::new();
    for _ in 0..AT_ONCE {
        answers.push(world.attempt().await.1);
    }
    assert_eq!((world.runner.running(), world.lease.1.load(Ordering::Relaxed)), (AT_ONCE, 1));
    world.runner.wake();
    sleep(Duration::from_millis(50)).await;
    assert!(world.attempts.try_recv().is_err(), "no more at a time");
    for answer in answers {
        answer.send(Ok(())).unwrap();
    }
    for _ in AT_ONCE..6 {
        world.attempt().await.1.send(Ok(())).unwrap();
    }
    world.ended(&[Ending::Done; 6]).await;
    world.stop().await;
}

#[tokio::test]
async fn at_the_shutdown_a_job_is_given_back_as_it_was() {
    let mut world = World::new();
    world.start();
    world.add("a").await;
    let (_, _answer) = world.attempt().await;
    let world = world.stop().await;
    assert_eq!(world.runner.running(), 0);
    let left = world.left().await;
    assert_eq!(left.iter().map(|job| job.attempts).collect::<Vec<_>>(), [1], "that attempt does not count");
    assert!(world.seen.0.lock().is_empty());
}

#[tokio::test]
async fn without_its_lease_a_node_goes_on_with_nothing() {
    let mut world = World::new();
    world.start();
    world.add("a").await;
    let (first, answer) = world.attempt().await;
    let held = world.lease.0.lock().take().unwrap();
    held.over.cancel();
    let dropped = async {
        while !answer.is_closed() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, dropped).await.unwrap();
    world.runner.wake();
    sleep(Duration::from_millis(50)).await;
    assert!(world.attempts.try_recv().is_err(), "nothing is claimed without one");
    // Under another id what the old one had is as good as anybody's.
    world.lease.join();
    world.runner.wake();
    let (second, answer) = world.attempt().await;
    assert_eq!((second.claim.id, second.attempts), (first.claim.id, 2));
    answer.send(Ok(())).unwrap();
    world.ended(&[Ending::Done]).await;
    world.stop().await;
}

#[tokio::test]
async fn what_kills_its_nodes_is_given_up() {
    let mut world = World::new();
    world.add("a").await;
    for attempt in 1..=3 {
        assert_eq!(world.left().await[0].attempts, attempt);
    }
    world.start();
    world.ended(&[Ending::Failed]).await;
    assert!(world.attempts.try_recv().is_err(), "not once more");
    assert!(world.stop().await.left().await.is_empty());
}

#[test]
fn pauses_grow_to_a_bound() {
    let pauses: Vec<_> = [1, 2, 3, 4, 5, 1000].map(|attempt| pause_after(attempt).as_secs()).to_vec();
    assert_eq!(pauses, [2, 8, 32, 128, 300, 300]);
}
