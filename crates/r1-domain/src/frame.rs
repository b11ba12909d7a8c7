//! Frames: events as the bytes of a Server-Sent Events body (WHATWG HTML, 9.2.6).

use std::io::Write;

use crate::{
    id::GenerationId,
    log::{Kind, Record, split_arguments},
};

/// Sent from time to time on a quiet stream, so that proxies keep it open and clients know it is
/// alive. A comment: it has no id and moves no cursor.
pub const HEARTBEAT: &[u8] = b": heartbeat\n\n";

/// Appends the frame of one event.
pub fn encode(out: &mut Vec<u8>, generation_id: GenerationId, record: &Record<'_>) {
    out.extend_from_slice(b"id: ");
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(generation_id.as_uuid().hyphenated().encode_lower(&mut id).as_bytes());
    out.push(b':');
    push_decimal(out, u64::from(record.cursor.epoch));
    out.push(b'.');
    push_decimal(out, record.cursor.seq);
    out.extend_from_slice(b"\ndata: ");
    match record.kind {
        Kind::Chunk => {
            out.extend_from_slice(br#"{"type": "chunk", "content": "#);
            push_string(out, record.content);
            out.push(b'}');
        }
        Kind::Reasoning => {
            out.extend_from_slice(br#"{"type": "reasoning", "content": "#);
            push_string(out, record.content);
            out.push(b'}');
        }
        Kind::ToolArguments => {
            // Whoever read the record has split it once already.
            let (call_id, tool, piece) = split_arguments(record.content).unwrap_or_default();
            out.extend_from_slice(br#"{"type": "tool_arguments", "call_id": "#);
            push_string(out, call_id);
            out.extend_from_slice(br#", "tool": "#);
            push_string(out, tool);
            out.extend_from_slice(br#", "content": "#);
            push_string(out, piece);
            out.push(b'}');
        }
        _ => out.extend_from_slice(record.content.as_bytes()),
    }
    out.extend_from_slice(b"\n\n");
}

/// Appends the line that tells a reader to come back in `delay`.
pub fn encode_retry(out: &mut Vec<u8>, delay: std::time::Duration) {
    let _ = write!(out, "retry: {}\n\n", delay.as_millis());
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    // Into memory: no error to have.
    let _ = serde_json::to_writer(out, text);
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cursor::Cursor, event::Event, log::OpenKind, time::Timestamp};

    #[test]
    fn a_frame_is_id_and_data() {
        let id = GenerationId::new(Timestamp::from_micros(9));
        let cursor = Cursor { epoch: 1, seq: 1020 };
        let kinds = [
            (Kind::Chunk, "Ärger\n\"x\""),
            (Kind::Reasoning, "Hm\n\"y\""),
            (Kind::ToolArguments, "c-1\0search\0{\"q\":\n"),
            (Kind::Open(OpenKind::new(127).unwrap()), r#"{"type": "later", "x":[1,  2]}"#),
        ];
        for (kind, content) in kinds {
            let mut out = Vec::new();
            encode(&mut out, id, &Record::new(kind, cursor, content));
            let payload = Event::read(kind, content).unwrap().payload();
            assert_eq!(String::from_utf8(out).unwrap(), format!("id: {id}:1.1020\ndata: {payload}\n\n"));
        }
    }
}
