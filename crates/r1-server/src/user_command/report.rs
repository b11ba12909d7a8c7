//! What accounts have and use, as text for people and as JSON for programs.

use std::{collections::HashMap, io::Write};

use r1_domain::{
    accounts::{Activity, DAY_MICROS, UsageOfDay},
    id::UserId,
    page::PageRequest,
    spelling::visible,
    store::Store,
    time::{Clock, SystemClock, Timestamp},
    user::User,
};
use serde_json::{Value, json};

/// Accounts read at a time.
const PAGE: usize = 200;
/// Before every answer.
const EVER: Timestamp = Timestamp::from_micros(0);

/// Lists all accounts.
pub(super) async fn list(store: &dyn Store, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let mut documents = Vec::new();
    if !as_json {
        writeln!(
            out,
            "{:<24} {:<32} {:<6} {:<9} {:<20} {:<20} {:>13} {:>8}",
            "NAME", "E-MAIL", "ROLE", "STATE", "MADE", "LAST SIGN-IN", "CONVERSATIONS", "MESSAGES"
        )?;
    }
    for user in all(store).await? {
        let has = store.account_activity(user.id, SystemClock.now()).await?;
        if as_json {
            documents.push(document(&user, &has));
            continue;
        }
        // Accounts from before, or from elsewhere, may have names that no new one could.
        writeln!(
            out,
            "{:<24} {:<32} {:<6} {:<9} {:<20} {:<20} {:>13} {:>8}",
            visible(&user.username),
            visible(&user.email),
            role(&user),
            state(&user, &has),
            at(user.created_at),
            has.last_sign_in.map_or_else(|| "never".to_owned(), at),
            has.conversations,
            has.messages
        )?;
    }
    if as_json { print(&Value::from(documents), out) } else { Ok(()) }
}

/// Shows one account.
pub(super) async fn show(user: &User, store: &dyn Store, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let has = store.account_activity(user.id, SystemClock.now()).await?;
    let used = Sum::of(&store.account_usage(Some(user.id), EVER).await?);
    if as_json {
        let mut document = document(user, &has);
        document["usage"] = used.document();
        return print(&document, out);
    }
    let lines = [
        ("name", visible(&user.username).to_string()),
        ("e-mail", visible(&user.email).to_string()),
        ("role", role(user).to_owned()),
        ("state", state(user, &has).to_owned()),
        ("made", at(user.created_at)),
        ("last sign-in", has.last_sign_in.map_or_else(|| "never".to_owned(), at)),
        ("sessions", has.sessions.to_string()),
        ("conversations", has.conversations.to_string()),
        ("messages", has.messages.to_string()),
        ("running answers", has.running.to_string()),
        ("answers", format!("{}{}", used.answers, used.note(", of which "))),
        ("tokens in", used.prompt_tokens.to_string()),
        ("tokens out", used.completion_tokens.to_string()),
    ];
    for (name, value) in lines {
        writeln!(out, "{name:<16} {value}")?;
    }
    Ok(())
}

/// Shows what answers used on the newest days.
pub(super) async fn usage(
    user: Option<&User>,
    days: u32,
    store: &dyn Store,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let today = SystemClock.now().as_micros().div_euclid(DAY_MICROS);
    let since = Timestamp::from_micros((today + 1 - i64::from(days)).max(0) * DAY_MICROS);
    let used = store.account_usage(user.map(|user| user.id), since).await?;
    let names: HashMap<UserId, String> = match user {
        Some(user) => [(user.id, user.username.clone())].into(),
        None => all(store).await?.into_iter().map(|user| (user.id, user.username)).collect(),
    };
    // One that was deleted since.
    let name = |id: UserId| names.get(&id).map_or_else(|| id.to_string(), Clone::clone);
    if as_json {
        let lines = used.iter().map(|line| {
            let mut document = Sum::of(std::slice::from_ref(line)).document();
            document["day"] = day(line.day).into();
            document["user_id"] = line.user.to_string().into();
            document["username"] = name(line.user).into();
            document["model"] = line.model.clone().into();
            document
        });
        return print(&lines.collect(), out);
    }
    let head = ["DAY", "USER", "MODEL", "ANSWERS", "TOKENS IN", "TOKENS OUT", "NOTE"];
    row(head.map(str::to_owned), out)?;
    for line in &used {
        let sum = Sum::of(std::slice::from_ref(line));
        row(sum.cells(day(line.day), visible(&name(line.user)).to_string(), visible(&line.model).to_string()), out)?;
    }
    row(Sum::of(&used).cells("all".to_owned(), String::new(), String::new()), out)
}

