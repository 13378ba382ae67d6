//! A tool that lies: a copy of the release's plugins in which `fs` is a puppet that does what the path it is called with says.
//!
//! The puppet is one file (`puppet/main.rs`) and the standard library, compiled here, statically, because nothing else runs
//! in a tool's jail.

use crate::daemon::prefix;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Launcher and plugins, `fs` replaced. `name` is what the puppet is called, and so what it does from the start:
/// `pawang-fs` behaves until it is called.
#[must_use]
pub fn libexec(name: &str) -> TempDir {
    let (dir, release) = (tempfile::tempdir().unwrap(), prefix().join("libexec/pawang"));
    std::os::unix::fs::symlink(release.join("pawang-launcher"), dir.path().join("pawang-launcher")).unwrap();
    let plugins = dir.path().join("plugins");
    for plugin in fs::read_dir(release.join("plugins")).unwrap().flatten() {
        let folder = plugins.join(plugin.file_name());
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(plugin.path()).unwrap().flatten() {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
    let manifest = plugins.join("fs/plugin.toml");
    let text = fs::read_to_string(&manifest).unwrap().replace("\"pawang-fs\"", &format!("\"{name}\""));
    fs::write(&manifest, text).unwrap();
    fs::copy(program(), plugins.join("fs").join(name)).unwrap();
    dir
}

fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PROGRAM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("puppet");
        let built = build(&path, &["--target", "x86_64-unknown-linux-musl"])
            .or_else(|_| build(&path, &["-Ctarget-feature=+crt-static"]));
        built.unwrap();
        (dir, path)
    });
    path
}

fn build(out: &Path, words: &[&str]) -> Result<(), String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/puppet/main.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--edition", "2024", "-Cpanic=abort", "-Copt-level=1", "-o"])
        .arg(out)
        .args(words)
        .arg(source);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
