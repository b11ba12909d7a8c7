//! The table of embedded files.

/// One file of the page.
pub(crate) struct Asset {
    /// Path without the first slash.
    pub(crate) name: &'static str,
    /// Value of `Content-Type`.
    pub(crate) mime: &'static str,
    /// Of the content, in hexadecimal.
    pub(crate) hash: &'static str,
    pub(crate) stored: Stored,
}

/// What of a file is in the binary.
#[derive(Clone, Copy)]
pub(crate) enum Stored {
    /// It hardly compresses.
    #[allow(dead_code, reason = "a page may be all text")]
    Raw(&'static [u8]),
    /// Two forms, and how many bytes they stand for. As it is it would be larger than both together,
    /// for clients that hardly exist: see [`crate::content`].
    Compressed { br: &'static [u8], gzip: &'static [u8], length: usize },
}

impl Asset {
    /// Named by its content, so it never changes.
    pub(crate) fn is_immutable(&self) -> bool {
        self.name.starts_with("assets/")
    }
}

/// A page: its files, sorted by name.
pub(crate) struct Site(pub(crate) &'static [Asset]);

impl Site {
    /// The one in this binary.
    pub(crate) const EMBEDDED: Self = Self(ASSETS);

    pub(crate) fn find(&self, name: &str) -> Option<&'static Asset> {
        let place = self.0.binary_search_by(|asset| asset.name.cmp(name)).ok()?;
        self.0.get(place)
    }
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));
