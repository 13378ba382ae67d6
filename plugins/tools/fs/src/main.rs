//! The fs tool: reads and writes files, inside the folders its run was granted.
//!
//! It acts only on descriptors: each granted folder is opened once at start, and every path is walked from there by
//! the operating system in one step that refuses symbolic links, magic links, mount points and `..`. Regular files
//! and folders only. The kernel decided before; Landlock stands behind. Each of the three walls suffices alone.
//!
//! It never takes a path from anywhere but the resource of a call, and never follows one text twice with different
//! meaning. Owners, modes, links and extended attributes cannot be changed through it.
#![forbid(unsafe_code)]

mod failure;
mod files;
mod folders;
mod open;
mod roots;

use pawang_sdk::Tool;
use std::process::ExitCode;

fn main() -> ExitCode {
    Tool::new("fs", env!("CARGO_PKG_VERSION"))
        .method("fs.read", files::read)
        .method("fs.write", files::write)
        .method("fs.append", files::append)
        .method("fs.list", folders::list)
        .method("fs.stat", folders::stat)
        .method("fs.mkdir", folders::mkdir)
        .method("fs.remove", folders::remove)
        .method("fs.move", folders::r#move)
        .serve_with(roots::Roots::open)
}
