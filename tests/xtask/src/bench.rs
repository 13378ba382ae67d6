//! Runs the benchmarks on optimised programs. What they measure and against whom stands in BENCHMARKS.md.

use crate::stage::{Flavour, stage};
use crate::tree::{Tree, cargo};
use crate::trouble::Trouble;

/// Stages optimised programs and runs the benchmarks of `tests/` on them.
///
/// # Errors
/// [`Trouble::Failed`] where a benchmark fails, and whatever kept them from running.
pub fn all(tree: &Tree) -> Result<(), Trouble> {
    let staged = stage(tree, Flavour::Release)?;
    let status = cargo()
        .current_dir(&tree.root)
        .args(["bench", "--package", "pawang-tests"])
        .env("PAWANG_PREFIX", &staged.prefix)
        .env("PAWANG_LIBEXEC", staged.prefix.join("libexec/pawang"))
        .status()
        .map_err(|error| Trouble::System {
            what: "cannot start cargo bench".to_owned(),
            why: error.to_string(),
        })?;
    if status.success() { Ok(()) } else { Err(Trouble::Failed("a benchmark failed; see above".to_owned())) }
}
