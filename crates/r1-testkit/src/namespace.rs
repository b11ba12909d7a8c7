//! A network of a process's own, whose cables can be pulled: nothing that is sent arrives, and nobody is told.
//!
//! Linux only, with `ip` (iproute2) and the right to make network namespaces.

use std::{net::Ipv4Addr, process::Command as Blocking};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// An address that no device has: what is sent there is dropped.
const NOBODY: &str = "02:00:00:00:00:01";
/// Cables of each namespace.
const CABLES: usize = 2;

/// Gone when dropped, with its cables.
pub struct Namespace {
    name: String,
    /// Of the network that its addresses are from.
    network: u16,
}

/// One of a namespace's ways out.
#[derive(Debug, Clone, Copy)]
pub struct Cable<'a> {
    namespace: &'a Namespace,
    number: usize,
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Namespace {
    /// One with two cables to this machine. None where that is not allowed.
    ///
    /// # Errors
    /// It is allowed, and fails.
    pub fn make() -> Result<Option<Self>> {
        let network = rand::random();
        let namespace = Self { name: format!("r1-{network:04x}"), network };
        if ip(&format!("netns add {}", namespace.name)).is_err() {
            return Ok(None);
        }
        let name = &namespace.name;
        ip(&format!("-n {name} link set lo up"))?;
        for cable in namespace.cables() {
            let (here, there) = cable.devices();
            ip(&format!("link add {here} type veth peer name {there} netns {name}"))?;
            ip(&format!("addr add {}/30 dev {here}", cable.here()))?;
            ip(&format!("-n {name} addr add {}/30 dev {there}", cable.there()))?;
            ip(&format!("link set {here} up"))?;
            ip(&format!("-n {name} link set {there} up"))?;
        }
        Ok(Some(namespace))
    }

    /// Its cables.
    #[must_use]
    pub fn cables(&self) -> [Cable<'_>; CABLES] {
        std::array::from_fn(|number| Cable { namespace: self, number })
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.name));
    }
}

impl Cable<'_> {
    /// This machine's address on it.
    #[must_use]
    pub fn here(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The namespace's.
    #[must_use]
    pub fn there(self) -> Ipv4Addr {
        self.address(2)
    }

    /// Pulls it.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn pull(self) -> Result<()> {
        let (here, there) = self.devices();
        let name = &self.namespace.name;
        ip(&format!("neigh replace {} lladdr {NOBODY} nud permanent dev {here}", self.there()))?;
        ip(&format!("-n {name} neigh replace {} lladdr {NOBODY} nud permanent dev {there}", self.here()))
    }

    /// Puts it back.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn plug(self) -> Result<()> {
        let (here, there) = self.devices();
        ip(&format!("neigh del {} dev {here}", self.there()))?;
        ip(&format!("-n {} neigh del {} dev {there}", self.namespace.name, self.here()))
    }

    fn address(self, host: u8) -> Ipv4Addr {
        let [high, low] = self.namespace.network.to_be_bytes();
        // Of the shared address space (RFC 6598), where this machine has least.
        Ipv4Addr::new(100, 64 + high % 64, low, u8::try_from(self.number).unwrap_or_default() * 4 + host)
    }

    fn devices(self) -> (String, String) {
        let of = format!("r1{:04x}{}", self.namespace.network, self.number);
        (format!("{of}h"), format!("{of}n"))
    }
}

fn ip(arguments: &str) -> Result<()> {
    let said = Blocking::new("ip").args(arguments.split(' ')).output().context("ip")?;
    ensure!(said.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}
