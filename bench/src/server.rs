//! The server under test, as a process with a data directory of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::json;

use crate::{
    client::{Client, request},
    process::Process,
};

/// Every account's password.
const PASSWORD: &str = "bench-password-1";

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// What to start.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    pub(crate) upstream: SocketAddr,
    /// Settings beside those that every run has, as environment variables.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Setup {
    /// Starts it on this directory: everything on, but the limits on users, which a load would hit.
    pub(crate) fn start(&self, data_dir: &Path) -> anyhow::Result<Server> {
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"])
            .env("GPT_R1__LIMITS__ENABLED", "false")
            .env("GPT_R1__LOG__LEVEL", "error")
            .env("GPT_R1__LOCAL_SERVERS__LOOK", "off")
            // What is measured is answers: a title is one more, of another model's time.
            .env("GPT_R1__TITLES__ENABLED", "off")
            .env("OPENAI_BASE_URL", format!("http://{}/v1", self.upstream))
            .env("OPENAI_API_KEY", "sk-bench")
            .env("OPENAI_MODEL", "paced-1-0")
            .envs(self.settings.iter().map(|(key, value)| (*key, value)));
        let api = |line: &str| {
            line.trim().strip_prefix("API")?.trim().strip_prefix("http://")?.split('/').next()?.parse().ok()
        };
        let (process, address) = Process::start(command, api)?;
        Ok(Server { process, address })
    }
}

impl Server {
    /// Makes the account of this number and signs it in. Gives the access token.
    pub(crate) async fn register(&self, number: usize) -> anyhow::Result<String> {
        let account = json!({
            "username": format!("bench-{number}"),
            "email": format!("bench-{number}@example.com"),
            "password": PASSWORD,
        });
        let mut client = Client::connect(self.address).await?;
        client.call(request("/api/v1/auth/register", None, Some(&account))?).await?;
        self.sign_in(number).await
    }

    /// Signs an account in. Gives the access token.
    pub(crate) async fn sign_in(&self, number: usize) -> anyhow::Result<String> {
        let mut client = Client::connect(self.address).await?;
        let session = client.json(sign_in_request(number)?).await?;
        Ok(session["access_token"].as_str().context("a sign-in without a token")?.to_owned())
    }
}

/// The sign-in of an account.
pub(crate) fn sign_in_request(number: usize) -> anyhow::Result<http::Request<http_body_util::Full<bytes::Bytes>>> {
    let account = json!({"username": format!("bench-{number}"), "password": PASSWORD});
    request("/api/v1/auth/login", None, Some(&account))
}
