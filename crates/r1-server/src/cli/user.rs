//! What is asked for about accounts.

use clap::Subcommand;

/// About accounts. An account goes by its sign-in name or its e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account. Asks for a password; without a terminal, makes one up and prints it.
    Add {
        /// Sign-in name.
        name: String,
        /// E-mail address; it serves as a sign-in name too.
        #[arg(long)]
        email: String,
        /// Make an administrator.
        #[arg(long)]
        admin: bool,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all accounts with what they have, oldest first.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show an account: its state, last sign-in, sessions, conversations, running answers, tokens used.
    Show {
        /// Sign-in name or e-mail address.
        name: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show what answers used, by day (UTC), account and model.
    Usage {
        /// Sign-in name or e-mail address; all accounts if nothing is said.
        name: Option<String>,
        /// This many days, today included.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Give an account another password and sign it out everywhere. Asks for the password; without a terminal,
    /// makes one up and prints it.
    Passwd {
        /// Sign-in name or e-mail address.
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// End all sessions of an account. It may sign in again.
    SignOut {
        /// Sign-in name or e-mail address.
        name: String,
    },
    /// Make an account an administrator's.
    Promote {
        /// Sign-in name or e-mail address.
        name: String,
    },
    /// Make an administrator's account a plain one.
    Demote {
        /// Sign-in name or e-mail address.
        name: String,
        /// Even if it is the last administrator's.
        #[arg(long)]
        yes: bool,
    },
    /// Lock an account and end its sessions.
    Disable {
        /// Sign-in name or e-mail address.
        name: String,
    },
    /// Unlock an account.
    Enable {
        /// Sign-in name or e-mail address.
        name: String,
    },
    /// Delete an account with all that it has, for ever. Asks for its name. What is interrupted, the server or the
    /// same command goes on with.
    Delete {
        /// Sign-in name or e-mail address.
        name: String,
        /// Don't ask, even if it is the last administrator's.
        #[arg(long)]
        yes: bool,
    },
}
