//! `gpt-r1 model …`: what can be asked, and fetching the local model.

use std::io::Write;

use anyhow::ensure;
use r1_domain::{
    near::nearest,
    provider::{Abilities, ModelInfo, Models},
};
use r1_local_model::fetch::{self, FetchOptions, ProgressDisplay};
use r1_providers::catalog::Catalog;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::ModelCommand,
    config::{Config, DefaultModel},
    models::Wired,
};

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
    look_patiently(config, &catalog).await;
    let models = catalog.list().await;
    let is_open = |models: &[ModelInfo], name: &str| !models.iter().any(|model| model.provider == name);
    closing.cancel();
    catalog.close().await;

    let mut out = std::io::stdout().lock();
    for model in &models {
        let about = about(model);
        writeln!(out, "{}{}{about}", model.id, if about.is_empty() { "" } else { "\t" })?;
    }
    for provider in &config.providers {
        if let Some(fault) = catalog.list_fault(&provider.name) {
            // Its models may be configured, and it may answer all the same.
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

/// Asks each configured provider for its list, and says how it is.
///
/// # Errors
/// Some can't be asked.
pub(crate) async fn look(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let closing = CancellationToken::new();
    let catalog = Wired::new(config, Vec::new(), &closing)?.catalog();
    look_patiently(config, &catalog).await;
    closing.cancel();
    catalog.close().await;
    writeln!(out, "\n# How providers are now:")?;
    let mut failed = Vec::new();
    for health in catalog.health() {
        let Some(provider) = config.providers.iter().find(|provider| provider.name == health.name) else { continue };
        let said = match (health.status, catalog.listed(&health.name), health.detail) {
            ("ok", Some(models), _) => format!("answers, and lists {} models", models.len()),
            (_, _, Some(detail)) => detail,
            _ => "has not answered in time".to_owned(),
        };
        if health.status == "degraded" || (health.status == "unknown" && catalog.list_fault(&health.name).is_none()) {
            failed.push(health.name.clone());
        }
        let place = provider.key_place.as_ref().map(|place| format!(", key: {place}")).unwrap_or_default();
        writeln!(out, "#   {:<15} {said} ({}{place})", health.name, provider.base_url)?;
    }
    let DefaultModel { provider, model } = &config.default_model;
    if let (Some(model), Some(listed)) = (model, catalog.listed(provider))
        && !listed.contains(model)
    {
        let near = nearest(model, listed.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean {provider}/{near}?")).unwrap_or_default();
        writeln!(out, "#   default model   {model} is not among those that {provider} lists{near}")?;
    }
    ensure!(failed.is_empty(), "these providers can't be asked: {}", failed.join(", "));
    Ok(())
}

/// Asks each for its list, and waits some seconds for those that take their time.
async fn look_patiently(config: &Config, catalog: &Catalog) {
    let is_open = |name: &str| catalog.listed(name).is_none() && catalog.list_fault(name).is_none();
    for _ in 0..PATIENCE {
        catalog.look_at_providers().await;
        if !config.providers.iter().any(|provider| is_open(&provider.name)) {
            break;
        }
    }
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
