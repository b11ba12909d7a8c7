//! Figures, their goals, and the two forms in which they are kept: JSON and a Markdown table.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    peers::{DIRECT, FLOOR, NGINX, SERVER},
    process,
    stats::Summary,
};

/// What the server's figure shall be.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// At most this many times another's, round by round.
    TimesAtMost(String, f64),
    /// At least this many times another's.
    TimesAtLeast(String, f64),
    /// No more than this above another's.
    AddedAtMost(String, f64),
}

/// One line of the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured; with the unit it identifies the figure from one run to the next.
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) goal: Option<Goal>,
    /// By system.
    values: BTreeMap<String, Summary>,
    /// What the goal is about, where that is a comparison.
    compared: Option<Summary>,
    /// Whether the goal is met; none where there is nothing to compare with.
    met: Option<bool>,
    #[serde(skip)]
    rounds: BTreeMap<&'static str, Vec<f64>>,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, unit: &str, goal: Option<Goal>) -> Self {
        Self {
            what: what.into(),
            unit: unit.to_owned(),
            goal,
            values: BTreeMap::new(),
            compared: None,
            met: None,
            rounds: BTreeMap::new(),
        }
    }

    /// One more round of a system.
    pub(crate) fn push(&mut self, system: &'static str, value: f64) {
        self.rounds.entry(system).or_default().push(value);
    }

    /// Adds the rounds up.
    fn close(&mut self) {
        let of = |system: &str| self.rounds.get(system).map_or(&[][..], Vec::as_slice);
        let each = |other: &str, compare: fn(f64, f64) -> f64| {
            let pairs = of(SERVER).iter().zip(of(other));
            Summary::of(&pairs.map(|(ours, theirs)| compare(*ours, *theirs)).collect::<Vec<_>>())
        };
        let own = Summary::of(of(SERVER));
        self.compared = match &self.goal {
            Some(Goal::TimesAtMost(other, _) | Goal::TimesAtLeast(other, _)) => {
                each(other, |ours, theirs| ours / theirs)
            }
            Some(Goal::AddedAtMost(other, _)) => each(other, |ours, theirs| ours - theirs),
            Some(Goal::AtMost(_) | Goal::AtLeast(_)) | None => None,
        };
        self.met = match &self.goal {
            Some(Goal::AtMost(most)) => own.map(|own| own.median <= *most),
            Some(Goal::AtLeast(least)) => own.map(|own| own.median >= *least),
            Some(Goal::TimesAtMost(_, most) | Goal::AddedAtMost(_, most)) => {
                self.compared.as_ref().map(|compared| compared.median <= *most)
            }
            Some(Goal::TimesAtLeast(_, least)) => self.compared.as_ref().map(|compared| compared.median >= *least),
            None => None,
        };
        self.values = self
            .rounds
            .iter()
            .filter_map(|(system, rounds)| Some(((*system).to_owned(), Summary::of(rounds)?)))
            .collect();
    }
}

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What was measured.
    pub(crate) commit: String,
    /// When it ended.
    pub(crate) date: String,
    /// On what.
    pub(crate) machine: String,
    /// nginx's version; none where it is not installed.
    pub(crate) nginx: Option<String>,
    pub(crate) rounds: u32,
    /// Length of a window.
    pub(crate) seconds: f64,
    /// Others' share of the machine, median of the windows.
    pub(crate) foreign: f64,
    /// The same, the worst window.
    pub(crate) foreign_most: f64,
    /// Why these figures are not to be trusted.
    pub(crate) marks: Vec<String>,
    /// What to know when reading them.
    pub(crate) notes: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    /// Says nothing while it grows: a smoke test's figures mean nothing.
    #[serde(skip)]
    pub(crate) silent: bool,
}

impl Report {
    /// Adds a figure.
    pub(crate) fn add(&mut self, mut figure: Figure) {
        figure.close();
        if !self.silent {
            process::say(format_args!("  {}", line(&figure, None)));
        }
        self.figures.push(figure);
    }

