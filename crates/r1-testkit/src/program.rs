//! Programs that tests need and that the system's packages have.

use std::path::PathBuf;

use anyhow::Context;

/// Where a program is: where `variable` says, or on the path.
///
/// # Errors
/// It is nowhere; the text says which package has it.
pub fn find(variable: &str, name: &str, package: &str) -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.with_context(|| {
        format!("missing: {name}. Install it (Debian: apt-get install {package}), or name one: {variable}=/path/to/it")
    })
}
