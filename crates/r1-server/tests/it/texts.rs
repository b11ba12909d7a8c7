//! Text as different systems write it: names, passwords, messages and titles.

use anyhow::{Context, Result, ensure};
use r1_auth::password::{PasswordConfig, Passwords};
use r1_testkit::{
    sse::text_of,
    store_contract::at,
    upstream::{Script, Upstream},
};
use reqwest::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Client, Setup, expect, expect_problem, id_of};

#[tokio::test]
async fn names_and_passwords_are_the_same_on_all_systems() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.anonymous();
    let people = [
        // As it was registered; as another system writes it.
        ("jose\u{301}", "pa\u{308}ssword", "JOSÉ", "pässword"),
        ("Nguye\u{302}\u{303}n", "correct\u{a0}horse", "nguyễn", "correct horse"),
        (
            "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}12",
            "\u{1112}\u{1161}\u{11ab}12345678",
            "한글12",
            "한12345678",
        ),
        ("Ａｄａ", "Ångström", "ada", "\u{212b}ngstro\u{308}m"),
        ("अनुष्का", "correct horse", "अनुष्का", "correct horse"),
        ("สมชาย์ดี", "correct horse", "สมชาย์ดี", "correct horse"),
        ("דָּנִיֵּאל", "correct horse", "דָּנִיֵּאל", "correct horse"),
        ("مُحَمَّد", "correct horse", "مُحَمَّد", "correct horse"),
        ("Straße", "correct horse", "STRASSE", "correct horse"),
    ];
    for (number, (name, password, other_name, other_password)) in (0..).zip(people) {
        let form = json!({"username": name, "email": format!("{number}@example.com"), "password": password});
        let made = expect(client.post("/auth/register", &form).await?, StatusCode::CREATED).await.context(name)?;
        for (name, password) in [(name, password), (other_name, other_password), (other_name, password)] {
            let session = client.sign_in(name, password).await.with_context(|| format!("{name} {password}"))?;
            assert_eq!(session["user"]["id"], made["id"], "{name}");
        }
        let again = json!({"username": other_name, "email": "else@example.com", "password": "correct horse"});
        expect_problem(client.post("/auth/register", &again).await?, 409, "taken").await?;
        let wrong = json!({"username": name, "password": "another one"});
        expect_problem(client.post("/auth/login", &wrong).await?, 401, "bad_credentials").await?;
    }
    // Some browsers write an address's domain as name servers know it, and only in a field for addresses.
    let form = json!({"username": "idn", "email": "me@xn--exmple-cua.com", "password": "correct horse"});
    expect(client.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    client.sign_in("Me@EXA\u{308}MPLE.com", "correct horse").await?;
    let again = json!({"username": "idn2", "email": "me@exämple.com", "password": "correct horse"});
    expect_problem(client.post("/auth/register", &again).await?, 409, "taken").await?;
    // A form says it with its own escapes.
    let request = client.request(Method::POST, "/auth/login");
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    expect(request.body("username=Jose%CC%81&password=pa%CC%88ssword").send().await?, StatusCode::OK).await?;
    for name in ["\u{301}abc", "ab\u{3164}", "ab\u{200d}c", "a\u{fe0f}bc", "½ab"] {
        let form = json!({"username": name, "email": "else@example.com", "password": "correct horse"});
        let problem = expect_problem(client.post("/auth/register", &form).await?, 422, "invalid").await?;
        assert_eq!(problem["errors"][0]["field"], "username", "{name:?}");
    }
    Ok(())
}

