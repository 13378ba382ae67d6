//! Where things are in this repository, as cargo tells it.

use crate::trouble::Trouble;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace.
#[derive(Debug, Deserialize)]
pub struct Tree {
    /// The folder with the root `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where cargo builds to.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// One plugin of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name: that of its folder.
    pub name: String,
    /// The package that builds its program; the program bears the same name.
    pub package: String,
    /// Its manifest, `plugin.toml`.
    pub manifest: PathBuf,
}

impl Tree {
    /// Asks cargo.
    ///
    /// # Errors
    /// [`Trouble::System`] where cargo does not answer.
    pub fn find() -> Result<Self, Trouble> {
        let trouble = |why: String| Trouble::System { what: "cannot read the workspace".to_owned(), why };
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .map_err(|error| trouble(error.to_string()))?;
        if !output.status.success() {
            return Err(trouble(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| trouble(error.to_string()))
    }

    /// Every package that has a `plugin.toml` beside its `Cargo.toml`, in order of names.
    pub fn plugins(&self) -> Vec<Plugin> {
        let mut plugins: Vec<Plugin> = self.packages.iter().filter_map(plugin).collect();
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        plugins
    }
}

fn plugin(package: &Package) -> Option<Plugin> {
    let folder = package.manifest_path.parent()?;
    let manifest = folder.join("plugin.toml");
    let name = folder.file_name()?.to_str()?.to_owned();
    manifest.is_file().then(|| Plugin { name, package: package.name.clone(), manifest })
}

/// The cargo that runs us, so that its toolchain is the one used for everything.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`Trouble::System`] where that cannot be.
pub fn make_folder(path: &Path) -> Result<(), Trouble> {
    std::fs::create_dir_all(path).map_err(|error| Trouble::file("make the folder", path, &error))
}
