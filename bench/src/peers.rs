//! Who is measured: the server under test, and what it is measured against.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::{client::request, pace::Pace};

/// The server under test.
pub(crate) const SERVER: &str = "gpt-r1";
/// The bare relay.
pub(crate) const FLOOR: &str = "floor";
/// nginx as a raw proxy.
pub(crate) const NGINX: &str = "nginx";
/// Nothing between upstream and loader.
pub(crate) const DIRECT: &str = "direct";

/// Something that streams can be opened at.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What it is called in the report.
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Whose processor time is measured.
    pub(crate) process: Option<u32>,
    /// The access token where it speaks the server's own API; none: the OpenAI format.
    pub(crate) token: Option<String>,
}

impl Target {
    /// Asks for a stream.
    pub(crate) fn ask(&self, pace: Pace) -> anyhow::Result<Request<Full<Bytes>>> {
        let model = pace.to_string();
        match &self.token {
            Some(token) => {
                let question = json!({"message": "What does a chunk cost?", "model": model});
                request("/api/v1/chat/stream", Some(token), Some(&question))
            }
            None => {
                let messages = json!([{"role": "user", "content": "What does a chunk cost?"}]);
                let question = json!({"model": model, "stream": true, "messages": messages});
                request("/v1/chat/completions", None, Some(&question))
            }
        }
    }
}
