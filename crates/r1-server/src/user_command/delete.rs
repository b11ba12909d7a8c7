//! Deletes an account: first it is disabled for ever, then all that it has goes, a slice at a time.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use r1_domain::{
    accounts::{Changed, Erased},
    spelling::visible,
    store::Store,
    text::fold_login,
    time::{Clock, SystemClock},
    user::User,
};
use tokio::time::{Instant, sleep};

use super::last_administrator;

/// Rows in one transaction, at most.
const SLICE: usize = 200;
/// Between two slices, so that a server beside this has its turn.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks at whether answers have ended, and for how long it is looked.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries it out.
///
/// # Errors
/// In words for the person at the terminal.
pub(super) async fn delete(user: &User, yes: bool, store: &dyn Store, out: &mut impl Write) -> anyhow::Result<()> {
    let has = store.account_activity(user.id, SystemClock.now()).await?;
    let what = format!("{} conversations with {} messages", has.conversations, has.messages);
    let name = visible(&user.username);
    if !yes {
        writeln!(
            io::stderr(),
            "This deletes user {name} ({}) and {what}, for ever; backups that were made keep theirs.\nType the name \
             to go on:",
            visible(&user.email)
        )?;
        let mut typed = String::new();
        io::stdin().lock().read_line(&mut typed).context("no name can be read; --yes asks for none")?;
        ensure!(fold_login(&typed) == fold_login(&user.username), "that is not the name: nothing was deleted");
    }
    if let Changed::LastAdministrator = store.account_delete(user.id, yes, SystemClock.now()).await? {
        return Err(last_administrator(user));
    }
    let mut waits_since: Option<Instant> = None;
    loop {
        let erased = store.account_erase(Some(user.id), SLICE).await.with_context(|| {
            format!("user {name} is disabled, and not all is deleted: the server goes on with it, or the same command")
        })?;
        match erased {
            Erased::Done => break,
            Erased::Rows(_) => sleep(PAUSE).await,
            Erased::Waits(running) => {
                let since = *waits_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    bail!(
                        "{running} answers of user {name} are still being written: the server deletes what is left \
                         once they have ended, or the same command"
                    );
                }
                sleep(LOOK_AGAIN).await;
            }
        }
    }
    writeln!(out, "user {name} is deleted, with {what}")?;
    Ok(())
}
