//! The temporary folder of a demo, and what is in it before it begins. Removed when dropped.

use crate::tree::make_folder;
use crate::trouble::Trouble;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where Debian and Ubuntu keep the text of licences: real input that every such machine has.
const LICENCES: &str = "/usr/share/common-licenses";
/// What the login script of the pretended home holds.
pub const PROFILE: &str = "# the login script of the demo's home\n";

/// The folder and its parts.
pub struct Place {
    /// All of it.
    pub root: PathBuf,
    /// State of the private daemon.
    pub state: PathBuf,
    /// The key of its vault, 32 random bytes.
    pub vault_key: PathBuf,
    /// The automation and its contract.
    pub automation: PathBuf,
    /// What it may read.
    pub input: PathBuf,
    /// Where it may write.
    pub output: PathBuf,
    /// A home with something to steal in it.
    pub home: PathBuf,
    /// What the paid service asks for.
    pub secret: String,
    /// What is to be stolen from the home.
    pub bait: String,
    /// The source of the contract, with its placeholders.
    contract: String,
    _folder: TempDir,
}

impl Place {
    /// Makes it. `tree`: the root of the repository.
    ///
    /// # Errors
    /// [`Trouble::System`] where a file cannot be read or written.
    pub fn make(tree: &Path) -> Result<Self, Trouble> {
        let folder = tempfile::Builder::new().prefix("pawang-demo.").tempdir();
        let folder =
            folder.map_err(|error| Trouble::file("make a folder in", &std::env::temp_dir(), &error))?;
        let root =
            folder.path().canonicalize().map_err(|error| Trouble::file("find", folder.path(), &error))?;
        let demo = tree.join("tests/demo");
        let read =
            |path: PathBuf| fs::read_to_string(&path).map_err(|error| Trouble::file("read", &path, &error));
        let place = Self {
            state: root.join("state"),
            vault_key: root.join("vault.key"),
            automation: root.join("automation"),
            input: input(tree, &root)?,
            output: root.join("output"),
            home: root.join("home"),
            secret: format!("sk-demo-{}", random_hex()?),
            bait: random_hex()?,
            contract: read(demo.join("report.toml"))?,
            root,
            _folder: folder,
        };
        for folder in [&place.state, &place.output, &place.home.join(".ssh")] {
            make_folder(folder)?;
        }
        let _ = fs::set_permissions(&place.state, fs::Permissions::from_mode(0o700));
        write(&place.vault_key, random_hex()?.as_bytes())?;
        write(&place.home.join(".ssh/id_ed25519"), place.bait.as_bytes())?;
        write(&place.home.join(".profile"), PROFILE.as_bytes())?;
        write(&place.automation.join("report.py"), read(demo.join("report.py"))?.as_bytes())?;
        Ok(place)
    }

    /// Puts folders and address in the contract's placeholders.
    ///
    /// # Errors
    /// [`Trouble::System`] where it cannot be written.
    pub fn write_contract(&self, url: &str) -> Result<(), Trouble> {
        let source = self
            .contract
            .replace("@INPUT@", &self.input.to_string_lossy())
            .replace("@OUTPUT@", &self.output.to_string_lossy())
            .replace("@URL@", url);
        write(&self.automation.join("report.toml"), source.as_bytes())
    }
}

/// The machine's own licences; where it has none in that place, those of this repository.
fn input(tree: &Path, root: &Path) -> Result<PathBuf, Trouble> {
    if Path::new(LICENCES).is_dir() {
        return Ok(PathBuf::from(LICENCES));
    }
    let input = root.join("input");
    for (name, file) in
        [("Apache-2.0", "LICENSE-APACHE"), ("MIT", "LICENSE-MIT"), ("GPL-3", "LICENSE-APACHE")]
    {
        let text =
            fs::read(tree.join(file)).map_err(|error| Trouble::file("read", &tree.join(file), &error))?;
        write(&input.join(name), &text)?;
    }
    Ok(input)
}

/// Only for its owner: a vault key that others may read is refused by the daemon.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|error| Trouble::file("write", path, &error))
}

/// 32 random bytes as 64 digits.
fn random_hex() -> Result<String, Trouble> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 32];
    let read = fs::File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Trouble::file("read", source, &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
