//! nginx with the documents' configuration, before a server on this machine.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use r1_testkit::tls::Identity;
use serde_json::Value;

use crate::{
    root::{Root, repository},
    support::PATIENCE,
};

/// The site's name in the documents.
const SITE: &str = "chat.example.com";
/// How often a start is tried: another process may take a free port before nginx does.
const TRIES: usize = 5;

/// The process; it ends with this.
pub(super) struct Nginx {
    child: Child,
    plain: u16,
    tls: u16,
    certificate: PathBuf,
    log: PathBuf,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: String,
}

/// The program, if this machine has it: where NGINX says, on the PATH, or where Debian keeps it.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("NGINX").filter(|named| !named.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    named.or_else(|| folders.map(|folder| folder.join("nginx")).find(|program| program.is_file()))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Nginx {
    /// Starts it in a root before the server at `node`; None where this machine has none.
    pub(super) fn start(root: &Root, node: &str) -> Result<Option<Self>> {
        let Some(program) = program() else { return Ok(None) };
        let identity = Identity::self_signed(SITE)?;
        let certificate = root.path("/etc/nginx/tls/fullchain.pem");
        for directory in ["/etc/nginx/tls", "/etc/nginx/conf.d", "/var/log/nginx", "/run/nginx"] {
            fs::create_dir_all(root.path(directory))?;
        }
        fs::write(&certificate, identity.certificate_pem())?;
        fs::write(root.path("/etc/nginx/tls/privkey.pem"), identity.key_pem())?;
        for _ in 0..TRIES {
            let (plain, tls) = (free_port()?, free_port()?);
            fs::write(root.path("/etc/nginx/conf.d/gpt-r1.conf"), site(root, node, plain, tls)?)?;
            fs::write(root.path("/etc/nginx/nginx.conf"), around(root))?;
            let errors = root.path("/run/nginx/errors");
            let child = Command::new(&program)
                .arg("-c")
                .arg(root.path("/etc/nginx/nginx.conf"))
                .arg("-e")
                .arg(&errors)
                .stdin(Stdio::null())
                .stderr(fs::File::create(&errors)?)
                .spawn()?;
            let log = root.path("/var/log/nginx/access.log");
            let mut started = Self { child, plain, tls, certificate: certificate.clone(), log };
            if started.is_up()? {
                return Ok(Some(started));
            }
        }
        bail!("nginx does not start: {}", fs::read_to_string(root.path("/run/nginx/errors"))?)
    }

    fn is_up(&mut self) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls)).is_ok() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }

    /// A request to the site by its name, as from anywhere: by the usual port, and with its certificate looked at.
    pub(super) async fn ask(&self, url: &str, more: &[&str]) -> Result<Answer> {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "30", "--cacert"]);
        curl.arg(&self.certificate);
        curl.args(["--connect-to", &format!("{SITE}:443:127.0.0.1:{}", self.tls)]);
        curl.args(["--connect-to", &format!("{SITE}:80:127.0.0.1:{}", self.plain)]);
        let output = curl.args(more).arg(url).output().await?;
        ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
        let status = head.split_whitespace().nth(1).context("a status")?.parse()?;
        Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    /// The same with a body of JSON.
    pub(super) async fn post(&self, url: &str, body: &Value, more: &[&str]) -> Result<Answer> {
        let body = body.to_string();
        self.ask(url, &[&["--header", "content-type: application/json", "--data", &*body], more].concat()).await
    }

    /// What it has written down.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// deploy/nginx.conf, with what its head says is to be changed, and the ports of a test.
fn site(root: &Root, node: &str, plain: u16, tls: u16) -> Result<String> {
    let text = fs::read_to_string(repository().join("deploy/nginx.conf"))?;
    let mut site = String::new();
    for line in text.lines() {
        // With one node, a line of the upstream is left out; so is what would need IPv6.
        if line.contains("server gpt-r1-b:") || line.contains("listen [::]:") {
            continue;
        }
        let line = line
            .replace("gpt-r1-a:8000", node)
            .replace("listen 80;", &format!("listen 127.0.0.1:{plain};"))
            .replace("listen 443 ", &format!("listen 127.0.0.1:{tls} "));
        site.push_str(&line);
        site.push('\n');
    }
    ensure!(site.contains(node) && site.contains(&format!(":{tls} ssl http2")), "{site}");
    Ok(root.below(&site))
}

/// What Debian's nginx.conf is around it. One process, so that it ends when it is killed.
fn around(root: &Root) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {};\n", root.path("/run/nginx").join(kind).display()))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/errors;\nevents {{ worker_connections 64; }}\n\
         http {{\n    access_log off;\n{temporary}    include {1};\n}}\n",
        root.path("/run/nginx").display(),
        root.path("/etc/nginx/conf.d/gpt-r1.conf").display()
    )
}
