//! A database that has been in use: a million messages of a hundred users.
//!
//! The accounts are made by the server itself; the rest goes into its tables directly, row by row
//! as the server would have left them (search index included), since a million turns through the
//! API would take an hour.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rusqlite::{Connection, Transaction, params};
use uuid::Uuid;

use crate::server::Setup;

/// The time between two messages, in microseconds.
const STEP: i64 = 1_000_000;
/// When the oldest was written: the beginning of 2026.
const FIRST: i64 = 1_767_225_600_000_000;
/// Some hundred characters with a few words that differ.
const WORDS: [&str; 16] = [
    "gateway", "pipeline", "horizon", "lantern", "meadow", "copper", "signal", "harbour", "winter", "ledger",
    "orchard", "granite", "compass", "thunder", "willow", "quarry",
];

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) users: usize,
    pub(crate) conversations_each: usize,
    pub(crate) messages_each: usize,
    /// Messages of further conversations of the first user's.
    pub(crate) long: [usize; 3],
}

impl Size {
    /// What the goals name: 1,000,000 messages in 10,000 conversations of 100 users.
    pub(crate) const FULL: Self =
        Self { users: 100, conversations_each: 100, messages_each: 100, long: [10, 1_000, 100_000] };
    /// To see that it works.
    pub(crate) const QUICK: Self = Self { users: 2, conversations_each: 5, messages_each: 100, long: [10, 100, 2_000] };

    pub(crate) const fn messages(&self) -> usize {
        self.users * self.conversations_each * self.messages_each + self.long[0] + self.long[1] + self.long[2]
    }
}

/// A filled data directory.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    pub(crate) data_dir: PathBuf,
    pub(crate) size: Size,
    /// Per user.
    pub(crate) conversations: Vec<Vec<Uuid>>,
    /// The first user's long conversations.
    pub(crate) long: [Uuid; 3],
}

/// Makes the accounts and fills the database.
pub(crate) async fn make(setup: &Setup, data_dir: &Path, size: Size) -> anyhow::Result<Fixture> {
    let server = setup.start(data_dir)?;
    for number in 0..size.users {
        server.register(number).await?;
    }
    server.process.terminate()?;
    let mut db = Connection::open(data_dir.join("gpt-r1.db"))?;
    // The file is thrown away if this fails.
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA foreign_keys = OFF;")?;
    let transaction = db.transaction()?;
    let fixture = fill(&transaction, data_dir, size)?;
    transaction.commit()?;
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(fixture)
}

fn fill(db: &Transaction<'_>, data_dir: &Path, size: Size) -> anyhow::Result<Fixture> {
    let mut filler = Filler { db, now: FIRST, random: 1 };
    let users: Vec<Uuid> = (0..size.users).map(|number| filler.user(number)).collect::<Result<_, _>>()?;
    let mut conversations = vec![Vec::new(); size.users];
    // In turns, as a server is used: a user's rows do not lie together.
    for number in 0..size.conversations_each {
        for (user, mine) in users.iter().zip(&mut conversations) {
            mine.push(filler.conversation(*user, number, size.messages_each)?);
        }
    }
    let owner = *users.first().context("no users")?;
    let mut long = |index: usize| filler.conversation(owner, 1_000_000 + index, size.long[index]);
    let long = [long(0)?, long(1)?, long(2)?];
    Ok(Fixture { data_dir: data_dir.to_owned(), size, conversations, long })
}

struct Filler<'a> {
    db: &'a Transaction<'a>,
    now: i64,
    random: u64,
}

impl Filler<'_> {
    fn user(&self, number: usize) -> anyhow::Result<Uuid> {
        let mut statement = self.db.prepare_cached("SELECT id FROM user WHERE username = ?1")?;
        let id: [u8; 16] = statement.query_row([format!("bench-{number}")], |row| row.get(0))?;
        Ok(Uuid::from_bytes(id))
    }

    /// A number that nobody would guess, and the same in every run.
    fn random(&mut self) -> u64 {
        // splitmix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A version 7 UUID of the filler's time.
    fn id(&mut self) -> Uuid {
        let mut bits = [0; 10];
        bits[..8].copy_from_slice(&self.random().to_le_bytes());
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(self.now / 1000).unwrap_or(0), &bits).into_uuid()
    }

    fn text(&mut self) -> String {
        let mut random = self.random();
        let mut text = String::with_capacity(112);
        for _ in 0..14 {
            text.push_str(WORDS[(random % 16) as usize]);
            text.push(' ');
            random /= 16;
        }
        text
    }

    /// A conversation of this many messages, question and answer in turn, each the other's parent.
    fn conversation(&mut self, owner: Uuid, number: usize, messages: usize) -> anyhow::Result<Uuid> {
        let (conversation, created_at) = (self.id(), self.now);
        let mut parent = None;
        for index in 0..messages {
            self.now += STEP;
            parent = Some(self.message(owner, conversation, parent, index % 2 == 0)?);
        }
        self.db
            .prepare_cached(
                "INSERT INTO conversation (id, owner_id, title, head_message_id, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                conversation.as_bytes(),
                owner.as_bytes(),
                format!("Conversation {number}"),
                parent.map(Uuid::into_bytes),
                created_at,
                self.now
            ])?;
        Ok(conversation)
    }

    fn message(&mut self, owner: Uuid, conversation: Uuid, parent: Option<Uuid>, asks: bool) -> anyhow::Result<Uuid> {
        let (id, text) = (self.id(), self.text());
        let generation = if asks { None } else { Some(self.generation(owner, conversation, id)?) };
        self.db
            .prepare_cached(
                "INSERT INTO message (id, conversation_id, owner_id, parent_id, role, content, state, model,
                                      generation_id, finish_reason, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'completed', ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                id.as_bytes(),
                conversation.as_bytes(),
                owner.as_bytes(),
                parent.map(Uuid::into_bytes),
                if asks { "user" } else { "assistant" },
                text,
                (!asks).then_some("openai/paced"),
                generation.map(Uuid::into_bytes),
                (!asks).then_some("stop"),
                self.now
            ])?;
        let number = self.db.last_insert_rowid();
        self.db
            .prepare_cached("INSERT INTO message_search (rowid, owner, content) VALUES (?1, ?2, ?3)")?
            .execute(params![number, owner.simple().to_string(), text])?;
        Ok(id)
    }

    /// The finished generation of an answer, its log removed long since.
    fn generation(&mut self, owner: Uuid, conversation: Uuid, message: Uuid) -> anyhow::Result<Uuid> {
        let id = self.id();
        self.db
            .prepare_cached(
                "INSERT INTO generation (id, owner_id, conversation_id, message_id, state, epoch, node_id, request,
                                         usage, terminal, log_retired, created_at, ended_at)
                 VALUES (?1, ?2, ?3, ?4, 'completed', 1, ?1, ?5, ?6, ?7, 1, ?8, ?8)",
            )?
            .execute(params![
                id.as_bytes(),
                owner.as_bytes(),
                conversation.as_bytes(),
                message.as_bytes(),
                r#"{"model":"openai/paced","temperature":null,"max_tokens":2048,"seed":1}"#,
                r#"{"prompt_tokens":11,"completion_tokens":20,"total_tokens":31,"estimated":false}"#,
                r#"{"type": "end", "message": "Response completed", "status": "completed"}"#,
                self.now
            ])?;
        Ok(id)
    }
}
