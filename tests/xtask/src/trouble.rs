//! What can go wrong in a command of this repository, in three lines: what, why, what to try.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Why a command ended early.
#[derive(Debug)]
pub enum Trouble {
    /// It was called wrongly.
    Usage(String),
    /// The machine lacks a program, or something else that is needed.
    Missing {
        /// What is missing.
        what: String,
        /// What it is needed for.
        why: &'static str,
        /// How to get it.
        hint: &'static str,
    },
    /// Cargo could not build something; it has said why itself.
    Build(&'static str),
    /// A file, or a process, did not do what it should.
    System {
        /// What was tried.
        what: String,
        /// What came of it.
        why: String,
    },
    /// Something ran to its end and was not good.
    Failed(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// All has been said already; carries the exit status.
    Told(u8),
}

impl Trouble {
    /// A file operation that went wrong.
    pub fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::System { what: format!("cannot {what} {}", path.display()), why: error.to_string() }
    }

    /// The exit status, as the usage text lists them.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status())
    }

    /// The same as a number.
    pub const fn status(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::System { .. } => 1,
            Self::Usage(_) => 2,
            Self::Missing { .. } => 3,
            Self::Build(_) => 4,
            Self::Interrupted => 130,
            Self::Told(status) => *status,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Missing { what, why, hint } => write!(f, "missing: {what}\n  why: {why}\n  try: {hint}"),
            Self::Build(what) => write!(f, "could not build {what}\n  why: see above"),
            Self::Interrupted => f.write_str("interrupted; everything was cleaned up"),
            Self::Told(_) => Ok(()),
            Self::System { what, why } => write!(f, "{what}\n  why: {why}"),
        }
    }
}
