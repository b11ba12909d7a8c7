//! The folded names of accounts that were made before names were folded.
//!
//! Accounts whose names are the same by now all stay: the oldest has the form that they share, and
//! every one is found by its own spelling, which is looked at first.
//!
//! **Invariant:** once a node has opened the database, no account of a form that is not taken lacks
//! it, so a new name that equals an old one is refused; but for those that a node of the version before
//! made since.

use std::collections::HashSet;

use r1_domain::text::fold_login;
use uuid::Uuid;

use crate::{
    column::{self, text},
    connection::Db,
    error::Fault,
};

/// Accounts of one transaction.
const SLICE: usize = 500;

const IS_MISSING: &str = "SELECT EXISTS (SELECT 1 FROM account WHERE NOT is_folded)";
/// Nobody else makes an account, or fills in, in one slice's time. Whoever signs in is not held up.
const LOCK: &str = "LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE";
const NEXT: &str = "SELECT id, username, email FROM account WHERE NOT is_folded ORDER BY created_at, id LIMIT $1";
const FOLD: &str = "UPDATE account a SET is_folded = TRUE,
        username_folded = CASE WHEN EXISTS (SELECT 1 FROM account b WHERE b.username_folded = n.username)
            THEN NULL ELSE n.username END,
        email_folded = CASE WHEN EXISTS (SELECT 1 FROM account b WHERE b.email_folded = n.email)
            THEN NULL ELSE n.email END
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (id, username, email) WHERE a.id = n.id";

/// Fills in what is missing, the oldest account first.
pub(crate) async fn fill(db: &Db) -> Result<(), Fault> {
    let mut filled = 0;
    while column::get::<bool>(&db.one(IS_MISSING, &[]).await?, 0)? {
        db.batch("BEGIN").await?;
        db.batch(LOCK).await?;
        let slice = i64::try_from(SLICE).unwrap_or(i64::MAX);
        let mut ids: Vec<Uuid> = Vec::with_capacity(SLICE);
        let (mut usernames, mut emails) = (Forms::default(), Forms::default());
        for row in db.all(NEXT, &[&slice]).await? {
            ids.push(column::get(&row, 0)?);
            usernames.add(&column::string(&row, 1)?);
            emails.add(&column::string(&row, 2)?);
        }
        db.run(FOLD, &[&ids, &usernames.forms, &emails.forms]).await?;
        db.batch("COMMIT").await?;
        filled += ids.len();
    }
    if filled > 0 {
        tracing::info!(accounts = filled, "names of accounts folded");
    }
    Ok(())
}

/// The forms of a slice; none for who is not the first to have it.
#[derive(Default)]
struct Forms {
    forms: Vec<Option<String>>,
    seen: HashSet<String>,
}

impl Forms {
    fn add(&mut self, name: &str) {
        let folded = text(&fold_login(name)).into_owned();
        self.forms.push(self.seen.insert(folded.clone()).then_some(folded));
    }
}
