//! The proxy on the way to a provider: as set for it, or as the environment says.
//!
//! The environment speaks for `https` providers only, and never for this machine or a private network:
//! `HTTPS_PROXY`, else `ALL_PROXY`, in capitals or not, unless `NO_PROXY` lists the host. A plain
//! `http` provider is nearly always one's own, and a proxy would read along.
//!
//! **Invariant:** a proxy's address, name and password are neither shown nor logged.

use std::{fmt, net::IpAddr};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// The variables that name a proxy for `https`, the first one that is set counting.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// The variables that name what is reached without one.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Names of private networks: RFC 6761, RFC 6762, RFC 8375, ICANN's ".internal", and what home
/// routers give out.
const PRIVATE_DOMAINS: [&str; 5] = ["localhost", "local", "home.arpa", "internal", "lan"];

/// A proxy. Prints as its scheme.
#[derive(Clone)]
pub struct Proxy {
    url: SecretString,
    scheme: &'static str,
}

impl Proxy {
    /// Reads a URL such as `http://user:password@proxy.example.com:3128`.
    ///
    /// # Errors
    /// What is wrong with it, to be read after its name. Repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        let schemes = ["http", "https", "socks5", "socks5h"];
        let scheme = schemes.into_iter().find(|scheme| url.scheme() == *scheme);
        let scheme = scheme.ok_or("must start with http://, https://, socks5:// or socks5h://")?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err("must name a host");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("must end after host and port");
        }
        Ok(Self { url: SecretString::from(String::from(url)), scheme })
    }

    /// The proxy that the environment names for a provider at this address, if any, and the variable
    /// that names it. `lookup` gives a variable's value.
    ///
    /// # Errors
    /// The variable that can't be read as a proxy, and why.
    pub fn from_environment(
        base_url: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<(&'static str, Self)>, (&'static str, &'static str)> {
        let Ok(url) = Url::parse(base_url) else { return Ok(None) };
        if url.scheme() != "https" || is_private(&url) {
            return Ok(None);
        }
        let set = |name: &'static str| {
            lookup(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
                .map(|value| (name, value))
        };
        let Some((variable, value)) = VARIABLES.into_iter().find_map(set) else { return Ok(None) };
        if EXCEPTIONS.into_iter().find_map(set).is_some_and(|(_, list)| is_exempt(&url, &list)) {
            return Ok(None);
        }
        // "proxy:3128" is how many write it there.
        let value = if value.contains("://") { value } else { format!("http://{value}") };
        Self::parse(&value).map(|proxy| Some((variable, proxy))).map_err(|why| (variable, why))
    }

    /// Whether it is spoken to by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether it hands on requests to this address instead of connecting to it: what fails then is
    /// between the proxy and us.
    pub(super) fn forwards(&self, target: &Url) -> bool {
        target.scheme() == "http" && !self.scheme.starts_with("socks")
    }

    /// Its URL, with whatever it holds.
    pub(super) fn url(&self) -> Option<Url> {
        Url::parse(self.url.expose_secret()).ok()
    }

    pub(super) fn for_all(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::all(self.url.expose_secret())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}://…)", self.scheme)
    }
}

