//! Connections cut at any byte: a client that comes back after each cut has exactly the bytes that
//! one without a cut has.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use r1_testkit::{
    follower::{Follower, Origin},
    proxy::{Cut, Place, Proxy},
    sse::{Frame, text_of},
    upstream::Upstream,
};
use rand::{Rng, RngExt, seq::IndexedRandom};
use serde_json::json;

use super::{
    answer::{self, Answer, Answers},
    seed::{blame, chance, say, seed, setting},
};
use crate::support::{Client, Server, Setup, id_of, stream};

/// This many cuts of a replay, `R1_CUTS` times.
const CUTS: u64 = 10_000;
/// Clients at the same time.
const CLIENTS: u64 = 16;

/// A cut somewhere in the next events.
fn random_cut(chance: &mut impl Rng, in_request: bool) -> Cut {
    let place = match chance.random_range(0..3) {
        0 => None,
        _ => Place::ALL.choose(chance).copied(),
    };
    let after = if place == Some(Place::Head) || in_request { 0..300 } else { 0..900 };
    Cut { in_request, after: chance.random_range(after), place, reset: chance.random_range(0..8) == 0 }
}

struct Scene {
    proxy: Proxy,
    server: Server,
    client: Client,
    http: reqwest::Client,
    answers: Arc<Answers>,
    _upstream: Upstream,
}

impl Scene {
    async fn new() -> Result<Self> {
        let upstream = Upstream::start().await?;
        let answers = Answers::given_by(&upstream);
        let server = Setup::with_upstream(&upstream)?.start().await?;
        let client = server.user("ada").await?;
        let proxy = Proxy::start().await?;
        proxy.lead_to(Some(server.api.trim_start_matches("http://").parse()?));
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self { proxy, server, client, http, answers, _upstream: upstream })
    }

    /// A follower whose connections go through the proxy, each request on one of its own.
    fn follower(&self, origin: Origin) -> Result<Follower> {
        let token = self.client.token.as_deref().context("signed in")?;
        Ok(Follower::new(self.http.clone(), &format!("{}/api/v1", self.proxy.url()), token, origin))
    }

    /// The whole log, past the proxy.
    async fn uncut(&self, generation: &str) -> Result<Vec<Frame>> {
        let query = format!("generation_id={generation}&after=0");
        stream(self.client.attach(&query).await?).await?.collect_to_end().await
    }
}

#[tokio::test]
async fn ten_thousand_cuts_of_a_replay() -> Result<()> {
    let seed = seed("cuts of a replay")?;
    blame(seed, replay(seed, CUTS * setting("R1_CUTS")?.unwrap_or(1)).await)
}

async fn replay(seed: u64, cuts: u64) -> Result<()> {
    let scene = Scene::new().await?;
    let mut dice = chance(seed, 0);
    let text = answer::text(&mut dice, 6_000);
    let answer =
        Answer { text, late: Duration::ZERO, pause: Duration::ZERO, piece: 80, fault: None, echo: false, seed };
    let answer = scene.answers.learn("everything", answer);
    let live = scene.client.ask_to_end(&json!({"message": "everything"})).await?;
    ensure!(text_of(&live) == answer.text, "the answer");
    let generation_id = live[0].id.context("an id")?.generation_id;

    scene.proxy.cut_with(move |connection| Some(random_cut(&mut chance(seed, connection), false)));
    let total = || scene.proxy.cuts().values().sum::<u64>();
    let clients = (1..=CLIENTS).map(async |client| -> Result<u64> {
        let mut dice = chance(seed, u64::MAX - client);
        let mut whole = 0;
        while total() < cuts {
            // From its beginning, or from any event on.
            let from = if dice.random() { 0 } else { dice.random_range(0..live.len() / 2) };
            let after = from.checked_sub(1).and_then(|last| live[last].id);
            let mut follower = scene.follower(Origin::Attached { generation_id, after })?;
            follower.to_end().await.with_context(|| format!("client {client} from event {from}"))?;
            ensure!(follower.frames() == &live[from..], "client {client} has other bytes from event {from} on");
            whole += 1;
        }
        Ok(whole)
    });
    let replays: u64 = try_join_all(clients).await?.iter().sum();
    let by_place = scene.proxy.cuts();
    say(&format!("{} cuts in {replays} replays of {} events: {by_place:?}", total(), live.len()));
    for place in Place::ALL {
        ensure!(by_place.get(&place).is_some_and(|hit| *hit >= cuts / 50), "too few cuts at {place:?}: {by_place:?}");
    }
    ensure!(scene.uncut(&generation_id.to_string()).await? == live, "the log is as it was");
    ensure!(!scene.server.log().contains("ERROR"), "{}", scene.server.log());
    Ok(())
}

#[tokio::test]
async fn cuts_while_the_answers_are_written() -> Result<()> {
    let seed = seed("cuts of running answers")?;
    blame(seed, running(seed, 24 * setting("R1_CUTS")?.unwrap_or(1)).await)
}

async fn running(seed: u64, questions: u64) -> Result<()> {
    let scene = Scene::new().await?;
    scene.proxy.cut_with(move |connection| {
        let mut dice = chance(seed, connection);
        let in_request = dice.random_range(0..8) == 0;
        Some(random_cut(&mut dice, in_request))
    });
    let numbers: Vec<u64> = (0..questions).collect();
    for some in numbers.chunks(24) {
        try_join_all(some.iter().map(|number| one_running(&scene, seed, *number))).await?;
    }
    say(&format!("cuts of running answers: {:?}", scene.proxy.cuts()));
    ensure!(scene.answers.faults().is_empty(), "{:?}", scene.answers.faults());
    ensure!(!scene.server.log().contains("ERROR"), "{}", scene.server.log());
    Ok(())
}

/// A question whose every connection is cut, and a second reader of it.
async fn one_running(scene: &Scene, seed: u64, number: u64) -> Result<()> {
    let mut dice = chance(seed, u64::MAX - number);
    let text = answer::text(&mut dice, 250);
    let (late, pause) = (Duration::ZERO, Duration::from_millis(dice.random_range(0..8)));
    let question = format!("question {number}");
    let answer =
        scene.answers.learn(&question, Answer { text, late, pause, piece: 20, fault: None, echo: false, seed });
    let body = json!({"message": question});
    let mut asking =
        scene.follower(Origin::Made { path: "/chat/stream".to_owned(), body, key: format!("key-{number}") })?;
    let start = asking.next_frame().await?.context("start")?.clone();
    let generation_id = start.id.context("an id")?.generation_id;
    let mut second = scene.follower(Origin::Attached { generation_id, after: None })?;
    let (asked, attached) = futures::join!(asking.to_end(), second.to_end());
    let (asked, attached) = (asked?, attached?);
    let uncut = scene.uncut(&generation_id.to_string()).await?;
    ensure!(asked == uncut && attached == uncut, "question {number}: the readers have other bytes than the log");
    ensure!(text_of(&uncut) == answer.text, "question {number}: the answer is another one");
    ensure!(scene.answers.forget(&question) == 1, "question {number}: one upstream call");
    let messages = scene.client.messages(&id_of(&start.data, "conversation_id")?).await?;
    ensure!(messages.len() == 2 && messages[1]["content"] == answer.text, "question {number}: {messages:?}");
    Ok(())
}
