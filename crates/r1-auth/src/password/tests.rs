use super::*;

/// As cheap as Argon2 gets.
fn cheap() -> PasswordConfig {
    PasswordConfig { memory_kib: 8, iterations: 1, parallelism: 1, workers: 1, queue: 4 }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[tokio::test]
async fn a_password_is_known_again() {
    let passwords = Passwords::new(&cheap()).unwrap();
    let hash = passwords.hash(secret("demo123456")).await.unwrap();
    assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hash.expose_secret());
    let right = passwords.verify(secret("demo123456"), Some(hash.clone())).await.unwrap();
    assert_eq!(right, Verdict::Right { outdated: false });
    for wrong in ["demo123457", "", "demo123456 "] {
        assert_eq!(passwords.verify(secret(wrong), Some(hash.clone())).await.unwrap(), Verdict::Wrong);
    }
    let again = passwords.hash(secret("demo123456")).await.unwrap();
    assert_ne!(again.expose_secret(), hash.expose_secret(), "each has its own salt");
}

#[tokio::test]
async fn nobody_has_no_password() {
    let passwords = Passwords::new(&cheap()).unwrap();
    assert_eq!(passwords.verify(secret("demo123456"), None).await.unwrap(), Verdict::Wrong);
    let nobody = Params::try_from(&PasswordHash::new(passwords.nobody.expose_secret()).unwrap()).unwrap();
    assert_eq!((nobody.m_cost(), nobody.t_cost(), nobody.p_cost()), (8, 1, 1), "the same work as for somebody");
    assert_eq!(nobody.output_len(), Some(Params::DEFAULT_OUTPUT_LEN));
}

#[tokio::test]
async fn other_parameters_still_verify_and_are_outdated() {
    let old = Passwords::new(&cheap()).unwrap();
    let new = Passwords::new(&PasswordConfig { memory_kib: 16, iterations: 2, ..cheap() }).unwrap();
    let hash = old.hash(secret("demo123456")).await.unwrap();
    let verdict = new.verify(secret("demo123456"), Some(hash.clone())).await.unwrap();
    assert_eq!(verdict, Verdict::Right { outdated: true });
    assert_eq!(new.verify(secret("other"), Some(hash)).await.unwrap(), Verdict::Wrong);
}

#[tokio::test]
async fn the_default_agrees_with_argon2s_own_code() {
    let passwords = Passwords::new(&PasswordConfig { workers: 1, ..PasswordConfig::default() }).unwrap();
    let hash = passwords.hash(secret("correct horse")).await.unwrap();
    assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose_secret());
    let parsed = PasswordHash::new(hash.expose_secret()).unwrap();
    argon2::PasswordVerifier::verify_password(&Argon2::default(), b"correct horse", &parsed).unwrap();
}

#[tokio::test]
async fn unreadable_hashes_are_a_fault_of_ours() {
    let passwords = Passwords::new(&cheap()).unwrap();
    for stored in [
        "",
        "plain",
        "$argon2id$v=19$m=8,t=1,p=1",
        "$scrypt$ln=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=2000000,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
    ] {
        let error = passwords.verify(secret("demo123456"), Some(secret(stored))).await.unwrap_err();
        assert!(matches!(error, AuthError::Internal(_)), "{stored}: {error}");
    }
}

#[test]
fn impossible_parameters_are_refused() {
    for config in [
        PasswordConfig { memory_kib: 1, ..cheap() },
        PasswordConfig { memory_kib: 1 << 21, ..cheap() },
        PasswordConfig { iterations: 0, ..cheap() },
        PasswordConfig { parallelism: 0, ..cheap() },
    ] {
        assert!(matches!(Passwords::new(&config), Err(PasswordSetupError::Parameters(_))));
    }
}
