//! `gpt-r1 model …`: what can be asked, and fetching the local model.

use std::io::Write;

use r1_domain::provider::{Abilities, ModelInfo, Models};
use r1_local_model::fetch::{self, FetchOptions, ProgressDisplay};
use tokio_util::sync::CancellationToken;

use crate::{cli::ModelCommand, config::Config, models::Wired};

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
        ModelCommand::List => list(config, &options).await,
    }
}

/// How often a provider that takes its time is waited for again, for two seconds each.
const PATIENCE: usize = 5;

async fn list(config: &Config, options: &FetchOptions) -> anyhow::Result<()> {
    let closing = CancellationToken::new();
    let catalog = Wired::new(config, Vec::new(), &closing)?.catalog();
    catalog.look_for_servers_once().await;
    let mut models = catalog.list().await;
    let is_open = |models: &[ModelInfo], name: &str| {
        !models.iter().any(|model| model.provider == name) && catalog.list_fault(name).is_none()
    };
    for _ in 1..PATIENCE {
        if !config.providers.iter().any(|provider| is_open(&models, &provider.name)) {
            break;
        }
        models = catalog.list().await;
    }
    closing.cancel();
    catalog.close().await;

    let mut out = std::io::stdout().lock();
    for model in &models {
        let about = about(model);
        writeln!(out, "{}{}{about}", model.id, if about.is_empty() { "" } else { "\t" })?;
    }
    for provider in &config.providers {
        if let Some(fault) = catalog.list_fault(&provider.name) {
            writeln!(out, "{}/…\tcan't be listed: {fault} ({})", provider.name, provider.base_url)?;
        } else if is_open(&models, &provider.name) {
            writeln!(out, "{}/…\tlists no model ({})", provider.name, provider.base_url)?;
        }
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

/// What is known of a model, for people.
fn about(model: &ModelInfo) -> String {
    let Abilities { context_tokens, output_tokens, images, tools, reasoning } = model.abilities;
    let tokens = |number: Option<u32>, of: &str| number.map(|number| format!("{of} {number} tokens"));
    let can = |can: Option<bool>, what: &str| can.unwrap_or_default().then(|| what.to_owned());
    let known = [
        model.is_default.then(|| "the default".to_owned()),
        model.name.clone(),
        tokens(context_tokens, "context"),
        tokens(output_tokens, "answer"),
        can(images, "images"),
        can(tools, "tools"),
        can(reasoning, "reasoning"),
    ];
    known.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
