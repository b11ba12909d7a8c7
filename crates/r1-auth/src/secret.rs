//! Opaque secrets: refresh tokens and the page's cookie.
//!
//! **Invariant:** a secret has 256 random bits and leaves this process once, to its client. What
//! is stored is its SHA-256: with that much entropy a slow hash would add nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use r1_domain::session::TokenHash;
use rand::Rng;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Length of a secret as text: 32 bytes in unpadded base64url (RFC 4648, section 5).
pub const SECRET_LENGTH: usize = 43;

/// A new secret and the digest to store.
#[must_use]
pub fn generate() -> (SecretString, TokenHash) {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash(&text);
    (SecretString::from(text), hash)
}

/// The digest under which a secret is stored.
#[must_use]
pub fn hash(secret: &str) -> TokenHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether a text can be one of our secrets at all; saves the database the question.
#[must_use]
pub fn is_plausible(text: &str) -> bool {
    text.len() == SECRET_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secrets_are_long_different_and_stored_as_a_digest() {
        let (a, hash_a) = generate();
        let (b, hash_b) = generate();
        assert!(is_plausible(a.expose_secret()) && is_plausible(b.expose_secret()));
        assert_ne!(a.expose_secret(), b.expose_secret());
        assert_ne!(hash_a, hash_b);
        assert_eq!(hash_a, hash(a.expose_secret()));
        assert!(!format!("{a:?}").contains(a.expose_secret()));
        for bad in ["", "x", &"ä".repeat(22), &"!".repeat(43), &"a".repeat(44)] {
            assert!(!is_plausible(bad), "{bad}");
        }
    }
}
