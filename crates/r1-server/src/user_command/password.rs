//! A password from the terminal, from standard input, or made up.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::Context;
use r1_auth::secret;
use r1_domain::user::check_password;
use secrecy::{ExposeSecret, SecretString};

/// Characters of a password that is made up: 120 random bits.
const MADE_UP: usize = 20;

pub(super) enum Password {
    /// The person knows it.
    Given(SecretString),
    /// The person has to be told.
    MadeUp(SecretString),
}

impl Password {
    /// Reads one, asks for one, or makes one up where there is nobody to be asked.
    pub(super) fn of(from_stdin: bool) -> anyhow::Result<Self> {
        if from_stdin {
            Ok(Self::Given(read_line(&mut io::stdin().lock())?))
        } else if io::stdin().is_terminal() {
            ask()
        } else {
            Ok(made_up())
        }
    }

    pub(super) fn secret(&self) -> &SecretString {
        match self {
            Self::Given(secret) | Self::MadeUp(secret) => secret,
        }
    }

    /// Prints it for whoever does not know it.
    pub(super) fn tell(&self, out: &mut impl Write) -> anyhow::Result<()> {
        if let Self::MadeUp(secret) = self {
            writeln!(out, "password: {}", secret.expose_secret())?;
        }
        Ok(())
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
