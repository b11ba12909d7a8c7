//! A disk that fails when it is told to: `faults.c`, preloaded into the server.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::support::{PATIENCE, Setup};

/// Rules for the server's disk, and what it was asked to do.
pub(super) struct Disk {
    rules: PathBuf,
}

/// One call, as `faults.c` records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) thread: String,
    pub(super) op: String,
    pub(super) file: String,
    at: u64,
    length: u64,
    pub(super) outcome: String,
}

impl Call {
    pub(super) fn is(&self, thread: &str, op: &str, file: &str, outcome: &str) -> bool {
        (&*self.thread, &*self.op, &*self.file, &*self.outcome) == (thread, op, file, outcome)
    }
}

impl Disk {
    /// Puts the disk under a server to be.
    pub(super) fn under(setup: Setup) -> Result<(Self, Setup)> {
        let parent = setup.data_dir().parent().context("a data directory has a parent")?.to_owned();
        let (source, library, rules) = (parent.join("faults.c"), parent.join("faults.so"), parent.join("faults"));
        fs::write(&source, include_str!("faults.c"))?;
        fs::create_dir(&rules)?;
        let compiled = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]).output()?;
        ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let text = |path: &PathBuf| path.to_str().map(str::to_owned).context("a path in UTF-8");
        let setup = setup.env("LD_PRELOAD", &text(&library)?).env("R1_FAULTS", &text(&rules)?);
        Ok((Self { rules }, setup))
    }

    /// From now on calls that meet the rule (`sync.wal`, `write.db@r1-checkpoint`) fail in this way.
    pub(super) fn fail(&self, rule: &str, how: &str) -> Result<()> {
        // In one step: a rule that is read is whole.
        let unfinished = self.rules.join("unfinished");
        fs::write(&unfinished, how)?;
        Ok(fs::rename(unfinished, self.rules.join(rule))?)
    }

    /// The next call that meets the rule fails.
    pub(super) fn fail_once(&self, rule: &str, how: &str) -> Result<()> {
        self.fail(&format!("{rule}.once"), how)
    }

    pub(super) fn mend(&self, rule: &str) -> Result<()> {
        Ok(fs::remove_file(self.rules.join(rule))?)
    }

    pub(super) fn calls(&self) -> Result<Vec<Call>> {
        let calls = fs::read_to_string(self.rules.join("calls")).unwrap_or_default();
        // The last line may be half written.
        let whole = calls.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(call).collect()
    }

    /// Waits for a call after the first `seen` ones. Gives back how many there are up to it.
    pub(super) async fn wait_for(&self, seen: usize, wanted: impl Fn(&Call) -> bool) -> Result<usize> {
        let found = async {
            loop {
                if let Some(place) = self.calls()?.iter().skip(seen).position(&wanted) {
                    return anyhow::Ok(seen + place + 1);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.context("the disk was not asked for it")?
    }

    /// Holds what was asked of the disk against what Linux does: a sync that fails leaves what it covered
    /// clean and lost. No later sync of the file may succeed before that was written again, or cut off.
    /// Gives back how many bytes were lost for a while.
    pub(super) fn check(&self) -> Result<u64> {
        const GRAIN: u64 = 8;
        #[derive(Default)]
        struct Pages {
            dirty: BTreeSet<u64>,
            lost: BTreeSet<u64>,
        }
        let mut files: HashMap<String, Pages> = HashMap::new();
        let mut lost = 0;
        for call in self.calls()? {
            let pages = files.entry(call.file.clone()).or_default();
            match (&*call.op, &*call.outcome) {
                ("write", "ok") => {
                    for grain in call.at / GRAIN..(call.at + call.length).div_ceil(GRAIN) {
                        pages.lost.remove(&grain);
                        pages.dirty.insert(grain);
                    }
                }
                ("cut", "ok") => {
                    pages.dirty.split_off(&call.at.div_ceil(GRAIN));
                    pages.lost.split_off(&call.at.div_ceil(GRAIN));
                }
                ("sync", "ok") => {
                    let (left, file) = (pages.lost.len(), &call.file);
                    ensure!(
                        left == 0,
                        "a sync of {file} succeeds with {left} lost places, from {:?}",
                        pages.lost.first()
                    );
                    pages.dirty.clear();
                }
                ("sync", "EIO" | "failed") => {
                    lost += pages.dirty.len() as u64 * GRAIN;
                    pages.lost.append(&mut pages.dirty);
                }
                _ => {}
            }
        }
        Ok(lost)
    }
}

fn call(line: &str) -> Result<Call> {
    let mut words = line.split(' ').map(str::to_owned);
    let mut next = || words.next().with_context(|| line.to_owned());
    Ok(Call {
        thread: next()?,
        op: next()?,
        file: next()?,
        at: next()?.parse()?,
        length: next()?.parse()?,
        outcome: next()?,
    })
}
