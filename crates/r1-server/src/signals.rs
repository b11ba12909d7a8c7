//! The signals that the server hears: two that end it, one that has it read its configuration again, and two that
//! would end a process which does not hear them.

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

/// All of them.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be received");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user_1: listen(SignalKind::user_defined1())?,
            user_2: listen(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one that asks for the end, and gives back its name. Meanwhile SIGHUP wakes whoever reads the
    /// configuration; several that come at once are one.
    pub(crate) async fn end(&mut self, reload: &Notify) -> &'static str {
        loop {
            let without_meaning = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    reload.notify_one();
                    continue;
                }
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::info!("{without_meaning} has no meaning for this server: nothing is done");
        }
    }
}
