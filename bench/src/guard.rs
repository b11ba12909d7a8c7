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

/// Others may have this much of the machine.
const FOREIGN: f64 = 0.10;
/// This much of a load has to be delivered in time, or it is not that load.
const DELIVERED: f64 = 0.98;
/// A loader that is busy for this much of a window may be what is measured.
const LOADER: f64 = 0.90;
/// This long is looked before the first measurement.
const LOOK: Duration = Duration::from_secs(2);

/// Whether this window had the load that was asked for.
pub(crate) fn makes(outcome: &Outcome, streams: usize, rate: u32) -> bool {
    let (delivered, gap) = reached(outcome, streams, rate);
    delivered >= DELIVERED && gap <= 1.2 * 1e6 / f64::from(rate)
}

/// The share of the chunks that came, and the p99 of the gaps in µs.
fn reached(outcome: &Outcome, streams: usize, rate: u32) -> (f64, f64) {
    let wanted = streams as f64 * f64::from(rate) * outcome.elapsed.as_secs_f64();
    (outcome.chunks as f64 / wanted, crate::stats::percentile(&outcome.gaps, 0.99))
}

/// Keeps watch over a run.
pub(crate) struct Guard {
    /// Go on where it is told to refuse.
    anyway: bool,
    /// Others' share of the machine in each window.
    foreign: Vec<f64>,
    /// Why these figures are not to be trusted.
    marks: Vec<String>,
    /// What to know when reading them.
    notes: Vec<String>,
}

/// What a guard has seen in a whole run.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Others' share of the machine: the median of the windows.
    pub(crate) foreign: f64,
    /// The same, the worst of them.
    pub(crate) foreign_most: f64,
    pub(crate) marks: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Guard {
    /// Without a look: nothing will be reported.
    pub(crate) const fn new(anyway: bool) -> Self {
        Self { anyway, foreign: Vec::new(), marks: Vec::new(), notes: Vec::new() }
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
        let (delivered, gap) = reached(direct, streams, rate);
        if !makes(direct, streams, rate) {
            self.object(format!(
                "{what}: the upstream is the limit: alone it delivers {:.1} % with a p99 gap of {:.1} ms",
                delivered * 100.0,
                gap / 1000.0
            ))?;
        }
        Ok(())
    }

    /// Notes where a load was too much for the machine: a system, or an upstream, that comes late takes
    /// and gives several chunks at once, and looks cheaper than it is.
    pub(crate) fn full(&mut self, what: &str, name: &str, outcome: &Outcome, streams: usize, rate: u32) {
        let wanted = streams as f64 * f64::from(rate) * outcome.elapsed.as_secs_f64();
        let (delivered, late) = (outcome.chunks as f64 / wanted, outcome.late.p99 * f64::from(rate) / 1e6);
        if delivered < DELIVERED {
            self.note(format!("{what}: {name} did not deliver all chunks in time"));
        }
        if late > 0.5 {
            self.note(format!("{what}: beside {name} the upstream was late by more than half the pace (p99)"));
        }
        self.loader(&format!("{what}, {name}"), outcome.loader);
    }

    /// Notes where the loader, one thread, may be the limit.
    pub(crate) fn loader(&mut self, what: &str, busy: f64) {
        if busy > LOADER {
            self.note(format!("{what}: the loader was busy all the time and may be the limit"));
        }
    }

    /// Notes what a reader has to know.
    pub(crate) fn note(&mut self, note: String) {
        // Once, however many rounds say so.
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn object(&mut self, reason: String) -> anyhow::Result<()> {
        if !self.anyway {
            bail!("{reason}: no report (--anyway makes one, with a mark)");
        }
        say(format_args!("warning: {reason}"));
        self.marks.push(reason);
        Ok(())
    }

    /// Looks back on the windows so far: a run that will be refused need not go on.
    ///
    /// # Errors
    /// Others were at work in most of them.
    pub(crate) fn look_back(&self) -> anyhow::Result<()> {
        let foreign = self.middle();
        anyhow::ensure!(
            self.anyway || foreign <= FOREIGN,
            "others had {:.0} % of the machine while it was measured: no report (--anyway makes one, with a mark)",
            foreign * 100.0
        );
        Ok(())
    }

    fn middle(&self) -> f64 {
        let mut sorted = self.foreign.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// The verdict over the whole run.
    ///
    /// # Errors
    /// Others were at work all along.
    pub(crate) fn verdict(mut self) -> anyhow::Result<Verdict> {
        self.look_back()?;
        let foreign = self.middle();
        if foreign > FOREIGN {
            self.object(format!("others had {:.0} % of the machine while it was measured", foreign * 100.0))?;
        }
        let foreign_most = self.foreign.iter().copied().fold(0.0, f64::max);
        Ok(Verdict { foreign, foreign_most, marks: self.marks, notes: self.notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Lateness;

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
            (guard.look_back().is_err(), guard.verdict())
        };
        let (refused, verdict) = loaded(false);
        assert!(refused && verdict.is_err());
        let (refused, verdict) = loaded(true);
        let verdict = verdict.unwrap();
        assert_eq!((refused, verdict.marks.len(), verdict.foreign, verdict.foreign_most), (false, 1, 0.3, 0.4));
        let quiet = Verdict { foreign: 0.0, foreign_most: 0.0, marks: Vec::new(), notes: Vec::new() };
        assert_eq!(Guard::new(false).verdict().unwrap(), quiet);
    }

    #[test]
    fn a_load_that_is_too_much_is_noted_once() {
        let notes = |outcome: &Outcome| {
            let mut guard = Guard::new(false);
            guard.full("10 × 50", "nginx", outcome, 10, 50);
            guard.full("10 × 50", "nginx", outcome, 10, 50);
            guard.verdict().unwrap().notes.len()
        };
        assert_eq!(notes(&direct(500, 0)), 0);
        assert_eq!(notes(&direct(480, 0)), 1);
        assert_eq!(notes(&Outcome { loader: 0.95, ..direct(500, 0) }), 1);
        assert_eq!(notes(&Outcome { late: Lateness { p99: 11_000.0 }, ..direct(500, 0) }), 1);
    }
}