/// Whether this is an address or a name of this machine or of a private network. A name is judged by
/// itself: what it leads to is not looked up, since behind a proxy often nothing can be.
fn is_private(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return true };
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return is_private_address(ip);
    }
    let name = host.trim_end_matches('.');
    !name.contains('.')
        || PRIVATE_DOMAINS
            .iter()
            .any(|domain| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

fn is_private_address(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            // 100.64.0.0/10 (RFC 6598): a provider's own network, and what private overlays take.
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether a list in the form of `NO_PROXY` has this host: names with all below them, addresses,
/// networks, `*`.
fn is_exempt(url: &Url, list: &str) -> bool {
    let entries = list.split([',', ' ']).map(|entry| entry.trim().strip_prefix("*.").unwrap_or(entry.trim()));
    let list = entries.collect::<Vec<_>>().join(",");
    let anywhere = Matcher::builder().all("http://proxy").no(list).build();
    // Without a port, and without the dot that ends a full name.
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let target = format!("https://{host}/").parse::<http::Uri>();
    target.is_ok_and(|target| anywhere.intercept(&target).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(base_url: &str, environment: &[(&str, &str)]) -> Option<(&'static str, String)> {
        let lookup = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        let chosen = Proxy::from_environment(base_url, lookup).unwrap();
        chosen.map(|(variable, proxy)| (variable, proxy.url.expose_secret().to_owned()))
    }

    fn is_proxied(base_url: &str, exceptions: &str) -> bool {
        chosen(base_url, &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", exceptions)]).is_some()
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let url = "https://api.example.com/v1";
        let all: Vec<_> = VARIABLES.iter().map(|&name| (name, "http://p:1")).collect();
        for first in 0..all.len() {
            assert_eq!(chosen(url, &all[first..]), Some((VARIABLES[first], "http://p:1/".to_owned())));
        }
        let empty = [("HTTPS_PROXY", " "), ("https_proxy", "p.example.com:3128")];
        assert_eq!(chosen(url, &empty), Some(("https_proxy", "http://p.example.com:3128/".to_owned())));
        assert_eq!(chosen(url, &[("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1")]), None);
        assert_eq!(chosen(url, &[]), None);
        let bad = Proxy::from_environment(url, |name| (name == "ALL_PROXY").then(|| "ftp://secret:21".to_owned()));
        let (variable, why) = bad.unwrap_err();
        assert_eq!(variable, "ALL_PROXY");
        assert!(why.contains("http://") && !why.contains("secret"));
    }

    #[test]
    fn nothing_of_ones_own_goes_through_the_environments_proxy() {
        for own in [
            "http://api.example.com/v1",
            "https://localhost/v1",
            "https://LOCALHOST:8443/v1",
            "https://localhost./v1",
            "https://models.localhost/v1",
            "https://127.0.0.1/v1",
            "https://127.9.9.9/v1",
            "https://2130706433/v1",
            "https://[::1]/v1",
            "https://[::ffff:127.0.0.1]/v1",
            "https://0.0.0.0/v1",
            "https://10.1.2.3/v1",
            "https://172.16.0.1/v1",
            "https://172.31.255.255/v1",
            "https://192.168.1.1/v1",
            "https://169.254.169.254/v1",
            "https://100.64.0.1/v1",
            "https://100.127.255.255/v1",
            "https://[fc00::1]/v1",
            "https://[fd12::1]/v1",
            "https://[fe80::1]/v1",
            "https://gpu-box/v1",
            "https://gpu-box.local/v1",
            "https://gpu-box.lan/v1",
            "https://host.docker.internal/v1",
            "https://ai.home.arpa./v1",
        ] {
            assert!(!is_proxied(own, ""), "{own}");
        }
        for far in [
            "https://api.example.com/v1",
            "https://8.8.8.8/v1",
            "https://172.15.0.1/v1",
            "https://172.32.0.1/v1",
            "https://100.63.0.1/v1",
            "https://100.128.0.1/v1",
            "https://192.169.0.1/v1",
            "https://[2001:db8::1]/v1",
            "https://localhost.example.com/v1",
            "https://notlocal.example/v1",
            "https://mylan.lan.example/v1",
            "https://xinternal.example/v1",
        ] {
            assert!(is_proxied(far, ""), "{far}");
        }
    }

    #[test]
    fn exceptions_are_names_addresses_networks_and_all() {
        for list in [
            "example.com",
            ".example.com",
            "*.example.com",
            "a.b, Example.COM",
            "a.b example.com",
            "api.example.com",
            "*",
        ] {
            assert!(!is_proxied("https://api.example.com:8443/v1", list), "{list}");
            assert!(!is_proxied("https://api.example.com./v1", list), "{list}");
        }
        for list in ["", "xample.com", "other.com", "www.api.example.com", "127.0.0.1", ",", "*."] {
            assert!(is_proxied("https://api.example.com/v1", list), "{list}");
        }
        assert!(!is_proxied("https://203.0.113.9/v1", "203.0.113.0/24"));
        assert!(!is_proxied("https://203.0.113.9/v1", "203.0.113.9"));
        assert!(is_proxied("https://203.0.113.9/v1", "203.0.114.0/24"));
        assert!(!is_proxied("https://[2001:db8::1]/v1", "2001:db8::/32"));
        let small = [("https_proxy", "http://p:1"), ("no_proxy", "example.com")];
        assert_eq!(chosen("https://example.com/v1", &small), None);
    }

    #[test]
    fn a_proxy_is_a_url_and_nothing_of_it_is_shown() {
        for good in [
            "http://p",
            "http://p:3128/",
            "https://user:pa%20ss@p.example.com",
            "socks5://127.0.0.1:1080",
            "socks5h://u:secret@[::1]:1080",
        ] {
            let proxy = Proxy::parse(good).unwrap();
            assert!(proxy.for_all().is_ok(), "{good}");
            let shown = format!("{proxy:?}");
            assert!(!shown.contains("pass") && !shown.contains("secret") && !shown.contains("p:3128"), "{shown}");
            assert_eq!(proxy.is_tls(), good.starts_with("https:"));
        }
        for bad in ["", "p", "p:3128", "ftp://p", "socks4://p", "http://", "http://p/path", "http://p?q", "http://p#f"]
        {
            assert!(Proxy::parse(bad).is_err(), "{bad}");
        }
    }
}
