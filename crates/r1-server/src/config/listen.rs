//! Addresses to listen on. `localhost` may mean 127.0.0.1 or [::1], so it means both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    Listen,
    reader::{Reader, Wrong},
};

/// None is `localhost`.
type Host = Option<IpAddr>;

const METRICS: &str = "server.metrics_addr";
/// The addresses that may be left out.
const MAY_BE_OFF: [&str; 2] = ["server.web_addr", METRICS];

fn parse_host(text: &str) -> Option<Host> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(None);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(Some)
}

impl Listen {
    fn new(host: Host, port: u16) -> Self {
        match host {
            Some(ip) => Self { required: Some((ip, port).into()), optional: None },
            None => Self {
                required: Some((Ipv4Addr::LOCALHOST, port).into()),
                // Two times "any free port" would be two ports.
                optional: (port != 0).then(|| (Ipv6Addr::LOCALHOST, port).into()),
            },
        }
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.required.into_iter().chain(self.optional)
    }

    /// Whether other machines get in.
    pub(crate) fn is_public(&self) -> bool {
        self.addresses().any(|address| !address.ip().to_canonical().is_loopback())
    }

    /// Whether both can't be listened on at the same time.
    fn collides(&self, other: &Self) -> bool {
        self.addresses().any(|a| {
            other.addresses().any(|b| {
                let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() != 0 && a.port() == b.port() && same_ip
            })
        })
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, address) in self.addresses().enumerate() {
            write!(f, "{}{address}", if i > 0 { " and " } else { "" })?;
        }
        Ok(())
    }
}

/// Reads `server.api_addr`, `server.web_addr` and `server.metrics_addr`.
pub(crate) fn read(reader: &mut Reader) -> (Listen, Listen, Listen) {
    let host = reader.read("server.host", |value| {
        let host = value.text().and_then(|text| parse_host(text.trim()));
        let remedy = "write \"0.0.0.0\" to let other machines in";
        host.ok_or_else(|| Wrong::not("an IP address or \"localhost\"", value, remedy))
    });
    let api = address(reader, "server.api_addr", host);
    let web = address(reader, "server.web_addr", host);
    // Not at `host`: what opens the server to others need not open this.
    let metrics = address(reader, METRICS, None);
    one_port_each(reader, [("server.api_addr", &api), ("server.web_addr", &web), (METRICS, &metrics)]);
    (api, web, metrics)
}

/// Notes one fault for all that would be at the same port.
fn one_port_each(reader: &mut Reader, all: [(&str, &Listen); 3]) {
    let collides = |(key, listen): &&(&str, &Listen)| {
        all.iter().any(|(other, other_listen)| other != key && listen.collides(other_listen))
    };
    let sharing: Vec<&(&str, &Listen)> = all.iter().filter(collides).collect();
    let [rest @ .., (last, listen)] = &sharing[..] else { return };
    let short = |key: &str| key.trim_start_matches("server.").to_owned();
    let rest: Vec<String> = rest.iter().map(|(key, _)| short(key)).collect();
    let port = listen.addresses().next().map_or(0, |address| address.port());
    let problem = format!("{} and {} share :{port}", rest.join(", "), short(last));
    let given = sharing.iter().map(|(key, _)| *key).rfind(|key| reader.is_given(key)).unwrap_or(last);
    reader.fault_at(given, problem, "give each its own port; API and page are served at both of theirs");
}

/// Reads `host:port`, or `:port` at `host`.
fn address(reader: &mut Reader, key: &str, host: Host) -> Listen {
    reader.read(key, |value| {
        let parsed = value.text().and_then(|text| {
            let text = text.trim();
            if MAY_BE_OFF.contains(&key) && (text.is_empty() || text.eq_ignore_ascii_case("off")) {
                return Some(Listen::default());
            }
            if let Ok(address) = text.parse::<SocketAddr>() {
                return Some(Listen::new(Some(address.ip()), address.port()));
            }
            let (own, port) = text.rsplit_once(':').unwrap_or(("", text));
            let host = match own {
                "" => host,
                own if own.eq_ignore_ascii_case("localhost") => None,
                _ => return None,
            };
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| port.parse().ok()).flatten().map(|port| Listen::new(host, port))
        });
        let remedy = "write \":8000\", \"127.0.0.1:8000\" or \"[::1]:8000\"";
        parsed.ok_or_else(|| Wrong::not("an address and port", value, remedy))
    })
}
