//! From PostgreSQL's errors to what a caller can do about them.
//!
//! Of what the server says, the code and the first sentence are kept. Its details quote rows, and rows
//! hold addresses and words.

use r1_domain::store::{StoreError, TurnOutcome};
use tokio_postgres::error::SqlState;

/// Why a statement, or the operation around it, failed: all kinds meet in every function here, so that
/// `?` takes each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Already in the port's words.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No failure, but nothing is to be written.
    #[error("nothing is to be written")]
    Refused(TurnOutcome),
    /// The server refused it; the transaction is over.
    #[error("{message} ({})", .code.code())]
    Server { code: SqlState, message: String, constraint: Option<String> },
    /// The connection ended. What it was doing may be done or not.
    #[error("the connection to the database was lost")]
    Lost(#[source] tokio_postgres::Error),
    /// The server, or the wait for a connection to it, took too long.
    #[error("{0}")]
    Late(&'static str),
    /// The database holds, or a caller gave, what can't be.
    #[error("{0}")]
    Broken(&'static str),
    /// A value could not be read or written by the client.
    #[error("a value does not fit its column")]
    Value(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refused) = error.as_db_error() else {
            // What the client itself finds wrong with a value has neither a closed connection nor a
            // failed read or write behind it.
            let source = std::error::Error::source(&error);
            let broken = error.is_closed() || source.is_some_and(|source| source.is::<std::io::Error>());
            return if broken { Self::Lost(error) } else { Self::Value(error) };
        };
        if ends_connection(refused.code()) {
            return Self::Lost(error);
        }
        Self::Server {
            code: refused.code().clone(),
            message: refused.message().to_owned(),
            constraint: refused.constraint().map(str::to_owned),
        }
    }
}

/// The server says this before it closes: class 08, and that it goes down, has crashed, comes up, or was
/// told to end us.
fn ends_connection(code: &SqlState) -> bool {
    code.code().starts_with("08") || ENDS.contains(code)
}

const ENDS: [SqlState; 6] = [
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    SqlState::IDLE_SESSION_TIMEOUT,
    SqlState::DATABASE_DROPPED,
];

impl Fault {
    /// Whether the same again, from the beginning, may go well at once: others were in the way, or the
    /// connection was stale. Only for what has not been told to commit.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Server { code, .. } => {
                *code == SqlState::T_R_SERIALIZATION_FAILURE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED
                    || self.is_of_statement()
            }
            _ => false,
        }
    }

    /// What this connection has prepared is of no use any more: the schema has changed, or it is
    /// another connection by now.
    pub(crate) fn is_of_statement(&self) -> bool {
        let Self::Server { code, .. } = self else { return false };
        *code == SqlState::INVALID_SQL_STATEMENT_NAME || *code == SqlState::FEATURE_NOT_SUPPORTED
    }

    /// Whether the connection can be used again after this: the server has told what came of everything.
    pub(crate) fn keeps_connection(&self) -> bool {
        match self {
            Self::Store(_) | Self::Refused(_) | Self::Broken(_) | Self::Value(_) => true,
            Self::Server { .. } => !self.is_of_statement(),
            Self::Lost(_) | Self::Late(_) => false,
        }
    }

    /// The unique constraint that was in the way.
    pub(crate) fn violates(&self) -> Option<&str> {
        match self {
            Self::Server { code, constraint, .. } if *code == SqlState::UNIQUE_VIOLATION => constraint.as_deref(),
            _ => None,
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Lost(_) | Fault::Late(_) => return Self::Unavailable(Box::new(fault)),
            Fault::Server { code, .. } => {
                if *code == SqlState::DISK_FULL {
                    return Self::Full(Box::new(fault));
                }
                // Resources (53), an operator (57), the system (58), roles back and forth (40), another
                // who holds a lock (55), a standby that only reads (25), a login that is refused by now
                // (28, 3D).
                let passing = ["53", "57", "58", "40", "55", "25", "28", "3D"];
                if passing.iter().any(|class| code.code().starts_with(class)) {
                    return Self::Unavailable(Box::new(fault));
                }
            }
            _ => {}
        }
        match fault {
            Fault::Store(error) => error,
            other => Self::Internal(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &SqlState) -> Fault {
        Fault::Server { code: code.clone(), message: "a test's".to_owned(), constraint: None }
    }

    #[test]
    fn each_class_has_its_error() {
        use StoreError::{Full, Internal, Unavailable};
        assert!(matches!(fault(&SqlState::DISK_FULL).into(), Full(_)));
        for code in [
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::OUT_OF_MEMORY,
            SqlState::QUERY_CANCELED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IO_ERROR,
            SqlState::INVALID_PASSWORD,
        ] {
            assert!(matches!(fault(&code).into(), Unavailable(_)), "{code:?}");
        }
        for code in [SqlState::UNDEFINED_TABLE, SqlState::CHECK_VIOLATION, SqlState::DATA_CORRUPTED] {
            assert!(matches!(fault(&code).into(), Internal(_)), "{code:?}");
        }
        assert!(matches!(Fault::Late("").into(), Unavailable(_)));
        assert!(matches!(Fault::Broken("").into(), Internal(_)));
        assert!(matches!(Fault::Store(StoreError::NotFound).into(), StoreError::NotFound));
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        assert!(fault(&SqlState::T_R_DEADLOCK_DETECTED).may_pass());
        assert!(fault(&SqlState::T_R_SERIALIZATION_FAILURE).may_pass());
        assert!(fault(&SqlState::INVALID_SQL_STATEMENT_NAME).may_pass());
        assert!(!fault(&SqlState::INVALID_SQL_STATEMENT_NAME).keeps_connection());
        assert!(!fault(&SqlState::DISK_FULL).may_pass());
        assert!(!Fault::Late("").may_pass() && !Fault::Late("").keeps_connection());
        for code in ["57P01", "57P02", "57P03", "08006", "25P03"] {
            assert!(ends_connection(&SqlState::from_code(code)), "{code}");
        }
        assert!(!ends_connection(&SqlState::QUERY_CANCELED));
    }

    #[test]
    fn the_constraint_is_known() {
        let code = SqlState::UNIQUE_VIOLATION;
        let fault = Fault::Server { code, message: String::new(), constraint: Some("account_email".to_owned()) };
        assert_eq!(fault.violates(), Some("account_email"));
        assert_eq!(super::tests::fault(&SqlState::CHECK_VIOLATION).violates(), None);
    }
}
