//! The frames of a write-ahead log, one after the other, each with its checksum.
//!
//! A head of 32 bytes: magic (its last bit: checksums over big-endian words), version, page size,
//! number of checkpoints, two salts, checksum. Then frames, each a head of 24 bytes (page number;
//! size of the database after a commit, else 0; the salts; checksum) and a page. A checksum covers
//! its frame but for the salts and itself, and all frames before it.

use std::{fs::File, io, os::unix::fs::FileExt};

const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
const MAGIC: u32 = 0x377f_0682;

pub(super) struct Frames<'a> {
    wal: &'a File,
    head: [u8; HEAD],
    big_endian: bool,
    page_size: usize,
    /// Of all before the frame that comes next.
    sum: Sum,
    /// The newest frame that was read.
    frame: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn add(&mut self, bytes: &[u8], big_endian: bool) {
        let word = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            self.0 = self.0.wrapping_add(word([a, b, c, d])).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(word([e, f, g, h])).wrapping_add(self.0);
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

fn lost(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the write-ahead log has lost {what}; restart, and look at the disk"),
    )
}

impl<'a> Frames<'a> {
    /// Reads the head.
    pub(super) fn open(wal: &'a File) -> io::Result<Self> {
        let mut head = [0; HEAD];
        wal.read_exact_at(&mut head, 0)?;
        let (magic, page_size) = (number(&head, 0), number(&head, 8));
        let big_endian = magic & 1 == 1;
        let mut sum = Sum(0, 0);
        sum.add(&head[..HEAD - 8], big_endian);
        let valid = magic & !1 == MAGIC && page_size.is_power_of_two() && (512..=65536).contains(&page_size);
        if !valid || sum != Sum(number(&head, 24), number(&head, 28)) {
            return Err(lost("its head"));
        }
        let page_size = usize::try_from(page_size).map_err(io::Error::other)?;
        Ok(Self { wal, head, big_endian, page_size, sum, frame: vec![0; FRAME_HEAD + page_size] })
    }

    /// Where this many frames end.
    pub(super) fn end_of(&self, frames: u32) -> u64 {
        HEAD as u64 + u64::from(frames) * self.frame.len() as u64
    }

    pub(super) fn write_head_again(&self) -> io::Result<()> {
        self.wal.write_all_at(&self.head, 0)
    }

    /// Writes a frame as it is to where it is: the one after the one before. Gives back its page.
    pub(super) fn write_again(&mut self, frame: u32) -> io::Result<u32> {
        let at = self.end_of(frame - 1);
        self.wal.read_exact_at(&mut self.frame, at)?;
        let (head, page) = self.frame.split_at(FRAME_HEAD);
        self.sum.add(&head[..8], self.big_endian);
        self.sum.add(page, self.big_endian);
        if head[8..16] != self.head[16..24] || self.sum != Sum(number(head, 16), number(head, 20)) {
            return Err(lost("committed frames"));
        }
        self.wal.write_all_at(&self.frame, at)?;
        Ok(number(head, 0))
    }

    /// How many pages the database has after the frame that was written again last, a commit.
    pub(super) fn database_pages(&self) -> io::Result<u32> {
        match number(&self.frame, 4) {
            0 => Err(lost("the end of a commit")),
            pages => Ok(pages),
        }
    }

    /// Copies a frame's page into the database.
    pub(super) fn copy(&mut self, frame: u32, page: u32, database: &File) -> io::Result<()> {
        let at = self.end_of(frame - 1);
        self.wal.read_exact_at(&mut self.frame, at)?;
        database.write_all_at(&self.frame[FRAME_HEAD..], u64::from(page.saturating_sub(1)) * self.page_size as u64)
    }
}

/// How many commits stand behind the first frame of a log that does not fit: none where it is whole, or where no more
/// than its last transaction was cut off, which never counted. Of a log without a valid head all commits are behind it.
pub(crate) fn commits_behind_damage(wal: &File) -> io::Result<Option<u64>> {
    let length = wal.metadata()?.len();
    if length <= HEAD as u64 {
        return Ok(None);
    }
    let Ok(mut frames) = Frames::open(wal) else { return Ok(Some(1)) };
    let mut at = HEAD as u64;
    let mut is_whole = true;
    let mut commits = 0;
    while at + frames.frame.len() as u64 <= length {
        wal.read_exact_at(&mut frames.frame, at)?;
        at += frames.frame.len() as u64;
        let (head, page) = frames.frame.split_at(FRAME_HEAD);
        let is_of_this_log = head[8..16] == frames.head[16..24];
        if is_whole {
            frames.sum.add(&head[..8], frames.big_endian);
            frames.sum.add(page, frames.big_endian);
            is_whole = is_of_this_log && frames.sum == Sum(number(head, 16), number(head, 20));
        }
        // Frames with other salts are left from the log before this one.
        if !is_whole && is_of_this_log && number(head, 4) != 0 {
            commits += 1;
        }
    }
    Ok(Some(commits).filter(|commits| *commits > 0))
}
