//! When not to report: figures of a loaded machine, or of a load that the harness can't make, are
//! about the wrong thing.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use crate::{
    load::Outcome,
    proc::{Machine, processors},
    process::say,
};

/// Others may have so much of the machine.
const FOREIGN: f64 = 0.10;
/// So long is looked before the first measurement.
const LOOK: Duration = Duration::from_secs(2);

/// Keeps watch over a run.
pub(crate) struct Guard {
    /// Go on where it is told to refuse.
    anyway: bool,
    /// Others' share of the machine in each window.
    foreign: Vec<f64>,
    /// Why these figures are not to be trusted.
    marks: Vec<String>,
}

impl Guard {
    /// Without a look: nothing will be reported.
    pub(crate) const fn new(anyway: bool) -> Self {
        Self { anyway, foreign: Vec::new(), marks: Vec::new() }
    }

    /// Looks at the machine first.
    ///
    /// # Errors
    /// It is loaded.
    pub(crate) async fn look(anyway: bool) -> anyhow::Result<Self> {
        let mut guard = Self::new(anyway);
        let (began, before) = (Instant::now(), Machine::now()?);
        sleep(LOOK).await;
        let busy = Machine::now()?.since(&before) / began.elapsed().as_secs_f64() / processors() as f64;
        if busy > FOREIGN {
            guard.object(format!("the machine was {:.0} % busy before the start", busy * 100.0))?;
        }
        Ok(guard)
    }

    /// Takes note of a window.
    pub(crate) fn saw(&mut self, outcome: &Outcome) {
        self.foreign.push(outcome.foreign);
    }

    /// Judges what upstream and loader do alone, with nothing between them.
    ///
    /// # Errors
    /// They can't make this load.
    pub(crate) fn ceiling(&mut self, what: &str, direct: &Outcome, streams: usize, rate: u32) -> anyhow::Result<()> {
        self.saw(direct);
        let wanted = streams as f64 * f64::from(rate) * direct.elapsed.as_secs_f64();
        let pace = 1e6 / f64::from(rate);
        let (delivered, gap) = (direct.chunks as f64 / wanted, crate::stats::percentile(&direct.gaps, 0.99));
        if delivered < 0.98 || gap > 1.2 * pace {
            self.object(format!(
                "{what}: the upstream is the limit: alone it delivers {:.1} % with a p99 gap of {:.1} ms",
                delivered * 100.0,
                gap / 1000.0
            ))?;
        }
        Ok(())
    }

    fn object(&mut self, reason: String) -> anyhow::Result<()> {
        if !self.anyway {
            bail!("{reason}: no report (--anyway makes one, with a mark)");
        }
        say(format_args!("warning: {reason}"));
        self.marks.push(reason);
        Ok(())
    }

    /// The verdict over the whole run: others' median share of the machine, and the marks.
    ///
    /// # Errors
    /// Others were at work all along.
    pub(crate) fn verdict(mut self) -> anyhow::Result<(f64, Vec<String>)> {
        self.foreign.sort_by(f64::total_cmp);
        let middle = self.foreign.get(self.foreign.len() / 2).copied().unwrap_or(0.0);
        if middle > FOREIGN {
            self.object(format!("others had {:.0} % of the machine while it was measured", middle * 100.0))?;
        }
        Ok((middle, self.marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(chunks: u64, gap: u32) -> Outcome {
        Outcome { chunks, gaps: vec![gap], elapsed: Duration::from_secs(1), ..Outcome::default() }
    }

    #[test]
    fn an_upstream_that_is_the_limit_is_refused() {
        assert!(Guard::new(false).ceiling("10 × 50", &direct(500, 20_000), 10, 50).is_ok());
        assert!(Guard::new(false).ceiling("10 × 50", &direct(480, 20_000), 10, 50).is_err());
        assert!(Guard::new(false).ceiling("10 × 50", &direct(500, 25_000), 10, 50).is_err());
    }

    #[test]
    fn a_loaded_machine_is_refused_or_marked() {
        let loaded = |anyway| {
            let mut guard = Guard::new(anyway);
            for foreign in [0.0, 0.3, 0.4] {
                guard.saw(&Outcome { foreign, ..Outcome::default() });
            }
            guard.verdict()
        };
        assert!(loaded(false).is_err());
        assert_eq!(loaded(true).unwrap().1.len(), 1);
        assert_eq!(Guard::new(false).verdict().unwrap(), (0.0, Vec::new()));
    }
}
