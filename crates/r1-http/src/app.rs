//! What handlers share.

use std::{sync::Arc, time::Duration};

use r1_auth::Auth;
use r1_domain::{provider::Models, store::Store, time::Clock};
use r1_generation::Engine;

use crate::{
    client::Forwarders,
    in_flight::Bodies,
    limits::{AttachPermits, RequestRate},
    session::Caller,
};

/// What of the configuration handlers need.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where browsers reach the server, if it was said; with `https` cookies are Secure.
    pub public_url: Option<http::Uri>,
    /// Other origins whose pages may call the API with a bearer token.
    pub cors_origins: Vec<http::HeaderValue>,
    /// Proxies whose `X-Forwarded-For` says who the client is.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// A word that tells this instance's cookies from another's on the same host.
    pub instance: String,
    /// Largest request body, in bytes; sign-in and other forms have a smaller bound of their own.
    pub body_bytes: usize,
    /// All request bodies that are in flight, in bytes.
    pub bodies_in_flight: usize,
    /// What one user, or one address of strangers, may have of those; none: all.
    pub bodies_in_flight_per_user: Option<usize>,
    /// Longest message, in characters.
    pub message_chars: usize,
    /// Streams that one user may follow at once; none: any number.
    pub attaches_per_user: Option<usize>,
    /// Requests per minute and user; none: any number.
    pub requests_per_minute: Option<u32>,
    /// A client has this long to send a request's body.
    pub request_timeout: Duration,
    /// Pause after which a quiet stream gets a heartbeat.
    pub heartbeat: Duration,
    /// Every answered request gets a line in the log, and not only a refused one.
    pub log_access: bool,
    /// Whether everybody, and not administrators alone, may read a provider's own words of a fault.
    pub show_details: bool,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`], for the handlers alone.
pub struct Parts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) attaches: AttachPermits,
    /// For requests that were accepted before, where `attaches` has no place left.
    pub(crate) repeats: AttachPermits,
    pub(crate) requests: Arc<RequestRate>,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) forwarders: Arc<Forwarders>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        auth: Arc<Auth>,
        store: Arc<dyn Store>,
        models: Arc<dyn Models>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let attaches = AttachPermits::new(settings.attaches_per_user);
        let repeats = AttachPermits::new(settings.attaches_per_user);
        let requests = Arc::new(RequestRate::new(settings.requests_per_minute));
        let bodies = Arc::new(Bodies::new(settings.bodies_in_flight, settings.bodies_in_flight_per_user));
        let forwarders = Arc::default();
        Self(Arc::new(Parts {
            engine,
            auth,
            store,
            models,
            clock,
            settings,
            attaches,
            repeats,
            requests,
            bodies,
            forwarders,
        }))
    }

    /// What handlers share from now on, with other settings. What is being counted, streams and bodies, counts on.
    #[must_use]
    pub fn with_settings(&self, settings: Settings) -> Self {
        let Parts {
            engine,
            auth,
            store,
            models,
            clock,
            settings: before,
            attaches,
            repeats,
            requests,
            bodies,
            forwarders,
        } = &*self.0;
        bodies.resize(settings.bodies_in_flight, settings.bodies_in_flight_per_user);
        let requests = if settings.requests_per_minute == before.requests_per_minute {
            requests.clone()
        } else {
            Arc::new(RequestRate::new(settings.requests_per_minute))
        };
        Self(Arc::new(Parts {
            engine: engine.clone(),
            auth: auth.clone(),
            store: store.clone(),
            models: models.clone(),
            clock: clock.clone(),
            attaches: attaches.limited_to(settings.attaches_per_user),
            repeats: repeats.limited_to(settings.attaches_per_user),
            requests,
            bodies: bodies.clone(),
            forwarders: forwarders.clone(),
            settings,
        }))
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether this user may read a provider's own words of a fault.
    pub(crate) fn shows_details(&self, caller: &Caller) -> bool {
        self.settings.show_details || caller.user().is_admin
    }

    /// Bytes of request bodies that are in flight.
    #[must_use]
    pub fn body_bytes_in_flight(&self) -> usize {
        self.bodies.used()
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
