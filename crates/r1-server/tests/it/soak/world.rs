//! What a run of the harness shares: the upstream, the proxy before the server, users, and what has
//! happened so far.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use r1_domain::id::GenerationId;
use r1_testkit::{
    follower::{Follower, Origin, insist, request},
    proxy::Proxy,
    upstream::Upstream,
};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::answer::Answers;
use crate::support::{Server, Setup, expect};

/// Who asks; the last one only looks where nothing is his.
const USERS: [&str; 4] = ["ada", "bob", "cleo", "mallory"];
pub(super) const ASKING: usize = USERS.len() - 1;

/// A model, and whether its provider can go on from a partial answer.
pub(super) const MODELS: [(&str, bool); 4] =
    [("unable/m", false), ("plain/m", true), ("vllm/m", true), ("prefix/m", true)];

pub(super) struct World {
    pub(super) upstream: Upstream,
    pub(super) answers: Arc<Answers>,
    pub(super) proxy: Proxy,
    http: reqwest::Client,
    base: String,
    tokens: Vec<String>,
    /// Requests for an answer that were sent.
    pub(super) sent: AtomicU64,
    /// The generations of the round, for those who must not see them.
    pub(super) generations: Mutex<Vec<(GenerationId, String)>>,
    /// Whether the server was asked to end in this round.
    pub(super) terminated: AtomicBool,
}

impl World {
    /// In this directory; the server is up.
    pub(super) async fn new(directory: &Path) -> Result<(Self, Server)> {
        Self::with(Setup::within(directory)?).await
    }

    /// With this setup, changed to know the upstream.
    pub(super) async fn with(setup: Setup) -> Result<(Self, Server)> {
        let upstream = Upstream::start().await?;
        let answers = Answers::given_by(&upstream);
        let mut setup = setup
            .set("SERVER__SHUTDOWN_DEADLINE", "4s")
            .set("AUTH__ACCESS_TOKEN_TTL", "30d")
            .set("DEFAULT_MODEL", MODELS[0].0);
        for (model, continues) in MODELS {
            let name = model.trim_end_matches("/m");
            setup = setup.set(&format!("PROVIDERS__{}__BASE_URL", name.to_uppercase()), &upstream.base_url());
            if continues {
                setup = setup.set(&format!("PROVIDERS__{}__CONTINUES", name.to_uppercase()), name);
            }
        }
        let server = setup.start().await?;
        let mut tokens = Vec::new();
        for name in USERS {
            tokens.push(server.user(name).await?.token.context("a token")?);
        }
        let proxy = Proxy::start().await?;
        let base = format!("{}/api/v1", proxy.url());
        let world = Self {
            upstream,
            answers,
            proxy,
            http: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?,
            base,
            tokens,
            sent: AtomicU64::new(0),
            generations: Mutex::default(),
            terminated: AtomicBool::new(false),
        };
        world.lead_to(&server)?;
        Ok((world, server))
    }

    /// Clients find this server from now on.
    pub(super) fn lead_to(&self, server: &Server) -> Result<()> {
        self.proxy.lead_to(Some(server.api.trim_start_matches("http://").parse()?));
        Ok(())
    }

    pub(super) fn follower(&self, user: usize, origin: Origin) -> Follower {
        Follower::new(self.http.clone(), &self.base, &self.tokens[user], origin)
    }

    /// A request to `/api/v1{path}` by a user, or by the last one, to whom nothing belongs.
    pub(super) fn request(&self, user: usize, method: Method, path: &str) -> reqwest::RequestBuilder {
        request(&self.http, method, &format!("{}{path}", self.base), &self.tokens[user])
    }

    /// Sends a request with an idempotency key until it is answered.
    pub(super) async fn post(&self, user: usize, path: &str, key: &str, body: &Value) -> Result<Response> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        insist(&self.request(user, Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// GET until 200; JSON. A body that is cut off is asked for again.
    pub(super) async fn read(&self, user: usize, path: &str) -> Result<Value> {
        loop {
            let response = insist(&self.request(user, Method::GET, path)).await?;
            match expect(response, StatusCode::OK).await {
                Err(error) if error.is::<reqwest::Error>() => {}
                other => return other,
            }
        }
    }

    /// The messages of a conversation.
    pub(super) async fn messages(&self, user: usize, conversation: &str) -> Result<Vec<Value>> {
        let page = self.read(user, &format!("/conversations/{conversation}/messages?limit=200")).await?;
        page["messages"].as_array().cloned().context("messages")
    }
}
