//! A directory that only this user can enter, with a path short enough for a Unix socket.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::SocketDirError;

/// Longest path of a Unix socket in bytes: `sun_path` has 108 with the final zero on Linux and 104
/// on macOS (unix(7)).
const MAX_SOCKET_PATH: usize = 103;
const DIRECTORY: &str = "local-model";
const SOCKET: &str = "engine.sock";
const API_KEY: &str = "api-key";

pub(super) struct Place {
    directory: PathBuf,
    /// Removed with this.
    _temporary: Option<TempDir>,
}

impl Place {
    pub(super) fn make(parent: &Path) -> Result<Self, SocketDirError> {
        let directory = std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned()).join(DIRECTORY);
        if fits(&directory) {
            return match private(&directory) {
                Ok(()) => Ok(Self { directory, _temporary: None }),
                Err(source) => Err(SocketDirError { path: directory, source }),
            };
        }
        Self::temporary(&std::env::temp_dir())
    }

    fn temporary(parent: &Path) -> Result<Self, SocketDirError> {
        let permissions = fs::Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix("gpt-r1-").permissions(permissions).tempdir_in(parent);
        let temporary = match made {
            Ok(temporary) if fits(temporary.path()) => temporary,
            Ok(_) => {
                let source = io::Error::new(io::ErrorKind::InvalidFilename, "its path is too long for a Unix socket");
                return Err(SocketDirError { path: parent.to_owned(), source });
            }
            Err(source) => return Err(SocketDirError { path: parent.to_owned(), source }),
        };
        Ok(Self { directory: temporary.path().to_owned(), _temporary: Some(temporary) })
    }

    /// The same for every child, so that a client can keep its address.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }

    pub(super) fn api_key(&self) -> PathBuf {
        self.directory.join(API_KEY)
    }

    /// A child must not be taken for ready because of its predecessor's socket, nor does anybody
    /// need the key of one that was killed together with its supervisor.
    pub(super) fn clear(&self) -> io::Result<()> {
        remove(&self.socket())?;
        remove(&self.api_key())
    }
}

/// A secret that only this user can read; it goes with this value.
pub(super) struct KeyFile(PathBuf);

impl KeyFile {
    pub(super) fn write(path: PathBuf, key: &SecretString) -> io::Result<Self> {
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let written = Self(path);
        file.write_all(key.expose_secret().as_bytes())?;
        file.write_all(b"\n")?;
        Ok(written)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, "the key of the local model's engine could not be removed");
        }
    }
}

/// Whether there was a file or not.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn fits(directory: &Path) -> bool {
    directory.join(SOCKET).as_os_str().len() <= MAX_SOCKET_PATH
}

fn private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let parent_owner = fs::symlink_metadata(directory)?;
    if !parent_owner.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    if parent_owner.mode() & 0o777 != 0o700 {
        // Fails for a directory of somebody else's: only the owner may.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_enter() {
        let parent = tempfile::tempdir().unwrap();
        let place = Place::make(&parent.path().join("data")).unwrap();
        assert_eq!(mode(&place.directory), 0o700);
        fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o755)).unwrap();
        let again = Place::make(&parent.path().join("data")).unwrap();
        assert_eq!(mode(&again.directory), 0o700, "an open door is closed");
        fs::write(again.socket(), "left behind").unwrap();
        fs::write(again.api_key(), "left behind").unwrap();
        again.clear().unwrap();
        again.clear().unwrap();
        assert!(!again.socket().exists() && !again.api_key().exists());
    }

    #[test]
    fn a_key_is_private_and_goes() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(API_KEY);
        let key = KeyFile::write(path.clone(), &"hidden".into()).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("hidden\n", 0o600));
        drop(key);
        assert!(!path.exists());
    }

    #[test]
    fn a_long_path_gives_way_to_a_temporary_directory() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(100));
        let place = Place::make(&long).unwrap();
        assert!(fits(&place.directory) && !place.directory.starts_with(&long));
        assert_eq!(mode(&place.directory), 0o700);
        assert!(!long.exists());
        fs::create_dir(&long).unwrap();
        assert!(Place::temporary(&long).is_err(), "no place is short enough");
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join(DIRECTORY), "").unwrap();
        assert!(Place::make(parent.path()).is_err());
    }
}
