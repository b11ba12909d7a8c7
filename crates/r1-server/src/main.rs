//! The binary `gpt-r1`: reads the command line and the configuration, and hands over.
//!
//! [`serve`] is the server: it puts the crates together and sees them through their life. The other
//! commands are short guests beside it.

mod backup_command;
mod cli;
mod command_line;
mod config;
mod data_dir;
mod database;
mod housekeeping;
mod jobs;
mod last_backup;
mod listen;
mod local_provider;
mod metrics;
mod migrate_command;
mod model_command;
mod models;
mod reload;
mod revocation;
mod rotate_key_command;
mod serve;
mod service_manager;
mod shutdown;
mod signals;
mod telemetry;
#[cfg(feature = "otel")]
mod traces;
mod user_command;

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use r1_auth::{Auth, key::SigningKey};
use r1_domain::time::SystemClock;
use r1_local_model::{ChildOptions, run_child};
use r1_providers::catalog::CatalogError;

use crate::{
    cli::{Cli, Command, ConfigCommand, LocalModelArgs, UserCommand},
    config::{Config, Loaded, Source},
    database::Guest,
    serve::Start,
    telemetry::Telemetry,
};

/// Gives back what a load needed once it has gone, and takes less processor time per chunk than glibc's.
/// SQLite's memory is of it too.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit status of a configuration that can't be used (sysexits.h). A command line that can't be read has 2, and
/// all else 1.
const EX_CONFIG: u8 = 78;

/// The key's file in the data directory, where none is given.
const SIGNING_KEY: &str = "signing-key";

fn main() -> ExitCode {
    let (flags, command) = Cli::parse().parts().unwrap_or_else(|error| error.exit());
    match run(flags, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes in one line each; no backtrace: these are errors for people.
            let _ = writeln!(std::io::stderr(), "gpt-r1: {error:#}");
            status_of(&error)
        }
    }
}

/// What a start comes to nothing with: a manager of services need not try again where the configuration is at fault.
fn status_of(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.is::<config::Faults>() || error.is::<CatalogError>();
    if is_configuration { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
}

fn run(flags: config::Flags, command: Command) -> anyhow::Result<()> {
    match command {
        // None of these looks at the configuration.
        Command::LocalModel(args) => return run_local_model(args),
        Command::Openapi => {
            let document = r1_http::openapi().to_pretty_json()?;
            return Ok(writeln!(std::io::stdout(), "{document}")?);
        }
        Command::Completions { shell } => return command_line::completions(shell, &mut std::io::stdout()),
        Command::Man { dir } => return command_line::man(dir.as_deref(), &mut std::io::stdout()),
        _ => {}
    }
    let source = Source { flags, environment: environment() };
    let loaded = config::load(&source)?;
    if matches!(command, Command::Serve(_)) {
        return run_server(source, loaded);
    }
    let Loaded { config, warnings, effective, .. } = loaded;
    match command {
        Command::Config { command: ConfigCommand::Check { quiet: true, .. } } => Ok(()),
        Command::Config { command: ConfigCommand::Check { quiet: false, online, .. } } => {
            for warning in &warnings {
                writeln!(std::io::stderr(), "warning: {warning}")?;
            }
            std::io::stdout().write_all(effective.as_bytes())?;
            if online { runtime()?.block_on(model_command::look(&config, &mut std::io::stdout())) } else { Ok(()) }
        }
        Command::Model { command } => runtime()?.block_on(model_command::run(command, &config)),
        Command::User { command } => runtime()?.block_on(run_user(command, config)),
        Command::Backup(args) => backup_command::backup(&args, &config, &mut std::io::stdout()),
        Command::Restore(args) => runtime()?.block_on(backup_command::restore(&args, &config, &mut std::io::stdout())),
        Command::Migrate(args) => runtime()?.block_on(migrate_command::migrate(args, &config, &mut std::io::stdout())),
        Command::RotateKey { forget } => {
            runtime()?.block_on(rotate_key_command::rotate(forget, &config, &mut std::io::stdout()))
        }
        // They have left above.
        Command::Serve(_)
        | Command::LocalModel(_)
        | Command::Openapi
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

fn run_server(source: Source, loaded: Loaded) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let workers = runtime()?;
    let keeper = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = Start { source, loaded, level: telemetry.level() };
    let served = keeper.block_on(serve::serve(start, workers.handle()));
    // Whatever hangs in there by now, a read of a dead disk say, is not waited for.
    workers.shutdown_background();
    telemetry.end();
    served
}

/// The variables of this process that are text.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Half of the processors serve; the other half is for the database's thread, passwords and the local
/// model. More threads than there is work for cost more than they help: they wake each other for
/// every chunk.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let threads = (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("the runtime can't be started")
}

/// The process inside the process: see [`r1_local_model`].
fn run_local_model(args: LocalModelArgs) -> anyhow::Result<()> {
    let file = args.model.display().to_string();
    let ended = run_child(ChildOptions {
        model: args.model,
        socket: args.socket,
        name: args.name,
        threads: args.threads,
        context: args.context,
        kv_budget_bytes: args.kv_budget,
        follow_parent: true,
    });
    ended.with_context(|| format!("the local model {file} can't be used"))
}

async fn run_user(command: UserCommand, config: Config) -> anyhow::Result<()> {
    let guest = if matches!(command, UserCommand::Add { .. }) { Guest::MayMake } else { Guest::Uses };
    let store = database::open_guest(&config, guest).await?;
    writeln!(std::io::stderr(), "database: {}", database::name(&config))?;
    // Only passwords are made here; no token is.
    let auth = Auth::new(store.clone(), Arc::new(SystemClock), &SigningKey::random().into(), config.auth)?;
    user_command::run(command, &auth, store.as_ref(), &mut std::io::stdout()).await
}
