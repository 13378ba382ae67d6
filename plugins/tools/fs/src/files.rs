//! Content: `fs.read`, `fs.write`, `fs.append`.

use crate::failure::failure;
use crate::open::open_file;
use crate::roots::{Need, Roots};
use pawang_sdk::protocol::limits::DATA_MAX;
use pawang_sdk::{Call, Done, Failure, Outcome, Replies};
use rustix::fs::{OFlags, ftruncate};
use rustix::io::{Errno, pread, write as write_some};
use serde::Deserialize;
use std::os::fd::OwnedFd;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadArgs {
    /// Where to begin, in bytes; 0 where it is absent.
    offset: Option<u64>,
    /// How many bytes at most; to the end where it is absent.
    length: Option<u64>,
}

/// `fs.read`: the content from `offset` on, in chunks, to the end of the file as it is met.
pub fn read(roots: &mut Roots, call: &Call, replies: &mut Replies<'_>) -> Outcome {
    let args: ReadArgs = call.args()?;
    let file = open_file(&roots.locate(&call.resource, Need::Read)?, OFlags::RDONLY, roots.hard_links)?;
    let mut offset = args.offset.unwrap_or(0);
    let mut left = args.length.unwrap_or(u64::MAX);
    let buffer = &mut roots.buffer;
    buffer.resize(DATA_MAX, 0);
    loop {
        let want = usize::try_from(left).map_or(DATA_MAX, |left| left.min(DATA_MAX));
        let room = buffer.get_mut(..want).unwrap_or_default();
        let read = fill(&file, room, offset).map_err(|errno| failure(&call.resource, errno))?;
        let chunk = room.get(..read).unwrap_or_default();
        left = left.saturating_sub(chunk.len().try_into().unwrap_or(u64::MAX));
        if chunk.len() < DATA_MAX || left == 0 {
            return Ok(Done::data(chunk));
        }
        offset = offset.saturating_add(chunk.len().try_into().unwrap_or(u64::MAX));
        replies.data(chunk)?;
    }
}

/// `fs.write`: creates the file, or replaces the content it had.
pub fn write(roots: &mut Roots, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let file = open_file(&roots.locate(&call.resource, Need::Write)?, flags, roots.hard_links)?;
    // Cut only after the descriptor proved to be a file that may be written.
    ftruncate(&file, 0).map_err(|errno| failure(&call.resource, errno))?;
    write_all(&file, call)
}

/// `fs.append`: adds at the end; creates the file where there is none.
pub fn append(roots: &mut Roots, call: &Call, _: &mut Replies<'_>) -> Outcome {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
    let file = open_file(&roots.locate(&call.resource, Need::Write)?, flags, roots.hard_links)?;
    write_all(&file, call)
}

fn write_all(file: &OwnedFd, call: &Call) -> Outcome {
    let mut rest = call.data.as_slice();
    while !rest.is_empty() {
        match write_some(file, rest) {
            Ok(0) => return Err(stuck(&call.resource).into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failure(&call.resource, errno).into()),
        }
    }
    Ok(Done::empty())
}

/// Reads until `room` is full or the file ends: a short chunk then means the end.
fn fill(file: &OwnedFd, room: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled: usize = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(filled.try_into().unwrap_or(u64::MAX));
        // Positions beyond the largest file there can be hold nothing.
        let end = at.saturating_add(rest.len().try_into().unwrap_or(u64::MAX));
        if i64::try_from(end).is_err() {
            break;
        }
        match pread(file, rest, at) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

fn stuck(path: &str) -> Failure {
    Failure::new("io", format!("{path}: the system took no more bytes and gave no reason"))
}
