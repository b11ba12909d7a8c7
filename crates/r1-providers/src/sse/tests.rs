use proptest::prelude::*;

use super::*;

/// What a body holds, given in these pieces.
fn read(pieces: &[&[u8]]) -> Result<Vec<String>, Unreadable> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(piece) = decoder.next(&mut input)? {
            events.push(String::from_utf8_lossy(piece.data).into_owned());
        }
        assert!(input.is_empty());
    }
    while let Some(piece) = decoder.finish() {
        events.push(String::from_utf8_lossy(piece.data).into_owned());
    }
    Ok(events)
}

#[test]
fn every_kind_of_line_end_and_field() {
    let cases: &[(&str, &[&str])] = &[
        ("data: a\n\ndata: b\n\n", &["a", "b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
        ("data: a\r\rdata: b\r\r", &["a", "b"]),
        ("\u{feff}data: a\n\n", &["a"]),
        ("data: \u{feff}a\n\n", &["\u{feff}a"]),
        (": comment\n\n: another\ndata: a\n: in between\ndata: b\n\n", &["a\nb"]),
        ("event: x\nid: 3\nretry: 5\nunknown\ndata:a\n\n", &["a"]),
        ("data:  two spaces\n\n", &[" two spaces"]),
        ("data\n\ndata:\ndata\n\n", &["", "\n"]),
        ("database: x\ndata: a\n\n", &["a"]),
        ("event: ping\n\n\n\ndata: a\n\n", &["a"]),
        ("data: a\n\ndata: not closed", &["a", "not closed"]),
        ("data: a\n\ndata: not closed\n", &["a", "not closed"]),
        ("", &[]),
    ];
    for (body, events) in cases {
        assert_eq!(read(&[body.as_bytes()]).unwrap(), *events, "{body:?}");
        let bytes: Vec<_> = body.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), *events, "byte by byte: {body:?}");
    }
}

#[test]
fn a_line_end_between_two_chunks_is_one() {
    assert_eq!(read(&[b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n"]).unwrap(), ["a\nb"]);
}

#[test]
fn a_long_line_is_refused_before_it_is_held() {
    let block = vec![b'x'; 64 * 1024];
    let mut decoder = Decoder::default();
    let mut taken = 0;
    while decoder.next(&mut Bytes::copy_from_slice(&block)).is_ok() {
        taken += block.len();
        assert!(taken <= EVENT_LIMIT);
    }
    assert!(decoder.line.capacity() <= 2 * EVENT_LIMIT);
    // Many short lines of one event are as long as one long line.
    let lines = [b"data: ".as_slice(), &[b'y'; 1000], b"\n"].concat().repeat(1100);
    assert_eq!(read(&[&lines]), Err(Unreadable::LongEvent));
}

proptest! {
    #[test]
    fn cuts_do_not_matter(body in "(data: ?[a-zä{}]{0,9}|: ?c|id: 1|)(\n|\r\n|\r|\n\n)|data", cuts in proptest::collection::vec(0usize..200, 0..6), times in 1usize..9) {
        let body = body.repeat(times).into_bytes();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&pieces), read(&[&body]));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let pieces: Vec<_> = body.chunks(7).collect();
        prop_assert_eq!(read(&pieces), read(&[&body]));
    }
}
