//! The keys and values of one sequence, in pages that sequences can share.
//!
//! A page holds 32 positions of every layer and head as 16-bit floats. Keys lie transposed (for
//! each of a head's values, 32 positions), so that a query is compared with 16 positions per
//! register and no horizontal sum; values lie one position after the other.
//!
//! Forking a sequence shares its pages; whoever writes to a shared page copies it first. A common
//! system prompt therefore exists once.
//!
//! **Invariant:** positions below `len` are complete in every layer and never change; positions
//! from `len` on are scratch that the next write overwrites.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Positions per page.
pub(super) const PAGE: usize = 32;

/// What a cache has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KvShape {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) head_size: usize,
}

impl KvShape {
    /// Elements of one head's keys in a page; its values take as many.
    fn plane(self) -> usize {
        PAGE * self.head_size
    }

    fn page_elements(self) -> usize {
        self.layers * self.heads * 2 * self.plane()
    }

    fn keys_at(self, layer: usize, head: usize) -> usize {
        (layer * self.heads + head) * 2 * self.plane()
    }
}

type Page = Arc<Vec<f16>>;

/// One sequence's keys and values. Cloning is cheap: pages are shared until written.
#[derive(Debug, Clone)]
pub struct KvCache {
    shape: KvShape,
    pages: Vec<Page>,
    len: usize,
    scratch: Vec<f16>,
}

impl KvCache {
    pub(super) fn new(shape: KvShape) -> Self {
        Self { shape, pages: Vec::new(), len: 0, scratch: Vec::new() }
    }

    /// Tokens in the sequence.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the sequence has no token yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A new sequence that begins with the first `len` tokens of this one.
    #[must_use]
    pub fn fork(&self, len: usize) -> Self {
        let len = len.min(self.len);
        let pages = self.pages.iter().take(len.div_ceil(PAGE)).cloned().collect();
        Self { shape: self.shape, pages, len, scratch: Vec::new() }
    }

    /// The pages' addresses and size in bytes: shared pages have the same address.
    pub fn pages(&self) -> impl Iterator<Item = (usize, usize)> {
        let bytes = self.shape.page_elements() * size_of::<f16>();
        self.pages.iter().map(move |page| (Arc::as_ptr(page).addr(), bytes))
    }

    /// Bytes that a sequence of `tokens` tokens takes.
    pub(super) fn bytes_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(PAGE).saturating_mul(self.shape.page_elements() * size_of::<f16>())
    }

    /// Makes the pages of the next `tokens` positions exist and be this sequence's own.
    pub(super) fn reserve(&mut self, tokens: usize) {
        if tokens == 0 {
            return;
        }
        if let Some(page) = self.pages.get_mut(self.len / PAGE) {
            Arc::make_mut(page);
        }
        while self.pages.len() * PAGE < self.len + tokens {
            self.pages.push(Arc::new(vec![f16::ZERO; self.shape.page_elements()]));
        }
    }

    /// Stores one position of one layer: the rows of all heads.
    pub(super) fn write(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let (shape, size) = (self.shape, self.shape.head_size);
        let Some(page) = self.pages.get_mut(position / PAGE) else { return };
        let page = Arc::make_mut(page);
        let slot = position % PAGE;
        self.scratch.resize(keys.len(), f16::ZERO);
        self.scratch.convert_from_f32_slice(keys);
        for (head, keys) in self.scratch.chunks_exact(size).enumerate() {
            let at = shape.keys_at(layer, head);
            let plane = &mut page[at..at + shape.plane()];
            for (lane, key) in plane.chunks_exact_mut(PAGE).zip(keys) {
                lane[slot] = *key;
            }
        }
        for (head, values) in values.chunks_exact(size).enumerate() {
            let at = shape.keys_at(layer, head) + shape.plane() + slot * size;
            page[at..at + size].convert_from_f32_slice(values);
        }
    }

    /// The sequence grew by `tokens` complete positions.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// For each page, one head's keys (`[head_size][PAGE]`) and values (`[PAGE][head_size]`).
    pub(super) fn planes(&self, layer: usize, head: usize) -> impl Iterator<Item = (&[f16], &[f16])> {
        let at = self.shape.keys_at(layer, head);
        let plane = self.shape.plane();
        self.pages.iter().map(move |page| page[at..at + 2 * plane].split_at(plane))
    }
}
