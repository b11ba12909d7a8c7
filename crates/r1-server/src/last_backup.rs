//! When the database was backed up last: a file in the data directory, which `gpt-r1 backup` writes and the server
//! reads.
//!
//! A file, and not a row: a backup changes nothing in the database, which may be of an older schema; and what is
//! restored knows nothing of backups that were made since. It holds seconds since 1970 in decimal, so whoever backs up
//! in another way writes it by `date +%s`.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use r1_domain::time::Timestamp;

/// Its name in the data directory.
pub(crate) const FILE: &str = "last-backup";
/// Nothing longer is looked at.
const MOST_BYTES: u64 = 32;

/// Notes that there is a backup with all that was there `at` that moment.
///
/// # Errors
/// The file system's.
pub(crate) fn write(data_dir: &Path, at: Timestamp) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".last-backup-").tempfile_in(data_dir)?;
    writeln!(file, "{}", at.unix_seconds())?;
    file.persist(data_dir.join(FILE))?;
    Ok(())
}

/// The moment that was noted last, in seconds since 1970; none where there is no such note.
pub(crate) fn read(data_dir: &Path) -> Option<u64> {
    let path = data_dir.join(FILE);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    match read.map(|_| text.trim().parse()) {
        Ok(Ok(seconds)) => Some(seconds),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::debug!("{} can't be read: {error}", path.display());
            None
        }
        Ok(Err(_)) => {
            tracing::debug!("{} holds no time: write it by `date +%s`", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_none() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()), None);
        write(home.path(), Timestamp::from_micros(1_800_000_000_999_999)).unwrap();
        assert_eq!(read(home.path()), Some(1_800_000_000));
        for (text, time) in [("17\n", Some(17)), ("", None), ("yesterday", None), ("-1", None), (&"1".repeat(40), None)]
        {
            std::fs::write(home.path().join(FILE), text).unwrap();
            assert_eq!(read(home.path()), time, "{text:?}");
        }
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left of how it was written");
    }
}
