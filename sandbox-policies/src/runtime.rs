//! What an interpreter or a dynamically linked program needs besides its own image: presets, as data.
//!
//! A preset names paths to read and to execute, arguments that go before the script, and environment. `{prefix}`,
//! `{program}` and `{venv}` are worked out from the program's path. Resolving looks at the file system: an optional
//! path that is not there is left out, a required one that is not there is an error.
//!
//! Deliberately absent: running the interpreter to ask it where its files are. It is not trusted with that.

use crate::policy::PolicyError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILES: &[(&str, &str)] = &[
    ("static", include_str!("../runtimes/static.toml")),
    ("system", include_str!("../runtimes/system.toml")),
    ("python", include_str!("../runtimes/python.toml")),
];

/// A preset, as it is written in `runtimes/`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    runtime: String,
    why: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    read: Vec<Paths>,
    #[serde(default)]
    execute: Vec<Paths>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// A preset applied to one program on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvedRuntime {
    /// Files and directories it may read, with everything below.
    pub read: Vec<PathBuf>,
    /// Files the system may execute on its behalf: the ELF loader.
    pub execute: Vec<PathBuf>,
    /// Environment, to be overridden by the contract's.
    pub env: Vec<(String, String)>,
    /// Arguments between the program and the script.
    pub args: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    paths: Vec<String>,
    why: String,
    #[serde(default)]
    optional: bool,
}

impl Runtime {
    /// The preset with this name.
    ///
    /// # Errors
    /// [`PolicyError::Unknown`]; [`PolicyError::Malformed`] only where a compiled-in file is wrong.
    pub fn named(name: &str) -> Result<Self, PolicyError> {
        let found = FILES.iter().find(|(file, _)| *file == name);
        let (_, text) = found.ok_or_else(|| PolicyError::Unknown(name.to_owned()))?;
        let runtime: Self = toml::from_str(text).map_err(|e| PolicyError::Malformed(e.to_string()))?;
        runtime.check(name)?;
        Ok(runtime)
    }

    /// The names there are.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).collect()
    }

    /// Applies the preset to a program, given by its absolute path.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`] where a required path is not there.
    pub fn resolve(&self, program: &Path) -> Result<ResolvedRuntime, PolicyError> {
        let names = Names::of(program);
        Ok(ResolvedRuntime {
            read: existing(&self.read, &names)?,
            execute: existing(&self.execute, &names)?,
            env: self.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            args: self.args.clone(),
        })
    }

    fn check(&self, name: &str) -> Result<(), PolicyError> {
        if self.runtime != name {
            return Err(PolicyError::Malformed(format!(
                "the file of {name:?} calls itself {:?}",
                self.runtime
            )));
        }
        let reasons = self.read.iter().chain(&self.execute).map(|paths| &paths.why);
        if reasons.chain([&self.why]).any(|why| why.trim().is_empty()) {
            return Err(PolicyError::Empty("why"));
        }
        Ok(())
    }
}

/// What the placeholders stand for.
struct Names {
    prefix: Option<String>,
    program: Option<String>,
    venv: Option<String>,
}

impl Names {
    /// `/usr/bin/python3` is a link to `/usr/bin/python3.11`: prefix `/usr`, program `python3.11`.
    fn of(program: &Path) -> Self {
        let real = program.canonicalize().unwrap_or_else(|_| program.to_path_buf());
        let given = program.parent().and_then(Path::parent);
        Self {
            prefix: real.parent().and_then(Path::parent).and_then(text),
            program: real.file_name().and_then(|name| name.to_str()).map(str::to_owned),
            venv: given.filter(|root| root.join("pyvenv.cfg").is_file()).and_then(text),
        }
    }

    /// `None` where a placeholder stands for nothing here.
    fn fill(&self, pattern: &str) -> Option<PathBuf> {
        let mut path = pattern.to_owned();
        for (mark, value) in
            [("{prefix}", &self.prefix), ("{program}", &self.program), ("{venv}", &self.venv)]
        {
            if path.contains(mark) {
                path = path.replace(mark, value.as_deref()?);
            }
        }
        Some(PathBuf::from(path))
    }
}

fn text(path: &Path) -> Option<String> {
    path.to_str().map(|path| path.trim_end_matches('/').to_owned())
}

fn existing(lists: &[Paths], names: &Names) -> Result<Vec<PathBuf>, PolicyError> {
    let mut found = Vec::new();
    for list in lists {
        for pattern in &list.paths {
            match names.fill(pattern).filter(|path| path.exists()) {
                Some(path) if !found.contains(&path) => found.push(path),
                Some(_) => {}
                None if list.optional => {}
                None => return Err(PolicyError::Malformed(format!("{pattern} is not on this machine"))),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Runtime;
    use std::path::Path;

    #[test]
    fn every_preset_reads() {
        for name in Runtime::names() {
            assert!(Runtime::named(name).is_ok(), "{name}");
        }
        assert!(Runtime::named("perl").is_err());
    }

    #[test]
    fn python_finds_its_own_library_and_nothing_of_another() {
        let program = Path::new("/usr/bin/python3");
        let runtime = Runtime::named("python").unwrap().resolve(program).unwrap();
        let real = program.canonicalize().unwrap();
        let library = Path::new("/usr/lib").join(real.file_name().unwrap());
        assert!(runtime.read.contains(&library), "{:?}", runtime.read);
        assert!(
            !runtime.read.iter().any(|path| path == Path::new("/usr/lib") || path == Path::new("/usr/bin"))
        );
        assert_eq!(runtime.args, ["-s", "-B"]);
    }

    #[test]
    fn static_programs_get_nothing() {
        let runtime = Runtime::named("static").unwrap().resolve(Path::new("/x")).unwrap();
        assert!(runtime.read.is_empty() && runtime.execute.is_empty() && runtime.env.is_empty());
    }
}
