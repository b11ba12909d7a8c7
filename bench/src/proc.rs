//! The operating system's accounts: processor time and memory of a process, and how busy the
//! machine is with others.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::Context;

/// `USER_HZ`, the unit of /proc/*/stat: 100 on every Linux architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// The ticks' sum may be off by this: one tick at each end for user and system time.
const TICK_ERROR: Duration = Duration::from_millis(40);

/// Processor time of a process, its children included, up to one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cpu {
    /// Nanoseconds per thread: exact, but threads that have ended are gone from it.
    threads: HashMap<(u32, u32), u64>,
    /// Per process, in ticks: coarse, but nothing is ever missing.
    ticks: HashMap<u32, u64>,
}

impl Cpu {
    /// Up to now, the children's included.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let mut cpu = Self::default();
        cpu.add(pid, true)?;
        Ok(cpu)
    }

    /// Up to now, without children.
    pub(crate) fn of_one(pid: u32) -> anyhow::Result<Self> {
        let mut cpu = Self::default();
        cpu.add(pid, false)?;
        Ok(cpu)
    }

    fn add(&mut self, pid: u32, with_children: bool) -> anyhow::Result<()> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
        // The name before it may hold anything, brackets included.
        let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        self.ticks.insert(pid, field(11) + field(12));
        for thread in threads(pid) {
            // A thread that ends while we look is found in the ticks.
            let Ok(spent) = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")) else { continue };
            let nanos = spent.split_ascii_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
            self.threads.insert((pid, thread), nanos);
            if with_children {
                for child in children(pid, thread) {
                    // Likewise.
                    let _ = self.add(child, true);
                }
            }
        }
        Ok(())
    }

    /// What was spent since.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let spent = |now: u64, before: Option<&u64>| now.saturating_sub(before.copied().unwrap_or(0));
        let nanos = self.threads.iter().map(|(thread, now)| spent(*now, earlier.threads.get(thread))).sum();
        let ticks: u64 = self.ticks.iter().map(|(process, now)| spent(*now, earlier.ticks.get(process))).sum();
        let (exact, coarse) = (Duration::from_nanos(nanos), Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND));
        if coarse > exact + TICK_ERROR + exact / 50 { coarse } else { exact }
    }
}

fn threads(pid: u32) -> Vec<u32> {
    let Ok(listed) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn children(pid: u32, thread: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Resident memory of a process and its children, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process without memory")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    let mut bytes = kib * 1024;
    for thread in threads(pid) {
        for child in children(pid, thread) {
            bytes += resident(child).unwrap_or(0);
        }
    }
    Ok(bytes)
}

/// Processor time of the whole machine up to one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// Spent by processes, and taken by the hypervisor. Without interrupts: those of our own
    /// sockets are accounted to nobody.
    busy: f64,
}

impl Machine {
    /// Up to now.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let line =
            stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat has no cpu line")?;
        let fields: Vec<f64> = line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
        // user, nice, system, (idle, iowait, irq, softirq,) steal
        let busy = [0, 1, 2, 7].iter().filter_map(|&index| fields.get(index)).sum::<f64>() / TICKS_PER_SECOND;
        Ok(Self { busy })
    }

    /// Processor seconds spent since.
    pub(crate) fn since(&self, earlier: &Self) -> f64 {
        self.busy - earlier.busy
    }
}

/// Processors of the machine.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the machine is, in a line.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} × {model}, Linux {}", processors(), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_ends_only_if_work_is_counted() {
        let before = Cpu::of_one(std::process::id()).unwrap();
        let mut spent = Duration::ZERO;
        let mut sum = 0_u64;
        while spent < Duration::from_millis(5) {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
            spent = Cpu::of_one(std::process::id()).unwrap().since(&before);
        }
        assert!(resident(std::process::id()).unwrap() > 0, "{sum}");
    }

    #[test]
    fn threads_that_have_ended_are_found_in_the_ticks() {
        let earlier = Cpu { threads: HashMap::from([((1, 1), 0)]), ticks: HashMap::from([(1, 0)]) };
        let mut now = Cpu { threads: HashMap::from([((1, 1), 1_000_000_000)]), ticks: HashMap::from([(1, 101)]) };
        assert_eq!(now.since(&earlier), Duration::from_secs(1));
        now.ticks.insert(1, 200);
        assert_eq!(now.since(&earlier), Duration::from_secs(2));
    }
}
