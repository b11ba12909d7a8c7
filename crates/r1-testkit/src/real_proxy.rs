//! Real proxy programs, from the system's packages: tinyproxy for HTTP, microsocks for SOCKS.
//!
//! Behind them lies an [`Outside`]: a network whose names only the proxy can reach, as it is where
//! nothing leads out but a proxy.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::bail;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::program;

/// Largest head of a request that [`Outside`] takes.
const HEAD_LIMIT: usize = 16 * 1024;
/// How often a start is tried: another process may take a free port before the program does.
const TRIES: usize = 5;

/// How a [`RealProxy`] is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// The name and password that it wants.
    pub password: Option<(&'a str, &'a str)>,
    /// The only port that it connects to.
    pub only_port: Option<u16>,
    /// What it reaches the world through; without it, its own machine.
    pub outside: Option<SocketAddr>,
}

/// A running proxy program. Dropping it ends the process.
pub struct RealProxy {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl RealProxy {
    /// Starts tinyproxy: an HTTP proxy.
    ///
    /// # Errors
    /// It is not installed (the text says how), or does not start.
    pub async fn http(rules: Rules<'_>) -> anyhow::Result<Self> {
        let program = program::find("TINYPROXY", "tinyproxy", "tinyproxy-bin")?;
        Self::start(|directory, address| {
            let mut config = format!(
                "Port {}\nListen {}\nTimeout 600\nMaxClients 100\nLogFile \"{}\"\nLogLevel Connect\n",
                address.port(),
                address.ip(),
                directory.join("log").display()
            );
            if let Some((name, password)) = rules.password {
                config.push_str(&format!("BasicAuth {name} {password}\n"));
            }
            if let Some(port) = rules.only_port {
                config.push_str(&format!("ConnectPort {port}\n"));
            }
            if let Some(outside) = rules.outside {
                config.push_str(&format!("Upstream http {outside}\n"));
            }
            let path = directory.join("conf");
            std::fs::write(&path, config)?;
            let mut command = Command::new(&program);
            command.arg("-d").arg("-c").arg(path);
            Ok(command)
        })
        .await
    }

    /// Starts microsocks: a SOCKS5 proxy. Only the password of `rules` is for it.
    ///
    /// # Errors
    /// As [`Self::http`].
    pub async fn socks(rules: Rules<'_>) -> anyhow::Result<Self> {
        let program = program::find("MICROSOCKS", "microsocks", "microsocks")?;
        Self::start(|directory, address| {
            let mut command = Command::new(&program);
            command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string()]);
            if let Some((name, password)) = rules.password {
                command.args(["-u", name, "-P", password]);
            }
            command.stderr(std::fs::File::create(directory.join("log"))?);
            Ok(command)
        })
        .await
    }

    async fn start(command: impl Fn(&std::path::Path, SocketAddr) -> anyhow::Result<Command>) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            let directory = tempfile::tempdir()?;
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
            let mut command = command(directory.path(), address)?;
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
            let log = directory.path().join("log");
            let mut proxy = Self { child, address, log, _directory: directory };
            if proxy.is_up().await {
                return Ok(proxy);
            }
        }
        bail!("the proxy does not start")
    }

    /// Waits until it takes connections; false if it has ended.
    async fn is_up(&mut self) -> bool {
        loop {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said so far.
    ///
    /// # Errors
    /// The file system's.
    pub fn log(&self) -> io::Result<String> {
        std::fs::read_to_string(&self.log)
    }
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network of names that no resolver knows. Proxies reach it by asking it to connect (CONNECT).
/// Dropping it closes everything.
pub struct Outside {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    closing: CancellationToken,
}

impl Outside {
    /// Starts one in which these names and ports, such as `api.example.com:443`, are these servers.
    ///
    /// # Errors
    /// The operating system's, when there is no port.
    pub async fn start(servers: impl IntoIterator<Item = (String, SocketAddr)>) -> io::Result<Self> {
        let servers: Arc<HashMap<String, SocketAddr>> = Arc::new(servers.into_iter().collect());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let outside =
            Self { address: listener.local_addr()?, asked: Arc::default(), closing: CancellationToken::new() };
        let (asked, closing, tasks) = (outside.asked.clone(), outside.closing.clone(), TaskTracker::new());
        tasks.clone().spawn(async move {
            while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
                let Ok((client, _)) = accepted else { continue };
                let (servers, asked, closing) = (servers.clone(), asked.clone(), closing.clone());
                tasks.spawn(async move {
                    // Whoever leaves in between is what a test is about.
                    closing.run_until_cancelled(connect(client, &servers, &asked)).await
                });
            }
        });
        Ok(outside)
    }

    /// Where proxies find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was to be connected to so far, as `name:port`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn connect(
    mut client: TcpStream,
    servers: &HashMap<String, SocketAddr>,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    asked.lock().push(target.to_owned());
    let Some(server) = servers.get(target) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
    };
    let mut server = TcpStream::connect(server).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