/// Makes an account as the version before did.
async fn of_before(setup: &Setup, number: u32, name: &str, email: &str, hash: &str) -> Result<()> {
    let (name_key, email_key) = (name.to_lowercase(), email.to_lowercase());
    let id = Uuid::from_u128(1000 + u128::from(number));
    let made = at(number.into()).as_micros();
    if let Some(database) = setup.database() {
        let insert = "INSERT INTO account
            (id, username, username_key, email, email_key, password_hash, is_admin, created_at)
            VALUES ($1::text::uuid, $2, $3, $4, $5, $6, FALSE, $7)";
        let client = database.client().await?;
        client.execute(insert, &[&id.to_string(), &name, &name_key, &email, &email_key, &hash, &made]).await?;
        return Ok(());
    }
    let db = rusqlite::Connection::open(setup.data_dir().join("gpt-r1.db"))?;
    let insert = "INSERT INTO user (id, username, username_key, email, email_key, password_hash, is_admin, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)";
    db.execute(insert, rusqlite::params![id.into_bytes(), name, name_key, email, email_key, hash, made])?;
    Ok(())
}

#[tokio::test]
async fn accounts_of_before_keep_their_names_and_passwords() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("somebody").await?;
    let setup = server.kill().await?;
    let passwords = Passwords::new(&PasswordConfig { memory_kib: 64, iterations: 1, ..PasswordConfig::default() })?;
    let people = [
        ("Ａｄａ", "wide@example.com", "pa\u{308}sswort one"),
        ("ada", "ada@example.com", "pässwort two"),
        ("\u{17f}ven", "jose\u{301}@example.com", "correct\u{a0}horse"),
        ("sven", "josé@example.com", "\u{1112}\u{1161}\u{11ab} four"),
        ("Straße", "s@example.com", "\u{212b}ngstrom"),
    ];
    for (number, (name, email, password)) in (0..).zip(people) {
        let hash = passwords.hash(SecretString::from(password)).await?;
        of_before(&setup, number, name, email, hash.expose_secret()).await?;
    }
    let server = setup.start().await?;
    let mut client = server.anonymous();
    for (name, email, password) in people {
        for login in [name, email, &email.to_uppercase()] {
            let session = client.sign_in(login, password).await.with_context(|| login.to_owned())?;
            assert_eq!(session["user"]["username"], name, "{login}");
        }
        let wrong = json!({"username": name, "password": "another one"});
        expect_problem(client.post("/auth/login", &wrong).await?, 401, "bad_credentials").await?;
    }
    // From now on other systems will do as well.
    for (login, password, name) in [
        ("Ａｄａ", "pässwort one", "Ａｄａ"),
        ("ada", "pa\u{308}sswort two", "ada"),
        ("JOSE\u{301}@example.com", "correct horse", "\u{17f}ven"),
        ("JOSÉ@example.com", "한 four", "sven"),
        ("STRASSE", "Ångstrom", "Straße"),
    ] {
        let session = client.sign_in(login, password).await.with_context(|| login.to_owned())?;
        assert_eq!(session["user"]["username"], name, "{login}");
    }
    // Only new ones are refused.
    for name in ["ＡＤＡ", "ＳVEN", "strasse"] {
        let form = json!({"username": name, "email": "else@example.com", "password": "correct horse"});
        expect_problem(client.post("/auth/register", &form).await?, 409, "taken").await?;
    }
    Ok(())
}

const BLANK: [&str; 12] = [
    "\u{200b}",
    " \u{200d}\n",
    "\u{feff}",
    "\u{ad}",
    "\u{2800}\u{2800}",
    "\u{3164}",
    "\u{fe0f}\u{e0100}",
    "\u{e0067}\u{e007f}",
    "\u{200e}\u{202e}\u{2066}\u{2069}",
    "\u{115f}\u{1160}\u{ffa0}",
    "\u{a0}\u{3000}\u{2028}",
    "\u{0}",
];

async fn json_body(client: &Client, method: Method, path: &str, body: &str) -> Result<reqwest::Response> {
    let request = client.request(method, path).header(header::CONTENT_TYPE, "application/json");
    Ok(request.body(body.to_owned()).send().await?)
}

