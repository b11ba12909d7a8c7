//! `npm ci` where needed, then `npm run build`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// In `node_modules`: the lock file's text for which it was installed. npm removes it with the rest.
const STAMP: &str = ".built-for";
/// This many lines of a failed command are shown.
const SHOWN_LINES: usize = 8;

/// Builds the page into `dist`. The error is a reason for people.
pub(crate) fn build(web: &Path, dist: &Path) -> Result<PathBuf, String> {
    // Two cargo processes must not install into one node_modules: the second waits here. The lock
    // is on a file that is there anyway, and ends with this process.
    let package = fs::File::open(web.join("package.json")).map_err(|error| format!("web/package.json: {error}"))?;
    package.lock().map_err(|error| format!("web/package.json can't be locked: {error}"))?;
    install(web)?;
    if dist.exists() {
        fs::remove_dir_all(dist).map_err(|error| format!("{}: {error}", dist.display()))?;
    }
    npm(web, dist, &["run", "build"])?;
    if !dist.join("index.html").is_file() {
        return Err("npm run build has written no index.html to WEB_OUT_DIR".to_owned());
    }
    Ok(dist.to_owned())
}

fn install(web: &Path) -> Result<(), String> {
    let wanted =
        fs::read_to_string(web.join("package-lock.json")).map_err(|error| format!("web/package-lock.json: {error}"))?;
    let stamp = web.join("node_modules").join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    npm(web, web, &["ci", "--no-audit", "--no-fund"])?;
    let made = stamp.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(&stamp, wanted)).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Its output stays off standard output, which belongs to cargo.
fn npm(web: &Path, dist: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("npm").args(arguments).current_dir(web).env("WEB_OUT_DIR", dist).output();
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "npm is not installed (Node.js 20 or newer is needed)".to_owned(),
        _ => format!("npm: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
    Err(format!("npm {} failed: {}", arguments.join(" "), last.join(" | ")))
}
