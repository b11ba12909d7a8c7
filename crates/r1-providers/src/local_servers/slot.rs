//! One address of this machine, and who is there.
//!
//! A server goes by the name of its address, such as `ollama`, unless it gives itself away as
//! another program that is known here: then it is `port-11434`.
//!
//! **Invariant:** of several looks at the same time the one that began last counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use r1_domain::provider::{
    Abilities, CompletionRequest, CompletionStream, Provider, ProviderError, ProviderErrorCode, ProviderHealth,
};
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    families,
    listing::{Asking, ListFault, Listed, Models, Server},
    openai::{OpenAi, OpenAiConfig},
    redaction::Redactor,
};

/// How long a question waits for a look at a server that was not there.
const LAST_LOOK: Duration = Duration::from_secs(3);
/// How long what a server says besides its list is good.
const DETAILS: Duration = Duration::from_secs(5 * 60);
/// How much of an answer about health is read, in bytes.
const HEALTH_BYTES: usize = 1 << 20;
/// A model of one's own may have to be loaded first, and read a long question: minutes.
const FIRST_TOKEN: Duration = Duration::from_secs(300);
/// A server that is there is looked at this many times less often than an empty address, and one
/// that has no models for us less often still: each look is a line in its log.
const THERE: u32 = 3;
const OTHERS: u32 = 6;

