//! The walls, tried from the inside, by the process that is about to become the program.
//!
//! Each proof does what a wall forbids and looks for exactly the refusal that the wall gives. A wall that was put up
//! without an error and does not stand ends the process here.

use crate::child::IMAGE_FD;
use crate::sys::{self, Errno};
use pawang_sandbox::syscalls::PROOF_ERRNO;
use pawang_sandbox::walls::{Wall, Walls};

/// No descriptor beyond the four and the image; no privilege to gain, no capability left; the root directory, which no
/// jail grants, cannot be listed.
pub fn before_filter(walls: Walls) -> Result<(), Errno> {
    stands(sys::has_no_new_privileges())?;
    if walls.has(Wall::Privileges) {
        stands(sys::has_no_capability())?;
    }
    if walls.has(Wall::Descriptors) {
        stands((0..4).all(sys::is_open) && !sys::is_open(4) && !sys::is_open(IMAGE_FD - 1))?;
    }
    if walls.has(Wall::Landlock) {
        stands(sys::list_root() == Err(libc::EACCES))?;
    }
    if walls.has(Wall::Uid) {
        stands(sys::user() != 0 && sys::group() != 0)?;
    }
    Ok(())
}

/// Only our own filter answers the call that does not exist with the errno that does not exist.
pub fn of_filter() -> Result<(), Errno> {
    stands(sys::proof_call() == i32::from(PROOF_ERRNO))
}

fn stands(wall: bool) -> Result<(), Errno> {
    if wall { Ok(()) } else { Err(0) }
}
