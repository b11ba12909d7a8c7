//! How many clients' connections this process can carry.
//!
//! A connection costs a file descriptor and some memory, and both have an end that strangers can reach. What
//! they may have of either is settled at the start: the rest stays for the database, the providers and the
//! local model, which are what an answer needs.
//!
//! **Invariant:** connections never take the last [`FILES_KEPT`] descriptors, nor a quarter of them.

use std::{fs, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections where files and memory would allow more.
const MOST: usize = 16_384;
/// Fewer are no server: a page opens several.
const LEAST: usize = 16;
/// Descriptors that connections leave free at least: database, listeners, providers, the local model.
pub(crate) const FILES_KEPT: u64 = 96;
/// What a connection with a request takes, with its buffers, at most but for the answer itself.
const CONNECTION: u64 = 32 * 1024;
/// Bytes of unfinished headers: bounds of what memory says.
const HEADERS: (u64, u64) = (4 * 1024 * 1024, 64 * 1024 * 1024);

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// How many may be open.
    pub(crate) connections: usize,
    /// Bytes that those may hold together which have no whole request yet.
    pub(crate) header_bytes: usize,
}

/// The operating system lets this process open next to nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "this process may open {files} files only, of which {FILES_KEPT} are for the database, the providers and the \
     local model; raise the limit (ulimit -n, LimitNOFILE= of systemd) to {} or more", FILES_KEPT + LEAST as u64
)]
pub(crate) struct TooFewFiles {
    files: u64,
}

/// What fits this process. `wanted` is the operator's word, none for as many as fit.
///
/// # Errors
/// [`TooFewFiles`].
pub(crate) fn capacity(wanted: Option<usize>) -> Result<Capacity, TooFewFiles> {
    let capacity = fitting(wanted, open_files(), memory())?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted > capacity.connections) {
        let most = capacity.connections;
        tracing::warn!(
            wanted,
            most,
            "server.connections is {wanted}, but open files and memory are enough for {most} connections only: \
             raise the limit on open files (ulimit -n), or the setting is not reached"
        );
    }
    Ok(capacity)
}

/// None is "no limit that is known".
fn fitting(wanted: Option<usize>, files: Option<u64>, memory: Option<u64>) -> Result<Capacity, TooFewFiles> {
    let by_files = files.map_or(u64::MAX, |files| files.saturating_sub(FILES_KEPT.max(files / 4)));
    let by_memory = memory.map_or(u64::MAX, |memory| (memory / 4 / CONNECTION).max(LEAST as u64));
    if let Some(files) = files.filter(|_| by_files < LEAST as u64) {
        return Err(TooFewFiles { files });
    }
    let fit = usize::try_from(by_files.min(by_memory)).unwrap_or(usize::MAX);
    let connections = wanted.unwrap_or(MOST).min(fit);
    let (least, most) = HEADERS;
    let header_bytes = memory.map_or(most, |memory| (memory / 32).clamp(least, most));
    Ok(Capacity { connections, header_bytes: usize::try_from(header_bytes).unwrap_or(usize::MAX) })
}

/// Raises the limit on open files to what the operating system allows, for whoever asks later: each reader of an
/// answer is one.
pub(crate) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!("the limit on open files stays as it is: {error}");
    }
}

fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Bytes of memory that this process may use: the machine's, or its container's where that is less.
fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let own = fs::read_to_string("/proc/self/cgroup").ok();
    let own = own.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("0::/")));
    let root = Path::new("/sys/fs/cgroup");
    let limits = [
        own.map(|own| root.join(own).join("memory.max")),
        Some(root.join("memory.max")),
        Some(root.join("memory/memory.limit_in_bytes")),
    ];
    // A group without a limit says "max", or a number larger than any machine.
    let limits = limits.into_iter().flatten().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    limits.chain(machine).min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    fn connections(wanted: Option<usize>, files: Option<u64>, memory: Option<u64>) -> usize {
        fitting(wanted, files, memory).unwrap().connections
    }

    #[test]
    fn files_and_memory_bound_connections() {
        assert_eq!(connections(None, None, None), MOST);
        assert_eq!(connections(None, Some(1 << 20), Some(64 * GIB)), MOST);
        assert_eq!(connections(None, Some(256), Some(64 * GIB)), 160);
        assert_eq!(connections(None, Some(1024), Some(64 * GIB)), 768);
        assert_eq!(connections(None, Some(1 << 20), Some(GIB / 2)), 4096);
        assert_eq!(connections(Some(100), Some(1024), None), 100);
        assert_eq!(connections(Some(100_000), Some(1024), None), 768, "the files there are");
        assert_eq!(connections(Some(100_000), Some(1 << 20), Some(64 * GIB)), 100_000);
    }

    #[test]
    fn headers_fit_the_memory() {
        let bytes = |memory| fitting(None, None, memory).unwrap().header_bytes as u64;
        assert_eq!(bytes(None), HEADERS.1);
        assert_eq!(bytes(Some(GIB / 64)), HEADERS.0);
        assert_eq!(bytes(Some(GIB)), GIB / 32);
    }

    #[test]
    fn a_limit_that_is_too_low_is_said() {
        let error = fitting(None, Some(64), None).unwrap_err().to_string();
        assert!(error.contains("64 files") && error.contains("112"), "{error}");
        assert!(fitting(None, Some(112), None).is_ok());
    }

    #[test]
    fn the_machine_has_memory() {
        assert_eq!(total("MemTotal:       24684436 kB\nMemFree: 1 kB\n"), Some(24_684_436 * 1024));
        assert_eq!(total("nothing"), None);
        #[cfg(target_os = "linux")]
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
