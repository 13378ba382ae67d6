//! Runs every fuzz target of `tests/fuzz` for some time each.

use crate::machine::program;
use crate::tree::{Tree, cargo};
use crate::trouble::Trouble;
use std::process::{Command, Stdio};

/// Runs each target for `seconds`. A finding is kept under `tests/fuzz/artifacts`.
///
/// # Errors
/// [`Trouble::Missing`] without cargo-fuzz; [`Trouble::Failed`] at the first finding.
pub fn each(tree: &Tree, seconds: u32) -> Result<(), Trouble> {
    need_cargo_fuzz()?;
    for target in targets(tree)? {
        eprintln!("  fuzzing {target} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        let words =
            ["run", &target, "--", &limit, "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"];
        match cargo_fuzz(tree).args(words).status() {
            Ok(status) if status.success() => {}
            Ok(_) => {
                return Err(Trouble::Failed(format!(
                    "{target}: a finding; see tests/fuzz/artifacts/{target}"
                )));
            }
            Err(error) => return Err(not_started(&error)),
        }
    }
    Ok(())
}

/// # Errors
/// [`Trouble::Missing`] where it is not installed.
pub fn need_cargo_fuzz() -> Result<(), Trouble> {
    if program("cargo-fuzz").is_some() {
        return Ok(());
    }
    Err(Trouble::Missing {
        what: "cargo-fuzz".to_owned(),
        why: "it builds the fuzz targets and runs them",
        hint: "cargo install --locked cargo-fuzz, and apt-get install g++",
    })
}

/// The targets, as `cargo fuzz list` names them.
fn targets(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let output = cargo_fuzz(tree).arg("list").output().map_err(|error| not_started(&error))?;
    let names: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Trouble::Failed("cargo fuzz list names no target".to_owned()));
    }
    Ok(names)
}

/// The sanitizer is an unstable option that works with the stable compiler, if that is told to accept it.
fn cargo_fuzz(tree: &Tree) -> Command {
    let mut command = cargo();
    command
        .arg("fuzz")
        .current_dir(tree.root.join("tests/fuzz"))
        .env("RUSTC_BOOTSTRAP", "1")
        .stdin(Stdio::null());
    command
}

fn not_started(error: &std::io::Error) -> Trouble {
    Trouble::System { what: "cannot start cargo fuzz".to_owned(), why: error.to_string() }
}