fn row(cells: [String; 7], out: &mut impl Write) -> anyhow::Result<()> {
    let [day, user, model, answers, tokens_in, tokens_out, note] = cells;
    let line = format!("{day:<10} {user:<24} {model:<40} {answers:>8} {tokens_in:>12} {tokens_out:>12} {note}");
    Ok(writeln!(out, "{}", line.trim_end())?)
}

/// Usage added up.
#[derive(Default)]
struct Sum {
    answers: u64,
    estimated: u64,
    uncounted: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Sum {
    fn of(lines: &[UsageOfDay]) -> Self {
        lines.iter().fold(Self::default(), |sum, line| Self {
            answers: sum.answers.saturating_add(line.answers),
            estimated: sum.estimated.saturating_add(line.estimated),
            uncounted: sum.uncounted.saturating_add(line.uncounted),
            prompt_tokens: sum.prompt_tokens.saturating_add(line.prompt_tokens),
            completion_tokens: sum.completion_tokens.saturating_add(line.completion_tokens),
        })
    }

    /// What the numbers of tokens are not.
    fn note(&self, before: &str) -> String {
        let parts = [(self.estimated, "estimated"), (self.uncounted, "not counted")];
        let parts: Vec<String> =
            parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if parts.is_empty() { String::new() } else { format!("{before}{}", parts.join(", ")) }
    }

    fn cells(&self, day: String, user: String, model: String) -> [String; 7] {
        let numbers = [self.answers, self.prompt_tokens, self.completion_tokens].map(|number| number.to_string());
        let [answers, tokens_in, tokens_out] = numbers;
        [day, user, model, answers, tokens_in, tokens_out, self.note("")]
    }

    fn document(&self) -> Value {
        json!({
            "answers": self.answers,
            "estimated_answers": self.estimated,
            "uncounted_answers": self.uncounted,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        })
    }
}

async fn all(store: &dyn Store) -> anyhow::Result<Vec<User>> {
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let page = store.user_list(PageRequest { after, limit: PAGE }).await?;
        users.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(users);
        }
    }
}

fn document(user: &User, has: &Activity) -> Value {
    json!({
        "id": user.id.to_string(),
        "username": user.username,
        "email": user.email,
        "is_admin": user.is_admin,
        "state": state(user, has),
        "created_at": at(user.created_at),
        "last_sign_in_at": has.last_sign_in.map(at),
        "sessions": has.sessions,
        "conversations": has.conversations,
        "messages": has.messages,
        "running_answers": has.running,
    })
}

fn print(document: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    Ok(writeln!(out, "{document:#}")?)
}

fn role(user: &User) -> &'static str {
    if user.is_admin { "admin" } else { "user" }
}

fn state(user: &User, has: &Activity) -> &'static str {
    match (has.deleting, user.disabled) {
        (true, _) => "deleting",
        (false, true) => "disabled",
        (false, false) => "enabled",
    }
}

fn at(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.unix_seconds()).map(|at| at.to_string()).unwrap_or_default()
}

fn day(day: i64) -> String {
    let mut text = at(Timestamp::from_micros(day.saturating_mul(DAY_MICROS)));
    text.truncate("2026-11-30".len());
    text
}
