//! What must be on this machine, asked for before anything begins.

use crate::trouble::Trouble;
use std::path::PathBuf;
use std::process::Command;

/// The first program of this name on the search path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Linux on x86-64: the launcher's filters are written for its calls.
///
/// # Errors
/// [`Trouble::Missing`] elsewhere.
pub fn need_linux() -> Result<(), Trouble> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(());
    }
    Err(Trouble::Missing {
        what: "Linux on x86-64".to_owned(),
        why: "the sandbox is made of Landlock, seccomp and namespaces, with a filter for the calls of x86-64",
        hint: "a machine or a virtual machine with Debian 12, Ubuntu 24.04 or newer",
    })
}

/// A C compiler: one plugin has assembly in it, and linking needs one anyway.
///
/// # Errors
/// [`Trouble::Missing`] without `gcc`.
pub fn need_gcc() -> Result<(), Trouble> {
    if program("gcc").is_some() {
        return Ok(());
    }
    Err(Trouble::Missing {
        what: "gcc".to_owned(),
        why: "it links Rust programs and compiles the cryptography of TLS",
        hint: "apt-get install gcc libc6-dev",
    })
}

/// Python 3.9 or newer, for the Python SDK, its tests and the demo.
///
/// # Errors
/// [`Trouble::Missing`] without it.
pub fn need_python() -> Result<(), Trouble> {
    let check = "import sys; sys.exit(sys.version_info < (3, 9))";
    match Command::new("python3").args(["-c", check]).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Trouble::Missing {
            what: "python3, 3.9 or newer".to_owned(),
            why: "the automation of the demo and one of the SDKs are written in it",
            hint: "apt-get install python3",
        }),
    }
}
