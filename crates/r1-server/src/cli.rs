//! The command line. `gpt-r1` alone is `gpt-r1 serve`.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use secrecy::SecretString;

use crate::config::Flags;

mod user;

pub(crate) use user::UserCommand;

/// What the command is called.
pub(crate) const NAME: &str = "gpt-r1";

/// What was asked for.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    about = "A self-hosted ChatGPT in one binary, whose answer streams never break.",
    after_help = "Every setting is described in config.default.toml; `gpt-r1 config check` shows what is in force."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(flatten, next_help_heading = "Options of serve")]
    serve: ServeOptions,
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes, before or after its name.
#[derive(Debug, Default, Args)]
struct Options {
    /// Read this file instead of gpt-r1.toml in the working directory.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep database, signing key and lock here.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Where the server listens: of `serve`, and of `config check`, which looks at the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct ServeOptions {
    /// Listen here: an IP address or "localhost"; 0.0.0.0 lets other machines in.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Where the API listens, such as :8000 or 127.0.0.1:8000.
    #[arg(long, value_name = "ADDR:PORT")]
    api_addr: Option<String>,
    /// Where the page listens, such as :3000 or 127.0.0.1:3000; "off" leaves it to the API's port.
    #[arg(long, value_name = "ADDR:PORT")]
    web_addr: Option<String>,
    /// Where the metrics listen, such as 127.0.0.1:9464; off if nothing is said.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_addr: Option<String>,
}

impl ServeOptions {
    /// These, and where they say nothing the others.
    fn or(self, other: Self) -> Self {
        Self {
            host: self.host.or(other.host),
            api_addr: self.api_addr.or(other.api_addr),
            web_addr: self.web_addr.or(other.web_addr),
            metrics_addr: self.metrics_addr.or(other.metrics_addr),
        }
    }
}

impl Cli {
    /// The command, and what beats the configuration file and the environment.
    ///
    /// # Errors
    /// An option of `serve` stands before another command.
    pub(crate) fn parts(self) -> Result<(Flags, Command), clap::Error> {
        let Self { options: Options { config, data_dir }, serve: before, command } = self;
        let command = command.unwrap_or_else(|| Command::Serve(ServeOptions::default()));
        let serve = match &command {
            Command::Serve(serve) | Command::Config { command: ConfigCommand::Check { serve, .. } } => {
                serve.clone().or(before)
            }
            _ if before != ServeOptions::default() => {
                let message = "--host, --api-addr, --web-addr and --metrics-addr are options of serve and config check";
                return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
            }
            _ => before,
        };
        let ServeOptions { host, api_addr, web_addr, metrics_addr } = serve;
        Ok((Flags { config, data_dir, host, api_addr, web_addr, metrics_addr }, command))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (the default).
    Serve(ServeOptions),
    /// Look at the configuration.
    Config {
        /// What about it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look after models.
    Model {
        /// What about them.
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Look after accounts.
    User {
        /// What about them.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Copy the SQLite database into one file, while a server uses it or not.
    Backup(BackupArgs),
    /// Put a backup in place, where no server runs.
    Restore(RestoreArgs),
    /// Copy everything from SQLite to an empty PostgreSQL database, where no server runs.
    Migrate(MigrateArgs),
    /// Put another signing key in the place of the present one.
    ///
    /// Nobody is signed out: access tokens of before are good until they expire. In a data directory a new key is
    /// made, which the server uses from its next start on.
    /// With PostgreSQL: start all nodes with the new SECRET_KEY, and that of before as SECRET_KEY_PREVIOUS; then run
    /// this with the same two; then start all nodes again.
    RotateKey {
        /// Accept nothing that the key before has signed, as where others have got hold of it. API clients go on
        /// with their refresh tokens, the page with its cookie.
        #[arg(long)]
        forget: bool,
    },
    /// Print the API's OpenAPI document.
    Openapi,
    /// Print what a shell completes this command line by.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man {
        /// Write it here instead, with a page for each command.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// The child process that runs the local model. Started by the server only.
    #[command(hide = true)]
    LocalModel(LocalModelArgs),
}

/// What is copied, and to where.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct BackupArgs {
    /// The file to be made. In a directory it is named after the time (UTC), such as
    /// gpt-r1-2026-11-30T030000Z.db; "-" is standard output.
    #[arg(value_name = "FILE|DIR|-")]
    pub(crate) target: PathBuf,
    /// Put the signing key into it, so that access tokens are good on another machine too. Whoever has the file can
    /// sign tokens then.
    #[arg(long)]
    pub(crate) with_key: bool,
    /// In a directory: of the backups there, remove all but this number of the newest, once the new one was read back.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) keep: Option<u32>,
    /// Print nothing but faults.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What is put in place.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct RestoreArgs {
    /// The backup; of a directory the newest one that `backup` has named there.
    #[arg(value_name = "FILE|DIR")]
    pub(crate) file: PathBuf,
    /// Where there is a database already, keep that in a directory beside the restored one.
    #[arg(long)]
    pub(crate) replace: bool,
}

/// From where to where.
#[derive(Debug, Clone, Args)]
pub(crate) struct MigrateArgs {
    /// The data directory that is read, and stays as it is; the configured one if nothing is said.
    #[arg(long, value_name = "sqlite:DIR")]
    pub(crate) from: Option<String>,
    /// The database that takes everything; DATABASE_URL if nothing is said. Others on this machine can see
    /// what stands here.
    #[arg(long, value_name = "postgres://USER@HOST/NAME")]
    pub(crate) to: Option<SecretString>,
}

/// What the supervisor tells the child.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct LocalModelArgs {
    #[arg(long)]
    pub(crate) model: PathBuf,
    #[arg(long)]
    pub(crate) socket: PathBuf,
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) threads: usize,
    #[arg(long)]
    pub(crate) context: Option<usize>,
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) kv_budget: usize,
}

