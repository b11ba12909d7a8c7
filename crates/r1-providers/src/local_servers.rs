//! Servers of models that run on this machine, found by themselves: Ollama, LM Studio, llama.cpp,
//! vLLM and whoever else speaks their format at one of the addresses that are looked at.
//!
//! Each address is a [`Slot`] with a name, whether or not anybody is there, so that a conversation
//! keeps its model's name when the server is gone, and after a restart. It is looked at for as long
//! as [`LocalServers::keep_looking`] runs, and once more when somebody asks a model of a server that
//! is not there.
//!
//! **Invariant:** looking asks for lists, never a question. A question goes to a server only under
//! the name that it was chosen by: what is at an address under another name, or is a GPT.R1, gets
//! none.

mod slot;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use reqwest::{Client, redirect};
use tokio_util::sync::CancellationToken;

pub(crate) use slot::Found;
use slot::Slot;

use crate::redaction::Redactor;

/// How long the first look at all addresses may take before what was found is said.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// How long a connection to this machine may take.
const CONNECT: Duration = Duration::from_secs(1);

/// Where is looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalServersConfig {
    /// In this order; the first of a name gets it.
    pub addresses: Vec<LocalAddress>,
    /// Where this process listens itself: these are left out.
    pub own: Vec<SocketAddr>,
    /// How often an address where nobody was is looked at again. Others are left alone for longer.
    pub every: Duration,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// What the server there is called, as the `provider` of `provider/model`. None: by its port.
    pub name: Option<String>,
    /// Of this machine.
    pub address: SocketAddr,
}

/// All addresses that are looked at.
#[derive(Debug)]
pub(crate) struct LocalServers {
    slots: Vec<Arc<Slot>>,
    every: Duration,
}

impl LocalServers {
    /// Nobody is looked at yet. `redactor` hides what is not to be shown of their words. None where there can be no
    /// HTTP client.
    pub(crate) fn new(config: &LocalServersConfig, redactor: &Arc<Redactor>) -> Option<Self> {
        let client = Client::builder()
            .user_agent(concat!("gpt-r1/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1)
            .no_proxy()
            .http1_only()
            // This machine is spoken to without TLS.
            .tls_certs_only([])
            .build()
            .ok()?;
        let mut slots: Vec<Arc<Slot>> = Vec::new();
        for LocalAddress { name, address } in &config.addresses {
            let is_own = |own: &SocketAddr| {
                let ip = own.ip().to_canonical();
                own.port() == address.port() && (ip.is_unspecified() || ip.is_loopback())
            };
            if config.own.iter().any(is_own) || slots.iter().any(|slot| slot.address() == *address) {
                continue;
            }
            let by_port = format!("port-{}", address.port());
            let name = match name {
                Some(name) if slots.iter().any(|slot| slot.name(true) == name) => format!("{name}-{}", address.port()),
                Some(name) => name.clone(),
                None => by_port.clone(),
            };
            slots.push(Arc::new(Slot::new(name, by_port, *address, client.clone(), redactor.clone())));
        }
        Some(Self { slots, every: config.every })
    }

    /// Every name that a server found here can have, and who has it.
    pub(crate) fn found(&self) -> impl Iterator<Item = Found> {
        self.slots.iter().flat_map(Slot::names)
    }

    /// Looks at all addresses once.
    pub(crate) async fn look(&self) {
        // Who hangs is looked at again.
        join_all(self.slots.iter().map(|slot| tokio::time::timeout(FIRST_LOOK, slot.look(true)))).await;
    }

    /// Looks once, says what is there, and goes on until `closing`.
    pub(crate) async fn keep_looking(&self, closing: &CancellationToken) {
        let looking = async {
            self.look().await;
            let there: Vec<String> = self.slots.iter().filter_map(|slot| slot.summary()).collect();
            if there.is_empty() {
                tracing::info!("no model server was found on this machine; looking goes on");
            } else {
                let there = there.join(", ");
                tracing::info!("model servers found on this machine: {there}");
            }
            join_all(self.slots.iter().map(|slot| slot.keep_looking(self.every))).await;
        };
        closing.run_until_cancelled(looking).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addresses: &[(Option<&str>, &str)], own: &[&str]) -> LocalServersConfig {
        let address = |(name, address): &(Option<&str>, &str)| LocalAddress {
            name: name.map(str::to_owned),
            address: address.parse().unwrap(),
        };
        LocalServersConfig {
            addresses: addresses.iter().map(address).collect(),
            own: own.iter().map(|own| own.parse().unwrap()).collect(),
            every: Duration::from_secs(1),
        }
    }

    fn names(config: &LocalServersConfig) -> Vec<String> {
        LocalServers::new(config, &Arc::default()).unwrap().found().map(|found| found.name().to_owned()).collect()
    }

    #[test]
    fn names_belong_to_addresses() {
        let all =
            [(Some("ollama"), "127.0.0.1:11434"), (Some("vllm"), "127.0.0.1:8000"), (Some("vllm"), "127.0.0.1:8001")];
        assert_eq!(names(&config(&all, &[])), ["ollama", "port-11434", "vllm", "port-8000", "vllm-8001", "port-8001"]);
        for own in ["127.0.0.1:8000", "[::1]:8000", "0.0.0.0:8000", "[::]:8000"] {
            assert_eq!(names(&config(&all, &[own])), ["ollama", "port-11434", "vllm", "port-8001"], "{own}");
        }
        assert_eq!(names(&config(&all, &["192.0.2.1:8000"])).len(), 6, "another interface's");
        let unnamed = [(None, "127.0.0.1:5000"), (Some("mine"), "127.0.0.1:5000")];
        assert_eq!(names(&config(&unnamed, &[])), ["port-5000"], "each address once");
    }
}
