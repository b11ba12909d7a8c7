//! Background work, put together: what is done, and under which lease.

use std::sync::Arc;

use r1_domain::{jobs::FollowUp, nodes::Signal, provider::Models, store::Store, time::Clock};
use r1_generation::Engine;
use r1_jobs::{
    Handler, Held, Lease, Runner,
    title::{TitleOptions, Titles},
};

use crate::{config::Config, metrics::Counted, models::Wired};

/// The engine's lease is the node's.
struct OfEngine(Arc<Engine>);

impl Lease for OfEngine {
    fn held(&self) -> Option<Held> {
        self.0.lease().map(|(node_id, over)| Held { node_id, over })
    }

    fn tell(&self, signal: Signal) {
        self.0.tell(signal);
    }
}

/// What makes titles.
pub(crate) fn titles(
    config: &Config,
    store: Arc<dyn Store>,
    models: Arc<dyn Models>,
    counted: Arc<Counted>,
) -> Arc<Titles> {
    let options = TitleOptions { model: config.titles.model.clone(), unable: Wired::unable_to_title(config) };
    Arc::new(Titles::new(store, models, counted, options))
}

/// Which work follows an answer.
pub(crate) fn follow_up(config: &Config, titles: &Arc<Titles>) -> Arc<dyn FollowUp> {
    if config.titles.enabled { titles.clone() } else { Arc::new(()) }
}

/// What does a node's jobs. What was handed in before a setting said otherwise is done too.
pub(crate) fn runner(
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    counted: Arc<Counted>,
    titles: Arc<Titles>,
) -> Arc<Runner> {
    let handlers: Vec<Arc<dyn Handler>> = vec![titles];
    let handed_in = engine.handed_in();
    Runner::new(store, clock, Arc::new(OfEngine(engine)), counted, handlers, handed_in)
}
