use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn key(text: &str) -> SigningKey {
    SigningKey::from_secret(&SecretString::from(text.repeat(32))).unwrap()
}

fn keys(text: &str) -> KeySet {
    key(text).into()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn ids() -> (UserId, SessionId) {
    (UserId::new(at(1)), SessionId::new(at(1)))
}

fn verdict(result: Result<Claims, AuthError>) -> &'static str {
    match result {
        Ok(_) => "good",
        Err(AuthError::TokenExpired) => "expired",
        Err(AuthError::TokenInvalid) => "invalid",
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_token_is_good_until_its_hour_is_over() {
    let tokens = AccessTokens::new(&keys("a"), HOUR);
    let (user, session) = ids();
    let (token, lifetime) = tokens.issue(user, session, at(1_000_000), at(1000)).unwrap();
    assert_eq!(lifetime, HOUR);
    let claims = tokens.verify(token.expose_secret(), at(1001)).unwrap();
    assert_eq!((claims.sub, claims.sid, claims.iat, claims.exp), (user, session, 1000, 4600));
    assert_eq!(verdict(tokens.verify(token.expose_secret(), at(4599))), "good");
    assert_eq!(verdict(tokens.verify(token.expose_secret(), at(4600))), "expired");
}

#[test]
fn a_token_never_outlives_its_session() {
    let tokens = AccessTokens::new(&keys("a"), HOUR);
    let (user, session) = ids();
    let (token, lifetime) = tokens.issue(user, session, at(1010), at(1000)).unwrap();
    assert_eq!(lifetime, Duration::from_secs(10));
    assert_eq!(verdict(tokens.verify(token.expose_secret(), at(1010))), "expired");
}

#[test]
fn garbage_is_invalid() {
    let tokens = AccessTokens::new(&keys("a"), HOUR);
    let (user, session) = ids();
    let (token, _) = tokens.issue(user, session, at(9000), at(1000)).unwrap();
    let token = token.expose_secret();
    let mut cut = token.to_owned();
    cut.pop();
    for bad in ["", ".", "..", "a.b.c", "🔑.🔑.🔑", &cut, &format!("{token}x"), &format!("{token}."), &"x".repeat(5000)]
    {
        assert_eq!(verdict(tokens.verify(bad, at(1001))), "invalid", "{bad}");
    }
    // Any changed byte of the payload.
    let start = token.find('.').unwrap() + 1;
    let end = token.rfind('.').unwrap();
    for i in start..end {
        let mut bytes = token.as_bytes().to_vec();
        bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
        assert_eq!(verdict(tokens.verify(std::str::from_utf8(&bytes).unwrap(), at(1001))), "invalid");
    }
}

#[test]
fn an_expired_token_with_a_wrong_signature_is_invalid_not_expired() {
    let (user, session) = ids();
    let (foreign, _) = AccessTokens::new(&keys("b"), HOUR).issue(user, session, at(9000), at(1000)).unwrap();
    assert_eq!(verdict(AccessTokens::new(&keys("a"), HOUR).verify(foreign.expose_secret(), at(8000))), "invalid");
}

/// A token with our key and claims of choice.
fn forged(tokens: &AccessTokens, algorithm: Algorithm, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let (user, session) = ids();
    let mut claims = serde_json::json!({
        "iss": tokens.issuer, "aud": AUDIENCE, "sub": user, "sid": session, "iat": 1000, "exp": 4600,
    });
    change(&mut claims);
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &tokens.encoding).unwrap()
}

#[test]
fn only_our_algorithm_issuer_audience_and_claims_are_accepted() {
    let tokens = AccessTokens::new(&keys("a"), HOUR);
    let now = at(1001);
    assert_eq!(verdict(tokens.verify(&forged(&tokens, Algorithm::HS256, |_| {}), now)), "good");
    assert_eq!(verdict(tokens.verify(&forged(&tokens, Algorithm::HS512, |_| {}), now)), "invalid");
    assert_eq!(
        verdict(tokens.verify(&forged(&tokens, Algorithm::HS256, |c| c["aud"] = "other".into()), now)),
        "invalid"
    );
    assert_eq!(
        verdict(tokens.verify(&forged(&tokens, Algorithm::HS256, |c| c["iss"] = "gpt-r1:other".into()), now)),
        "invalid"
    );
    assert_eq!(
        verdict(tokens.verify(&forged(&tokens, Algorithm::HS256, |c| c["sub"] = "root".into()), now)),
        "invalid"
    );
    for claim in ["iss", "aud", "sub", "sid", "exp"] {
        let token = forged(&tokens, Algorithm::HS256, |c| {
            c.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(verdict(tokens.verify(&token, now)), "invalid", "without {claim}");
    }
}

#[test]
fn a_token_without_a_signature_is_invalid() {
    let tokens = AccessTokens::new(&keys("a"), HOUR);
    let signed = forged(&tokens, Algorithm::HS256, |_| {});
    let payload = signed.split('.').nth(1).unwrap();
    for alg in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        for signature in ["", signed.rsplit('.').next().unwrap()] {
            assert_eq!(verdict(tokens.verify(&format!("{header}.{payload}.{signature}"), at(1001))), "invalid");
        }
    }
}

#[test]
fn tokens_of_a_key_that_was_replaced_are_accepted_and_none_of_others() {
    let (before, after) = (AccessTokens::new(&keys("a"), HOUR), KeySet { signing: key("b"), accepted: Some(key("a")) });
    let after = AccessTokens::new(&after, HOUR);
    let (user, session) = ids();
    let issue = |tokens: &AccessTokens| tokens.issue(user, session, at(1_000_000), at(1000)).unwrap().0;
    let (old, new, foreign) = (issue(&before), issue(&after), issue(&AccessTokens::new(&keys("c"), HOUR)));
    assert_eq!(verdict(after.verify(old.expose_secret(), at(1001))), "good");
    assert_eq!(verdict(after.verify(new.expose_secret(), at(1001))), "good");
    assert_eq!(verdict(after.verify(old.expose_secret(), at(4600))), "expired", "no longer than it was to be");
    assert_eq!(verdict(after.verify(foreign.expose_secret(), at(1001))), "invalid");
    assert_eq!(verdict(before.verify(new.expose_secret(), at(1001))), "invalid", "the new key signs");
    after.forget_other_key();
    assert_eq!(verdict(after.verify(old.expose_secret(), at(1001))), "invalid");
    assert_eq!(verdict(after.verify(new.expose_secret(), at(1001))), "good");
}
