//! A machine's root, as far as an administrator's commands see it: an empty directory, with stand-ins for what a test
//! may not do to the machine that it runs on.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::support::{Client, Finished, GPT_R1, PATIENCE, Signal, send_signal};

/// The service of the documents.
const SERVICE: &str = "gpt-r1";
/// What a root has before anybody has done anything.
const DIRECTORIES: [&str; 8] = [
    "etc/systemd/system",
    "usr/local/bin",
    "usr/local/share",
    "var/lib",
    "var/cache",
    "run",
    "stand-ins",
    "src/target/release",
];

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory. What runs there ends with it.
pub(crate) struct Root {
    directory: tempfile::TempDir,
}

impl Root {
    /// An empty one. The working directory of its commands is a checkout in which the binary was built.
    pub(crate) fn new() -> Result<Self> {
        let root = Self { directory: tempfile::tempdir()? };
        for directory in DIRECTORIES {
            fs::create_dir_all(root.directory.path().join(directory))?;
        }
        let at = |name: &str| root.directory.path().join(name);
        let script = |name: &str, text: &str| -> Result<()> {
            fs::write(at(name), text)?;
            Ok(fs::set_permissions(at(name), PermissionsExt::from_mode(0o755))?)
        };
        script("stand-ins/systemctl", include_str!("root/systemd.py"))?;
        for name in ["systemd-run", "journalctl"] {
            symlink("systemctl", at("stand-ins").join(name))?;
        }
        script("stand-ins/sudo", include_str!("root/sudo.sh"))?;
        // The user is whoever runs the test, and the binary is the one under test.
        for name in ["useradd", "make"] {
            script(&format!("stand-ins/{name}"), "#!/bin/sh\n")?;
        }
        symlink(repository().canonicalize()?.join("deploy"), at("src/deploy"))?;
        // It is copied again and again: a line that becomes the binary is quicker than the binary.
        script("src/target/release/gpt-r1", &format!("#!/bin/sh\nexec '{GPT_R1}' \"$@\"\n"))?;
        root.machine("GPT_R1__SERVER__API_ADDR", "127.0.0.1:0")?;
        root.machine("GPT_R1__SERVER__WEB_ADDR", "127.0.0.1:0")?;
        root.machine("GPT_R1__LOCAL_SERVERS__LOOK", "off")?;
        // What a scripted provider says is the answers'.
        root.machine("GPT_R1__TITLES__ENABLED", "off")?;
        Ok(root)
    }

    /// A variable that every process of the machine's services has.
    pub(crate) fn machine(&self, name: &str, value: &str) -> Result<()> {
        let file = self.directory.path().join("machine");
        let mut text = fs::read_to_string(&file).unwrap_or_default();
        text.push_str(&format!("{name}={value}\n"));
        Ok(fs::write(file, text)?)
    }

    /// Where an absolute path of the documents is.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.directory.path().join(absolute.trim_start_matches('/'))
    }

    /// The text with its absolute paths in here.
    pub(crate) fn below(&self, text: &str) -> String {
        below(text, &self.directory.path().display().to_string())
    }

    /// Runs the lines of a document here, to the first that fails.
    pub(crate) async fn run(&self, text: &str) -> Result<Finished> {
        let place = self.directory.path().to_str().context("a path of text")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("/bin/bash");
        command.args(["-euo", "pipefail", "-s"]).current_dir(self.path("src")).env_clear().kill_on_drop(true);
        command.env("ROOT", place).env("HOME", self.path("src"));
        command.env("PATH", format!("{place}/stand-ins:{place}/usr/local/bin:{path}"));
        if let Some(value) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", value);
        }
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut script = shell.stdin.take().context("a way in")?;
        // All of it at once: no command reads what was meant for the shell.
        let text = format!("main() {{\n{}\n}}\nmain </dev/null\n", self.below(text));
        script.write_all(text.as_bytes()).await?;
        drop(script);
        let output = tokio::time::timeout(PATIENCE, shell.wait_with_output()).await??;
        Ok(Finished {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// The same, and it ends well.
    pub(crate) async fn succeeds(&self, text: &str) -> Result<String> {
        let finished = self.run(text).await?;
        ensure!(finished.ok, "{text}\n{finished:?}\n{}", self.log());
        Ok(finished.stdout)
    }

    /// All that the service has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path(&format!("run/{SERVICE}.service.log"))).unwrap_or_default()
    }

    /// Where the service listens since its last start: `http://127.0.0.1:PORT`.
    pub(crate) fn api(&self) -> Result<String> {
        let log = self.log();
        let line = log.lines().rfind(|line| line.trim_start().starts_with("API ")).context("it does not listen")?;
        let url = line.split_whitespace().nth(1).context("an address")?;
        Ok(url.trim_end_matches("/api/v1").to_owned())
    }

    /// The setup code that was printed last.
    pub(crate) fn setup_code(&self) -> Result<String> {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("setup code")).context("no setup code")?;
        line.split_whitespace().last().map(str::to_owned).context("a code")
    }

    /// A client of the service as it runs now.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::of(&self.api()?))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.path(&format!("run/{SERVICE}.service.pid")));
        if let Some(pid) = pid.ok().and_then(|pid| pid.parse().ok()) {
            let _ = send_signal(pid, Signal::KILL);
        }
    }
}

/// The text with its absolute paths below a directory.
fn below(text: &str, place: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = ["/etc/", "/usr/", "/var/"].iter().filter_map(|start| rest.find(start)).min() {
        let (before, from) = rest.split_at(at);
        let is_absolute = !before.ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
        result.push_str(before);
        if is_absolute {
            result.push_str(place);
        }
        let (slash, after) = from.split_at(1);
        result.push_str(slash);
        rest = after;
    }
    result.push_str(rest);
    result
}
