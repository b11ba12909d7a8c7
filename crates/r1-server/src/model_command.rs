//! `gpt-r1 model …`: what can be asked, and fetching the local model.

use std::io::Write;

use r1_local_model::fetch::{self, FetchOptions, ProgressDisplay};

use crate::{cli::ModelCommand, config::Config};

/// Carries a command out.
pub(crate) async fn run(command: ModelCommand, config: &Config) -> anyhow::Result<()> {
    let path = config.local_model.as_ref().and_then(|local| local.path.clone());
    let options = FetchOptions::from_environment(path);
    match command {
        ModelCommand::Pull { if_needed: true } if config.local_model.is_none() => Ok(()),
        ModelCommand::Pull { if_needed } => {
            let progress = ProgressDisplay::new();
            // A file of the operator's own is only looked at, here as at the start of the server.
            let fetched = if if_needed || options.path.is_some() {
                fetch::ensure(&options, &|step| progress.show(step)).await
            } else {
                fetch::pull(&options, &|step| progress.show(step)).await
            };
            progress.finish();
            let path = fetched?;
            if !if_needed {
                writeln!(std::io::stdout(), "{}", path.display())?;
            }
            Ok(())
        }
        ModelCommand::List => list(config, &options),
    }
}

fn list(config: &Config, options: &FetchOptions) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for provider in &config.providers {
        if provider.models.is_empty() {
            writeln!(out, "{}/…\tasked at {}", provider.name, provider.base_url)?;
        }
        for model in &provider.models {
            writeln!(out, "{}/{model}", provider.name)?;
        }
    }
    if let Some(local) = &config.local_model {
        writeln!(out, "local/{}\ton this machine", local.name)?;
    }
    let pinned = &options.model.file_name;
    let cached = fetch::list(options)?;
    if cached.is_empty() {
        writeln!(out, "{pinned}\tnot fetched yet: gpt-r1 model pull")?;
    }
    for model in cached {
        let state = match (model.partial, model.verified) {
            (true, _) => "partly fetched",
            (false, true) => "fetched, checksum right",
            (false, false) => "fetched, checksum not looked at",
        };
        writeln!(out, "{}\t{} MB, {state}", model.path.display(), model.size / 1_000_000)?;
    }
    Ok(())
}
