//! What a server says about its models: the list, and what it knows of each.
//!
//! `GET …/models` is all that everybody has. Some say more there ([`facts`]); some have a place of
//! their own for it ([`servers`]), which is asked where the list gives them away. What a model is
//! for ([`purpose`]) is the server's word where there is one, else its name's.
//!
//! **Invariant:** an entry that can't be read costs itself alone, and whatever a server sends, no
//! more than [`MODELS`] entries are kept and no more than [`BYTES`] bytes are read.

mod entries;
mod facts;
mod purpose;
mod servers;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use r1_domain::provider::Abilities;
use reqwest::{Client, RequestBuilder, Response, Url};

pub(crate) use purpose::is_for_chat;
pub(crate) use servers::Server;

/// Most models of one server that are kept.
const MODELS: usize = 10_000;
/// How much of a list is read, in bytes.
const BYTES: usize = 16 << 20;
/// How long a list may take, from the request to its last byte.
const LIST_TIME: Duration = Duration::from_secs(60);

/// A model as its server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// What it is asked for by, exactly as listed.
    pub(crate) id: String,
    /// What to show in its place.
    pub(crate) title: Option<String>,
    /// Whether it is offered for chat.
    pub(crate) is_chat: bool,
    /// What the server says of it.
    pub(crate) abilities: Abilities,
}

/// A list that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    /// In the server's order, each id once.
    pub(crate) models: Vec<Listed>,
    /// Which program sent it, where that can be seen.
    pub(crate) server: Option<Server>,
}

/// Why there is no list. No address, no key and no word of the server's is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListFault {
    #[error("it can't be reached")]
    Unreachable,
    #[error("its list did not come within {} s", LIST_TIME.as_secs())]
    Late,
    #[error("it rejected the key (status {0})")]
    Key(u16),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its list broke off")]
    Broken,
    #[error("its list is longer than {} MiB", BYTES >> 20)]
    TooLong,
    #[error("it sent a web page; its base URL is probably wrong")]
    WebPage,
    #[error("what it sent is no list of models")]
    NoList,
}

impl ListFault {
    /// Whether who gives no list for this reason will give no answer either. Others who do not list may answer.
    pub(crate) fn is_grave(self) -> bool {
        matches!(self, Self::Unreachable | Self::Key(_))
    }

    /// Whether the provider would list its models for another key.
    pub(crate) fn is_about_the_key(self) -> bool {
        matches!(self, Self::Key(_))
    }
}

/// Where and how a server is asked.
pub(crate) struct Asking<'a> {
    pub(crate) client: &'a Client,
    /// `…/models`.
    pub(crate) models: &'a Url,
    /// Adds the key to a request, and whatever else belongs there.
    pub(crate) authorize: &'a (dyn Fn(RequestBuilder) -> RequestBuilder + Send + Sync),
    /// The program that is expected to be there, where the list does not say.
    pub(crate) expected: Option<Server>,
}

impl Asking<'_> {
    /// Asks for the list, and for what else the server knows of its models.
    pub(crate) async fn list(&self) -> Result<List, ListFault> {
        let mut list = self.plain_list().await?;
        self.complete(&mut list).await;
        Ok(list)
    }

    /// Asks for the list alone.
    pub(crate) async fn plain_list(&self) -> Result<List, ListFault> {
        tokio::time::timeout(LIST_TIME, self.request_list()).await.map_err(|_| ListFault::Late)?
    }

    /// Adds what else the server knows.
    pub(crate) async fn complete(&self, list: &mut List) {
        list.server = servers::complete(self, list).await;
    }

    async fn request_list(&self) -> Result<List, ListFault> {
        let request = (self.authorize)(self.client.get(self.models.clone()));
        let response = request.send().await.map_err(|error| {
            tracing::debug!(cause = %error.without_url(), "a list of models did not come");
            ListFault::Unreachable
        })?;
        let status = response.status();
        match status.as_u16() {
            code @ (401 | 403) => return Err(ListFault::Key(code)),
            code if !status.is_success() => return Err(ListFault::Status(code)),
            _ => {}
        }
        if is_encoded(response.headers()) {
            return Err(ListFault::NoList);
        }
        let is_page = is_html(response.headers());
        let body = read_up_to(response, BYTES).await?;
        let entries = entries::read(&body, MODELS);
        entries.ok_or(if is_page || body.trim_ascii_start().starts_with(b"<") {
            ListFault::WebPage
        } else {
            ListFault::NoList
        })
    }

    /// Where the server's own API starts: what stands before `/v1/models`. None where nothing does.
    fn root(&self) -> Option<Url> {
        let path = self.models.path().strip_suffix("/v1/models")?.to_owned();
        let mut root = self.models.clone();
        root.set_path(&path);
        Some(root)
    }
}

/// The models that a list may be looked up in, however many hold it.
pub(crate) type Models = Arc<[Listed]>;

/// Reads a body, which must end within `limit` bytes.
pub(crate) async fn read_up_to(mut response: Response, limit: usize) -> Result<Vec<u8>, ListFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| ListFault::Broken)? {
        if chunk.len() > limit - body.len() {
            return Err(ListFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No encoding was asked for, and decoding one that comes all the same would open the door to bombs.
fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    encoding.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"))
}

fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("text/html"))
}
