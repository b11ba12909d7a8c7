//! The list of a provider's models: asked for by one task at a time, and kept for a while.
//!
//! **Invariant:** however many ask, at most one request for the list is on its way, it has an end,
//! and nobody waits for it for more than [`PATIENCE`]. What was known stays known until a new list
//! is there; why there is none is said in the log once, and kept for whoever asks.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_domain::provider::ProviderHealth;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::listing::{ListFault, Listed, Models};

/// How long a list is good.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long a provider that gave none is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// How long a list is waited for; then it goes on in the background.
const PATIENCE: Duration = Duration::from_secs(2);

/// The list as last seen.
#[derive(Debug, Default)]
pub(super) struct ModelList {
    seen: Mutex<Seen>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Seen {
    models: Option<Models>,
    fault: Option<ListFault>,
    /// When to ask again; none: at once.
    next: Option<Instant>,
    /// The request that is on its way: closed at its end, and waited for until then.
    asking: Option<(watch::Receiver<()>, Instant)>,
}

impl ModelList {
    /// What is known, however old.
    pub(super) fn known(&self) -> Option<Models> {
        self.seen.lock().models.clone()
    }

    /// Why there is no new list, if the last request for it failed.
    pub(super) fn fault(&self) -> Option<ListFault> {
        self.seen.lock().fault
    }

    /// Adds to a report what came of asking for the list.
    pub(super) fn mention(&self, mut report: ProviderHealth) -> ProviderHealth {
        if let Some(fault) = self.fault() {
            let said = format!("its models can't be listed: {fault}");
            report.detail = Some(match report.detail {
                Some(detail) => format!("{detail}; {said}"),
                None => said,
            });
        }
        report
    }

    /// Sees to it that the list is fresh: asks by `ask` if it is time and nobody does, and waits for
    /// what is on its way.
    pub(super) async fn refresh<F>(self: &Arc<Self>, name: &Arc<str>, ask: impl FnOnce() -> F)
    where
        F: Future<Output = Result<Vec<Listed>, ListFault>> + Send + 'static,
    {
        let Some((mut asking, until)) = self.asking(name, ask) else { return };
        // It ends by being closed; nothing is ever sent.
        let _ = tokio::time::timeout_at(until, asking.changed()).await;
    }

    fn asking<F>(self: &Arc<Self>, name: &Arc<str>, ask: impl FnOnce() -> F) -> Option<(watch::Receiver<()>, Instant)>
    where
        F: Future<Output = Result<Vec<Listed>, ListFault>> + Send + 'static,
    {
        let now = Instant::now();
        let mut seen = self.seen.lock();
        if seen.asking.is_some() || self.closing.is_cancelled() || seen.next.is_some_and(|next| now < next) {
            return seen.asking.clone();
        }
        let (sender, receiver) = watch::channel(());
        let ending = Ending { list: self.clone(), _sender: sender };
        let (name, ask, closing) = (name.clone(), ask(), self.closing.clone());
        self.tasks.spawn(async move {
            if let Some(came) = closing.run_until_cancelled(ask).await {
                ending.list.learn(&name, came);
            }
            drop(ending);
        });
        seen.asking = Some((receiver, now + PATIENCE));
        seen.asking.clone()
    }

    /// What came of asking. A failure leaves the old list as it is.
    pub(super) fn learn(&self, name: &str, came: Result<Vec<Listed>, ListFault>) {
        let now = Instant::now();
        let mut seen = self.seen.lock();
        match came {
            Ok(models) => {
                if seen.fault.take().is_some() {
                    tracing::info!(provider = name, "provider {name} lists its models again");
                }
                seen.models = Some(models.into());
                seen.next = Some(now + FRESH);
            }
            Err(fault) => {
                let is_new = seen.fault.replace(fault) != Some(fault);
                // Nobody but the administrator can mend a key.
                if is_new && fault.is_about_the_key() {
                    tracing::error!(provider = name, "the models of provider {name} can't be listed: {fault}");
                } else if is_new {
                    tracing::warn!(provider = name, "the models of provider {name} can't be listed: {fault}");
                }
                seen.next = Some(now + LEFT_ALONE);
            }
        }
    }

