//! `gpt-r1 completions` and `gpt-r1 man`: the command line described for shells and for readers, both made from its
//! definition.

use std::{fs, io::Write, path::Path};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::{Cli, NAME};

/// Writes what a shell completes by.
///
/// # Errors
/// The output's.
pub(crate) fn completions(shell: Shell, out: &mut impl Write) -> anyhow::Result<()> {
    let whole = Cli::command();
    // What is hidden is for the server, and clap_complete offers it all the same.
    let mut shown = Command::new(NAME)
        .args(whole.get_arguments().cloned())
        .subcommands(whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown, NAME, &mut script);
    let mut script = String::from_utf8(script)?;
    if shell == Shell::Bash {
        // A name with a hyphen is spelt in two ways in bash's script (clap_complete 4.6.12), so nothing would be
        // offered behind a command's name.
        script = script.replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__"));
    }
    Ok(out.write_all(script.as_bytes())?)
}

/// Writes the manual page; into a directory, with one for each command.
///
/// # Errors
/// The output's, or the directory's.
pub(crate) fn man(dir: Option<&Path>, out: &mut impl Write) -> anyhow::Result<()> {
    let command = Cli::command().disable_help_subcommand(true);
    let Some(dir) = dir else { return Ok(Man::new(command).render(out)?) };
    let failed = || format!("the manual pages can't be written into {}", dir.display());
    fs::create_dir_all(dir).with_context(failed)?;
    clap_mangen::generate_to(command, dir).with_context(failed)
}
