//! The two formats of a page, and which of them somebody wants.
//!
//! What the library writes is OpenMetrics. Prometheus' own text format has another name for each counter, with
//! `_total`, and no type `info`.

/// The newer format.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older one.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether whoever sends this `Accept` would rather have the newer format.
pub(super) fn wants_openmetrics(accept: &str) -> bool {
    let weight = |kind: &str| {
        let weights = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(kind);
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            is_it.then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
        });
        weights.fold(0.0, f32::max)
    };
    let newer = weight("application/openmetrics-text");
    newer > 0.0 && newer >= weight("text/plain")
}

/// The same page in the older format.
pub(super) fn to_prometheus(page: &str) -> String {
    let mut older = String::with_capacity(page.len());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(comment) = line.strip_prefix("# ") else {
            older.extend([line, "\n"]);
            continue;
        };
        // What it is about is said before the type is, and both in two lines.
        let (Some((name, about)), Some(kind)) = (
            comment.strip_prefix("HELP ").and_then(|help| help.split_once(' ')),
            lines.peek().and_then(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).map(|(_, kind)| kind),
        ) else {
            // A unit or the end: the older format has neither.
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            _ => ("", kind),
        };
        older.push_str(&format!("# HELP {name}{suffix} {about}\n# TYPE {name}{suffix} {kind}\n"));
        lines.next();
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_that_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, newer) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8, text/plain", true),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.5", false),
            ("application/openmetrics-text;q=0", false),
            ("text/plain;version=0.0.4", false),
            ("application/openmetrics-textual", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(wants_openmetrics(accept), newer, "{accept}");
        }
    }

    #[test]
    fn counters_and_information_have_the_older_names() {
        let newer = "# HELP a Of a.\n# TYPE a counter\na_total{x=\"# b\"} 1\n\
                     # HELP b_seconds Of b.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 2\n\
                     # HELP c Of c.\n# TYPE c info\nc_info{v=\"1\"} 1\n# HELP d Of d.\n# TYPE d gauge\nd 0\n# EOF\n";
        let older = "# HELP a_total Of a.\n# TYPE a_total counter\na_total{x=\"# b\"} 1\n\
                     # HELP b_seconds Of b.\n# TYPE b_seconds histogram\nb_seconds_sum 2\n\
                     # HELP c_info Of c.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n# HELP d Of d.\n# TYPE d gauge\nd 0\n";
        assert_eq!(to_prometheus(newer), older);
    }
}
