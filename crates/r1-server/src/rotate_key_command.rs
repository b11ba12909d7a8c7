//! `gpt-r1 rotate-key`: another key that signs access tokens, in the place of the one before.
//!
//! Sessions stay: cookies and refresh tokens are no matter of this key. Access tokens of before are good until
//! they expire, unless that key shall be forgotten at once.

use std::io::Write;

use anyhow::{bail, ensure};
use r1_auth::key::{KeySet, Rotated, SigningKey};
use r1_store_postgres::RotatedKey;

use crate::{
    SIGNING_KEY,
    config::{Config, Database, Postgres},
    data_dir,
    database::{self, Guest},
};

/// Carries it out.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) async fn rotate(forget: bool, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    match &config.database.database {
        Database::Postgres(postgres) => in_postgres(forget, postgres, config, out).await,
        Database::Sqlite(_) => in_data_dir(forget, config, out).await,
    }
}

async fn in_data_dir(forget: bool, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    ensure!(
        config.secret_key.is_none(),
        "the key is what SECRET_KEY (auth.secret_key) says: set it to another one (`openssl rand -base64 32`), \
         SECRET_KEY_PREVIOUS to that of before, and restart the server; an hour later SECRET_KEY_PREVIOUS may go"
    );
    let store = database::open_guest(config, Guest::Uses).await?;
    writeln!(std::io::stderr(), "database: {}", database::name(config))?;
    let path = config.data_dir.join(SIGNING_KEY);
    // The page's cookies go by the word that came from the first key.
    store.instance_word(&SigningKey::load(&path)?.instance()).await?;
    let rotated = KeySet::rotate(&path, forget)?;
    data_dir::hand_over(&config.data_dir);
    ensure!(
        rotated == Rotated::Done,
        "the signing key was changed a short while ago, and tokens of the one before it are still accepted: restart \
         the server if it runs since before that, and try again {} later; or forget that key (--forget)",
        human(config.auth.access_token_ttl)
    );
    let tokens = if forget { "end then; clients use their refresh tokens" } else { "are good until they expire" };
    writeln!(
        out,
        "there is a new signing key; the server uses it from its next start on\naccess tokens of before {tokens}"
    )?;
    Ok(())
}

async fn in_postgres(forget: bool, postgres: &Postgres, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let store = database::open_postgres(config, postgres).await?;
    writeln!(std::io::stderr(), "database: {}", database::name(config))?;
    match store.rotate_key(database::fingerprints(config)?, forget).await? {
        RotatedKey::Done => writeln!(out, "SECRET_KEY is in force; each node signs with it from its next start on")?,
        RotatedKey::Already => writeln!(out, "SECRET_KEY was in force already")?,
        RotatedKey::OtherKey => bail!(
            "the key that is in force is neither SECRET_KEY nor SECRET_KEY_PREVIOUS: set SECRET_KEY to the new one and \
             SECRET_KEY_PREVIOUS to that of before. Where that is lost, --forget does without it, and access tokens end"
        ),
    }
    if !forget {
        writeln!(
            out,
            "keep SECRET_KEY_PREVIOUS until {} after the last node was started anew",
            human(config.auth.access_token_ttl)
        )?;
    }
    Ok(())
}

fn human(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
