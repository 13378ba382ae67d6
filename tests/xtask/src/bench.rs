//! Runs the benchmarks on optimised programs. What they measure and against whom stands in BENCHMARKS.md.

use crate::artifacts::build;
use crate::stage::{Flavour, stage};
use crate::target::PluginTarget;
use crate::tree::Tree;
use crate::trouble::Trouble;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "pawang-bench";

/// Stages optimised programs and measures them. `words` go to the driver: sections, `--rounds N`, `--runs N`.
///
/// # Errors
/// [`Trouble::Failed`] where something could not be measured, and whatever kept it from running.
pub fn all(tree: &Tree, words: &[&str]) -> Result<(), Trouble> {
    let staged = stage(tree, Flavour::Release)?;
    let programs = programs(tree, staged.target)?;
    let driver = build(tree, "the benchmarks", None, &["--release", "-p", PACKAGE, "--bin", PACKAGE])?;
    let driver = driver.get(PACKAGE).ok_or_else(|| not_built(PACKAGE))?;
    let mut command = Command::new(driver);
    command.arg("--prefix").arg(&staged.prefix).arg("--programs").arg(&programs).args(words);
    let status = command.status().map_err(|error| Trouble::file("start", driver, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Trouble::Failed("not everything could be measured; see above".to_owned()))
    }
}

/// The folder of the small programs that are measured: built as plugins are.
fn programs(tree: &Tree, target: PluginTarget) -> Result<PathBuf, Trouble> {
    let words = ["--profile", "plugin", "--bins", "-p", PACKAGE, "--no-default-features"];
    let built = build(tree, "what is measured", Some(target), &words)?;
    let folder = built.get("bench-automation").and_then(|program| program.parent()).map(Path::to_path_buf);
    folder.ok_or_else(|| not_built("bench-automation"))
}

fn not_built(name: &str) -> Trouble {
    Trouble::System {
        what: format!("no program {name} was built"),
        why: "the package of the benchmarks and tests/xtask/src/bench.rs differ".to_owned(),
    }
}
