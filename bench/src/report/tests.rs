use super::*;

fn figure(goal: Goal, ours: &[f64], theirs: &[f64]) -> Figure {
    let mut figure = Figure::new("cost", "µs", Some(goal));
    ours.iter().for_each(|value| figure.push(SERVER, *value));
    theirs.iter().for_each(|value| figure.push(NGINX, *value));
    figure.close();
    figure
}

fn report(figure: Figure) -> Report {
    Report {
        commit: "abc".to_owned(),
        date: "2026-01-01".to_owned(),
        machine: "2 × test".to_owned(),
        nginx: None,
        rounds: 1,
        seconds: 1.0,
        foreign: 0.0,
        foreign_most: 0.0,
        marks: Vec::new(),
        notes: Vec::new(),
        figures: vec![figure],
        silent: true,
    }
}

#[test]
fn a_comparison_is_made_round_by_round() {
    // The machine was twice as slow in the second round: the ratio does not know it.
    let figure = figure(Goal::TimesAtMost(NGINX.to_owned(), 1.5), &[14.0, 28.0, 13.0], &[10.0, 20.0, 10.0]);
    let compared = figure.compared.as_ref().unwrap();
    assert_eq!((compared.median, compared.min, compared.max), (1.4, 1.3, 1.4));
    assert_eq!(figure.met, Some(true));
}

#[test]
fn goals_are_judged_by_the_median() {
    let nginx = || NGINX.to_owned();
    assert_eq!(figure(Goal::AtMost(5.0), &[4.0, 5.0, 90.0], &[]).met, Some(true));
    assert_eq!(figure(Goal::AtMost(5.0), &[4.0, 6.0, 90.0], &[]).met, Some(false));
    assert_eq!(figure(Goal::AtLeast(5.0), &[4.0], &[]).met, Some(false));
    assert_eq!(figure(Goal::TimesAtLeast(nginx(), 0.5), &[5.0], &[10.0]).met, Some(true));
    assert_eq!(figure(Goal::AddedAtMost(nginx(), 1.0), &[12.0], &[10.0]).met, Some(false));
    assert_eq!(figure(Goal::TimesAtMost(nginx(), 1.0), &[1.0], &[]).met, None);
}

#[test]
fn a_report_survives_its_file_and_is_compared() {
    let goal = || Goal::TimesAtMost(NGINX.to_owned(), 1.5);
    let old = serde_json::to_string(&report(figure(goal(), &[20.0], &[10.0]))).unwrap();
    let old: Report = serde_json::from_str(&old).unwrap();
    let table = report(figure(goal(), &[15.0], &[10.0])).markdown(Some(&old));
    assert!(table.contains("| cost, µs | 15 |  | 10 | 1.5× | ≤ 1.5 × nginx | yes | -25 % |"), "{table}");
    assert!(table.contains("compares with commit abc"), "{table}");
}

#[test]
fn a_difference_has_one_sign() {
    let added = |ours| line(&figure(Goal::AddedAtMost(NGINX.to_owned(), 1.0), &[ours], &[10.0]), None);
    assert!(added(12.0).contains("| +2 | ≤ 1 over nginx | no |"), "{}", added(12.0));
    assert!(added(8.0).contains("| -2 | ≤ 1 over nginx | yes |"), "{}", added(8.0));
}

#[test]
fn numbers_keep_three_digits() {
    for (value, text) in [(0.0, "0"), (0.1234, "0.123"), (1.5, "1.5"), (12.34, "12.3"), (123.4, "123"), (-2.0, "-2")] {
        assert_eq!(number(value), text);
    }
}
