//! A newer version beside this one: its answers, written straight into the database, are shown, moved and kept as
//! they are, and taken over only where their grammar is known.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use r1_domain::{
    id::{NodeId, UserId},
    log::{FIRST_GRAMMAR, GRAMMAR},
    store::{LogAppend, NewTurn},
    time::{Clock, SystemClock},
};
use r1_testkit::{
    postgres::TestDatabase,
    sse::{Frame, Reader, text_of},
    store_contract::{
        SharedStore, append, begin,
        kinds::{NEWER_EVENTS, newer_records},
        log_of, new_turn, stored,
    },
    upstream::{Script, Upstream},
};

use crate::support::{Client, PATIENCE, Server, Setup, stream};

/// As long as nobody ends it.
const HOUR: Duration = Duration::from_secs(3600);

/// Settings of a process whose provider can go on from a partial answer.
fn setup(upstream: &Upstream) -> Result<Setup> {
    let setup = Setup::new()?.set("DATABASE__LEASE", "2s").set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url());
    Ok(setup.set("PROVIDERS__VLLM__CONTINUES", "vllm").set("DEFAULT_MODEL", "vllm/m"))
}

/// The newer process.
struct Newer {
    store: SharedStore,
    node_id: NodeId,
    owner: UserId,
}

impl Newer {
    async fn at(setup: &Setup) -> Result<Self> {
        let store: SharedStore = Arc::from(setup.store().await?);
        let owner = store.user_by_login("ada").await?.context("ada")?.user.id;
        let node_id = NodeId::new(SystemClock.now());
        if let Some(nodes) = store.nodes() {
            nodes.join(node_id, HOUR, GRAMMAR + 1).await?;
        }
        Ok(Self { store, node_id, owner })
    }

    /// Begins an answer and writes the first part of it.
    async fn answers(&self, grammar: u32) -> Result<NewTurn> {
        let mut turn = new_turn(self.owner, "go", SystemClock.now());
        (turn.node_id, turn.grammar) = (self.node_id, grammar);
        "vllm/m".clone_into(&mut turn.request.model);
        begin(&self.store, &turn).await?;
        self.writes(&turn, 2, "one ").await?;
        Ok(turn)
    }

    async fn writes(&self, turn: &NewTurn, seq: u64, text: &str) -> Result<()> {
        let part = LogAppend { records: newer_records(text), ..append(turn.generation_id, 1, seq, &[]) };
        stored(&self.store, vec![part]).await
    }
}

async fn follow(client: &Client, turn: &NewTurn) -> Result<Reader> {
    stream(client.attach(&format!("generation_id={}", turn.generation_id)).await?).await
}

/// All that is there so far.
async fn shown(client: &Client, turn: &NewTurn, events: u64) -> Result<Vec<Frame>> {
    follow(client, turn).await?.collect_until(|frame| frame.id.is_some_and(|id| id.cursor.seq == events)).await
}

