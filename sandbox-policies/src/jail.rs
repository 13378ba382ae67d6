//! A jail: everything about one process before it exists, as plain data.
//!
//! The kernel fills it from a contract and a manifest; [`crate::Launcher::launch`] turns it into rulesets, filters and
//! a plan, or refuses. Absent, empty and zero mean none, everywhere.
//!
//! Deliberately absent: decisions. A jail that grants too much is the fault of what filled it.

use crate::image::SealedImage;
use crate::runtime::ResolvedRuntime;
use crate::walls::Walls;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// One process to be.
#[derive(Debug, Clone)]
pub struct Jail {
    /// Name of the profile, one of [`crate::Profile::names`].
    pub profile: String,
    /// What is executed.
    pub image: Arc<SealedImage>,
    /// Arguments; the first is the name or path it is told it has.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory, absolute, inside the jail.
    pub cwd: String,
    /// What the interpreter or the loader needs: granted by Landlock, and bound into a private file tree. Its
    /// arguments and environment are not taken from here; whoever fills the jail merges them.
    pub runtime: ResolvedRuntime,
    /// What Landlock grants besides. A directory grants everything below it.
    pub paths: Vec<PathRule>,
    /// What exists in a file tree of its own. Used only with `private_root`.
    pub binds: Vec<Bind>,
    /// A file tree of its own: binds, a few devices, a private `/tmp`. Where the machine has mount namespaces.
    pub private_root: bool,
    /// Resources.
    pub limits: Limits,
    /// User and group to become. Required by foreign profiles where the kernel runs as root; not possible elsewhere.
    pub uid: Option<u32>,
    /// Walls wanted; [`Walls::all`] except in tests.
    pub walls: Walls,
}

/// A path that Landlock grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// Absolute, outside any jail.
    pub path: PathBuf,
    /// What may be done at it and below.
    pub access: Access,
}

/// Rights on a path. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Read files.
    pub read: bool,
    /// List directories.
    pub list: bool,
    /// Change the content of files.
    pub write: bool,
    /// Make files and directories; never links, pipes, sockets or devices.
    pub make: bool,
    /// Remove files and empty directories. With `make`: move.
    pub remove: bool,
    /// Execute, as the system does with an ELF loader. No profile allows execution by path.
    pub execute: bool,
}

/// A path that exists in a private file tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Where it is outside. No part of it may be a symbolic link.
    pub source: PathBuf,
    /// Where it appears inside; usually the same.
    pub target: PathBuf,
    /// Whether it can be written to, as far as Landlock lets it.
    pub writable: bool,
}

/// Resource limits of each process in the jail. Zero means none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Writable private memory of one process, in MiB, stack apart. Shared memory is not allowed but for files.
    pub memory_mib: u32,
    /// Processes and threads at a time, 1 being the program itself.
    pub processes: u32,
    /// Open descriptors, 4 ..= [`OPEN_FILES_MAX`].
    pub open_files: u32,
    /// Largest file that can be written; also the size of a private `/tmp`, in MiB.
    pub file_mib: u32,
    /// CPU time of one process, in seconds; the kernel's own metering is finer and stops the whole tree.
    pub cpu_s: Option<u32>,
}

/// Most descriptors a jail may have. Below the number of the program image (1023): a process that could make a
/// descriptor of that number could execute it.
pub const OPEN_FILES_MAX: u32 = 1000;

/// The descriptors of the new process. Each becomes the number it stands for; there are no others.
#[derive(Debug)]
pub struct Stdio {
    /// Becomes 0.
    pub stdin: OwnedFd,
    /// Becomes 1.
    pub stdout: OwnedFd,
    /// Becomes 2.
    pub stderr: OwnedFd,
    /// Becomes 3.
    pub channel: OwnedFd,
}

impl Access {
    /// Nothing.
    pub const NONE: Self =
        Self { read: false, list: false, write: false, make: false, remove: false, execute: false };
    /// Read files and list directories.
    pub const READ: Self = Self { read: true, list: true, ..Self::NONE };
    /// Read, and have the system execute: an ELF loader.
    pub const EXECUTE: Self = Self { read: true, execute: true, ..Self::NONE };
    /// Everything that a contract can grant.
    pub const WRITE: Self = Self { write: true, make: true, remove: true, ..Self::READ };

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Limits {
    /// For a typed tool that keeps nothing: 64 MiB, one process, 32 descriptors, no files.
    pub const TOOL: Self = Self { memory_mib: 64, processes: 1, open_files: 32, file_mib: 0, cpu_s: None };
}
