//! A PostgreSQL server of a test's own, to be stopped and started, and to speak TLS.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::tls::Identity;

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, and all is written.
    Fast,
    /// As if its processes had been killed: the next start recovers.
    Immediate,
}

/// A server that lives as long as this. Its only user is `postgres`, who has a password.
pub struct OwnServer {
    directory: PathBuf,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    address: SocketAddr,
}

/// Of the user `postgres`.
const PASSWORD: &str = "correct-horse";

impl OwnServer {
    /// Starts one at 127.0.0.1; with an identity it speaks TLS too.
    ///
    /// # Errors
    /// No programs of PostgreSQL's on this machine, or what they say.
    pub async fn start(identity: Option<&Identity>) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, identity).await
    }

    /// The same at another of this machine's addresses.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(address: Ipv4Addr, identity: Option<&Identity>) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("r1-postgres-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&directory)?;
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755))?;
        let address = TcpListener::bind((address, 0))?.local_addr()?;
        let server = Self { directory, programs: programs()?, owner: owner(), address };
        let data = server.directory.join("data");
        std::fs::create_dir(&data)?;
        server.give(&data)?;
        let password = server.directory.join("password");
        server.write(&password, PASSWORD)?;
        let password = password.to_str().context("a path that is text")?;
        let how = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale=C"];
        server.run("initdb", &[&how[..], &["--no-sync"]].concat()).await?;
        if let Some(identity) = identity {
            server.write(&data.join("server.crt"), &identity.certificate_pem())?;
            server.write(&data.join("server.key"), &identity.key_pem())?;
        }
        let settings = format!(
            "listen_addresses = '{}'\nport = {}\nunix_socket_directories = ''\nfsync = off\nssl = {}\n",
            address.ip(),
            address.port(),
            if identity.is_some() { "on" } else { "off" }
        );
        server.write(&data.join("postgresql.auto.conf"), &settings)?;
        server.write(&data.join("pg_hba.conf"), "host all all all scram-sha-256\n")?;
        server.begin().await?;
        Ok(server)
    }

    /// Ends it; whoever is connected is not any more.
    ///
    /// # Errors
    /// What `pg_ctl` says.
    pub async fn stop(&self, how: Stop) -> Result<()> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.run("pg_ctl", &["-w", "-m", mode, "stop"]).await
    }

    /// Starts it again; it lets people in once this returns.
    ///
    /// # Errors
    /// What `pg_ctl` says.
    pub async fn begin(&self) -> Result<()> {
        let log = self.directory.join("data/log");
        self.run("pg_ctl", &["-w", "-l", log.to_str().context("a path that is text")?, "start"]).await
    }

    /// How to open its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@{}/postgres", self.address)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// A file that only the server's user reads.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        std::fs::write(path, text)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
        self.give(path)
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let said = self.directory.join(program);
        let file = std::fs::File::create(&said)?;
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(&self.directory).env("PGDATA", self.directory.join("data"));
        // Not a pipe: the server that it starts would keep it open.
        command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        let status = command.status().await.with_context(|| format!("{program} can't be run"))?;
        ensure!(status.success(), "{program}: {}", std::fs::read_to_string(&said)?);
        Ok(())
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let mut stop = std::process::Command::new(self.programs.join("pg_ctl"));
        stop.args(["-m", "immediate", "stop", "-D"]).arg(self.directory.join("data")).current_dir(&self.directory);
        if let Some((user, group)) = self.owner {
            std::os::unix::process::CommandExt::uid(&mut stop, user);
            std::os::unix::process::CommandExt::gid(&mut stop, group);
        }
        let _: std::io::Result<Output> = stop.output();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The directory of the newest server's programs, as Debian has them, or where `R1_POSTGRES_BIN` says.
fn programs() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("R1_POSTGRES_BIN") {
        return Ok(named.into());
    }
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry.as_ref().ok()?.file_name().to_str()?.parse().ok()?, entry.ok()?.path())))
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    let newest = found.pop().context(
        "there are no programs of PostgreSQL's; install them (Debian: apt-get install postgresql), or name their \
         directory in R1_POSTGRES_BIN",
    )?;
    Ok(newest.1)
}

/// Who is to run it where we are root, which it refuses to be: `postgres`, else `nobody`.
fn owner() -> Option<(u32, u32)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let users = std::fs::read_to_string("/etc/passwd").ok().filter(|_| is_root)?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':');
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}