/// About the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting in force and where it comes from, or all faults at once (then the exit
    /// status is 78).
    Check {
        /// Print nothing but faults.
        #[arg(long, conflicts_with = "online")]
        quiet: bool,
        /// Ask each provider for its models too, which is not billed, and say how it is. The exit status is 1 where
        /// one can't be asked.
        #[arg(long)]
        online: bool,
        #[command(flatten)]
        serve: ServeOptions,
    },
}

/// About models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum ModelCommand {
    /// List the models that can be asked.
    List,
    /// Fetch the local model now, so that the first start needn't.
    Pull {
        /// Only if the server would use it: nothing is fetched where a provider is configured.
        #[arg(long)]
        if_needed: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_and_flags_stand_anywhere() {
        let bare = parse("gpt-r1").unwrap();
        assert!(bare.command.is_none());
        for line in [
            "gpt-r1 --host 0.0.0.0 --data-dir d",
            "gpt-r1 serve --host 0.0.0.0 --data-dir d",
            "gpt-r1 --data-dir d serve --host 0.0.0.0",
        ] {
            let (flags, command) = parse(line).unwrap().parts().unwrap();
            assert!(matches!(command, Command::Serve(_)), "{line}");
            assert_eq!(flags.host.as_deref(), Some("0.0.0.0"), "{line}");
            assert_eq!(flags.data_dir.as_deref(), Some(std::path::Path::new("d")));
        }
    }

    #[test]
    fn help_shows_a_commands_own_options() {
        fn look(command: &mut clap::Command, path: &str) {
            let help = command.render_long_help().to_string();
            let serves = [" gpt-r1", " gpt-r1 serve", " gpt-r1 config check"].contains(&path);
            for option in ["--host", "--api-addr", "--web-addr", "--metrics-addr"] {
                assert_eq!(help.contains(option), serves, "{path}: {help}");
            }
            for inner in command.get_subcommands_mut() {
                let path = format!("{path} {}", inner.get_name());
                look(inner, &path);
            }
        }
        let mut command = Cli::command();
        command.build();
        look(&mut command, " gpt-r1");
        let checked = parse("gpt-r1 config check --api-addr :9").unwrap().parts().unwrap().0;
        assert_eq!(checked.api_addr.as_deref(), Some(":9"));
        let both = parse("gpt-r1 --host a serve --host b").unwrap().parts().unwrap().0;
        assert_eq!(both.host.as_deref(), Some("b"));
        assert!(parse("gpt-r1 --host a user list").unwrap().parts().is_err());
        assert!(parse("gpt-r1 user list --host a").is_err());
    }

    #[test]
    fn commands_are_read() {
        let user = |line: &str| match parse(line).unwrap().command {
            Some(Command::User { command }) => command,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            user("gpt-r1 user add demo_user --email demo@example.com --admin"),
            UserCommand::Add {
                name: "demo_user".to_owned(),
                email: "demo@example.com".to_owned(),
                admin: true,
                password_stdin: false
            }
        );
        assert_eq!(user("gpt-r1 user disable a --data-dir d"), UserCommand::Disable { name: "a".to_owned() });
        assert_eq!(user("gpt-r1 user usage"), UserCommand::Usage { name: None, days: 30, json: false });
        assert!(parse("gpt-r1 user usage --days 0").is_err() && parse("gpt-r1 user delete").is_err());
        assert!(parse("gpt-r1 user add demo_user").is_err(), "without --email");
        assert!(parse("gpt-r1 nonsense").is_err());
        let migrate = parse("gpt-r1 migrate --from sqlite:/d --to postgres://ada:hunter2@db/x").unwrap().command;
        assert!(!format!("{migrate:?}").contains("hunter2"));
        assert!(matches!(migrate, Some(Command::Migrate(args)) if args.from.as_deref() == Some("sqlite:/d")));
        let child = parse("gpt-r1 local-model --model m --socket s --name n --threads 1").unwrap().command;
        assert!(matches!(child, Some(Command::LocalModel(args)) if args.kv_budget == 64 << 20));
        assert_eq!(parse("gpt-r1 --version").unwrap_err().kind(), clap::error::ErrorKind::DisplayVersion);
    }
}
