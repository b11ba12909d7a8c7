//! The key that signs, with those whose tokens are still accepted: for as long as a new key takes an old
//! one's place.
//!
//! In a data directory the key before stands beside the present one, under a name of its own. Whoever serves
//! accepts its tokens for as long as one of them can live, and then removes it.
//!
//! **Invariant:** there is a key under the present name at every moment; a key that was replaced is under the
//! other name, or was meant to be forgotten.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{KeyError, SigningKey, write};

/// What stands behind the name of the key's file in that of the key before.
const PREVIOUS: &str = ".previous";

/// The keys of an instance.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Signs.
    pub signing: SigningKey,
    /// Its tokens are accepted too.
    pub accepted: Option<SigningKey>,
}

impl From<SigningKey> for KeySet {
    fn from(signing: SigningKey) -> Self {
        Self { signing, accepted: None }
    }
}

/// What came of [`KeySet::rotate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// There is a new key; a server uses it from its next start on.
    Done,
    /// Nothing was changed: the key before the present one is still accepted.
    TooSoon,
}

impl KeySet {
    /// Reads the keys at `path`, or makes one there: see [`SigningKey::load_or_create`].
    ///
    /// # Errors
    /// [`KeyError`]: each says what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let signing = SigningKey::load_or_create(path)?;
        Ok(Self { signing, accepted: found(SigningKey::load(&previous(path)))? })
    }

    /// Puts a new key in the place of that at `path`, whose tokens are accepted until [`KeySet::forget`], or
    /// not at all where it shall be forgotten at once.
    ///
    /// # Errors
    /// [`KeyError`]: each says what to do.
    pub fn rotate(path: &Path, forget: bool) -> Result<Rotated, KeyError> {
        let present = SigningKey::load(path)?;
        if forget {
            Self::forget(path)?;
        } else if found(SigningKey::load(&previous(path)))?.is_some() {
            return Ok(Rotated::TooSoon);
        } else {
            write(&previous(path), &present)?;
        }
        write(path, &SigningKey::random())?;
        Ok(Rotated::Done)
    }

    /// Removes the key before that at `path`, if there is one.
    ///
    /// # Errors
    /// That its file can't be removed.
    pub fn forget(path: &Path) -> Result<(), KeyError> {
        let path = previous(path);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(KeyError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

fn previous(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PREVIOUS);
    name.into()
}

/// None for a file that is not there.
fn found(loaded: Result<SigningKey, KeyError>) -> Result<Option<SigningKey>, KeyError> {
    match loaded {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        loaded => loaded.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_key_stands_beside_the_new_one_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing-key");
        let missing = KeySet::rotate(&path, false).unwrap_err();
        assert!(matches!(missing, KeyError::Io { action: "read", .. }), "{missing}");
        let first = KeySet::load_or_create(&path).unwrap();
        assert!(first.accepted.is_none());

        assert_eq!(KeySet::rotate(&path, false).unwrap(), Rotated::Done);
        let second = KeySet::load_or_create(&path).unwrap();
        assert_ne!(second.signing.fingerprint(), first.signing.fingerprint());
        assert_eq!(second.accepted.as_ref().unwrap().fingerprint(), first.signing.fingerprint());
        assert_eq!(KeySet::rotate(&path, false).unwrap(), Rotated::TooSoon);
        let same = KeySet::load_or_create(&path).unwrap();
        assert_eq!(same.signing.fingerprint(), second.signing.fingerprint(), "nothing was changed");

        KeySet::forget(&path).unwrap();
        KeySet::forget(&path).unwrap();
        assert_eq!(KeySet::rotate(&path, false).unwrap(), Rotated::Done);
        assert_eq!(KeySet::rotate(&path, true).unwrap(), Rotated::Done);
        let third = KeySet::load_or_create(&path).unwrap();
        assert!(third.accepted.is_none(), "forgotten at once");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
