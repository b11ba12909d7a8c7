//! A directory of backups: how each is named, which is the newest, and which are too many.
//!
//! **Invariant:** nothing is removed but files whose names are made here, and never the one that was made last.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use jiff::{civil::DateTime, tz::TimeZone};
use r1_domain::time::Timestamp;

/// A name sorts as its time does, and is one on every file system: no colons.
const FORMAT: &str = "gpt-r1-%Y-%m-%dT%H%M%SZ.db";

/// The name of a backup that is begun at this time.
pub(super) fn name(began: Timestamp) -> anyhow::Result<String> {
    let time = jiff::Timestamp::from_second(began.unix_seconds()).context("the machine's clock says no time")?;
    Ok(time.to_zoned(TimeZone::UTC).strftime(FORMAT).to_string())
}

/// Whether [`name`] makes this one.
fn is_name(name: &str) -> bool {
    DateTime::strptime(FORMAT, name).is_ok_and(|time| time.strftime(FORMAT).to_string() == name)
}

/// The names of the backups in a directory, oldest first.
fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // What is a link, or a directory, is nothing that was made here.
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok().filter(|name| is_name(name)));
            }
        }
        names.sort_unstable();
        Ok(names)
    };
    read().with_context(|| format!("{} can't be read", directory.display()))
}

/// The newest backup of a directory.
///
/// # Errors
/// There is none.
pub(super) fn newest(directory: &Path) -> anyhow::Result<PathBuf> {
    let newest = names(directory)?.pop();
    let what = || format!("there is no backup such as gpt-r1-2026-11-30T030000Z.db in {}", directory.display());
    Ok(directory.join(newest.with_context(what)?))
}

/// Removes all backups of a directory but the newest `keep`, of which `made`, the one that was just read back, is
/// one whatever the others' times say. Gives back how many are gone.
///
/// # Errors
/// One can't be removed.
pub(super) fn prune(directory: &Path, keep: u32, made: &str) -> anyhow::Result<usize> {
    let mut names = names(directory)?;
    names.retain(|name| name != made);
    let others = usize::try_from(keep)?.saturating_sub(1);
    let surplus = names.len().saturating_sub(others);
    ensure!(directory.join(made).is_file(), "the backup {made} has gone: nothing else was removed");
    for name in names.iter().take(surplus) {
        let path = directory.join(name);
        fs::remove_file(&path).with_context(|| {
            format!("the backup {made} was made, and the older one {} can't be removed", path.display())
        })?;
    }
    Ok(surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_their_time_and_nobody_elses() {
        assert_eq!(name(Timestamp::from_micros(1_796_007_600_000_000)).unwrap(), "gpt-r1-2026-11-30T030000Z.db");
        for name in ["gpt-r1-2026-11-30T030000Z.db", "gpt-r1-2028-02-29T235959Z.db"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "gpt-r1.db",
            "gpt-r1-2026-11-30T030000Z.db.old",
            "gpt-r1-2026-11-30T0300Z.db",
            "gpt-r1-2026-13-30T030000Z.db",
            "gpt-r1-2026-11-30T030000Z.db ",
            "gpt-r1-02026-11-30T030000Z.db",
            "gpt-r1-2026-1-3T030000Z.db",
            "monday.db",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn only_older_backups_are_removed_and_the_new_one_never() {
        let home = tempfile::tempdir().unwrap();
        let names_of =
            |days: &[u32]| days.iter().map(|day| format!("gpt-r1-2026-11-{day:02}T030000Z.db")).collect::<Vec<_>>();
        for name in names_of(&[1, 2, 3, 4]).iter().map(String::as_str).chain(["notes.db", "gpt-r1.db"]) {
            fs::write(home.path().join(name), name).unwrap();
        }
        fs::create_dir(home.path().join("gpt-r1-2026-10-01T030000Z.db")).unwrap();
        std::os::unix::fs::symlink("notes.db", home.path().join("gpt-r1-2026-10-02T030000Z.db")).unwrap();
        let made = |day| names_of(&[day]).remove(0);

        assert_eq!(prune(home.path(), 3, &made(4)).unwrap(), 1);
        assert_eq!(names(home.path()).unwrap(), names_of(&[2, 3, 4]));
        assert_eq!(newest(home.path()).unwrap(), home.path().join(made(4)));
        // A clock that was set back: the one just made has the oldest name.
        assert_eq!(prune(home.path(), 2, &made(2)).unwrap(), 1);
        assert_eq!(names(home.path()).unwrap(), names_of(&[2, 4]));
        assert_eq!(prune(home.path(), 1, &made(2)).unwrap(), 1);
        assert_eq!(names(home.path()).unwrap(), names_of(&[2]));
        // One that is not there keeps all others.
        prune(home.path(), 1, &made(9)).unwrap_err();
        assert_eq!(names(home.path()).unwrap(), names_of(&[2]));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 5, "what is not ours stays");
        assert!(newest(&home.path().join("gpt-r1-2026-10-01T030000Z.db")).is_err());
    }
}