/// One address.
#[derive(Debug)]
pub(super) struct Slot {
    /// What the server is called if it may be the program that the name stands for.
    name: String,
    /// What it is called else.
    by_port: String,
    address: SocketAddr,
    client: Client,
    /// Hides what is not to be shown of the server's words.
    redactor: Arc<Redactor>,
    looks: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    presence: Presence,
    /// Number of the look that saw this.
    look: u64,
    /// What it listed last, kept when it is gone.
    models: Models,
    details_until: Option<Instant>,
    /// The client for questions, under each of the two names: made when a server is found under it.
    named: Option<OpenAi>,
    by_port: Option<OpenAi>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Presence {
    #[default]
    Nobody,
    /// Somebody who has no models for us.
    Other(Other),
    /// A server, by the address's name or not.
    There { is_named: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    GptR1,
    NoList(ListFault),
}

impl Slot {
    pub(super) fn new(
        name: String,
        by_port: String,
        address: SocketAddr,
        client: Client,
        redactor: Arc<Redactor>,
    ) -> Self {
        Self { name, by_port, address, client, redactor, looks: AtomicU64::new(0), seen: Mutex::default() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn name(&self, is_named: bool) -> &str {
        if is_named { &self.name } else { &self.by_port }
    }

    pub(super) fn names(self: &Arc<Self>) -> impl Iterator<Item = Found> + use<> {
        let slot = self.clone();
        let names = [true, false].into_iter().filter(move |is_named| *is_named || slot.name != slot.by_port);
        let slot = self.clone();
        names.map(move |is_named| Found { slot: slot.clone(), is_named })
    }

    /// Name and number of models of who is there.
    pub(super) fn summary(&self) -> Option<String> {
        let seen = self.seen.lock();
        match seen.presence {
            Presence::There { is_named } => Some(self.describe(is_named, &seen.models)),
            _ => None,
        }
    }

    fn describe(&self, is_named: bool, models: &[Listed]) -> String {
        let chat = models.iter().filter(|model| model.is_chat).count();
        format!("{} ({chat} model{})", self.name(is_named), if chat == 1 { "" } else { "s" })
    }

    pub(super) async fn keep_looking(&self, every: Duration) {
        loop {
            let presence = self.seen.lock().presence;
            let pause = match presence {
                Presence::Nobody => every,
                Presence::There { .. } => every * THERE,
                Presence::Other(_) => every * OTHERS,
            };
            tokio::time::sleep(pause).await;
            self.look(false).await;
        }
    }

    /// Looks who is there. `is_first`: what is found is said by whoever looks at all addresses.
    pub(super) async fn look(&self, is_first: bool) {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(models) = Url::parse(&format!("{}/models", self.base_url())) else { return };
        let own = Server::of_name(self.program());
        let asking = Asking { client: &self.client, models: &models, authorize: &|request| request, expected: own };
        let mut list = match asking.plain_list().await {
            Ok(list) => list,
            Err(ListFault::Unreachable) => return self.settle(look, is_first, Presence::Nobody, None),
            // Busy with an answer, perhaps: whoever was there is there still.
            Err(ListFault::Late | ListFault::Broken | ListFault::Status(500..)) if self.is_there() => return,
            Err(fault) => return self.settle(look, is_first, Presence::Other(Other::NoList(fault)), None),
        };
        let listed = self.has_listed(&list.models);
        if !listed && let Err(other) = self.is_no_gpt_r1().await {
            return self.settle(look, is_first, Presence::Other(other), None);
        }
        // One that can't be told is taken for the one whose place it is.
        let is_named = own.is_none_or(|own| list.server.is_none_or(|server| server == own));
        // Who may be asked is known now; what each model can takes a while longer.
        self.settle(
            look,
            is_first,
            Presence::There { is_named },
            (!listed).then(|| with_families(list.models.clone())),
        );
        let has_details = listed && self.seen.lock().details_until.is_some_and(|until| Instant::now() < until);
        if !has_details {
            asking.complete(&mut list).await;
            let mut seen = self.seen.lock();
            if seen.look == look {
                seen.models = with_families(list.models);
                seen.details_until = Some(Instant::now() + DETAILS);
            }
        }
    }

    fn is_there(&self) -> bool {
        matches!(self.seen.lock().presence, Presence::There { .. })
    }

    /// Whether these are the models of who is there already.
    fn has_listed(&self, models: &[Listed]) -> bool {
        let is_there = self.is_there();
        let seen = self.seen.lock();
        is_there && seen.models.iter().map(|model| &model.id).eq(models.iter().map(|model| &model.id))
    }

    fn settle(&self, look: u64, is_first: bool, presence: Presence, models: Option<Models>) {
        let mut seen = self.seen.lock();
        if seen.look > look {
            return;
        }
        seen.look = look;
        if let Some(models) = models {
            seen.models = models;
        }
        let before = std::mem::replace(&mut seen.presence, presence);
        if let Presence::There { is_named } = presence {
            let client = if is_named { &mut seen.named } else { &mut seen.by_port };
            if client.is_none() {
                *client = self.chat_client(is_named);
            }
        }
        if before != presence && !is_first {
            self.say(before, presence, &seen.models);
        }
    }

    /// The program that the name stands for: `vllm` of `vllm-8001`.
    fn program(&self) -> &str {
        let port = self.address.port().to_string();
        let plain = self.name.strip_suffix(&port).and_then(|name| name.strip_suffix('-'));
        plain.unwrap_or(&self.name)
    }

    fn say(&self, before: Presence, now: Presence, models: &[Listed]) {
        if let Presence::There { is_named } = before {
            let name = self.name(is_named);
            tracing::info!(provider = name, "{name} is gone from this machine");
        }
        let port = self.address.port();
        match now {
            Presence::There { is_named } => {
                let what = self.describe(is_named, models);
                tracing::info!(provider = self.name(is_named), "found on this machine: {what}");
            }
            Presence::Other(Other::NoList(ListFault::Key(_))) => {
                tracing::info!(
                    port,
                    "the server at port {port} of this machine wants a key: to use it, configure it as a provider"
                );
            }
            Presence::Other(Other::NoList(fault)) => {
                tracing::debug!(port, "whoever is at port {port} of this machine has no models: {fault}");
            }
            Presence::Other(Other::GptR1) => tracing::debug!(port, "at port {port} of this machine is a GPT.R1"),
            Presence::Nobody => {}
        }
    }

    fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Makes sure that no GPT.R1 answers there, which would ask its own models. One that does not say in
    /// time what it is may be one.
    async fn is_no_gpt_r1(&self) -> Result<(), Other> {
        let health = self.client.get(format!("http://{}/api/v1/health", self.address));
        let ask = async {
            let response = health.send().await.ok()?;
            let has_id = response.headers().contains_key("x-request-id");
            let body = crate::listing::read_up_to(response, HEALTH_BYTES).await.ok()?;
            Some((serde_json::from_slice::<Value>(&body).ok()?, has_id))
        };
        let health = tokio::time::timeout(LAST_LOOK, ask).await.map_err(|_| Other::NoList(ListFault::Late))?;
        let is_gpt_r1 = health.is_some_and(|(health, has_id)| {
            let tells_all =
                health["version"].is_string() && health["database"].is_object() && health["providers"].is_array();
            // To strangers it says whether it works, and nothing else.
            let tells_little = has_id && health.as_object().is_some_and(|health| health.len() == 1);
            health["status"].is_string() && (tells_all || tells_little)
        });
        if is_gpt_r1 { Err(Other::GptR1) } else { Ok(()) }
    }

    fn chat_client(&self, is_named: bool) -> Option<OpenAi> {
        let mut config = OpenAiConfig::new(self.name(is_named), self.base_url());
        config.redactor = Some(self.redactor.clone());
        config.headers_timeout = FIRST_TOKEN;
        config.idle_timeout = FIRST_TOKEN;
        let made = OpenAi::new(config);
        made.inspect_err(|faults| tracing::error!(?faults, "a server of this machine has no client")).ok()
    }

    /// The client for who is there now under this name.
    fn client(&self, is_named: bool) -> Option<OpenAi> {
        let seen = self.seen.lock();
        let client = if is_named { &seen.named } else { &seen.by_port };
        client.clone().filter(|_| seen.presence == Presence::There { is_named })
    }
}

/// Adds what is known of well-known models.
fn with_families(mut models: Vec<Listed>) -> Models {
    for model in &mut models {
        model.abilities = model.abilities.or(families::abilities_of(&model.id, true));
    }
    models.into()
}

/// A server at an address, under one of its names: there or not.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    slot: Arc<Slot>,
    is_named: bool,
}

impl Found {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        self.slot.name(self.is_named)
    }

    /// Its models; none where it is not there.
    pub(crate) fn models(&self) -> Option<Models> {
        let seen = self.slot.seen.lock();
        (seen.presence == Presence::There { is_named: self.is_named }).then(|| seen.models.clone())
    }

    /// How it is; none where it has never been there.
    pub(crate) fn health(&self) -> Option<ProviderHealth> {
        if let Some(client) = self.slot.client(self.is_named) {
            let health = client.health();
            // It has given its list to whoever looks for servers.
            let status = if health.status == "unknown" { "ok" } else { health.status };
            return Some(ProviderHealth { status, ..health });
        }
        let seen = self.slot.seen.lock();
        let client = if self.is_named { &seen.named } else { &seen.by_port };
        client.as_ref().map(|client| ProviderHealth {
            name: client.name().to_owned(),
            status: "degraded",
            detail: Some("it is not running on this machine".to_owned()),
        })
    }

    /// What is known of a model, as it was listed last.
    pub(crate) fn abilities(&self, model: &str) -> Abilities {
        let seen = self.slot.seen.lock();
        let listed = seen.models.iter().find(|listed| listed.id == model).map(|listed| listed.abilities);
        listed.unwrap_or_else(|| families::abilities_of(model, true))
    }

    /// Ends what its client does in the background.
    pub(crate) async fn close(&self) {
        let client = {
            let seen = self.slot.seen.lock();
            if self.is_named { seen.named.clone() } else { seen.by_port.clone() }
        };
        if let Some(client) = client {
            client.close().await;
        }
    }

    async fn client(&self) -> Result<OpenAi, ProviderError> {
        if let Some(client) = self.slot.client(self.is_named) {
            return Ok(client);
        }
        // It may have been started a moment ago. If it hangs, so be it.
        let _ = tokio::time::timeout(LAST_LOOK, self.slot.look(false)).await;
        self.slot.client(self.is_named).ok_or_else(|| ProviderError {
            code: ProviderErrorCode::Unreachable,
            message: format!(
                "The provider '{}' is not running on this machine. Start it, or choose another model.",
                self.name()
            ),
            detail: None,
            retryable: true,
            retry_after: None,
            status: None,
        })
    }
}

impl Provider for Found {
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        let found = self.clone();
        Box::pin(async move { found.client().await?.complete(request).await })
    }

    fn can_continue(&self) -> bool {
        false
    }
}
