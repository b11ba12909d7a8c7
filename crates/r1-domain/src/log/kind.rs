//! The kinds of records: which are known here, and what the others may be.
//!
//! | number | class |
//! |---|---|
//! | 1–8, 16 | closed: each is known to every build |
//! | 17–31 | private: no event, no seq, never framed; a build that doesn't know one keeps its bytes |
//! | 32–127 | open: an event whose payload is one line of JSON with a `type`, framed as it stands; none ends a log |
//! | 0, 9–15, 128 and above | damage |
//!
//! A newer build may write kinds that this one has never heard of: the class says all that is needed to show
//! them, to count them, and to keep them.

/// The newest grammar of logs that this build knows: which kinds may stand where, and what they mean to who goes on
/// with the generation. A log of a newer one is shown, but never taken over, continued or cut here.
pub const GRAMMAR: u32 = 2;
/// The first grammar with reasoning. Builds that only know an older one show it, and lose it where they end or go on
/// with an answer.
pub const REASONING_GRAMMAR: u32 = 2;
/// The grammar of all logs from before they named one.
pub const FIRST_GRAMMAR: u32 = 1;

/// What a record that is an event holds. The numbers are stored; they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text of the answer. Stored with number 6 where its tokens are known.
    Chunk,
    /// Payload of the first event.
    Start,
    /// Payload of a take-over.
    Resumed,
    /// Payload of a terminal event.
    End,
    /// Payload of a terminal event.
    Error,
    /// Text that the model thinks before it answers.
    Reasoning,
    /// A piece of a call's arguments: the call's id, U+0000, the tool's name, U+0000, the piece.
    ToolArguments,
    /// Payload of an event that names itself.
    Open(OpenKind),
}

impl Kind {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::End | Self::Error)
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Start => 2,
            Self::Resumed => 3,
            Self::End => 4,
            Self::Error => 5,
            Self::Reasoning => 7,
            Self::ToolArguments => 8,
            Self::Open(kind) => kind.0,
        }
    }
}

/// The number of an event whose payload is one line of JSON: 32 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenKind(u8);

impl OpenKind {
    /// None for a number of another class.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 32..=127) { Some(Self(number)) } else { None }
    }
}

/// The number of a record that is no event and that no reader sees: 17 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateKind(u8);

impl PrivateKind {
    /// What is kept of a call of the model, with the event that follows its end: [`Call`](crate::call::Call).
    pub const CALL: Self = Self(18);
    /// The reasoning that follows was thought for an earlier generation of the message: for how many milliseconds
    /// (LEB128), or nothing where nobody knows.
    pub const GIVEN: Self = Self(19);

    /// None for a number of another class.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 17..=31) { Some(Self(number)) } else { None }
    }

    pub(super) const fn number(self) -> u8 {
        self.0
    }
}

/// A chunk behind the tokens that it stands for: a length (LEB128), that many bytes of token ids, the text. Read
/// back as [`Kind::Chunk`].
pub(super) const TOKENS: u8 = 6;
/// The epoch of what follows, LEB128. No event: it has no seq.
pub(super) const EPOCH: u8 = 16;

/// What a record's number says of it.
pub(super) enum Class {
    /// An event.
    Event(Kind),
    /// A chunk with its tokens.
    Tokens,
    /// An epoch.
    Epoch,
    /// No event, and for others than us.
    Private,
}

impl Class {
    /// None for a number that no record has.
    pub(super) const fn of(number: u8) -> Option<Self> {
        Some(Self::Event(match number {
            1 => Kind::Chunk,
            2 => Kind::Start,
            3 => Kind::Resumed,
            4 => Kind::End,
            5 => Kind::Error,
            7 => Kind::Reasoning,
            8 => Kind::ToolArguments,
            32..=127 => Kind::Open(OpenKind(number)),
            TOKENS => return Some(Self::Tokens),
            EPOCH => return Some(Self::Epoch),
            17..=31 => return Some(Self::Private),
            _ => return None,
        }))
    }
}
