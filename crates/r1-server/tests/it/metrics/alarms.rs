//! The pages and the alarm rules, as Prometheus' own tool reads them.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use r1_testkit::program;

use super::*;

const RULES: &str = "deploy/alerts.yml";
const TESTS: &str = "deploy/alerts.test.yml";

/// Runs promtool in `deploy`. An error where it finds fault, with all that it says.
fn promtool(arguments: &[&str], input: &str) -> Result<String> {
    let program = program::find("PROMTOOL", "promtool", "prometheus")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "promtool {arguments:?}: {said}\n{input}");
    Ok(said)
}

/// Has OpenMetrics read by Prometheus' strict reader: `promtool check metrics` knows the older format only. The way to
/// that reader wants a time for each value.
fn read_openmetrics(page: &str) -> Result<()> {
    let timed = |line: &str| if line.starts_with('#') { format!("{line}\n") } else { format!("{line} 1800000000\n") };
    let folder = tempfile::tempdir()?;
    let (input, output) = (folder.path().join("page"), folder.path().join("blocks"));
    std::fs::write(&input, page.lines().map(timed).collect::<String>())?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
    promtool(&["tsdb", "create-blocks-from", "openmetrics", &text(&input)?, &text(&output)?], "")?;
    Ok(())
}

#[tokio::test]
async fn both_formats_are_what_prometheus_reads() -> Result<()> {
    let (_server, metrics) = full_page().await?;
    let page = metrics.page().await?;
    // It lints, too: names, units, help.
    let said = promtool(&["check", "metrics"], &page)?;
    ensure!(said.is_empty(), "{said}");
    let newer = metrics.newer_page().await?;
    read_openmetrics(&newer)?;
    // The tool does find fault.
    ensure!(promtool(&["check", "metrics"], &newer).is_err(), "the newer format is not the older one");
    ensure!(read_openmetrics(&page).is_err(), "nor the older one the newer");
    Ok(())
}

#[test]
fn the_rules_are_sound_and_their_tests_pass() -> Result<()> {
    let said = promtool(&["check", "rules", "alerts.yml"], "")?;
    ensure!(said.contains("rules found") && !said.contains("duplicate"), "{said}");
    promtool(&["test", "rules", "alerts.test.yml"], "")?;
    Ok(())
}

/// The rules, each by its name.
fn alarms(rules: &str) -> Vec<(&str, &str)> {
    let (_, rules) = rules.split_once("- alert: ").unwrap_or_default();
    rules.split("- alert: ").filter_map(|rule| rule.split_once('\n')).collect()
}

#[test]
fn each_alarm_says_what_to_do_and_is_tested() -> Result<()> {
    let (rules, tests, documentation) = (file(RULES)?, file(TESTS)?, file("docs/operations.md")?);
    let alarms = alarms(&rules);
    ensure!(alarms.len() > 10, "{alarms:?}");
    for (name, rule) in alarms {
        for key in ["  expr: ", "  for: ", "  severity: ", "  summary: ", "  description: "] {
            ensure!(rule.contains(key), "{name} has no{key}");
        }
        let severity = ["critical", "warning"].map(|severity| rule.contains(&format!("severity: {severity}\n")));
        ensure!(severity.contains(&true), "{name}: {rule}");
        // Among what is said to fire.
        let fires = [
            format!("alertname=\"{name}\", alertstate=\"firing\", job="),
            format!("alertname: {name}\n        exp_alerts:"),
        ];
        ensure!(fires.iter().any(|fires| tests.contains(fires)), "{name} does not fire in {TESTS}");
        ensure!(documentation.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
    Ok(())
}

#[tokio::test]
async fn what_rules_ask_for_is_there() -> Result<()> {
    let (_server, metrics) = full_page().await?;
    let page = metrics.page().await?;
    let rules = file(RULES)?;
    named_in(&rules, &page)?;
    named_in(&file(TESTS)?, &page)?;
    // With the labels that are asked for, or summed over.
    let (_, metrics) = rules.split_once("gpt_r1_").unwrap_or_default();
    let selected = metrics.split("gpt_r1_").filter_map(|rest| {
        let (name, labels) = rest.split_once('{')?;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_name.then(|| (format!("gpt_r1_{name}{{"), labels.split(['=', '~', '!']).next().unwrap_or_default()))
    });
    let selected: Vec<_> = selected.collect();
    ensure!(selected.len() > 2, "{selected:?}");
    for (name, label) in selected {
        let has_it = |line: &&str| line.starts_with(&name) && line.contains(&format!("{label}=\""));
        ensure!(page.lines().any(|line| has_it(&line)), "{name}{label}=…}} is not in {page}");
    }
    Ok(())
}
