//! The task that owns the child: it walks the states until it is cancelled.

use std::{path::PathBuf, sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Phase, Shared, SupervisorOptions,
    child::Child,
    engine::{self, LaunchError},
    health,
    place::Place,
};
use crate::fetch::{self, ModelSource};

pub(super) struct Run {
    options: SupervisorOptions,
    place: Place,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    /// In a row, without a stable time in between.
    crashes: u32,
}

/// What the task does next.
enum Next {
    /// Wait until somebody asks.
    Rest,
    /// Start the child again.
    Again,
    /// Wait out the pause of a failure, then until somebody asks.
    Pause(Instant),
    /// End.
    Stop,
}

/// Says `Stopped` however the task ends, so that nobody waits for ever.
struct SayStopped(Arc<Shared>);

impl Drop for SayStopped {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Stopped);
    }
}

impl Run {
    pub(super) fn new(
        options: SupervisorOptions,
        place: Place,
        shared: Arc<Shared>,
        cancel: CancellationToken,
    ) -> Self {
        Self { options, place, shared, cancel, crashes: 0 }
    }

    pub(super) async fn run(mut self) {
        let _stopped = SayStopped(self.shared.clone());
        let mut next = Next::Rest;
        loop {
            let go_on = match next {
                Next::Rest => self.asked().await,
                Next::Again => true,
                Next::Pause(until) => self.pause(until).await && self.asked().await,
                Next::Stop => false,
            };
            if !go_on {
                return;
            }
            next = self.serve().await;
            self.has_child(None);
        }
    }

    /// False when cancelled.
    async fn asked(&self) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            () = self.shared.asked.notified() => true,
        }
    }

    /// False when cancelled.
    async fn pause(&self, until: Instant) -> bool {
        self.cancel.run_until_cancelled(tokio::time::sleep_until(until)).await.is_some()
    }

    /// One child's life, from the model file to its end.
    async fn serve(&mut self) -> Next {
        let model = match self.model().await {
            Ok(Some(model)) => model,
            Ok(None) => return Next::Stop,
            Err(error) => return self.fail(error.summary(), error.to_string()),
        };
        self.shared.phase.send_replace(Phase::Starting);
        let launch = match engine::launch(&self.options, &self.place, &model) {
            Ok(launch) => launch,
            Err(error @ (LaunchError::NotOnPath(_) | LaunchError::NoSuchProgram(_))) => {
                return self.fail("the engine is not installed".to_owned(), error.to_string());
            }
            Err(error) => return self.fail("the engine can't be started".to_owned(), error.to_string()),
        };
        // Outlives the child, however this function ends.
        let _key_file = launch.key_file;
        let mut child = match Child::start(launch.command).await {
            Ok(child) => child,
            Err(error) => {
                return self
                    .fail("the engine can't be started".to_owned(), format!("the engine can't be started: {error}"));
            }
        };
        tracing::info!(pid = child.id(), "starting the local model");
        self.has_child(child.id());
        let began = Instant::now();
        let how = tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                child.stop(self.options.timing.stop).await;
                return Next::Stop;
            }
            how = child.ended() => how,
            ready = tokio::time::timeout(self.options.timing.start, health::ready(&launch.address)) => {
                if ready.is_err() {
                    child.stop(self.options.timing.stop).await;
                    return self.crashed("not ready in time".to_owned(), String::new()).await;
                }
                tracing::info!(ms = began.elapsed().as_millis(), "the local model is ready");
                self.shared.touch();
                self.shared.phase.send_replace(Phase::Ready(launch.endpoint));
                let ready_at = Instant::now();
                match self.ready(&mut child).await {
                    Ended::Crashed(how) => {
                        if ready_at.elapsed() >= self.options.timing.stable {
                            self.crashes = 0;
                        }
                        how
                    }
                    Ended::Unused => {
                        tracing::info!("the local model was not used for a while and is unloaded");
                        child.stop(self.options.timing.stop).await;
                        self.crashes = 0;
                        return Next::Rest;
                    }
                    Ended::Cancelled => {
                        child.stop(self.options.timing.stop).await;
                        return Next::Stop;
                    }
                }
            }
        };
        // The number may be another process's from now on.
        self.has_child(None);
        // At once: nobody shall get a lease on a child that has ended.
        self.shared.phase.send_replace(Phase::Starting);
        let last_words = child.last_words().await;
        self.crashed(how, last_words).await
    }

    fn has_child(&self, pid: Option<u32>) {
        self.shared.pid.store(pid.unwrap_or_default(), Ordering::Relaxed);
    }

    /// Waits for whatever ends the ready state.
    async fn ready(&self, child: &mut Child) -> Ended {
        let mut look_again = Instant::now() + self.options.idle_unload;
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ended::Cancelled,
                how = child.ended() => return Ended::Crashed(how),
                () = self.shared.asked.notified() => self.shared.touch(),
                () = tokio::time::sleep_until(look_again) => {
                    match self.shared.leave_if_idle(self.options.idle_unload) {
                        Some(at) => look_again = at,
                        None => return Ended::Unused,
                    }
                }
            }
        }
    }

    /// The model file; none when cancelled.
    async fn model(&self) -> Result<Option<PathBuf>, fetch::FetchError> {
        let options = match &self.options.model {
            ModelSource::File(path) => return Ok(Some(path.clone())),
            ModelSource::Fetch(options) => options,
        };
        self.shared.phase.send_replace(Phase::Fetching);
        let on_progress = |progress: fetch::Progress| {
            self.shared.fetched.store(progress.done, Ordering::Relaxed);
            self.shared.fetch_total.store(progress.total, Ordering::Relaxed);
        };
        match self.cancel.run_until_cancelled(fetch::ensure(options, &on_progress)).await {
            Some(model) => model.map(Some),
            None => Ok(None),
        }
    }

    async fn crashed(&mut self, how: String, last_words: String) -> Next {
        let timing = &self.options.timing;
        self.crashes += 1;
        if self.crashes >= timing.crash_limit {
            let reason = format!("its engine failed {} times in a row ({how})", self.crashes);
            let cause = if last_words.is_empty() { reason.clone() } else { format!("{reason}: {last_words}") };
            self.crashes = 0;
            return self.fail(reason, cause);
        }
        let doublings = (self.crashes - 1).min(16);
        let backoff = timing.backoff.saturating_mul(1 << doublings).min(timing.backoff_max);
        tracing::warn!(how, last_words, "the local model's engine failed and is started again");
        if self.pause(Instant::now() + backoff).await { Next::Again } else { Next::Stop }
    }

    fn fail(&self, reason: String, cause: String) -> Next {
        tracing::error!("the local model can't be used: {cause}");
        let until = Instant::now() + self.options.timing.retry.max(Duration::from_millis(1));
        self.shared.phase.send_replace(Phase::Failed { reason, cause, until });
        Next::Pause(until)
    }
}

enum Ended {
    Crashed(String),
    Unused,
    Cancelled,
}
