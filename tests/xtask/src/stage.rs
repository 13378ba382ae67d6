//! Puts everything that would be installed into one folder, in the layout of an installation.
//!
//! ```text
//! bin/{pawang,pawangd}
//! libexec/pawang/pawang-launcher
//! libexec/pawang/plugins/NAME/{plugin.toml,pawang-NAME}
//! share/pawang/python/pawang/*.py
//! ```
//! Daemon and command line are built for the host. Plugins and the launcher are built with the profile `plugin`, in
//! both flavours: a test on unoptimised plugins would test another start-up path than the one that is shipped.

use crate::artifacts::{Programs, build};
use crate::machine::{need_gcc, need_linux};
use crate::target::{PluginTarget, plugin_target};
use crate::tree::{Tree, make_folder};
use crate::trouble::Trouble;
use std::fs;
use std::path::{Path, PathBuf};

/// How daemon and command line are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Optimised.
    Release,
    /// Together with all tests and with their features, so that building these costs nothing more.
    Debug,
}

/// A staged tree.
pub struct Staged {
    /// The folder that plays `/usr`.
    pub prefix: PathBuf,
    /// What plugins were built for.
    pub target: PluginTarget,
}

impl Staged {
    /// Where launcher and plugins are.
    pub fn libexec(&self) -> PathBuf {
        self.prefix.join("libexec/pawang")
    }
}

const LAUNCHER: &str = "pawang-launcher";
const SANDBOX: &str = "pawang-sandbox";
const HOST: [&str; 2] = ["pawang", "pawangd"];

/// Builds and stages everything.
///
/// # Errors
/// [`Trouble`] where something is missing, does not build or cannot be written.
pub fn stage(tree: &Tree, flavour: Flavour) -> Result<Staged, Trouble> {
    need_linux()?;
    need_gcc()?;
    let target = plugin_target(tree)?;
    let jailed = build_jailed(tree, target)?;
    let host = match flavour {
        Flavour::Release => {
            build(tree, "daemon and command line", None, &["--release", "-p", "pawang", "-p", "pawangd"])?
        }
        Flavour::Debug => {
            build(tree, "everything for tests", None, &["--workspace", "--bins", "--tests", "--examples"])?
        }
    };
    let prefix = tree.target.join(if flavour == Flavour::Release { "pawang" } else { "pawang-debug" });
    remove_old(&prefix)?;
    for name in HOST {
        place(&host, name, &prefix.join("bin"))?;
    }
    let staged = Staged { prefix, target };
    let (prefix, libexec) = (&staged.prefix, staged.libexec());
    place(&jailed, LAUNCHER, &libexec)?;
    for plugin in tree.plugins() {
        let folder = libexec.join("plugins").join(&plugin.name);
        place(&jailed, &plugin.package, &folder)?;
        copy(&plugin.manifest, &folder.join("plugin.toml"))?;
    }
    copy_python(&tree.root.join("ipc/python/pawang"), &prefix.join("share/pawang/python/pawang"))?;
    Ok(staged)
}

fn build_jailed(tree: &Tree, target: PluginTarget) -> Result<Programs, Trouble> {
    let plugins = tree.plugins();
    let mut words = vec!["--profile", "plugin", "--bins", "-p", SANDBOX];
    for plugin in &plugins {
        words.extend(["-p", plugin.package.as_str()]);
    }
    build(tree, "plugins and launcher", Some(target), &words)
}

/// Removes what an older staging left, so that no plugin stays that the tree no longer has.
fn remove_old(prefix: &Path) -> Result<(), Trouble> {
    match fs::remove_dir_all(prefix) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Trouble::file("remove", prefix, &error))
        }
        _ => Ok(()),
    }
}

fn place(programs: &Programs, name: &str, folder: &Path) -> Result<(), Trouble> {
    let Some(program) = programs.get(name) else {
        return Err(Trouble::System {
            what: format!("no program {name} was built"),
            why: "the packages of the workspace and the list in tests/xtask/src/stage.rs differ".to_owned(),
        });
    };
    copy(program, &folder.join(name))
}

fn copy(from: &Path, to: &Path) -> Result<(), Trouble> {
    if let Some(folder) = to.parent() {
        make_folder(folder)?;
    }
    fs::copy(from, to).map(|_| ()).map_err(|error| Trouble::file("write", to, &error))
}

/// The package's own files; caches that an interpreter left are not part of it.
fn copy_python(from: &Path, to: &Path) -> Result<(), Trouble> {
    let files = fs::read_dir(from).map_err(|error| Trouble::file("read", from, &error))?;
    for file in files.filter_map(Result::ok) {
        if file.path().is_file() {
            copy(&file.path(), &to.join(file.file_name()))?;
        }
    }
    Ok(())
}
