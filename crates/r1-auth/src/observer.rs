//! What happens at the door, told as it happens to whoever counts it.

/// Why somebody did not get in by a password. Of what is told outside, `Password` and `Unknown` are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignInFailure {
    /// The password is not the account's.
    Password,
    /// Nobody has such a name.
    Unknown,
    /// The password is right, and the account disabled.
    Disabled,
    /// Too many have failed of that account or address: this one was not looked at.
    Limited,
}

impl SignInFailure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Password, Self::Unknown, Self::Disabled, Self::Limited];

    /// The word for it where it is counted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Limited => "limited",
        }
    }
}

/// Told of each failure, never of whom: it must be quick and wait for nothing.
pub trait Observer: Send + Sync + 'static {
    /// Somebody did not get in, or did not change a password for want of the present one.
    fn sign_in_failed(&self, _why: SignInFailure) {}
}

/// Nobody counts.
impl Observer for () {}