/// Waits for a line of the log.
async fn says(server: &Server, line: &str) -> Result<()> {
    let said = async {
        while !server.log().contains(line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.with_context(|| format!("no {line:?} in {}", server.log()))
}

fn left_alone(turn: &NewTurn) -> String {
    format!("generation {} is left alone", turn.generation_id)
}

/// The answer of a known grammar went on, with all that stood in its log.
async fn goes_on(client: &Client, turn: &NewTurn, seen: &[Frame], store: &SharedStore, written: &[u8]) -> Result<()> {
    let log = follow(client, turn).await?.collect_to_end().await?;
    assert_eq!(log[..seen.len()], *seen, "byte for byte");
    let after = &log[seen.len()..];
    assert_eq!(
        (after[0].kind(), after.last().context("an end")?.data["status"].as_str()),
        ("resumed", Some("completed"))
    );
    ensure!(text_of(&log).ends_with("and the rest"), "{}", text_of(&log));
    ensure!(log_of(store, turn).await?.starts_with(written), "byte for byte in the database");
    Ok(())
}

/// What is in storage is what was written there, and nobody has it.
async fn is_untouched(store: &SharedStore, turn: &NewTurn, written: &[u8]) -> Result<()> {
    let log = store.log_read(turn.owner, turn.generation_id).await?;
    let generation = log.generation;
    assert_eq!((generation.epoch, generation.grammar, generation.node_id), (1, turn.grammar, turn.node_id));
    assert!(!generation.state.is_terminal());
    assert_eq!(log.records.as_deref(), Some(written), "byte for byte");
    Ok(())
}

#[tokio::test]
async fn a_newer_node_beside_this_one() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = setup(&upstream)?.on_postgres()?.start().await?;
    let client = server.user("ada").await?;
    let newer = Newer::at(server.setup()).await?;
    let (unknown, known) = (newer.answers(GRAMMAR + 1).await?, newer.answers(FIRST_GRAMMAR).await?);

    // Live, as it is written: each event's line as it stands in the log.
    let mut live = follow(&client, &unknown).await?;
    let mut seen = live.collect_until(|frame| frame.id.is_some_and(|id| id.cursor.seq == 1 + NEWER_EVENTS)).await?;
    newer.writes(&unknown, 2 + NEWER_EVENTS, "two ").await?;
    let events = 1 + 2 * NEWER_EVENTS;
    seen.extend(live.collect_until(|frame| frame.id.is_some_and(|id| id.cursor.seq == events)).await?);
    let line = r#"data: {"type": "of_tomorrow", "parts": [1, {"x": "ä\n"}]}"#;
    let of_tomorrow: Vec<_> = seen.iter().filter(|frame| frame.kind() == "of_tomorrow").collect();
    assert_eq!(of_tomorrow.len(), 2);
    ensure!(of_tomorrow[0].raw.ends_with(format!("\n{line}\n\n").as_bytes()), "{of_tomorrow:?}");
    assert_eq!(shown(&client, &unknown, events).await?, seen, "a replay");
    let of_known = shown(&client, &known, 1 + NEWER_EVENTS).await?;

    // It is gone without a word.
    upstream.push(Script::text("and the rest"));
    newer.store.nodes().context("nodes")?.renew(newer.node_id, Duration::ZERO).await?;
    says(&server, &left_alone(&unknown)).await?;
    let first = [&known.start[..], &newer_records("one ")].concat();
    goes_on(&client, &known, &of_known, &newer.store, &first).await?;
    let written = [&unknown.start[..], &newer_records("one "), &newer_records("two ")].concat();
    is_untouched(&newer.store, &unknown, &written).await?;
    assert_eq!(shown(&client, &unknown, events).await?, seen, "it is still shown");
    assert_eq!(upstream.requests().len(), 1, "for the one that is known");
    assert_eq!(server.log().matches(&left_alone(&unknown)).count(), 1, "said once");

    // The newer version is back, and goes on where it was: here too.
    let node = NodeId::new(SystemClock.now());
    newer.store.nodes().context("nodes")?.join(node, HOUR, GRAMMAR + 1).await?;
    let database = server.setup().database().context("a database")?.client().await?;
    let take_over = "UPDATE gpt_r1.generation SET node_id = $2 WHERE id = $1";
    database.execute(take_over, &[&unknown.generation_id.as_uuid(), &node.as_uuid()]).await?;
    newer.writes(&unknown, events + 1, "three").await?;
    let more = live.collect_until(|frame| frame.id.is_some_and(|id| id.cursor.seq == events + NEWER_EVENTS)).await?;
    assert_eq!(text_of(&[seen, more].concat()), "one two three");
    Ok(())
}

#[tokio::test]
async fn what_a_newer_version_left_in_sqlite() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = setup(&upstream)?.on_sqlite().start().await?;
    let client = server.user("ada").await?;
    let here = server.kill().await?;
    let newer = Newer::at(&here).await?;
    let (unknown, known) = (newer.answers(GRAMMAR + 1).await?, newer.answers(FIRST_GRAMMAR).await?);
    drop(newer);
    let written = |turn: &NewTurn| [&turn.start[..], &newer_records("one ")].concat();

    // Put away, and put back: what was running is interrupted, but for what is not known.
    let file = here.data_dir().with_file_name("backup");
    let name = file.to_str().context("a name")?;
    let backup = here.run(&["backup", name]).await?;
    ensure!(backup.ok, "{backup:?}");
    let elsewhere = setup(&upstream)?.on_sqlite();
    let restored = elsewhere.run(&["restore", name]).await?;
    ensure!(restored.ok, "{restored:?}");
    {
        let store: SharedStore = Arc::from(elsewhere.store().await?);
        is_untouched(&store, &unknown, &written(&unknown)).await?;
        let interrupted = store.generation_get(known.owner, known.generation_id).await?;
        assert_eq!(interrupted.state.as_str(), "interrupted");
        ensure!(log_of(&store, &known).await?.starts_with(&written(&known)), "byte for byte");
    }

    // Moved.
    let database = TestDatabase::make()?;
    let (from, to) = (format!("sqlite:{}", here.data_dir().display()), database.url());
    let moved = here.run(&["migrate", "--from", &from, "--to", &to]).await?;
    ensure!(moved.ok, "{moved:?}");
    let rows = database.client().await?;
    for turn in [&unknown, &known] {
        let row = "SELECT l.records, g.grammar FROM gpt_r1.generation_log l JOIN gpt_r1.generation g
                   ON g.id = l.generation_id WHERE g.id = $1";
        let row = rows.query_one(row, &[&turn.generation_id.as_uuid()]).await?;
        assert_eq!(row.get::<_, Vec<u8>>(0), written(turn), "byte for byte");
        assert_eq!(row.get::<_, i64>(1), i64::from(turn.grammar));
    }

    // And here.
    upstream.push(Script::text("and the rest"));
    let server = here.start().await?;
    let client = client.at(&server);
    says(&server, &left_alone(&unknown)).await?;
    let seen = shown(&client, &unknown, 1 + NEWER_EVENTS).await?;
    assert_eq!(text_of(&seen), "one ");
    let whole = follow(&client, &known).await?.collect_to_end().await?;
    ensure!(text_of(&whole).ends_with("and the rest"), "{whole:?}");
    let setup = server.kill().await?;
    let store: SharedStore = Arc::from(setup.store().await?);
    is_untouched(&store, &unknown, &written(&unknown)).await?;
    ensure!(log_of(&store, &known).await?.starts_with(&written(&known)), "byte for byte");
    assert_eq!(upstream.requests().len(), 1, "for the one that is known");
    Ok(())
}
