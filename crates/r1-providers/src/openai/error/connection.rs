//! What becomes of a request that got no response: no connection, no trust, no HTTP.

use std::{error::Error, io};

use r1_domain::provider::{ProviderError, ProviderErrorCode as Code};

use super::{fault, invalid};

/// The failure behind a request that got no response.
pub(in crate::openai) fn of_no_response(name: &str, error: &reqwest::Error) -> ProviderError {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    // A record that is damaged later says nothing about the address.
    if let Some(tls) = tls.filter(|_| error.is_connect()) {
        return of_tls(name, tls);
    }
    if causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse) {
        return invalid(name, "answers with something that is no HTTP/1.1; its base URL is probably wrong");
    }
    if !error.is_connect() {
        let message = format!("The provider '{name}' closed the connection without an answer.");
        return fault(Code::Unavailable, true, message);
    }
    let what = if error.is_timeout() {
        "did not take a connection in time"
    } else if causes(error).any(|cause| cause.to_string().starts_with("dns error")) {
        "has a host name that cannot be found"
    } else if causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_refused) {
        "refuses connections: is it running?"
    } else {
        "cannot be reached"
    };
    let end = if what.ends_with('?') { "" } else { "." };
    fault(Code::Unreachable, true, format!("The provider '{name}' {what}{end}"))
}

/// A certificate that is not accepted is nothing that passes, nor are plain words where TLS is due.
fn of_tls(name: &str, error: &rustls::Error) -> ProviderError {
    use rustls::{CertificateError as Certificate, Error as Tls};
    let why = match error {
        Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => "has expired",
        Tls::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "is for another host name"
        }
        Tls::InvalidCertificate(Certificate::UnknownIssuer) => "is by no authority that this machine trusts",
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => "is not valid",
        Tls::InvalidMessage(_) => {
            let message = format!("The provider '{name}' does not speak TLS: does its base URL begin with http://?");
            return fault(Code::Unreachable, false, message);
        }
        _ => return fault(Code::Unreachable, true, format!("The TLS handshake with the provider '{name}' failed.")),
    };
    let message = format!("The provider '{name}' could not prove its identity: its certificate {why}.");
    fault(Code::Untrusted, false, message)
}

/// `NotFound` is a Unix socket that is not there.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// An error and what is behind it. An `io::Error`'s own `source` leaves out what it wraps.
pub(crate) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
