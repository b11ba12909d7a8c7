//! Certificates of one's own: an authority that is trusted beside the system's, and what we show.
//!
//! **Invariant:** what is kept here has been read in whole, and a key fits its certificate: a file that
//! is no good is found when it is read, not when somebody asks. The key is never shown.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Certificate, Identity};
use rustls::{
    CertificateError, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use secrecy::{ExposeSecret, SecretString};

/// Certificates of authorities that are trusted.
#[derive(Clone)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads one certificate or more in PEM.
    ///
    /// # Errors
    /// What is wrong, to be read after the file's name.
    pub fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        let certificates = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|_| "has a certificate that can't be read")?;
        }
        Ok(Self(certificates))
    }

    pub(super) fn certificates(&self) -> reqwest::Result<Vec<Certificate>> {
        self.0.iter().map(|certificate| Certificate::from_der(certificate)).collect()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// What we show a provider that asks who we are: a certificate and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Both, as [`Identity::from_pem`] reads them.
    pem: SecretString,
}

impl ClientCertificate {
    /// Reads a certificate, with the chain behind it if there is one, and its key; both may stand in
    /// the same file.
    ///
    /// # Errors
    /// Which of the two is wrong, and why, to be read after the file's name.
    pub fn from_pem(certificate: &[u8], key: &SecretString) -> Result<Self, ClientCertificateFault> {
        use ClientCertificateFault::{Certificate, Key};
        let chain = certificates(certificate).map_err(Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| {
            let encrypted = key.expose_secret().contains("ENCRYPTED");
            Key(if encrypted { "is encrypted, and nobody is there to give its password" } else { "has no private key" })
        })?;
        let fits = CertifiedKey::from_der(chain.clone(), key.clone_key(), &aws_lc_rs::default_provider());
        fits.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Key("is not the key of the client certificate"),
            rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => {
                Certificate("has a certificate that can't be read")
            }
            _ => Key("has a private key of a kind that can't be used"),
        })?;
        Ok(Self { pem: written(&chain, &key).into() })
    }

    pub(super) fn identity(&self) -> reqwest::Result<Identity> {
        Identity::from_pem(self.pem.expose_secret().as_bytes())
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(…)")
    }
}

/// Which of the two files is wrong, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificateFault {
    /// The certificate's.
    Certificate(&'static str),
    /// The key's.
    Key(&'static str),
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("has no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")"),
        Err(_) => Err("has a certificate that can't be read"),
    }
}

/// One text of both, whatever else stood in the files.
fn written(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> String {
    let mut pem = String::new();
    for certificate in chain {
        section(&mut pem, "CERTIFICATE", certificate);
    }
    let kind = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    section(&mut pem, kind, key.secret_der());
    pem
}

fn section(pem: &mut String, kind: &str, der: &[u8]) {
    let base64 = STANDARD.encode(der);
    pem.push_str(&format!("-----BEGIN {kind}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str(&format!("-----END {kind}-----\n"));
}

#[cfg(test)]
mod tests {
    use r1_testkit::tls::Authority;

    use super::*;

    #[test]
    fn a_certificate_and_its_key_are_taken_from_two_files_or_one() {
        let identity = Authority::new().unwrap().identity("client").unwrap();
        let (certificate, key) = (identity.certificate_pem(), identity.key_pem());
        let both = format!("Some words.\n{key}\n{certificate}");
        for (certificate, key) in [(&certificate, &key), (&both, &both)] {
            let read = ClientCertificate::from_pem(certificate.as_bytes(), &key.clone().into()).unwrap();
            assert!(read.identity().is_ok());
            assert!(!format!("{read:?}").contains(&identity.key_pem()[40..60]));
        }
    }

    #[test]
    fn a_file_that_is_no_good_is_told_apart() {
        use ClientCertificateFault::{Certificate, Key};
        let authority = Authority::new().unwrap();
        let (one, other) = (authority.identity("one").unwrap(), authority.identity("other").unwrap());
        let (certificate, key) = (one.certificate_pem(), one.key_pem());
        let fault = |certificate: &str, key: &str| {
            ClientCertificate::from_pem(certificate.as_bytes(), &key.to_owned().into()).unwrap_err()
        };
        assert_eq!(fault(&certificate, &other.key_pem()), Key("is not the key of the client certificate"));
        assert!(matches!(fault(&certificate, "words"), Key(why) if why.contains("no private key")));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(matches!(fault(&certificate, encrypted), Key(why) if why.contains("encrypted")));
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(fault(&certificate, no_key), Key(why) if why.contains("kind")));
        assert!(matches!(fault("words", &key), Certificate(why) if why.contains("no certificate")));
        let torn = &certificate[..certificate.len() / 2];
        assert!(matches!(fault(torn, &key), Certificate(_)));
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(fault(no_certificate, &key), Certificate(why) if why.contains("can't be read")));
    }

    #[test]
    fn authorities_are_certificates_and_nothing_else() {
        let (one, other) = (Authority::new().unwrap(), Authority::new().unwrap());
        let both = format!("{}{}", one.pem(), other.pem());
        assert_eq!(Authorities::from_pem(both.as_bytes()).unwrap().certificates().unwrap().len(), 2);
        let key = one.identity("x").unwrap().key_pem();
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for bad in ["", "words", key.as_str(), damaged] {
            assert!(Authorities::from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