    /// Ends the request that is on its way, and lets no further one begin.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A request's end, however it comes about.
struct Ending {
    list: Arc<ModelList>,
    _sender: watch::Sender<()>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.list.seen.lock().asking = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use r1_domain::provider::Abilities;
    use tokio::{sync::oneshot, time::advance};

    use super::*;

    fn models(ids: &[&str]) -> Vec<Listed> {
        let listed =
            |id: &&str| Listed { id: (*id).to_owned(), title: None, is_chat: true, abilities: Abilities::default() };
        ids.iter().map(listed).collect()
    }

    fn known(list: &ModelList) -> Option<Vec<String>> {
        Some(list.known()?.iter().map(|model| model.id.clone()).collect())
    }

    struct World {
        list: Arc<ModelList>,
        name: Arc<str>,
        asked: Arc<AtomicUsize>,
    }

    impl World {
        fn new() -> Self {
            Self { list: Arc::default(), name: "p".into(), asked: Arc::default() }
        }

        async fn refresh(&self, after: Duration, came: Result<Vec<Listed>, ListFault>) {
            let asked = self.asked.clone();
            let ask = || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(after).await;
                came
            };
            self.list.refresh(&self.name, ask).await;
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn one_asks_and_all_have_the_list() {
        let world = World::new();
        join_all((0..50).map(|_| world.refresh(SOON, Ok(models(&["a"]))))).await;
        assert_eq!((world.asked(), known(&world.list)), (1, Some(vec!["a".to_owned()])));
        world.refresh(SOON, Ok(models(&["b"]))).await;
        assert_eq!(world.asked(), 1, "it is fresh");
        advance(FRESH).await;
        world.refresh(SOON, Ok(models(&["b"]))).await;
        assert_eq!((world.asked(), known(&world.list)), (2, Some(vec!["b".to_owned()])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_list_goes_on_behind_those_who_asked() {
        let world = World::new();
        let begun = Instant::now();
        world.refresh(Duration::from_secs(30), Ok(models(&["late"]))).await;
        assert_eq!((begun.elapsed(), known(&world.list)), (PATIENCE, None));
        world.refresh(SOON, Ok(models(&["never"]))).await;
        assert_eq!((begun.elapsed(), world.asked()), (PATIENCE, 1), "who comes later does not wait again");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(known(&world.list), Some(vec!["late".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_leaves_the_old_list_and_is_kept() {
        let world = World::new();
        world.refresh(SOON, Ok(models(&["a"]))).await;
        advance(FRESH).await;
        world.refresh(SOON, Err(ListFault::Status(500))).await;
        assert_eq!(
            (known(&world.list), world.list.fault()),
            (Some(vec!["a".to_owned()]), Some(ListFault::Status(500)))
        );
        let report = |detail: Option<&str>| ProviderHealth {
            name: "p".to_owned(),
            status: "ok",
            detail: detail.map(str::to_owned),
        };
        let mentioned = world.list.mention(report(None));
        assert_eq!(mentioned, report(Some("its models can't be listed: it answered with status 500")));
        let mentioned = world.list.mention(report(Some("x"))).detail.unwrap();
        assert!(mentioned.starts_with("x; its models"), "{mentioned}");
        world.refresh(SOON, Ok(models(&["b"]))).await;
        assert_eq!(world.asked(), 2, "it is left alone");
        advance(LEFT_ALONE).await;
        world.refresh(SOON, Ok(models(&["b"]))).await;
        assert_eq!((known(&world.list), world.list.fault()), (Some(vec!["b".to_owned()]), None));
        assert_eq!(world.list.mention(report(None)), report(None));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_may_go_away() {
        let world = World::new();
        let slow = world.refresh(Duration::from_secs(1), Ok(models(&["a"])));
        assert!(tokio::time::timeout(SOON, slow).await.is_err());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(known(&world.list), Some(vec!["a".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_it_shall() {
        let world = World::new();
        let (held, ends) = oneshot::channel::<()>();
        let ask = || async move {
            let _held = held;
            std::future::pending().await
        };
        world.list.refresh(&world.name, ask).await;
        world.list.close().await;
        assert!(ends.await.is_err(), "what asked is gone");
        world.refresh(SOON, Ok(models(&["a"]))).await;
        assert_eq!(world.asked(), 0);
    }
}
