//! The fenced blocks of a document.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::root::repository;

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// The line of its fence.
    pub(crate) line: usize,
    /// The heading that it stands below.
    pub(crate) heading: String,
    /// What it is written in; "" for what a program says.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// All blocks of a document, in order.
pub(crate) fn blocks(document: &str) -> Result<Vec<Block>> {
    let text = fs::read_to_string(repository().join(document))?;
    let (mut blocks, mut heading, mut open) = (Vec::new(), String::new(), None::<Block>);
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (open.take(), fence) {
            (Some(block), Some(_)) => blocks.push(block),
            (Some(mut block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, Some(language)) => {
                let (heading, language) = (heading.clone(), language.trim().to_owned());
                open = Some(Block { line: index + 1, heading, language, text: String::new() });
            }
            (None, None) => {
                if let Some(text) = line.strip_prefix('#') {
                    text.trim_start_matches('#').trim().clone_into(&mut heading);
                }
            }
        }
    }
    if let Some(block) = open {
        bail!("{document}:{}: a block without an end", block.line);
    }
    Ok(blocks)
}

/// The commands of a section, block by block.
pub(crate) fn section<const N: usize>(document: &str, heading: &str) -> Result<[String; N]> {
    let found: Vec<String> = blocks(document)?
        .into_iter()
        .filter(|block| block.heading == heading && block.language == "sh")
        .map(|block| block.text)
        .collect();
    let count = found.len();
    found.try_into().ok().with_context(|| format!("{document}: {count} blocks of commands under {heading}, not {N}"))
}
