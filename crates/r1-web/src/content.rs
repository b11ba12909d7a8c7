//! The body of an answer: a view of the binary, or of a compressed form as it is without compression.
//!
//! Text is embedded compressed only. The few clients that take neither form get it inflated piece by
//! piece, as fast as they read: one costs the decoder's window, however large the file is.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http_body::{Body, Frame, SizeHint};

/// Most bytes of a piece: some 50 µs of work.
const PIECE: usize = 16 * 1024;

/// What a client gets of a file.
#[derive(Default)]
pub(crate) enum Content {
    /// Nothing, or nothing more.
    #[default]
    Empty,
    /// All of it, where it stands.
    Whole(&'static [u8]),
    /// The rest of a gzip file's content.
    Inflated(Box<Inflating>),
}

/// A gzip file on its way to being what it was.
pub(crate) struct Inflating {
    decoder: GzDecoder<&'static [u8]>,
    left: usize,
}

impl Content {
    /// What `gzip` was made of: `length` bytes.
    pub(crate) fn inflated(gzip: &'static [u8], length: usize) -> Self {
        Self::Inflated(Box::new(Inflating { decoder: GzDecoder::new(gzip), left: length }))
    }

    fn left(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Whole(bytes) => bytes.len(),
            Self::Inflated(inflating) => inflating.left,
        }
    }
}

impl Inflating {
    fn next(&mut self) -> io::Result<Bytes> {
        let mut piece = vec![0; PIECE.min(self.left)];
        self.decoder.read_exact(&mut piece)?;
        self.left -= piece.len();
        Ok(Bytes::from(piece))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut *self {
            Self::Empty => return Poll::Ready(None),
            Self::Whole(bytes) => Ok(Bytes::from_static(std::mem::take(bytes))),
            Self::Inflated(inflating) => inflating.next(),
        };
        if piece.is_err() || self.is_end_stream() {
            *self = Self::Empty;
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left() as u64)
    }
}
