//! Names: `fs.list`, `fs.stat`, `fs.mkdir`, `fs.remove`, `fs.move`.
//!
//! A name is changed only through a descriptor of its folder, so nothing on the way can be swapped for a link.

use crate::failure::failure;
use crate::open::{check_plain, look, open_folder, open_parent};
use crate::roots::{Need, Place, Roots};
use pawang_sdk::{Call, Done, Failure, Outcome, Replies, Unfinished};
use rustix::fs::{
    AtFlags, FileType, Mode, RawDir, RenameFlags, Stat, mkdirat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Bytes of entries above which they are sent. Half a message: a line can be long.
const PAGE: usize = 128 << 10;
/// Bytes of entries fetched from the system at a time.
const FETCH: usize = 32 << 10;

#[derive(Serialize)]
struct Entry<'a> {
    /// The name; where it is not UTF-8, with U+FFFD in the place of what is not.
    name: std::borrow::Cow<'a, str>,
    /// The bytes of a name that is not UTF-8, in hex. Such an entry cannot be named in a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    kind: &'static str,
    size: u64,
}

#[derive(Serialize)]
struct Facts {
    kind: &'static str,
    size: u64,
    mtime_ms: i64,
    mode: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveArgs {
    /// Whether a file that has the new name already is replaced. No where it is absent.
    #[serde(default)]
    replace: bool,
}

/// `fs.list`: JSON lines in `data`, one entry each, whole lines in every part, in no order.
pub fn list(roots: &mut Roots, call: &Call, replies: &mut Replies<'_>) -> Outcome {
    let folder = open_folder(&roots.locate(&call.resource, Need::List)?)?;
    let fail = |errno| Unfinished::from(failure(&call.resource, errno));
    let mut room = vec![MaybeUninit::uninit(); FETCH];
    let mut entries = RawDir::new(&folder, &mut room);
    let mut page = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        add_line(&mut page, &folder, name).map_err(fail)?;
        if page.len() >= PAGE {
            replies.data(&page)?;
            page.clear();
        }
    }
    Ok(Done::data(page))
}

/// `fs.stat`: kind, size, time of last change, mode. A symbolic link is described, not followed.
pub fn stat(roots: &mut Roots, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let place = roots.locate(&call.resource, Need::Look)?;
    let stat = look(&place).map_err(|errno| failure(place.path, errno))?;
    let nanos_ms = i64::try_from(stat.st_mtime_nsec).unwrap_or(0) / 1_000_000;
    Ok(Done::json(&Facts {
        kind: kind(&stat),
        size: size(&stat),
        mtime_ms: stat.st_mtime.saturating_mul(1_000).saturating_add(nanos_ms),
        mode: stat.st_mode & 0o7777,
    })?)
}

/// `fs.mkdir`: makes one folder; its parent must be there.
pub fn mkdir(roots: &mut Roots, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let place = roots.locate(&call.resource, Need::Write)?;
    let (parent, name) = open_parent(&place)?;
    mkdirat(&parent, name, Mode::from_raw_mode(0o777)).map_err(|errno| failure(place.path, errno))?;
    Ok(Done::empty())
}

/// `fs.remove`: removes a file or an empty folder.
pub fn remove(roots: &mut Roots, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let place = roots.locate(&call.resource, Need::Write)?;
    let (parent, name) = open_parent(&place)?;
    let flags = match plain_kind(&place, &parent, name)? {
        FileType::Directory => AtFlags::REMOVEDIR,
        _ => AtFlags::empty(),
    };
    // What was swapped in since is removed or refused by its own kind; it is in a folder that was granted.
    unlinkat(&parent, name, flags).map_err(|errno| failure(place.path, errno))?;
    Ok(Done::empty())
}

/// `fs.move`: gives a file or folder another path on the same file system.
pub fn r#move(roots: &mut Roots, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let args: MoveArgs = call.args()?;
    let (from, to) = call
        .resource
        .split_once('\0')
        .ok_or_else(|| Failure::new("bad_resource", "fs.move takes two paths with a NUL between them"))?;
    let (from, to) = (roots.locate_tree(from)?, roots.locate_tree(to)?);
    let (from_parent, from_name) = open_parent(&from)?;
    let (to_parent, to_name) = open_parent(&to)?;
    plain_kind(&from, &from_parent, from_name)?;
    let flags = if args.replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    renameat_with(&from_parent, from_name, &to_parent, to_name, flags).map_err(|errno| match errno {
        Errno::EXIST => failure(to.path, errno).hint("pass replace = true to replace it"),
        Errno::INVAL => Failure::new("refused", format!("{}: a folder cannot be moved into itself", to.path)),
        Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY => failure(to.path, errno),
        other => failure(from.path, other),
    })?;
    Ok(Done::empty())
}

fn plain_kind(place: &Place<'_>, parent: &OwnedFd, name: &str) -> Result<FileType, Failure> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failure(place.path, errno))?;
    check_plain(place.path, &stat)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn add_line(page: &mut Vec<u8>, folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        // Removed since the folder was read.
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let text = name.to_string_lossy();
    let name_hex = name.to_str().is_err().then(|| hex(name.to_bytes()));
    let entry = Entry { name: text, name_hex, kind: kind(&stat), size: size(&stat) };
    serde_json::to_writer(&mut *page, &entry).map_err(|_| Errno::IO)?;
    page.push(b'\n');
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "symlink",
        _ => "other",
    }
}

/// Bytes of a regular file; 0 for anything else, whose size means nothing.
fn size(stat: &Stat) -> u64 {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => u64::try_from(stat.st_size).unwrap_or(0),
        _ => 0,
    }
}
