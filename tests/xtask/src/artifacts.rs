//! Builds with cargo, quietly, and says where the programs are.
//!
//! On a terminal one line counts along; piped, one line at the end. Errors and warnings of the compiler pass through.

use crate::target::PluginTarget;
use crate::tree::{Tree, cargo};
use crate::trouble::Trouble;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdout, Stdio};
use std::time::Instant;

/// Programs by name.
pub type Programs = BTreeMap<String, PathBuf>;

/// A line of cargo's `--message-format json`; everything else it says is ignored.
#[derive(Deserialize)]
struct Line {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Runs `cargo build` with these words and returns the programs it built, those for plugins' target if one is given.
/// `what` is named in progress and trouble.
///
/// # Errors
/// [`Trouble::Build`] where cargo fails, [`Trouble::System`] where it cannot be started.
pub fn build(
    tree: &Tree,
    what: &'static str,
    target: Option<PluginTarget>,
    words: &[&str],
) -> Result<Programs, Trouble> {
    let mut child = cargo()
        .current_dir(&tree.root)
        .args(["build", "--quiet", "--message-format", "json-render-diagnostics"])
        .args(words)
        .args(target.iter().flat_map(|target| target.words()))
        .envs(target.and_then(PluginTarget::variable))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Trouble::System { what: "cannot start cargo".to_owned(), why: error.to_string() })?;
    let programs = child.stdout.take().map(|lines| follow(what, lines)).unwrap_or_default();
    match child.wait() {
        Ok(status) if status.success() => Ok(programs),
        _ => Err(Trouble::Build(what)),
    }
}

fn follow(what: &str, lines: ChildStdout) -> Programs {
    let (begun, is_terminal) = (Instant::now(), std::io::stderr().is_terminal());
    let (mut programs, mut crates) = (Programs::new(), 0_u32);
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
        if line.reason != "compiler-artifact" {
            continue;
        }
        crates += 1;
        if is_terminal {
            eprint!("\r\x1b[2K  building {what}: {crates} crates, {} s", begun.elapsed().as_secs());
            let _ = std::io::stderr().flush();
        }
        programs.extend(program(line));
    }
    eprintln!(
        "{}built {what}: {crates} crates, {} s",
        if is_terminal { "\r\x1b[2K  " } else { "" },
        begun.elapsed().as_secs()
    );
    programs
}

fn program(line: Line) -> Option<(String, PathBuf)> {
    let target = line.target?;
    let is_program = target.kind.iter().any(|kind| kind == "bin" || kind == "example") && !line.profile?.test;
    if is_program { Some((target.name, line.executable?)) } else { None }
}
