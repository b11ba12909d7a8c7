//! The setup code: whoever can read the server's first log lines may become its administrator.
//!
//! While there is no administrator, each start replaces the code by a new one, which the server
//! prints. A registration that presents it makes an administrator and uses it up, in one
//! transaction of the store.

use r1_domain::{
    session::TokenHash,
    store::{Store, StoreResult},
};
use rand::Rng;
use secrecy::SecretString;

use crate::secret;

/// Crockford's base 32: no I, L, O or U, so a code can be read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters in a code: 5 bits each, 100 in all.
const LENGTH: usize = 20;
/// Characters between two hyphens.
const GROUP: usize = 5;

/// Makes a code and stores its digest, unless there is an administrator already: then none.
///
/// # Errors
/// Those of the store.
pub async fn offer(store: &dyn Store) -> StoreResult<Option<SecretString>> {
    let code = generate();
    let stored = store.setup_code_set(secret::hash(&code)).await?;
    Ok(stored.then(|| SecretString::from(group(&code))))
}

/// The digest of a code as a person typed it: in any case, with or without hyphens, O for 0, and
/// I or L for 1. None if it can't be a code.
#[must_use]
pub fn hash(typed: &str) -> Option<TokenHash> {
    let mut code = String::with_capacity(LENGTH);
    for c in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let c = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        };
        if code.len() == LENGTH || !ALPHABET.iter().any(|a| char::from(*a) == c) {
            return None;
        }
        code.push(c);
    }
    (code.len() == LENGTH).then(|| secret::hash(&code))
}

fn generate() -> String {
    let mut bytes = [0; LENGTH];
    rand::rng().fill_bytes(&mut bytes);
    // 256 is a multiple of 32, so every character is equally likely.
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

fn group(code: &str) -> String {
    let mut grouped = String::with_capacity(LENGTH + LENGTH / GROUP);
    for (i, c) in code.chars().enumerate() {
        if i > 0 && i % GROUP == 0 {
            grouped.push('-');
        }
        grouped.push(c);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = generate();
        let shown = group(&code);
        assert_eq!(shown.len(), 23);
        assert_eq!(hash(&shown), Some(secret::hash(&code)));
        assert_eq!(hash(&format!("  {} ", shown.to_lowercase().replace('-', " "))), hash(&shown));
        assert_eq!(hash("0O1IL-00000-00000-00000"), hash("00111-00000-00000-00000"));
        for bad in ["", "12345", "UUUUU-00000-00000-00000", "00000-00000-00000-000000", "é0000-00000-00000-00000"] {
            assert_eq!(hash(bad), None, "{bad}");
        }
    }
}