    /// As a Markdown table, beside the one before.
    pub(crate) fn markdown(&self, before: Option<&Self>) -> String {
        let mut out = String::new();
        // Writing to memory doesn't fail.
        let _ = writeln!(out, "Commit {}, {}. {}.", self.commit, self.date, self.machine);
        let _ = writeln!(
            out,
            "{} rounds, windows of {} s; others had {:.1} % of the machine, {:.1} % in the worst window. Beside it: {}.",
            self.rounds,
            self.seconds,
            self.foreign * 100.0,
            self.foreign_most * 100.0,
            self.nginx.as_deref().unwrap_or("no nginx"),
        );
        for mark in &self.marks {
            let _ = writeln!(out, "\n**Provisional:** {mark}.");
        }
        for note in &self.notes {
            let _ = writeln!(out, "\nNote: {note}.");
        }
        if let Some(before) = before {
            let _ = writeln!(out, "\nThe last column compares with commit {}, {}.", before.commit, before.date);
        }
        let _ = writeln!(out, "\n| what | {SERVER} | {FLOOR} | {NGINX} | compared | goal | met | change |");
        let _ = writeln!(out, "|---|---|---|---|---|---|---|---|");
        for figure in &self.figures {
            let _ = writeln!(out, "{}", line(figure, before));
        }
        out
    }

    /// The report that a commit holds at this path.
    pub(crate) fn committed(path: &Path) -> Option<Self> {
        let (directory, name) = (path.parent()?, path.file_name()?.to_str()?);
        serde_json::from_str(&process::output("git", &["show", &format!("HEAD:./{name}")], directory)?).ok()
    }

    /// Writes results.json and results.md.
    pub(crate) fn write(&self, directory: &Path, markdown: &str) -> anyhow::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        Ok(std::fs::write(directory.join("results.md"), format!("# Results\n\n{markdown}"))?)
    }
}

fn line(figure: &Figure, before: Option<&Report>) -> String {
    let value = |system: &str| figure.values.get(system).map(spread).unwrap_or_default();
    let (compared, goal) = match &figure.goal {
        Some(Goal::AtMost(most)) => (None, format!("≤ {}", number(*most))),
        Some(Goal::AtLeast(least)) => (None, format!("≥ {}", number(*least))),
        Some(Goal::TimesAtMost(other, most)) => (Some("×"), format!("≤ {} × {other}", number(*most))),
        Some(Goal::TimesAtLeast(other, least)) => (Some("×"), format!("≥ {} × {other}", number(*least))),
        Some(Goal::AddedAtMost(other, most)) => (Some("+"), format!("≤ {} over {other}", number(*most))),
        None => (None, String::new()),
    };
    let compared = match (compared, &figure.compared) {
        (Some("+"), Some(summary)) => format!("{}{}", if summary.median < 0.0 { "" } else { "+" }, spread(summary)),
        (Some(sign), Some(summary)) => format!("{}{sign}", spread(summary)),
        _ => String::new(),
    };
    let met = figure.met.map_or("", |met| if met { "yes" } else { "no" });
    let old =
        before.and_then(|before| before.figures.iter().find(|old| old.what == figure.what && old.unit == figure.unit));
    let change = old.and_then(|old| change(old, figure)).unwrap_or_default();
    // What has no other system is beside what it has: the loader alone, say.
    let floor = if figure.values.contains_key(FLOOR) { value(FLOOR) } else { beside(figure) };
    format!(
        "| {}, {} | {} | {floor} | {} | {compared} | {goal} | {met} | {change} |",
        figure.what,
        figure.unit,
        value(SERVER),
        value(NGINX)
    )
}

fn beside(figure: &Figure) -> String {
    let other = figure.values.iter().find(|(system, _)| ![SERVER, NGINX, DIRECT].contains(&system.as_str()));
    other.map(|(system, summary)| format!("{system}: {}", spread(summary))).unwrap_or_default()
}

fn change(old: &Figure, new: &Figure) -> Option<String> {
    // Ratios hold from day to day, times don't: where there is a comparison, that is compared.
    let of = |figure: &Figure| match (&figure.goal, &figure.compared) {
        (Some(Goal::TimesAtMost(..) | Goal::TimesAtLeast(..)), Some(compared)) => Some(compared.median),
        _ => figure.values.get(SERVER).map(|own| own.median),
    };
    let (old, new) = (of(old)?, of(new)?);
    (old != 0.0).then(|| format!("{:+.0} %", (new / old - 1.0) * 100.0))
}

fn spread(summary: &Summary) -> String {
    if summary.min == summary.max {
        return number(summary.median);
    }
    format!("{} ({} to {})", number(summary.median), number(summary.min), number(summary.max))
}

/// Three digits that matter.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests;
