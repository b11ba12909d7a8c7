//! Chooses the page and packs it into the crate.
//!
//! In this order: the finished build that `WEB_DIST` names; `npm run build` in `web/`, where there
//! is a `package.json`; the placeholder. A missing Node never stands between a person and a
//! running API, so a failed npm is a warning, unless `WEB_REQUIRED=1` says that this is a release.
//!
//! **Invariant:** every path reported to cargo exists. A missing one makes cargo run this on every
//! build.
#![expect(clippy::print_stdout, reason = "standard output is how a build script talks to cargo")]

mod npm;
mod pack;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// In `web/`, but not part of the page.
const NOT_SOURCES: [&str; 6] = ["node_modules", "dist", "scripts", "tests", "types", "README.md"];

struct Page {
    directory: PathBuf,
    placeholder: bool,
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let out = directory_from("OUT_DIR")?;
    let krate = directory_from("CARGO_MANIFEST_DIR")?;
    for name in ["WEB_DIST", "WEB_REQUIRED", "WEB_SKIP", "DOCS_RS", "RA_RUSTC_WRAPPER"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build");
    let page = choose(&krate, &out)?;
    if page.placeholder && is_set("WEB_REQUIRED") {
        return Err("WEB_REQUIRED is set, but there is no page: set WEB_DIST, or see the reason above".to_owned());
    }
    pack::pack(&page.directory, page.placeholder, &out)
}

fn choose(krate: &Path, out: &Path) -> Result<Page, String> {
    if let Some(dist) = env::var_os("WEB_DIST").filter(|dist| !dist.is_empty()) {
        let directory = PathBuf::from(dist);
        if !directory.join("index.html").is_file() {
            return Err(format!("WEB_DIST={} has no index.html", directory.display()));
        }
        watch(&directory);
        return Ok(Page { directory, placeholder: false });
    }
    let web = krate.join("../../web");
    let has_source = web.join("package.json").is_file();
    // An editor's checks and the documentation need something to embed, not the page.
    let skip = ["WEB_SKIP", "DOCS_RS", "RA_RUSTC_WRAPPER"].into_iter().any(is_set);
    let built = if has_source && !skip { npm::build(&web, &out.join("dist")).map(Some) } else { Ok(None) };
    watch_sources(&web).map_err(|error| format!("{}: {error}", web.display()))?;
    match built {
        Ok(Some(directory)) => return Ok(Page { directory, placeholder: false }),
        Ok(None) => {}
        Err(reason) => println!(
            "cargo::warning=the page was not built, a placeholder is embedded (touch web/package.json to try again): {reason}"
        ),
    }
    let directory = krate.join("placeholder");
    watch(&directory);
    Ok(Page { directory, placeholder: true })
}

fn watch_sources(web: &Path) -> io::Result<()> {
    if !web.is_dir() {
        return Ok(());
    }
    if !web.join("node_modules").exists() {
        // Nothing was built here yet. Cargo looks through all of the directory, which is small, and
        // notices whatever was missing.
        watch(web);
        return Ok(());
    }
    for entry in fs::read_dir(web)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !NOT_SOURCES.contains(&&*name) {
            watch(&entry.path());
        }
    }
    Ok(())
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

fn directory_from(name: &str) -> Result<PathBuf, String> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set: run this by cargo"))
}
