//! From SQLite's errors to what a caller can do about them.

use r1_domain::store::StoreError;
use rusqlite::ErrorCode;

/// Why a statement, or the operation around it, failed: both kinds meet in every function here, so
/// that `?` takes either.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Already in the port's words.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// SQLite's.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// The database holds, or a caller gave, what can't be.
    #[error("{0}")]
    Broken(&'static str),
}

/// Quota (EDQUOT) reaches SQLite as a plain failed write, and a full disk as a WAL index that
/// can't grow; neither has a code of its own.
const NO_ROOM: [i32; 2] = [rusqlite::ffi::SQLITE_IOERR_WRITE, rusqlite::ffi::SQLITE_IOERR_SHMSIZE];

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let error = match fault {
            Fault::Store(error) => return error,
            Fault::Broken(_) => return Self::Internal(Box::new(fault)),
            Fault::Sql(error) => error,
        };
        let Some(failure) = error.sqlite_error() else { return Self::Internal(Box::new(error)) };
        match failure.code {
            ErrorCode::DiskFull => Self::Full(Box::new(error)),
            _ if NO_ROOM.contains(&failure.extended_code) => Self::Full(Box::new(error)),
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed => Self::Unavailable(Box::new(error)),
            _ => Self::Internal(Box::new(error)),
        }
    }
}
