//! How a line of the log looks: as text for people or as JSON for programs, and for systemd's journal in its own way.
//!
//! The journal has a time for each line and takes a line's priority from `<3>` before it (sd-daemon(3)), so lines
//! for it have the one and not the other.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    Layer,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, format,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

use crate::config::LogFormat;

/// What stands on the spans of a line and is looked for on top of its JSON.
const IDS: [&str; 4] = ["request_id", "generation_id", "conversation_id", "user_id"];

/// Where lines go, and what they look like there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) format: LogFormat,
    /// Standard error is the journal's.
    pub(super) journal: bool,
    pub(super) colour: bool,
}

impl Look {
    /// Lines on `writer`.
    pub(super) fn layer<S, W>(self, writer: W) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
    {
        let Self { format, journal, colour } = self;
        let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour && !journal);
        let text = format::format();
        let json = format::format().json().flatten_event(true);
        match (format, journal) {
            (LogFormat::Text, false) => lines.boxed(),
            (LogFormat::Text, true) => lines.event_format(Journal(text.without_time())).boxed(),
            (LogFormat::Json, false) => lines.fmt_fields(JsonFields::new()).event_format(WithIds(json)).boxed(),
            (LogFormat::Json, true) => {
                lines.fmt_fields(JsonFields::new()).event_format(Journal(WithIds(json.without_time()))).boxed()
            }
        }
    }
}

/// A line with its priority before it: one for each line of the text, as each is an entry of its own.
struct Journal<F>(F);

impl<S, N, F> FormatEvent<S, N> for Journal<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{}", line.trim_start()))
    }
}

/// syslog's number for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A line of JSON with the [`IDS`] of its spans on top; the innermost span's, and the line's own before those.
struct WithIds<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let mut ids = Map::new();
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<N>>() else { continue };
            let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&fields.fields) else { continue };
            for id in IDS {
                let own = event.fields().any(|field| field.name() == id);
                if let Some(value) = fields.remove(id).filter(|_| !own) {
                    ids.entry(id).or_insert(value);
                }
            }
        }
        match line.trim_end().strip_suffix('}') {
            Some(open) if !ids.is_empty() => {
                writer.write_str(open)?;
                for (id, value) in ids {
                    write!(writer, ",\"{id}\":{value}")?;
                }
                writer.write_str("}\n")
            }
            _ => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: LogFormat, journal: bool, work: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = Look { format, journal, colour: true }.layer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let text = String::from_utf8(kept.0.lock().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn work() {
        let request = tracing::error_span!("request", request_id = "r-1", user_id = tracing::field::Empty);
        request.record("user_id", "u-1");
        let _in_request = request.enter();
        let generation = tracing::error_span!("generation", generation_id = "g-1", conversation_id = "c-1");
        let _in_generation = generation.enter();
        tracing::error!("first");
        tracing::warn!(generation_id = "g-2", "two\nlines");
        tracing::info!("info");
        tracing::debug!("debug");
    }

    #[test]
    fn ids_stand_on_top_of_json() {
        for journal in [false, true] {
            let lines = lines(LogFormat::Json, journal, work);
            assert_eq!(lines.len(), 4);
            let marks = ["<3>", "<4>", "<6>", "<7>"];
            for ((line, mark), generation) in lines.iter().zip(marks).zip(["g-1", "g-2", "g-1", "g-1"]) {
                let line = if journal { line.strip_prefix(mark).unwrap() } else { line };
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(line.get("timestamp").is_some(), !journal, "{line}");
                let ids = ["request_id", "user_id", "generation_id", "conversation_id"].map(|id| line[id].clone());
                assert_eq!(ids, ["r-1", "u-1", generation, "c-1"], "{line}");
            }
        }
        let without = lines(LogFormat::Json, false, || tracing::info!("alone"));
        assert!(!without[0].contains("_id"), "{without:?}");
    }

    #[test]
    fn the_journal_has_a_priority_for_each_line_and_no_second_time() {
        let lines = lines(LogFormat::Text, true, work);
        let begins: Vec<&str> = lines.iter().map(|line| &line[..8]).collect();
        assert_eq!(begins, ["<3>ERROR", "<4>WARN ", "<4>lines", "<6>INFO ", "<7>DEBUG"], "{lines:?}");
        assert!(lines[0].contains("request_id=\"r-1\"") && !lines[0].contains('\u{1b}'), "{lines:?}");
    }
}
