//! The folded names of accounts that were made before names were folded.
//!
//! Accounts whose names are the same by now all stay: the oldest has the form that they share, and
//! every one is found by its own spelling, which is looked at first.
//!
//! **Invariant:** once a database is open, no account of a form that is not taken lacks it, so a new
//! name that equals an old one is refused.

use r1_domain::text::fold_login;
use rusqlite::{Connection, TransactionBehavior, params};

/// Accounts of one transaction.
const SLICE: i64 = 500;

const NEXT: &str = "SELECT id, username, email FROM user WHERE is_folded = 0 ORDER BY created_at, id LIMIT ?1";
const FOLD: &str = "UPDATE user SET is_folded = 1,
         username_folded = iif(EXISTS (SELECT 1 FROM user WHERE username_folded = ?2), NULL, ?2),
         email_folded = iif(EXISTS (SELECT 1 FROM user WHERE email_folded = ?3), NULL, ?3)
     WHERE id = ?1";

/// Fills in what is missing, the oldest account first.
pub(crate) fn fill(db: &mut Connection) -> rusqlite::Result<()> {
    let mut filled = 0;
    loop {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let accounts: Vec<([u8; 16], String, String)> = {
            let mut next = change.prepare_cached(NEXT)?;
            let rows = next.query_map([SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (id, username, email) in &accounts {
            change.prepare_cached(FOLD)?.execute(params![id, fold_login(username), fold_login(email)])?;
        }
        change.commit()?;
        if accounts.is_empty() {
            break;
        }
        filled += accounts.len();
    }
    if filled > 0 {
        tracing::info!(accounts = filled, "names of accounts folded");
    }
    Ok(())
}
