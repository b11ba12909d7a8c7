//! What a log says, added up: what the message consists of and where it stands. And the way back: a log that says
//! what a message consists of already.
//!
//! **Invariant:** [`fold`] of what [`unfold`] writes is the same content.

use crate::{
    call::Call,
    cursor::Cursor,
    event::{Event, Start, Usage},
    leb128::{push_number, take_number},
    log::{DamagedLog, Kind, Position, PrivateKind, Record, Records, push_chunk, push_private, push_reasoning},
    part::{Content, Part, Reasoning},
};

/// A log's sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The `start` event, if there is one yet.
    pub start: Option<Start>,
    /// All that was said and thought, but for what a take-over has discarded.
    pub content: Content,
    /// The calls of the model that have ended.
    pub calls: Vec<Call>,
    /// The newest event.
    pub last: Cursor,
    /// The terminal event, if there is one.
    pub terminal: Option<Event>,
    /// Where in the parts those of the present call begin.
    call_from: usize,
}

impl Default for Folded {
    /// Of nothing.
    fn default() -> Self {
        Self {
            start: None,
            content: Content::default(),
            calls: Vec::new(),
            last: Cursor::BEGINNING,
            terminal: None,
            call_from: 0,
        }
    }
}

/// Adds up a whole log. Events that only a newer build knows move `last`, and nothing else.
///
/// # Errors
/// [`DamagedLog`] where the bytes are no record, or the payload of a `start` or a terminal event is none.
pub fn fold(bytes: &[u8]) -> Result<Folded, DamagedLog> {
    fold_each(bytes, |_, _| {})
}

/// [`fold`], which shows each event with what was said before it.
///
/// # Errors
/// As [`fold`].
pub fn fold_each(bytes: &[u8], mut each: impl FnMut(&Record<'_>, &Content)) -> Result<Folded, DamagedLog> {
    let mut folded = Folded::default();
    let mut records = Records::new(bytes, Position::START);
    loop {
        let damaged = DamagedLog { offset: records.position().offset };
        let Some(record) = records.next_record()? else { return Ok(folded) };
        each(&record, &folded.content);
        folded.add(&record).ok_or(damaged)?;
    }
}

impl Folded {
    /// None where the event is none of its kind.
    fn add(&mut self, record: &Record<'_>) -> Option<()> {
        self.last = record.cursor;
        let mut given = None;
        for (kind, content) in record.private() {
            if kind == PrivateKind::CALL {
                Call::read(content).into_iter().for_each(|call| self.end_call(call));
            } else if kind == PrivateKind::GIVEN {
                given = Some(take_number(content).map(|(duration_ms, _)| duration_ms));
            }
        }
        match record.kind {
            Kind::Chunk => self.content.push_text(record.content),
            Kind::Reasoning => {
                let begins = given.is_some() || self.call_from == self.content.parts.len();
                self.content.push_reasoning(record.content, begins);
                if let (Some(given), Some(Part::Reasoning(reasoning))) = (given, self.content.parts.last_mut()) {
                    reasoning.duration_ms = given;
                    self.call_from = self.content.parts.len();
                }
            }
            Kind::Resumed => {
                let event = Event::read(record.kind, record.content);
                if matches!(event, Some(Event::Resumed { discards_reasoning: true, .. })) {
                    self.content.discard_reasoning();
                }
                // The call that was under way is gone, and leaves no record.
                self.call_from = self.content.parts.len();
            }
            Kind::Start | Kind::End | Kind::Error => match Event::read(record.kind, record.content)? {
                Event::Start(start) => self.start = Some(start),
                terminal => self.terminal = Some(terminal),
            },
            Kind::ToolArguments | Kind::Open(_) => {}
        }
        Some(())
    }

    /// Tokens used by all calls of the model so far.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.calls.iter().filter_map(|call| call.usage).reduce(Usage::plus)
    }

    /// Adds a call that has ended, before the event is there that its record goes with.
    pub fn end_call(&mut self, call: Call) {
        let mut durations = call.timings.reasoning.iter();
        let parts = self.content.parts.get_mut(self.call_from..).unwrap_or_default();
        let mut end = 0;
        for (at, part) in parts.iter_mut().enumerate() {
            if let Part::Reasoning(reasoning) = part {
                let Some(duration_ms) = durations.next() else { break };
                reasoning.duration_ms = Some(*duration_ms);
                end = at + 1;
            }
        }
        self.call_from += end;
        self.calls.push(call);
    }
}

/// Appends a content that was there before the log. Gives back how many events that is. Parts that only a newer
/// build knows are left out: whoever goes on with an answer knows all of its grammar.
pub fn unfold(records: &mut Vec<u8>, content: &Content) -> u64 {
    let whole = [Part::Text(0..content.text.len())];
    let parts = if content.parts.is_empty() { &whole[..] } else { &content.parts };
    let mut events = 0;
    for part in parts {
        match part {
            Part::Text(span) => match content.text.get(span.clone()).filter(|text| !text.is_empty()) {
                Some(text) => push_chunk(records, text),
                None => continue,
            },
            Part::Reasoning(Reasoning { text, duration_ms }) => {
                let mut duration = Vec::new();
                duration_ms.iter().for_each(|number| push_number(&mut duration, *number));
                push_private(records, PrivateKind::GIVEN, &duration);
                push_reasoning(records, text);
            }
            Part::Other(_) => continue,
        }
        events += 1;
    }
    events
}

#[cfg(test)]
mod tests;
