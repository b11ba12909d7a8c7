//! What systemd, or another manager of services that does as it does, is told: sd_notify(3), as datagrams.
//!
//! Nothing is ever waited for: a manager that does not read loses notices. Without `NOTIFY_SOCKET` nobody is told.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use r1_generation::Engine;
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

/// The way to the manager.
#[derive(Debug, Default)]
pub(crate) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// It ends the process where it hears nothing for this time.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names, if it names one. One that can't be told is said in the log.
    pub(crate) fn of_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(name) = lookup("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        let socket = address(&name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        let socket = socket.inspect_err(|error| tracing::warn!("NOTIFY_SOCKET can't be used: {error}")).ok();
        let number = |name: &str| lookup(name)?.to_str()?.parse::<u64>().ok();
        // The variables may be meant for a process before this one.
        let is_ours = lookup("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
        let watchdog = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_ours).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Requests are answered from now on.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Serving");
    }

    /// The configuration is being read again; [`ServiceManager::ready`] ends it.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reading the configuration again"));
    }

    /// The process is on its way out.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Waiting for the answers that are being written");
    }

    /// Tells a watchdog twice in its time that the server lives, until `closing`. To be run where requests are
    /// handled: the word is given only once a task there was run and the engine's writer has answered, so that one
    /// that hangs is ended. A storage that hangs is none of it: the writer waits for that, and says so itself.
    pub(crate) async fn feed_watchdog(&self, engine: &Engine, closing: &CancellationToken) {
        let Some(time) = self.watchdog.filter(|_| self.socket.is_some()) else { return };
        let feed = async {
            loop {
                engine.pulse().await;
                self.tell("WATCHDOG=1");
                tokio::time::sleep(time / 2).await;
            }
        };
        closing.run_until_cancelled(feed).await;
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::debug!("the service manager can't be told: {error}");
        }
    }
}

/// A path, or a name in Linux's abstract namespace, which begins with "@".
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', abstract_name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(abstract_name)
        }
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor an abstract name")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;

    use super::*;

    fn manager(variables: &[(&str, &OsStr)]) -> ServiceManager {
        ServiceManager::of_environment(|wanted| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        })
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 500];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn notices_reach_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("gpt-r1-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let sockets = [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&address).unwrap()];
        let names = [path.into_os_string(), OsString::from(format!("@{abstract_name}"))];
        for (socket, name) in sockets.iter().zip(&names) {
            let manager = manager(&[("NOTIFY_SOCKET", name)]);
            manager.ready();
            assert!(heard(socket).starts_with("READY=1\n"));
            manager.reloading();
            let told = heard(socket);
            let (first, rest) = told.split_once('\n').unwrap();
            let micros = rest.lines().next().unwrap().strip_prefix("MONOTONIC_USEC=").unwrap();
            assert!(first == "RELOADING=1" && micros.parse::<u64>().unwrap() > 0, "{told}");
            manager.stopping();
            assert!(heard(socket).starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn nobody_is_told_where_nobody_is_named() {
        for name in ["", "vsock:2:1234", "relative/path"] {
            let manager = manager(&[("NOTIFY_SOCKET", OsStr::new(name))]);
            assert!(manager.socket.is_none(), "{name}");
            manager.ready();
        }
        // A manager that has gone.
        manager(&[("NOTIFY_SOCKET", OsStr::new("/nowhere/notify"))]).ready();
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_fed() {
        let own = std::process::id().to_string();
        for (pid, micros, time) in [
            (None, "3000000", Some(Duration::from_secs(3))),
            (Some(own.as_str()), "500", Some(Duration::from_micros(500))),
            (Some("1"), "3000000", None),
            (None, "0", None),
            (None, "soon", None),
        ] {
            let mut variables = vec![("NOTIFY_SOCKET", OsStr::new("/nowhere")), ("WATCHDOG_USEC", OsStr::new(micros))];
            variables.extend(pid.map(|pid| ("WATCHDOG_PID", OsStr::new(pid))));
            assert_eq!(manager(&variables).watchdog, time, "{variables:?}");
        }
    }
}
