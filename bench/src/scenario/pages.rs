//! Lists of conversations and pages of messages, anybody's and anywhere, in a full database, asked for by
//! clients that never pause.

use crate::{
    client::{Client, request},
    peers::SERVER,
    report::{Figure, Goal},
    requests::closed_loop,
    run::Bench,
    stats::percentile,
};

/// Clients that ask at a time.
const CLIENTS: usize = 4;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let fixture = bench.fixture().await?;
    let running = bench.filled_server(&[]).await?;
    let mut tokens = Vec::new();
    for number in 0..fixture.size.users {
        tokens.push(running.server.sign_in(number).await?);
    }
    // What is timed is full, and not the end.
    let mut client = Client::connect(running.server.address).await?;
    let first = format!("/api/v1/conversations/{}/messages", fixture.conversations[0][0]);
    for (path, field) in [("/api/v1/conversations", "conversations"), (&first, "messages")] {
        let page = client.json(request(path, Some(&tokens[0]), None)?).await?;
        let length = page[field].as_array().map_or(0, Vec::len);
        anyhow::ensure!(
            bench.options.quick || (length >= 20 && !page["next_cursor"].is_null()),
            "{path} is short: {page}"
        );
        anyhow::ensure!(length > 0, "{path} is empty");
    }
    let (address, process) = (running.server.address, running.server.process.id());
    let goal = || Some(Goal::AtMost(5000.0));
    let mut lists = Figure::new("list of conversations, p99", "µs", goal());
    let mut pages = Figure::new("page of messages, p99", "µs", goal());
    for _ in bench.rounds() {
        // Another user, and another conversation, every time: steps that are coprime to the counts.
        let users = tokens.clone();
        let list = move |client: usize, number: usize| {
            request("/api/v1/conversations", Some(&users[(client * 31 + number * 7) % users.len()]), None)
        };
        let asked = closed_loop(address, process, CLIENTS, bench.window(), list).await?;
        lists.push(SERVER, percentile(&asked.latencies, 0.99));

        let (users, conversations) = (tokens.clone(), fixture.conversations.clone());
        let page = move |client: usize, number: usize| {
            let user = (client * 31 + number * 7) % users.len();
            let conversation = conversations[user][(client + number * 13) % conversations[user].len()];
            request(&format!("/api/v1/conversations/{conversation}/messages"), Some(&users[user]), None)
        };
        let asked = closed_loop(address, process, CLIENTS, bench.window(), page).await?;
        pages.push(SERVER, percentile(&asked.latencies, 0.99));
    }
    bench.report.add(lists);
    bench.report.add(pages);
    running.server.process.terminate()
}
