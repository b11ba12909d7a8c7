//! The key that signs access tokens: made on the first start, or given as `SECRET_KEY`.
//!
//! **Invariant:** the key's file is whole or absent, and nobody but its owner can read it: it is
//! written beside its place with mode 0600 and then linked in, and a file that others can read is
//! refused rather than mended, since they may have read it already.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, PersistError};

mod set;

pub use set::{KeySet, Rotated};

/// Shortest key in bytes: the digest's length, as RFC 7518, 3.2 asks of HS256.
pub const KEY_LENGTH: usize = 32;
/// Longest file that is read as a key.
const FILE_LIMIT: u64 = 4096;

/// The signing key. Its text is the same in the file and in `SECRET_KEY`, so it can be moved.
#[derive(Clone)]
pub struct SigningKey(SecretString);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey([REDACTED])")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Too easy to guess.
    #[error("the signing key must have at least {KEY_LENGTH} characters; `openssl rand -base64 32` makes one")]
    TooShort,
    /// The file's key is too easy to guess, or the file was cut off.
    #[error(
        "the signing key in {path} is shorter than {KEY_LENGTH} characters; delete the file to have a new one made \
         (access tokens in use stop working; a refresh gets new ones)"
    )]
    FileTooShort {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read the file.
    #[error(
        "the signing key {path} can be read by others (mode {mode:03o}); run `chmod 600` on it, or delete it to have a \
         new one made"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file can't be read or written.
    #[error("can't {action} the signing key {path}")]
    Io {
        /// `read`, `write` or `remove`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl SigningKey {
    /// A new one, which is nowhere but here.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; KEY_LENGTH];
        rand::rng().fill_bytes(&mut bytes);
        Self(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A key that was given from outside; white space around it does not count.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn from_secret(secret: &SecretString) -> Result<Self, KeyError> {
        let text = secret.expose_secret().trim();
        if text.len() < KEY_LENGTH {
            return Err(KeyError::TooShort);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Reads the key at `path`, or makes one there. Of two processes that make one at the same
    /// time, both use the first's. Blocks on the disk for some milliseconds.
    ///
    /// # Errors
    /// [`KeyError`]: each says what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        match create(path) {
            // Somebody else was faster.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(KeyError::Io { action: "write", path: path.to_owned(), source }),
            Ok(()) => {}
        }
        Self::load(path)
    }

    /// Reads the key at `path`.
    ///
    /// # Errors
    /// [`KeyError`]: each says what to do.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { action: "read", path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Permissions { path: path.to_owned(), mode });
            }
        }
        let mut text = String::new();
        file.take(FILE_LIMIT).read_to_string(&mut text).map_err(failed)?;
        Self::from_secret(&SecretString::from(text)).map_err(|_| KeyError::FileTooShort { path: path.to_owned() })
    }

    /// Puts it in the place of whatever is at `path`.
    ///
    /// # Errors
    /// That its file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        write(path, self)
    }

    /// Its text, as the file and `SECRET_KEY` have it: for a copy of the file.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The bytes that sign.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }

    /// A digest that tells keys apart and gives none away: nodes that share a database compare it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"gpt-r1 signing key fingerprint\0");
        digest.update(self.as_bytes());
        digest.finalize().into()
    }

    /// A short word for the instance: the same on all nodes that share the key, another on any
    /// other instance. Fit for a cookie's name.
    #[must_use]
    pub fn instance(&self) -> String {
        self.fingerprint()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Makes a key where there is none.
fn create(path: &Path) -> std::io::Result<()> {
    place(path, &SigningKey::random(), |file| file.persist_noclobber(path))
}

/// Puts a key in the place of whatever is there.
fn write(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { action: "write", path: path.to_owned(), source };
    place(path, key, |file| file.persist(path)).map_err(failed)
}

fn place(
    path: &Path,
    key: &SigningKey,
    persist: impl FnOnce(NamedTempFile) -> Result<std::fs::File, PersistError>,
) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Mode 0600 from its first moment on: that is how this crate makes files.
    let mut file = tempfile::Builder::new().prefix(".signing-key-").tempfile_in(folder)?;
    writeln!(file, "{}", key.0.expose_secret())?;
    file.as_file().sync_all()?;
    persist(file).map_err(|e| e.error)?;
    // The name is in the folder: without this a power loss may take it away again.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        let made = SigningKey::load_or_create(&path).unwrap();
        let read = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(made.as_bytes(), read.as_bytes());
        assert_eq!(made.fingerprint(), read.fingerprint());
        assert_eq!(made.instance().len(), 8);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

        let text = std::fs::read_to_string(&path).unwrap();
        let given = SigningKey::from_secret(&SecretString::from(text.clone())).unwrap();
        assert_eq!(given.fingerprint(), made.fingerprint(), "the file's text may serve as SECRET_KEY");
        assert!(!format!("{made:?}").contains(text.trim()));

        let other = SigningKey::load_or_create(&folder.path().join("other.key")).unwrap();
        assert_ne!(other.fingerprint(), made.fingerprint());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_or_that_is_short_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        SigningKey::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = SigningKey::load_or_create(&path).unwrap_err();
        assert!(matches!(refused, KeyError::Permissions { mode: 0o644, .. }), "{refused}");

        std::fs::write(&path, "too short\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let refused = SigningKey::load_or_create(&path).unwrap_err();
        assert!(matches!(refused, KeyError::FileTooShort { .. }), "{refused}");

        assert!(matches!(SigningKey::from_secret(&SecretString::from("short")), Err(KeyError::TooShort)));
        let nowhere = SigningKey::load_or_create(&folder.path().join("missing/signing.key")).unwrap_err();
        assert!(matches!(nowhere, KeyError::Io { action: "write", .. }), "{nowhere}");
    }
}
