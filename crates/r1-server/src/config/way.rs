//! The way to a provider: proxy, certificates, headers, and how its key is sent.

use std::{io::Read, path::Path};

use http::{HeaderName, HeaderValue};
use r1_providers::openai::{
    Authorities, ClientCertificate, ClientCertificateFault, Headers, Proxy, is_own_header, key_header,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    assemble::expand,
    fault::Fault,
    keys,
    reader::{Reader, Wrong},
    value::{Origin, Value},
};

/// Largest file of certificates that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;
const FILE_REMEDY: &str = "give the path of a file in PEM that this user may read";
const HEADER_REMEDY: &str = "write it like \"X-Title\" = \"GPT.R1\"";

/// How a provider is reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// Through this proxy; none: straight there.
    pub(crate) proxy: Option<Proxy>,
    /// What names the proxy: a variable, or nothing where it is the provider's own setting.
    pub(crate) proxy_variable: Option<&'static str>,
    /// Authorities that are trusted beside the system's.
    pub(crate) ca_certificate: Option<Authorities>,
    /// What is shown to it.
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// Sent with every request.
    pub(crate) headers: Headers,
    /// What carries the key; none: by host.
    pub(crate) api_key_header: Option<HeaderName>,
    /// Azure's `api-version`.
    pub(crate) api_version: Option<String>,
}

impl Way {
    /// Whether some of it was read from files, which may change by themselves.
    pub(crate) fn reads_files(&self) -> bool {
        self.ca_certificate.is_some() || self.client_certificate.is_some()
    }
}

/// Reads it for the provider of this name at this address.
pub(crate) fn read(
    reader: &mut Reader,
    environment: &[(String, String)],
    name: &str,
    base_url: &str,
    has_key: bool,
) -> Way {
    let (proxy_variable, proxy) = proxy(reader, environment, name, base_url);
    let api_key_header = api_key_header(reader, name);
    let way = Way {
        proxy,
        proxy_variable,
        ca_certificate: ca_certificate(reader, environment, name),
        client_certificate: client_certificate(reader, environment, name),
        headers: headers(reader, environment, name, base_url, has_key, api_key_header.as_ref()),
        api_key_header,
        api_version: api_version(reader, name),
    };
    if base_url.starts_with("http://") && !way.proxy.as_ref().is_some_and(Proxy::is_tls) {
        for setting in ["ca_certificate", "client_certificate"] {
            let key = key(name, setting);
            if optional_text(reader, &key).is_some() {
                reader.fault(&key, "is of no use: base_url is http://", "write https:// there, or remove it");
            }
        }
    }
    way
}

fn key(provider: &str, setting: &str) -> String {
    keys::join(["providers", provider, setting])
}

/// A text; none if it is not given or empty.
fn optional_text(reader: &mut Reader, key: &str) -> Option<String> {
    reader.is_given(key).then(|| reader.text(key)).filter(|text| !text.is_empty())
}

fn proxy(
    reader: &mut Reader,
    environment: &[(String, String)],
    name: &str,
    base_url: &str,
) -> (Option<&'static str>, Option<Proxy>) {
    let key = key(name, "proxy");
    let words = "must be \"environment\", \"none\" or a URL";
    let remedy = "write it like \"http://proxy.example.com:3128\"";
    // Never repeated: there may be a password in it.
    let own = if reader.is_given(&key) {
        reader.read(&key, |value| match value.text().map(str::trim) {
            Some("environment") => Ok(None),
            Some("none") => Ok(Some(None)),
            Some(url) if url.contains("://") => match Proxy::parse(url) {
                Ok(proxy) => Ok(Some(Some(proxy))),
                Err(why) => Err(Wrong::new(why, remedy)),
            },
            _ => Err(Wrong::new(words, remedy)),
        })
    } else {
        None
    };
    if let Some(own) = own {
        return (None, own);
    }
    let lookup = |wanted: &str| {
        environment.iter().find(|(known, value)| known == wanted && !value.is_empty()).map(|(_, value)| value.clone())
    };
    match Proxy::from_environment(base_url, lookup) {
        Ok(Some((variable, proxy))) => (Some(variable), Some(proxy)),
        Ok(None) => (None, None),
        Err((variable, why)) => {
            reader.faults.push(Fault {
                origin: Origin::Environment(variable.to_owned()),
                key: String::new(),
                problem: format!("{why}, and would be the proxy of providers.{name}"),
                remedy: format!("correct it, or set providers.{name}.proxy to \"none\" or a proxy of its own"),
            });
            (None, None)
        }
    }
}

fn ca_certificate(reader: &mut Reader, environment: &[(String, String)], name: &str) -> Option<Authorities> {
    let key = key(name, "ca_certificate");
    let path = optional_text(reader, &key)?;
    let pem = file(reader, &key, &expand(&path, environment))?;
    let read = Authorities::from_pem(pem.expose_secret().as_bytes());
    read.map_err(|why| reader.fault(&key, format!("names a file that {why}"), FILE_REMEDY)).ok()
}

