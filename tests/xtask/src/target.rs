//! For which target plugins are built: static musl, and where that cannot be had, static glibc.
//!
//! Static in any case: under a tool's profile nothing can be opened, so that a dynamic program could not load its
//! libraries.

use crate::tree::Tree;
use crate::trouble::Trouble;
use std::path::Path;
use std::process::{Command, Stdio};

/// The target that plugins are meant for.
const MUSL: &str = "x86_64-unknown-linux-musl";
/// The one that every toolchain for this machine has.
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// What plugins are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginTarget {
    /// Against musl.
    Musl,
    /// Against this machine's glibc.
    Glibc,
}

impl PluginTarget {
    /// The words for cargo.
    pub const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Musl => ["--target", MUSL],
            Self::Glibc => ["--target", GLIBC],
        }
    }

    /// The variable that makes a program static: its name and value. Musl is static by itself.
    pub const fn variable(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Musl => None,
            Self::Glibc => {
                Some(("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static"))
            }
        }
    }
}

/// Musl if the toolchain has it or rustup can add it; otherwise glibc, and one line that says what that costs.
///
/// # Errors
/// [`Trouble::System`] where the compiler does not answer.
pub fn plugin_target(tree: &Tree) -> Result<PluginTarget, Trouble> {
    if has_musl(tree)? {
        return Ok(PluginTarget::Musl);
    }
    eprintln!("  adding the rustup target {MUSL}");
    let added = Command::new("rustup").current_dir(&tree.root).args(["target", "add", MUSL]).status();
    if added.is_ok_and(|status| status.success()) && has_musl(tree)? {
        return Ok(PluginTarget::Musl);
    }
    eprintln!(
        "  no target {MUSL}: plugins are linked with this machine's glibc, which starts them 5 to 8 times slower and \
         makes them bigger; `rustup target add {MUSL}` would change that"
    );
    Ok(PluginTarget::Glibc)
}

/// Whether the toolchain has a standard library for musl.
fn has_musl(tree: &Tree) -> Result<bool, Trouble> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(&tree.root)
        .args(["--print", "target-libdir", "--target", MUSL])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Trouble::System { what: "cannot start rustc".to_owned(), why: error.to_string() })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let folder = std::fs::read_dir(Path::new(text.trim()));
    let is_std = |name: &str| name.starts_with("libstd-");
    Ok(folder
        .is_ok_and(|mut files| files.any(|f| f.is_ok_and(|f| f.file_name().to_str().is_some_and(is_std)))))
}
