//! Whose a file is, by the numbers that the system has and the names that people know.

use std::{fs, io, path::Path};

use rustix::{
    fs::{Access, AtFlags, CWD, Mode, OFlags},
    process::{Gid, Uid},
};

/// Users are looked for in at most this much of the list of them, and else go by their number.
const PASSWD_BYTES: usize = 1 << 20;

/// As whom this process acts.
pub(super) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A user in a sentence.
pub(super) fn called(uid: u32) -> String {
    let name = name_of(uid);
    if name == uid.to_string() { format!("user {name}") } else { name }
}

/// A user's name, or number, as commands take it.
pub(super) fn name_of(uid: u32) -> String {
    let list = fs::read("/etc/passwd").unwrap_or_default();
    let list = String::from_utf8_lossy(&list[..list.len().min(PASSWD_BYTES)]);
    let named = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}

/// Whether this process may read and write a file, or enter a directory and make something there.
pub(super) fn may_use(path: &Path) -> io::Result<()> {
    let mut access = Access::READ_OK | Access::WRITE_OK;
    if fs::metadata(path)?.is_dir() {
        access |= Access::EXEC_OK;
    }
    Ok(rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// Gives a file that is this process's to somebody else. By a handle that reads nothing: a database's locks go
/// when any other handle of it is closed. What is a link, or has another name somewhere, is left alone: it may
/// be anybody's file.
pub(super) fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let file = rustix::fs::fstat(&handle)?;
    let kind = rustix::fs::FileType::from_raw_mode(file.st_mode);
    let is_one = kind.is_dir() || (kind.is_file() && file.st_nlink == 1);
    if file.st_uid != self::uid() || !is_one {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::chownat(&handle, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
}
