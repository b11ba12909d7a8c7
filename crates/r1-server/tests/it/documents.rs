//! What the documents promise is so.

mod blocks;
mod commands;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
pub(crate) use blocks::{Block, blocks, section};

use crate::root::repository as root;

#[test]
fn every_link_between_documents_leads_somewhere() -> Result<()> {
    let mut documents: Vec<PathBuf> =
        std::fs::read_dir(root())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    for folder in ["docs", "docs/adr", "docs/api"] {
        documents.extend(std::fs::read_dir(root().join(folder))?.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let mut links = 0;
    for document in documents.iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(document)?;
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') || target.starts_with("mailto:") {
                continue;
            }
            let file = target.split('#').next().unwrap_or_default();
            let folder = document.parent().context("a folder")?;
            ensure!(folder.join(file).exists(), "{}: {target}", document.display());
            links += 1;
        }
    }
    ensure!(links > 5, "{links} links");
    Ok(())
}

#[test]
fn the_changelog_names_the_version() -> Result<()> {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md"))?;
    ensure!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))), "{changelog}");
    Ok(())
}

#[test]
fn the_readme_names_the_two_commands() -> Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    for command in ["make run", "make test"] {
        ensure!(readme.contains(command), "{command}");
    }
    Ok(())
}
