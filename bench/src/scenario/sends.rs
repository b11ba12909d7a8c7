//! A question into a conversation of 10, 1,000 and 100,000 messages: time until it leaves for the
//! upstream.
//!
//! Twice: with the default budget for what the model gets to read, where a longer conversation is
//! a longer request; and with a budget so small that all requests are equal, where what remains is
//! the storage's.

use serde_json::json;

use crate::{
    client::request,
    load,
    pace::Pace,
    peers::SERVER,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

const SHORT: &str = "10 messages";
/// Questions per conversation and round.
const QUESTIONS: usize = 50;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let fixture = bench.fixture().await?;
    for (budget, what) in [("256KiB", "all that the model may read"), ("1KiB", "1 KiB to read")] {
        let goal = || Some(Goal::TimesAtMost(SHORT.to_owned(), 1.5));
        let name = |size: usize| format!("until the upstream is asked, {size} messages, {what}, p50");
        let mut longer = [1, 2].map(|index| Figure::new(name(fixture.size.long[index]), "µs", goal()));
        for _ in bench.rounds() {
            let running = bench.filled_server(&[("GPT_R1__GENERATION__HISTORY", budget)]).await?;
            let target = running.target();
            let mut asked = Vec::new();
            for conversation in fixture.long {
                let model = Pace::backlog(1).to_string();
                let question = json!({"message": "And then?", "conversation_id": conversation, "model": model});
                let ask = || request("/api/v1/chat/stream", target.token.as_deref(), Some(&question));
                // The first finds the pages cold.
                load::one_by_one(&target, bench.upstream, 3, ask).await?;
                let outcome = load::one_by_one(&target, bench.upstream, bench.scale(QUESTIONS, 2), ask).await?;
                bench.guard.saw(&outcome);
                asked.push(percentile(&outcome.asked, 0.5));
            }
            for (figure, long) in longer.iter_mut().zip(&asked[1..]) {
                figure.push(SERVER, *long);
                figure.push(SHORT, asked[0]);
            }
            running.server.process.terminate()?;
        }
        for figure in longer {
            bench.report.add(figure);
        }
    }
    Ok(())
}
