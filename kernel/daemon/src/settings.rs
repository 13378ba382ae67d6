//! Where things are, and the few things an operator may set.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the command line said.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--state DIR`.
    pub state: Option<PathBuf>,
    /// `--libexec DIR`: launcher and plugins.
    pub libexec: Option<PathBuf>,
    /// `--vault-key FILE`: 32 bytes, or 64 hex digits.
    pub vault_key: Option<PathBuf>,
    /// `--sync each`: every record reaches the disk before what it allows is done.
    pub sync_each: bool,
}

/// Paths, resolved once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// State directory, mode 0700: nothing in it can be granted to anyone.
    pub state: PathBuf,
    /// Log segments.
    pub audit: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Vault file.
    pub vault: PathBuf,
    /// Key of the vault from outside: a service manager's credential or a file.
    pub vault_key: Option<PathBuf>,
    /// The daemon's own key.
    pub key: PathBuf,
    /// One folder per run alive.
    pub runs: PathBuf,
    /// One folder per automation that uses `memory.*`.
    pub memory: PathBuf,
    /// Held for as long as the daemon lives.
    pub lock: PathBuf,
    /// Launcher and plugins.
    pub libexec: PathBuf,
    /// The Python SDK.
    pub python: PathBuf,
    /// See [`Options::sync_each`].
    pub sync_each: bool,
}

impl Settings {
    /// Resolves the options against environment and executable, and makes the state directory.
    pub fn resolve(options: &Options) -> io::Result<Self> {
        let state = match &options.state {
            Some(state) => state.clone(),
            None => default_state()?,
        };
        make_private(&state)?;
        let state = state.canonicalize()?;
        let prefix =
            std::env::current_exe()?.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let settings = Self {
            audit: state.join("audit"),
            socket: state.join("control.sock"),
            vault: state.join("vault"),
            vault_key: options.vault_key.clone().or_else(credential),
            key: state.join("daemon.key"),
            runs: state.join("runs"),
            memory: state.join("memory"),
            lock: state.join("lock"),
            libexec: options.libexec.clone().unwrap_or_else(|| prefix.join("libexec/pawang")),
            python: prefix.join("share/pawang/python"),
            sync_each: options.sync_each,
            state,
        };
        for dir in [&settings.audit, &settings.runs, &settings.memory] {
            make_private(dir)?;
        }
        Ok(settings)
    }
}

/// `$PAWANG_STATE`, a service manager's `$STATE_DIRECTORY`, `$XDG_STATE_HOME/pawang`, `~/.local/state/pawang`.
fn default_state() -> io::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("PAWANG_STATE")
        .or_else(|| from("STATE_DIRECTORY"))
        .or_else(|| from("XDG_STATE_HOME").map(|dir| dir.join("pawang")))
        .or_else(|| from("HOME").map(|dir| dir.join(".local/state/pawang")))
        .ok_or_else(|| {
            io::Error::other(
                "no state directory: none of PAWANG_STATE, XDG_STATE_HOME, HOME is set; use --state DIR",
            )
        })
}

/// The key a service manager passes by `LoadCredential=pawang-vault-key`.
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("pawang-vault-key");
    path.is_file().then_some(path)
}

/// Makes a directory that only its owner enters, or checks that it is one.
fn make_private(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let meta = std::fs::metadata(dir)?;
    let name = dir.display();
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "{name} belongs to another user; use --state with a directory of your own"
        )));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("{name} can be entered by others; run: chmod 700 {name}")));
    }
    Ok(())
}
