//! A manager of services, as systemd is one to those that it starts: hears what they tell it.

use anyhow::{Context, Result};
use tokio::net::UnixDatagram;

use crate::support::PATIENCE;

/// Its end of the socket.
pub(crate) struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    /// For `NOTIFY_SOCKET`.
    pub(crate) address: String,
}

impl Manager {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        let address = path.to_str().context("a path of text")?.to_owned();
        Ok(Self { socket, _folder: folder, address })
    }

    /// Waits for a notice that begins so, and gives it back. Others are passed over.
    pub(crate) async fn hears(&self, wanted: &str) -> Result<String> {
        let hear = async {
            loop {
                let mut bytes = vec![0; 4096];
                let length = self.socket.recv(&mut bytes).await?;
                bytes.truncate(length);
                let notice = String::from_utf8(bytes)?;
                if notice.starts_with(wanted) {
                    return anyhow::Ok(notice);
                }
            }
        };
        tokio::time::timeout(PATIENCE, hear).await.with_context(|| format!("no {wanted}"))?
    }
}
