//! A worker's memory for hashing.
//!
//! Mapped for the purpose instead of taken from the allocator: an allocator keeps 19 MiB that were
//! freed once, and a server that is to live in 15 MB gives them back. While sign-ins follow one
//! another the mapping is used again, which saves the kernel clearing 4,864 pages each time. Large
//! pages are asked for where the system leaves that to programs: Argon2 jumps about in its memory.

use argon2::Block;
use memmap2::MmapMut;

/// A mapping that grows to what is asked for.
#[derive(Debug, Default)]
pub(super) struct Memory {
    mapping: Option<MmapMut>,
}

impl Memory {
    /// `count` blocks. What they hold is left from the hash before: Argon2 writes each block
    /// before it reads it.
    pub(super) fn blocks(&mut self, count: usize) -> std::io::Result<&mut [Block]> {
        let size = count * Block::SIZE;
        let mapping = match self.mapping.take() {
            Some(mapping) if mapping.len() >= size => mapping,
            _ => map(size)?,
        };
        let bytes = &mut self.mapping.insert(mapping)[..size];
        #[expect(unsafe_code, reason = "argon2 offers no safe way from bytes to its blocks")]
        // SAFETY: a `Block` is an array of integers, so any bits are one; a mapping starts at a
        // page, which is aligned to more than the 64 that a block asks for, and `align_to_mut`
        // checks it; the borrow of the bytes is the borrow of the blocks.
        let (before, blocks, _) = unsafe { bytes.align_to_mut::<Block>() };
        if !before.is_empty() || blocks.len() != count {
            return Err(std::io::Error::other("the memory for hashing is not aligned"));
        }
        Ok(blocks)
    }

    /// Gives everything back to the system.
    pub(super) fn release(&mut self) {
        self.mapping = None;
    }
}

fn map(size: usize) -> std::io::Result<MmapMut> {
    let mapping = MmapMut::map_anon(size)?;
    // A system without large pages hashes as well, if slower.
    #[cfg(target_os = "linux")]
    let _ = mapping.advise(memmap2::Advice::HugePage);
    Ok(mapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_kept_grown_and_released() {
        let mut memory = Memory::default();
        let first = memory.blocks(8).unwrap().as_ptr();
        assert_eq!(memory.blocks(4).unwrap().len(), 4);
        assert_eq!(memory.blocks(8).unwrap().as_ptr(), first);
        assert_eq!(memory.blocks(19 * 1024).unwrap().len(), 19 * 1024);
        memory.release();
        assert!(memory.mapping.is_none());
        assert_eq!(memory.blocks(8).unwrap().len(), 8);
    }
}
