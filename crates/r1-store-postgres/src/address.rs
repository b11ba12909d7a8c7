//! The URL: where the database is, and how it is spoken to.
//!
//! `sslmode` and `sslrootcert` are read here, since the client library knows fewer of them than libpq;
//! the rest is its own.
//!
//! **Invariant:** nothing that is printed of an address holds more of it than hosts, ports and name.

use std::{path::PathBuf, str::FromStr, time::Duration};

use r1_domain::near::nearest;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use crate::tls::{Tls, Verify};

/// For one address of a host to answer.
const SOCKET_TIME: Duration = Duration::from_secs(5);
/// A peer that does not acknowledge for this long is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// What may stand behind a URL's question mark: the driver's, and `sslrootcert`.
const PARAMETERS: [&str; 20] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Where the database is.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) config: Config,
    /// None: never encrypted.
    pub(crate) tls: Option<Tls>,
    /// For people.
    pub(crate) shown: String,
}

/// What is wrong with a URL. Without a word of it.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It has another form, or an option that nobody knows.
    #[error("is no URL such as postgres://user:password@host:5432/name")]
    NotAnAddress,
    /// A parameter that is near one of those that there are. Its name is one that was mistyped, so it is no secret.
    #[error("knows no parameter {name}; did you mean {meant}?")]
    Parameter {
        /// As it was written.
        name: String,
        /// As it is called.
        meant: &'static str,
    },
    /// An unknown `sslmode`.
    #[error("has an sslmode other than disable, prefer, require, verify-ca and verify-full")]
    SslMode,
    /// The authorities can't be used.
    #[error("names certificate authorities (sslrootcert, or the system's) that can't be used")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with it.
    pub(crate) fn parse(url: &SecretString) -> Result<Self, AddressError> {
        let url = url.expose_secret();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(AddressError::NotAnAddress);
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut authorities) = (None, None);
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sslmode" => mode = Some(value.into_owned()),
                // As libpq has it: the system's are meant, and looked at in full.
                "sslrootcert" if value == "system" => mode = Some("verify-full".to_owned()),
                "sslrootcert" => authorities = Some(PathBuf::from(&*value)),
                name => {
                    let meant = nearest(name, PARAMETERS).filter(|meant| *meant != name);
                    if let Some(meant) = meant.filter(|_| !PARAMETERS.contains(&name)) {
                        return Err(AddressError::Parameter { name: name.to_owned(), meant });
                    }
                    rest.append_pair(name, &value);
                }
            }
        }
        // The library reads %20, not the plus sign that forms have for it.
        let rest = rest.finish().replace('+', "%20");
        let mut config = Config::from_str(&format!("{base}?{rest}")).map_err(|_| AddressError::NotAnAddress)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::NotAnAddress);
        }
        let (mode, verify) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            None | Some("prefer") => (SslMode::Prefer, Verify::Nothing),
            Some("require") if authorities.is_none() => (SslMode::Require, Verify::Nothing),
            Some("require" | "verify-ca") => (SslMode::Require, Verify::Authority),
            Some("verify-full") => (SslMode::Require, Verify::Full),
            Some(_) => return Err(AddressError::SslMode),
        };
        config
            .ssl_mode(mode)
            // Of several hosts, the one that writes.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(SOCKET_TIME)
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(SILENCE / 2)
            .keepalives_interval(SILENCE / 4)
            .keepalives_retries(2);
        if config.get_application_name().is_none() {
            config.application_name("gpt-r1");
        }
        let tls = match mode {
            SslMode::Disable => None,
            _ => Some(Tls::new(verify, authorities.as_deref()).map_err(AddressError::Authorities)?),
        };
        let shown = shown(&config);
        Ok(Self { config, tls, shown })
    }
}

/// Where a URL points, for people.
///
/// # Errors
/// [`AddressError`] says what is wrong with it.
pub fn describe(url: &SecretString) -> Result<String, AddressError> {
    Ok(Address::parse(url)?.shown)
}

fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(i, host)| {
        let host = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        format!("{host}:{port}")
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("{hosts}/{}", config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, AddressError> {
        Address::parse(&SecretString::from(url))
    }

    #[test]
    fn what_is_shown_has_no_secret() {
        let address = parse("postgres://ada:hunter2@db.example:6543/chat?sslmode=disable&connect_timeout=3").unwrap();
        assert_eq!(address.shown, "db.example:6543/chat");
        assert_eq!(address.config.get_password(), Some(&b"hunter2"[..]));
        assert!(address.tls.is_none());
        assert_eq!(parse("postgresql://a,b/x?sslmode=disable").unwrap().shown, "a:5432,b:5432/x");
        let socket = parse("postgres:///chat?host=/var/run/postgresql&user=ada&application_name=my+chat").unwrap();
        assert_eq!(socket.shown, "/var/run/postgresql:5432/chat");
        assert_eq!(socket.config.get_application_name(), Some("my chat"));
    }

    #[test]
    fn what_is_wrong_is_said_without_it() {
        for url in [
            "",
            "mysql://ada:hunter2@db/x",
            "postgres://ada:hunter2@db:port/x",
            "postgres://db/x?hunter2=1",
            "postgres:///x",
        ] {
            let error = parse(url).err().unwrap();
            assert!(matches!(error, AddressError::NotAnAddress), "{url}");
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
        for (name, near) in
            [("sslmod", "sslmode"), ("aplication_name", "application_name"), ("sslrootcrt", "sslrootcert")]
        {
            let error = parse(&format!("postgres://db/x?{name}=hunter2")).err().unwrap().to_string();
            assert_eq!(error, format!("knows no parameter {name}; did you mean {near}?"));
        }
        assert!(parse("postgres://db/x?keepalives_idle=5&options=-cwork_mem%3D1MB").is_ok());
        assert!(matches!(parse("postgres://db/x?sslmode=allow").err(), Some(AddressError::SslMode)));
        let missing = parse("postgres://db/x?sslmode=verify-full&sslrootcert=/nowhere").err();
        assert!(matches!(missing, Some(AddressError::Authorities(_))));
    }

    #[test]
    fn tls_is_as_the_mode_says() {
        for (query, mode) in [
            ("", SslMode::Prefer),
            ("?sslmode=prefer", SslMode::Prefer),
            ("?sslmode=require", SslMode::Require),
            ("?sslmode=verify-ca", SslMode::Require),
            ("?sslmode=verify-full", SslMode::Require),
            ("?sslrootcert=system", SslMode::Require),
        ] {
            let address = parse(&format!("postgres://db/x{query}")).unwrap();
            assert_eq!(address.config.get_ssl_mode(), mode, "{query}");
            assert!(address.tls.is_some());
        }
    }
}