fn client_certificate(reader: &mut Reader, environment: &[(String, String)], name: &str) -> Option<ClientCertificate> {
    let (certificate_key, key_key) = (key(name, "client_certificate"), key(name, "client_key"));
    let key_path = optional_text(reader, &key_key);
    let Some(path) = optional_text(reader, &certificate_key) else {
        if key_path.is_some() {
            reader.fault(&key_key, "is set without client_certificate", "set both, or remove it");
        }
        return None;
    };
    let certificate = file(reader, &certificate_key, &expand(&path, environment));
    // Both may be in one file.
    let (key_key, private) = match key_path {
        Some(path) => {
            let private = file(reader, &key_key, &expand(&path, environment));
            (key_key, private)
        }
        None => (certificate_key.clone(), certificate.clone()),
    };
    let (certificate, private) = (certificate?, private?);
    match ClientCertificate::from_pem(certificate.expose_secret().as_bytes(), &private) {
        Ok(read) => Some(read),
        Err(ClientCertificateFault::Certificate(why)) => {
            reader.fault(&certificate_key, format!("names a file that {why}"), FILE_REMEDY);
            None
        }
        Err(ClientCertificateFault::Key(why)) => {
            let remedy = "give the key's file in client_key: in PEM, without a password";
            reader.fault(&key_key, format!("names a file that {why}"), remedy);
            None
        }
    }
}

/// A text file of bounded size.
fn file(reader: &mut Reader, key: &str, path: &Path) -> Option<SecretString> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
    let problem = match read {
        Ok(read) if read as u64 > LARGEST_FILE => "names a file of more than 1 MiB".to_owned(),
        Ok(_) => return Some(text.into()),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => "names a file that is no text".to_owned(),
        Err(error) => format!("names a file that can't be read: {error}"),
    };
    reader.fault(key, problem, FILE_REMEDY);
    None
}

fn api_key_header(reader: &mut Reader, name: &str) -> Option<HeaderName> {
    let key = key(name, "api_key_header");
    if !reader.is_given(&key) {
        return None;
    }
    reader.read(&key, |value| match value.text().map(str::trim) {
        Some("auto" | "") => Ok(None),
        text => match text.and_then(|text| text.parse::<HeaderName>().ok()) {
            Some(header) if is_own_header(&header) => {
                Err(Wrong::new(format!("can't be {header}, which the client sets itself"), "write \"api-key\""))
            }
            Some(header) => Ok(Some(header)),
            None => Err(Wrong::not("a header's name or \"auto\"", value, "write \"authorization\" or \"api-key\"")),
        },
    })
}

fn api_version(reader: &mut Reader, name: &str) -> Option<String> {
    let key = key(name, "api_version");
    if !reader.is_given(&key) {
        return None;
    }
    reader.read(&key, |value| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        match value.text().map(str::trim) {
            Some("") => Ok(None),
            Some(text) if text.chars().all(plain) => Ok(Some(text.to_owned())),
            _ => Err(Wrong::not("a version", value, "write it like \"2024-10-21\"")),
        }
    })
}

fn headers(
    reader: &mut Reader,
    environment: &[(String, String)],
    name: &str,
    base_url: &str,
    has_key: bool,
    api_key_header: Option<&HeaderName>,
) -> Headers {
    let mut headers = Headers::default();
    for table in ["headers", "headers_env"] {
        let prefix = format!("{}.", key(name, table));
        let given: Vec<String> = reader.given().keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in given {
            let written = keys::parts(&key).pop().unwrap_or_default();
            let Ok(header) = written.parse::<HeaderName>() else {
                reader.fault(&key, "is no name of a header", HEADER_REMEDY);
                continue;
            };
            if is_own_header(&header) {
                let remedy = "remove it; an address goes into base_url, a proxy's password into proxy";
                reader.fault(&key, "can't be set: the client sets this header itself", remedy);
            } else if has_key && header == key_header(base_url, api_key_header) {
                reader.fault(&key, "is the header that carries api_key", "keep one of the two");
            } else if headers.contains(&header) {
                reader.fault(&key, "is set twice", "keep one of the two");
            }
            let value = if table == "headers" { reader.secret(&key) } else { named(reader, environment, &key) };
            // Spaces at the ends are nobody's meaning: `secret` has taken them off.
            match value.map(|value| HeaderValue::from_str(value.expose_secret())) {
                Some(Ok(value)) => headers.insert(header, value),
                Some(Err(_)) => {
                    let remedy = "write it without line ends and other control characters";
                    reader.fault(&key, "holds what no header can carry", remedy);
                }
                None => {}
            }
        }
    }
    headers
}

/// The value of the environment variable that a setting names.
fn named(reader: &mut Reader, environment: &[(String, String)], key: &str) -> Option<SecretString> {
    let variable = reader.text(key);
    let found = environment.iter().find(|(name, value)| *name == variable && !value.trim().is_empty());
    if found.is_none() && matches!(reader.given().get(key).map(|entry| &entry.value), Some(Value::Text(_))) {
        let remedy = format!("set {variable} in the environment");
        reader.fault(key, format!("names {variable}, which is not set"), remedy);
    }
    found.map(|(_, value)| SecretString::from(value.trim()))
}