#[tokio::test]
async fn what_can_not_be_seen_is_empty() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request| Script::text(request.question()));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    let one = format!("/conversations/{id}");
    for blank in BLANK {
        for path in ["/chat/stream", "/chat"] {
            let refused = client.post(path, &json!({"message": blank})).await?;
            let problem = expect_problem(refused, 422, "invalid").await.with_context(|| format!("{blank:?}"))?;
            assert_eq!(problem["errors"][0], json!({"field": "message", "message": "must not be empty"}), "{blank:?}");
        }
        let refused = client.post("/conversations", &json!({"title": blank})).await?;
        let problem = expect_problem(refused, 422, "invalid").await.with_context(|| format!("{blank:?}"))?;
        assert_eq!(problem["errors"][0]["field"], "title", "{blank:?}");
        let renamed = client.request(Method::PATCH, &one).json(&json!({"title": blank})).send().await?;
        expect_problem(renamed, 422, "invalid").await?;
    }
    assert_eq!(upstream.requests().len(), 0);
    for seen in ["👍", "\u{200b}a", "❤\u{fe0f}", "👩\u{200d}👧"] {
        let frames = client.ask_to_end(&json!({"message": seen})).await?;
        assert_eq!(text_of(&frames), seen, "as it was written");
    }
    Ok(())
}

#[tokio::test]
async fn a_title_is_cut_between_characters() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("Yes."));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    for cluster in ["👩\u{200d}👩\u{200d}👧", "🇩🇪", "e\u{301}", "ष\u{94d}ट", "x"] {
        let frames = client.ask_to_end(&json!({"message": cluster.repeat(200)})).await?;
        let id = id_of(&frames[0].data, "conversation_id")?;
        let title = id_of(&client.read(&format!("/conversations/{id}")).await?, "title")?;
        let whole = title.strip_suffix('…').with_context(|| format!("cut: {title}"))?;
        ensure!(!whole.is_empty() && whole.chars().count() <= 60, "{title}");
        ensure!(whole.replace(cluster, "").is_empty(), "{title} has a part of {cluster}");
    }
    Ok(())
}

#[tokio::test]
async fn half_a_surrogate_pair_is_read_as_a_replacement_character() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request| Script::text(request.question()));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    for (message, text) in [
        (r"\ud83d", "\u{fffd}"),
        (r"cut \uD83D", "cut \u{fffd}"),
        (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        (r"\ud83d\ude00\ude00", "😀\u{fffd}"),
        (r"\\ud83d", r"\ud83d"),
    ] {
        let answered = json_body(&client, Method::POST, "/chat", &format!(r#"{{"message":"{message}"}}"#)).await?;
        let answer = expect(answered, StatusCode::OK).await.context(message)?;
        let id = id_of(&answer, "conversation_id")?;
        let messages = client.messages(&id).await?;
        assert_eq!(messages[0]["content"], text, "{message}");
    }
    let made = json_body(&client, Method::POST, "/conversations", r#"{"title":"a\ud83d"}"#).await?;
    let made = expect(made, StatusCode::CREATED).await?;
    assert_eq!(made["title"], "a\u{fffd}");
    let path = format!("/conversations/{}", id_of(&made, "id")?);
    let renamed = json_body(&client, Method::PATCH, &path, r#"{"title":"\ude00b"}"#).await?;
    assert_eq!(expect(renamed, StatusCode::OK).await?["title"], "\u{fffd}b");
    // What else is wrong is said as ever.
    let surprise = json_body(&client, Method::POST, "/conversations", r#"{"\ud83d":1}"#).await?;
    assert_eq!(expect_problem(surprise, 422, "invalid").await?["errors"][0]["field"], "\u{fffd}");
    for malformed in [r#"{"title":"\ud83d"#, r#"{"title":"\ud83"}"#, r#"{"title":\ud83d}"#, r#"{"title":"\ud83d"}}"#] {
        let refused = json_body(&client, Method::POST, "/conversations", malformed).await?;
        expect_problem(refused, 400, "malformed").await.context(malformed)?;
    }
    let login = r#"{"username":"\ud83d","password":"\ude00\ud83d1234"}"#;
    expect_problem(json_body(&client, Method::POST, "/auth/login", login).await?, 401, "bad_credentials").await?;
    Ok(())
}
