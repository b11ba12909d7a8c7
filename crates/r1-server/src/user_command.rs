//! `gpt-r1 user …`: accounts, by whoever has the data directory, or the database. Works beside running servers,
//! which notice what was changed within five seconds.

use std::io::Write;

use r1_auth::{Auth, AuthError, Registration};
use r1_domain::{
    accounts::Changed,
    spelling::visible,
    store::{Store, StoreError},
    user::User,
};

use crate::cli::UserCommand;

mod delete;
mod password;
mod report;

use password::Password;

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
            let password = Password::of(password_stdin)?;
            let form = Registration { username: name, email, password: password.secret().clone() };
            let user = auth.add_user(form, admin).await.map_err(refused)?;
            let kind = if user.is_admin { "administrator" } else { "user" };
            writeln!(out, "{kind} {} can sign in", visible(&user.username))?;
            password.tell(out)
        }
        UserCommand::List { json } => report::list(store, json, out).await,
        UserCommand::Show { name, json } => report::show(&find(&name, store).await?, store, json, out).await,
        UserCommand::Usage { name, days, json } => {
            let user = match name {
                Some(name) => Some(find(&name, store).await?),
                None => None,
            };
            report::usage(user.as_ref(), days, store, json, out).await
        }
        UserCommand::Passwd { name, password_stdin } => {
            let user = find(&name, store).await?;
            let password = Password::of(password_stdin)?;
            auth.set_password(user.id, password.secret().clone()).await.map_err(refused)?;
            writeln!(out, "user {} has another password and is signed out everywhere", visible(&user.username))?;
            password.tell(out)
        }
        UserCommand::SignOut { name } => {
            let user = find(&name, store).await?;
            let ended = auth.sign_out(user.id).await?;
            let sessions = if ended == 1 { "session" } else { "sessions" };
            writeln!(out, "user {} is signed out everywhere ({ended} {sessions})", visible(&user.username))?;
            Ok(())
        }
        UserCommand::Promote { name } => set_admin(&find(&name, store).await?, true, false, store, out).await,
        UserCommand::Demote { name, yes } => set_admin(&find(&name, store).await?, false, yes, store, out).await,
        UserCommand::Disable { name } => set_disabled(&name, true, auth, store, out).await,
        UserCommand::Enable { name } => set_disabled(&name, false, auth, store, out).await,
        UserCommand::Delete { name, yes } => delete::delete(&find(&name, store).await?, yes, store, out).await,
    }
}

/// Finds an account by its name or address.
async fn find(name: &str, store: &dyn Store) -> anyhow::Result<User> {
    Ok(store.user_by_login(name).await?.ok_or_else(|| unknown(name))?.user)
}

fn unknown(name: &str) -> anyhow::Error {
    anyhow::anyhow!("there is no account {name:?}; `gpt-r1 user list` shows all")
}

fn refused(error: AuthError) -> anyhow::Error {
    match error {
        AuthError::Invalid(faults) => {
            let lines: Vec<String> = faults
                .iter()
                .map(|fault| format!("the {} {}", fault.field.trim_start_matches("new_"), fault.message))
                .collect();
            anyhow::anyhow!(lines.join("\n"))
        }
        AuthError::Taken { field } => anyhow::anyhow!("there is an account with this {field} already"),
        other => other.into(),
    }
}

async fn set_admin(
    user: &User,
    is_admin: bool,
    even_last: bool,
    store: &dyn Store,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match store.account_set_admin(user.id, is_admin, even_last).await? {
        Changed::Done(user) => {
            let what = if is_admin { "is an administrator" } else { "is no administrator" };
            writeln!(out, "user {} {what}", visible(&user.username))?;
            Ok(())
        }
        Changed::LastAdministrator => Err(last_administrator(user)),
    }
}

fn last_administrator(user: &User) -> anyhow::Error {
    anyhow::anyhow!(
        "{} is the last administrator who can sign in: make another one first (`gpt-r1 user promote NAME`). With \
         --yes it is done all the same, and while there is no administrator each start of the server prints a setup \
         code",
        visible(&user.username)
    )
}

async fn set_disabled(
    name: &str,
    disabled: bool,
    auth: &Auth,
    store: &dyn Store,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let user = match auth.set_disabled(name, disabled).await {
        Ok(user) => user,
        Err(AuthError::Store(StoreError::NotFound)) => {
            // It is there, so only its deletion is in the way.
            let user = find(name, store).await?;
            anyhow::bail!("user {} is being deleted, and stays disabled", visible(&user.username));
        }
        Err(other) => return Err(other.into()),
    };
    let what = if disabled { "disabled and signed out everywhere" } else { "enabled" };
    writeln!(out, "user {} is {what}", visible(&user.username))?;
    Ok(())
}
