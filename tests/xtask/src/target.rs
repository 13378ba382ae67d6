//! For which target plugins are built: static musl, and where that cannot be had, the host's own C library.

use crate::tree::Tree;
use crate::trouble::Trouble;
use std::path::Path;
use std::process::{Command, Stdio};

/// The target of static plugins.
pub const MUSL: &str = "x86_64-unknown-linux-musl";

/// What plugins are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginTarget {
    /// Static, against musl.
    Musl,
    /// As the host's programs are: dynamic, against glibc.
    Host,
}

impl PluginTarget {
    /// The words for cargo.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Musl => &["--target", MUSL],
            Self::Host => &[],
        }
    }
}

/// Musl if the toolchain has it or rustup can add it; otherwise the host, and one line that says what that costs.
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
        "  no target {MUSL}: plugins are linked to this machine's C library, which starts them 5 to 8 times slower \
         and makes them bigger; `rustup target add {MUSL}` would change that"
    );
    Ok(PluginTarget::Host)
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
