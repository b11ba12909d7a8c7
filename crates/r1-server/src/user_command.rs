//! `gpt-r1 user …`: accounts, by whoever has the data directory. Works beside a running server,
//! which notices a disabled account within five seconds.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::Context;
use r1_auth::{Auth, AuthError, Registration, secret};
use r1_domain::{
    page::PageRequest,
    spelling::visible,
    store::{Store, StoreError},
    user::{User, check_password},
};
use secrecy::{ExposeSecret, SecretString};

use crate::cli::UserCommand;

/// Accounts read at a time.
const PAGE: usize = 200;
/// Characters of a password that is made up: 120 random bits.
const MADE_UP: usize = 20;

/// Carries a command out; what it has to say goes to `out`.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) async fn run(
    command: UserCommand,
    auth: &Auth,
    store: &dyn Store,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { name, email, admin, password_stdin } => {
            let password = if password_stdin {
                Password::Given(read_line(&mut io::stdin().lock())?)
            } else if io::stdin().is_terminal() {
                ask()?
            } else {
                made_up()
            };
            add(Registration { username: name, email, password: password.secret().clone() }, admin, auth)
                .await
                .and_then(|user| {
                    let kind = if user.is_admin { "administrator" } else { "user" };
                    writeln!(out, "{kind} {} can sign in", visible(&user.username))?;
                    if let Password::MadeUp(password) = &password {
                        writeln!(out, "password: {}", password.expose_secret())?;
                    }
                    Ok(())
                })
        }
        UserCommand::List => list(store, out).await,
        UserCommand::Disable { name } => set_disabled(&name, true, auth, out).await,
        UserCommand::Enable { name } => set_disabled(&name, false, auth, out).await,
    }
}

async fn add(registration: Registration, admin: bool, auth: &Auth) -> anyhow::Result<User> {
    auth.add_user(registration, admin).await.map_err(|error| match error {
        AuthError::Invalid(faults) => {
            let lines: Vec<String> =
                faults.iter().map(|fault| format!("the {} {}", fault.field, fault.message)).collect();
            anyhow::anyhow!(lines.join("\n"))
        }
        AuthError::Taken { field } => anyhow::anyhow!("there is an account with this {field} already"),
        other => other.into(),
    })
}

async fn set_disabled(name: &str, disabled: bool, auth: &Auth, out: &mut impl Write) -> anyhow::Result<()> {
    let user = auth.set_disabled(name, disabled).await.map_err(|error| match error {
        AuthError::Store(StoreError::NotFound) => {
            anyhow::anyhow!("there is no account {name:?}; `gpt-r1 user list` shows all")
        }
        other => other.into(),
    })?;
    let what = if disabled { "disabled and signed out everywhere" } else { "enabled" };
    writeln!(out, "user {} is {what}", visible(&user.username))?;
    Ok(())
}

async fn list(store: &dyn Store, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "{:<24} {:<32} {:<6} {:<9} MADE", "NAME", "E-MAIL", "ROLE", "STATE")?;
    let mut after = None;
    loop {
        let page = store.user_list(PageRequest { after, limit: PAGE }).await?;
        for user in &page.items {
            let role = if user.is_admin { "admin" } else { "user" };
            let state = if user.disabled { "disabled" } else { "enabled" };
            let made = jiff::Timestamp::from_second(user.created_at.unix_seconds()).map(|at| at.to_string());
            let made = made.unwrap_or_default();
            // Accounts from before, or from elsewhere, may have names that no new one could.
            writeln!(out, "{:<24} {:<32} {role:<6} {state:<9} {made}", visible(&user.username), visible(&user.email))?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

enum Password {
    /// The person knows it.
    Given(SecretString),
    /// The person has to be told.
    MadeUp(SecretString),
}

impl Password {
    fn secret(&self) -> &SecretString {
        match self {
            Self::Given(secret) | Self::MadeUp(secret) => secret,
        }
    }
}

fn made_up() -> Password {
    let (secret, _) = secret::generate();
    Password::MadeUp(SecretString::from(&secret.expose_secret()[..MADE_UP]))
}

/// One line without its end.
fn read_line(input: &mut impl BufRead) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    input.read_line(&mut line).context("no password can be read from standard input")?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n'])))
}

/// Asks at the terminal, without echo, until the same good password came twice; an empty one makes
/// one up.
fn ask() -> anyhow::Result<Password> {
    let read = |prompt| rpassword::prompt_password(prompt).map(SecretString::from).context("no password can be read");
    loop {
        let first = read("Password (empty: make one up): ")?;
        if first.expose_secret().is_empty() {
            return Ok(made_up());
        }
        if let Err(message) = check_password(first.expose_secret()) {
            writeln!(io::stderr(), "It {message}.")?;
        } else if read("Once more: ")?.expose_secret() == first.expose_secret() {
            return Ok(Password::Given(first));
        } else {
            writeln!(io::stderr(), "These were two different ones.")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_from_standard_input_is_its_first_line_as_it_stands() {
        for (input, password) in [("demo123456\nmore\n", "demo123456"), (" a b \r\n", " a b "), ("x", "x"), ("", "")] {
            assert_eq!(read_line(&mut input.as_bytes()).unwrap().expose_secret(), password);
        }
    }

    #[test]
    fn a_made_up_password_is_a_good_one() {
        let (Password::MadeUp(a), Password::MadeUp(b)) = (made_up(), made_up()) else { panic!("made up") };
        assert_eq!(check_password(a.expose_secret()), Ok(()));
        assert_ne!(a.expose_secret(), b.expose_secret());
    }
}
