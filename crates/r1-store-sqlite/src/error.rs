//! From SQLite's errors to what a caller can do about them.

use r1_domain::store::StoreError;
use rusqlite::{ErrorCode, ffi};

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

/// What can be done about a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The disk did not confirm what was written: it may be lost, with what was written before.
    Sync,
    /// Part of it, or all, may have been written.
    Write,
    /// Nothing was written.
    Other,
}

impl Fault {
    pub(crate) fn failed(&self) -> Failed {
        let Self::Sql(error) = self else { return Failed::Other };
        let Some(failure) = error.sqlite_error() else { return Failed::Other };
        match (failure.code, failure.extended_code) {
            (_, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => Failed::Sync,
            (ErrorCode::DiskFull | ErrorCode::SystemIoFailure, _) => Failed::Write,
            _ => Failed::Other,
        }
    }

    /// Whether it may be for want of room, though the code does not say so.
    pub(crate) fn may_be_no_room(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.sqlite_error().is_some_and(|failure| NO_ROOM.contains(&failure.extended_code))
    }
}

/// Quota (EDQUOT) reaches SQLite as a plain failed write, and a full disk as a WAL index that
/// can't grow; neither has a code of its own.
const NO_ROOM: [i32; 2] = [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE];

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
