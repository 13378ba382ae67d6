//! The one way this tool turns a path into a descriptor.
//!
//! `openat2` (Linux 5.6, openat2(2)) walks the whole path in one call and refuses, not resolves, what could lead
//! elsewhere. The thing is looked at before it is opened, because opening a device may already do something, and
//! again afterwards, because it may have been swapped meanwhile.

use crate::failure::{failure, hard_link, not_a_file, symlink};
use crate::roots::{Place, split};
use pawang_sdk::Failure;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What may never be met on the way: `..` above the start, any symbolic link, magic links, mount points.
pub const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Never wait (a pipe would), never become the terminal's owner, never leak.
const ALWAYS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How often a walk is repeated that the system gave up because something was renamed meanwhile.
const TRIES_MAX: usize = 8;

/// A regular file, opened with `flags` (an access mode, perhaps `CREATE` and `APPEND`). Never truncated here.
///
/// # Errors
/// `not_found`, `not_a_file`, `symlink_refused`, `hard_link_refused` and what [`failure`] lists.
pub fn open_file(place: &Place<'_>, flags: OFlags, hard_links: bool) -> Result<OwnedFd, Failure> {
    match look(place) {
        Ok(stat) => check_file(place.path, &stat, hard_links)?,
        Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
        Err(errno) => return Err(failure(place.path, errno)),
    }
    let mode = if flags.contains(OFlags::CREATE) { NEW_FILE } else { Mode::empty() };
    let file = open_at(place.dir, place.rest, flags | ALWAYS, mode, BENEATH)
        .map_err(|errno| failure(place.path, errno))?;
    let stat = fstat(&file).map_err(|errno| failure(place.path, errno))?;
    check_file(place.path, &stat, hard_links)?;
    Ok(file)
}

/// A folder, opened for listing.
///
/// # Errors
/// `not_found`, `not_a_directory`, `symlink_refused` and what [`failure`] lists.
pub fn open_folder(place: &Place<'_>) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | ALWAYS;
    open_at(place.dir, place.rest, flags, Mode::empty(), BENEATH).map_err(|errno| failure(place.path, errno))
}

/// The folder that holds the last name of a path, and that name.
///
/// # Errors
/// `refused` for a granted folder itself: its parent is not ours. Otherwise as [`open_folder`].
pub fn open_parent<'a>(place: &Place<'a>) -> Result<(OwnedFd, &'a str), Failure> {
    if place.rest == "." {
        let message =
            format!("{}: a granted folder itself can be neither made, moved nor removed", place.path);
        return Err(Failure::new("refused", message));
    }
    let (parent, name) = split(place.rest);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = open_at(place.dir, parent, flags, Mode::empty(), BENEATH)
        .map_err(|errno| failure(place.path, errno))?;
    Ok((parent, name))
}

/// What is there, without opening it. A symbolic link at the end is looked at, not followed.
///
/// # Errors
/// The error number.
pub fn look(place: &Place<'_>) -> Result<Stat, Errno> {
    fstat(open_at(place.dir, place.rest, LOOK, Mode::empty(), BENEATH)?)
}

/// Refuses what is neither a regular file nor a folder.
///
/// # Errors
/// `symlink_refused`, `not_a_file`.
pub fn check_plain(path: &str, stat: &Stat) -> Result<(), Failure> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Directory => Ok(()),
        FileType::Symlink => Err(symlink(path)),
        FileType::Fifo => Err(not_a_file(path, "a pipe")),
        FileType::Socket => Err(not_a_file(path, "a socket")),
        _ => Err(not_a_file(path, "a device")),
    }
}

/// `openat2`, repeated while the system says that a rename got in the way.
///
/// # Errors
/// The error number.
pub fn open_at(
    dir: BorrowedFd<'_>,
    rest: &str,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut tries = 1;
    loop {
        match openat2(dir, rest, flags, mode, resolve) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if tries < TRIES_MAX => tries = tries.saturating_add(1),
            other => return other,
        }
    }
}

const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

fn check_file(path: &str, stat: &Stat, hard_links: bool) -> Result<(), Failure> {
    check_plain(path, stat)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(failure(path, Errno::ISDIR));
    }
    if stat.st_nlink > 1 && !hard_links { Err(hard_link(path)) } else { Ok(()) }
}
