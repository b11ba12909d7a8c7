//! The head of a connection's first request, collected before anything is set up to answer it.
//!
//! Most of what strangers do with connections is to open them and say little. Such a one costs its task and as
//! many bytes as it has sent, not the buffers and the state of a conversation in HTTP.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::room::Seat;

/// What a connection costs that has said nothing.
pub(super) const SILENT: usize = 1024;
/// Taken at first, and most at a time.
const FIRST: usize = 512;
const MOST_AT_A_TIME: usize = 4096;

/// Reads up to the end of a head, or up to `most` bytes, whichever comes first; some more may have come with it.
/// None: the client has gone before.
pub(super) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
    seat: &Seat,
) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        if head.len() == head.capacity() {
            head.reserve_exact(head.len().clamp(FIRST, MOST_AT_A_TIME).min(most - head.len()));
            seat.holds(SILENT + head.capacity());
        }
        let before = head.len();
        // Never more than there is room for.
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
        skip_empty_lines(&mut head);
        // What was looked at before has no end in it, its last two bytes may be the beginning of one.
        if ends(&head[before.saturating_sub(2).min(head.len())..]) || head.len() >= most {
            return Ok(Some(head));
        }
    }
}

/// Empty lines before a request are no part of it (RFC 9112 §2.2).
fn skip_empty_lines(head: &mut Vec<u8>) {
    if head.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        let empty = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        head.drain(..empty);
    }
}

/// Whether there is an empty line. A lone LF ends a line too (RFC 9112 §2.2).
fn ends(head: &[u8]) -> bool {
    let mut lines = memchr::memchr_iter(b'\n', head);
    lines.any(|at| matches!(&head[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::listen::{Capacity, room::Room};

    async fn seat() -> Seat {
        Arc::new(Room::new(Capacity { connections: 1, header_bytes: 1 << 30 })).enter(SILENT).await
    }

    #[tokio::test]
    async fn a_head_is_read_to_its_end() {
        let seat = seat().await;
        for (sent, whole) in [
            (&b"GET / HTTP/1.1\r\nhost: x\r\n\r\nmore"[..], Some(&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..])),
            (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(b"GET / HTTP/1.1\r\n\r\n")),
            (b"GET / HTTP/1.1\n\n", Some(b"GET / HTTP/1.1\n\n")),
            (b"GET / HTTP/1.1\r\nhost: x\r\n", None),
            (b"\r\n\r\n", None),
            (b"", None),
        ] {
            // Byte by byte, so that no end is seen by chance.
            let (mut writer, mut reader) = tokio::io::duplex(1);
            let writing = async move { writer.write_all(sent).await };
            let (_, got) = tokio::join!(writing, async {
                let got = read_head(&mut reader, 1000, &seat).await;
                drop(reader);
                got
            });
            assert_eq!(got.unwrap().as_deref(), whole, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn it_takes_no_more_than_it_may() {
        let seat = seat().await;
        let sent = vec![b'x'; 100_000];
        let got = read_head(&mut &sent[..], 64 * 1024, &seat).await.unwrap().unwrap();
        assert_eq!((got.len(), got.capacity()), (64 * 1024, 64 * 1024));
    }
}
