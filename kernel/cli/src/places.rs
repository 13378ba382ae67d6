//! Where things are: the state directory, the control socket, the operator's key. Nothing here creates anything.
//!
//! State: `--state DIR`, else `$PAWANG_STATE`, else the system service's `/run/pawang/control.sock` if it is there
//! and this user has no daemon of their own, else `$XDG_STATE_HOME/pawang`, else `~/.local/state/pawang`.
//!
//! Key: `--key FILE`, else `$PAWANG_KEY`, else `operator.key` in a state directory that was named (a private daemon
//! is complete in one directory), else `$XDG_CONFIG_HOME/pawang/key`, else `~/.config/pawang/key`.
//!
//! An empty variable counts as unset. A relative XDG variable is ignored, as its specification asks.

use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Control socket of the system service.
pub const SYSTEM_SOCKET: &str = "/run/pawang/control.sock";
/// Name of the socket in a state directory.
const SOCKET: &str = "control.sock";

/// A daemon, by where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A user's own daemon, started on demand.
    Own {
        /// Its state directory, absolute.
        state: PathBuf,
        /// Whether the directory was named, by option or variable.
        named: bool,
    },
    /// The system's service. It is never started from here.
    System,
}

impl Place {
    /// The place that the options and the environment of this process name.
    ///
    /// # Errors
    /// Where there is no home directory to put the state in.
    pub fn find(state_option: Option<&Path>) -> Result<Self> {
        find(state_option, &|name| env::var_os(name), &|path| path.exists())
    }

    /// Where the control socket is.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        match self {
            Self::Own { state, .. } => state.join(SOCKET),
            Self::System => PathBuf::from(SYSTEM_SOCKET),
        }
    }

    /// Where the operator's key is.
    ///
    /// # Errors
    /// Where there is no home directory to look in.
    pub fn key(&self, key_option: Option<&Path>) -> Result<PathBuf> {
        key(self, key_option, &|name| env::var_os(name))
    }
}

type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn find(option: Option<&Path>, env: Env<'_>, exists: &dyn Fn(&Path) -> bool) -> Result<Place> {
    let named = option.map(Path::to_path_buf).or_else(|| var(env, "PAWANG_STATE"));
    if let Some(state) = named {
        let state = std::path::absolute(&state).map_err(|e| Trouble::file("use", &state, &e))?;
        return Ok(Place::Own { state, named: true });
    }
    let state = xdg(env, "XDG_STATE_HOME", ".local/state")?.join("pawang");
    if !exists(&state.join(SOCKET)) && exists(Path::new(SYSTEM_SOCKET)) {
        return Ok(Place::System);
    }
    Ok(Place::Own { state, named: false })
}

fn key(place: &Place, option: Option<&Path>, env: Env<'_>) -> Result<PathBuf> {
    if let Some(key) = option.map(Path::to_path_buf).or_else(|| var(env, "PAWANG_KEY")) {
        return Ok(key);
    }
    match place {
        Place::Own { state, named: true } => Ok(state.join("operator.key")),
        Place::Own { named: false, .. } | Place::System => {
            Ok(xdg(env, "XDG_CONFIG_HOME", ".config")?.join("pawang/key"))
        }
    }
}

fn var(env: Env<'_>, name: &str) -> Option<PathBuf> {
    env(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn xdg(env: Env<'_>, name: &str, below_home: &str) -> Result<PathBuf> {
    if let Some(path) = var(env, name).filter(|path| path.is_absolute()) {
        return Ok(path);
    }
    let home = var(env, "HOME").filter(|path| path.is_absolute());
    home.map(|home| home.join(below_home)).ok_or_else(|| {
        Trouble::new(Exit::NotFound, "no place for Pawang's files")
            .why(format!("neither {name} nor HOME is set to an absolute path"))
            .hint("name one: --state DIR")
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, SYSTEM_SOCKET, find, key};
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    fn env_of(vars: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
    }

    fn own(state: &str, named: bool) -> Place {
        Place::Own { state: PathBuf::from(state), named }
    }

    #[test]
    fn state_is_the_option_then_the_variable_then_the_service_then_xdg_then_home() {
        let all = &[("PAWANG_STATE", "/v"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        let xdg = &[("PAWANG_STATE", ""), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        let home = &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")];
        let service = |path: &Path| path == Path::new(SYSTEM_SOCKET);
        assert_eq!(find(Some(Path::new("/o")), &env_of(all), &service).unwrap(), own("/o", true));
        assert_eq!(find(None, &env_of(all), &service).unwrap(), own("/v", true));
        assert_eq!(find(None, &env_of(xdg), &service).unwrap(), Place::System);
        assert_eq!(find(None, &env_of(xdg), &|_| true).unwrap(), own("/x/pawang", false));
        assert_eq!(find(None, &env_of(xdg), &|_| false).unwrap(), own("/x/pawang", false));
        assert_eq!(find(None, &env_of(home), &|_| false).unwrap(), own("/h/.local/state/pawang", false));
        assert!(find(None, &env_of(&[]), &|_| false).is_err());
    }

    #[test]
    fn a_named_state_directory_holds_its_own_key() {
        let home = &[("HOME", "/h")];
        let variable = &[("HOME", "/h"), ("PAWANG_KEY", "/k")];
        assert_eq!(key(&own("/s", true), None, &env_of(home)).unwrap(), Path::new("/s/operator.key"));
        assert_eq!(key(&own("/s", true), None, &env_of(variable)).unwrap(), Path::new("/k"));
        assert_eq!(key(&own("/s", true), Some(Path::new("/o")), &env_of(variable)).unwrap(), Path::new("/o"));
        assert_eq!(key(&own("/s", false), None, &env_of(home)).unwrap(), Path::new("/h/.config/pawang/key"));
        assert_eq!(key(&Place::System, None, &env_of(home)).unwrap(), Path::new("/h/.config/pawang/key"));
    }
}
