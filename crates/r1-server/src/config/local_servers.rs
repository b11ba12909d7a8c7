//! `[local_servers]`: whether and where servers of models are looked for on this machine.

use std::{net::SocketAddr, time::Duration};

use super::{Listen, ServerConfig, providers::LOCAL, reader::Reader};

/// Most addresses that are looked at.
const ADDRESSES: usize = 32;

/// Where is looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalServersConfig {
    /// Names, where they have one, and addresses.
    pub(crate) addresses: Vec<(Option<String>, SocketAddr)>,
    /// How often.
    pub(crate) every: Duration,
}

impl LocalServersConfig {
    /// Whether a server that is found may be called so.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.addresses.iter().any(|(own, address)| {
            let port = address.port();
            name == format!("port-{port}")
                || own.as_ref().is_some_and(|own| name == own || name == format!("{own}-{port}"))
        })
    }
}

/// Reads them; none where nobody is looked for.
pub(crate) fn read(reader: &mut Reader, server: &ServerConfig, has_providers: bool) -> Option<LocalServersConfig> {
    let look = reader.word("local_servers.look", &[("auto", None), ("on", Some(true)), ("off", Some(false))]);
    let key = "local_servers.addresses";
    let mut addresses = Vec::new();
    for text in reader.list(key) {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (Some(name.trim()), address.trim()),
            None => (None, text.as_str()),
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let is_name = |name: &str| !name.is_empty() && name != LOCAL && name.chars().all(plain);
        let remedy = "write it like \"ollama=127.0.0.1:11434\" or \"127.0.0.1:5000\"";
        match address.parse::<SocketAddr>() {
            _ if name.is_some_and(|name| !is_name(name)) => {
                reader.fault(key, format!("has {text:?}, whose name can't stand before a model's"), remedy);
            }
            Ok(address) if address.ip().to_canonical().is_loopback() && address.port() != 0 => {
                addresses.push((name.map(str::to_owned), address));
            }
            Ok(_) => {
                let remedy = "a server of another machine is configured as [providers.NAME]";
                reader.fault(key, format!("has {text:?}, which is not of this machine"), remedy);
            }
            Err(_) => reader.fault(key, format!("has {text:?}, which is no address and port"), remedy),
        }
    }
    if addresses.len() > ADDRESSES {
        reader.fault(key, format!("has more than {ADDRESSES} addresses"), "leave those out that nobody is at");
    }
    let every = reader.duration("local_servers.every", Duration::from_millis(100), Duration::from_secs(3600));
    let is_public = |listen: &Listen| listen.required.is_some() && listen.is_public();
    let is_asked_for = look.unwrap_or(!has_providers && !is_public(&server.api) && !is_public(&server.web));
    is_asked_for.then_some(LocalServersConfig { addresses, every })
}
