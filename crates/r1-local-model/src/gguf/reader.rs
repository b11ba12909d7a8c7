//! A cursor over bytes that says what was missing when they end.

use crate::error::LoadError;

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], LoadError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..n).ok_or(LoadError::Truncated(what))?;
        self.position += n;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], LoadError> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| LoadError::Truncated(what))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, LoadError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, LoadError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count of things that need at least `min_bytes` each: more than fit is a truncated file,
    /// noticed before anything is allocated for them.
    pub(super) fn count(&mut self, what: &'static str, min_bytes: usize) -> Result<usize, LoadError> {
        let count = usize::try_from(self.u64(what)?).map_err(|_| LoadError::Truncated(what))?;
        match count.checked_mul(min_bytes) {
            Some(bytes) if bytes <= self.remaining() => Ok(count),
            _ => Err(LoadError::Truncated(what)),
        }
    }

    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a str, LoadError> {
        let length = self.count(what, 1)?;
        std::str::from_utf8(self.take(length, what)?).map_err(|_| LoadError::malformed(format!("{what} is not UTF-8")))
    }
}
