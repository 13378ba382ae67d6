//! The error of the command line: what happened, why, what to try; three lines, and the exit code.
//!
//! It ends the command, so it holds text made for the reader, where the libraries below hold facts. All text that
//! came from elsewhere is cleaned when it is printed.

use crate::clean::clean;
use crate::exit::Exit;
use pawang_protocol::Failure;
use std::fmt;
use std::io;
use std::path::Path;

/// Why a command could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How the command ends.
    pub exit: Exit,
    /// What did not happen.
    pub what: String,
    /// Why; empty where `what` says it all.
    pub why: String,
    /// What to try; empty where nothing is known.
    pub hint: String,
}

/// What commands return.
pub type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    /// With nothing to say but what happened.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: String::new(), hint: String::new() }
    }

    /// The same, and why.
    #[must_use]
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    /// The same, and what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// A file that could not be used: `act` is what was tried ("read", "write").
    pub fn file(act: &str, path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Self::new(exit, format!("cannot {act} {}", path.display())).why(error)
    }

    /// What the daemon refused or could not do: `what` is what was asked of it.
    pub fn daemon(what: &str, failure: Failure) -> Self {
        let why = format!("{} ({})", failure.message, failure.code);
        Self { exit: exit_of(&failure.code), what: what.to_owned(), why, hint: failure.hint }
    }
}

/// The exit code of a failure the daemon reports. What is not listed is a plain failure.
fn exit_of(code: &str) -> Exit {
    match code {
        _ if code.starts_with("contract_") => Exit::Refused,
        _ if code.starts_with("no_such_") => Exit::NotFound,
        "ambiguous" | "too_short" | "gone" => Exit::NotFound,
        "not_a_program" | "bad_path" | "bad_cwd" | "bad_env" | "runtime" => Exit::Refused,
        "bad_passphrase" | "vault" | "vault_key" | "bad_trust_store" | "bad_secret_name" | "too_large"
        | "vault_locked" => Exit::Refused,
        "log_broken" => Exit::LogBroken,
        word if CONTRACT_CODES.contains(&word) => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// The words of `pawang_core::contract::ContractError::code`.
const CONTRACT_CODES: &[&str] = &[
    "too_long",
    "not_an_envelope",
    "wrong_payload_type",
    "weak_key",
    "not_a_key",
    "unknown_key",
    "wrong_purpose",
    "key_expired",
    "tampered",
    "wrong_version",
    "issuer_mismatch",
    "wrong_audience",
    "not_yet_valid",
    "expired",
    "prices_changed",
    "wrong_program",
    "over_ceiling",
    "protected",
    "bad_rule",
    "bad_secret",
    "bad_value",
    "not_a_subset",
    "parent_mismatch",
    "not_delegated",
    "too_deep",
    "not_json",
    "duplicate_key",
    "unknown_field",
    "missing_field",
    "wrong_type",
    "not_canonical",
    "revoked",
    "used_up",
    "out_of_gas",
    "not_admitted",
];

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", lines(&self.what))?;
        if !self.why.is_empty() {
            write!(f, "\n  why: {}", lines(&self.why))?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n  try: {}", lines(&self.hint))?;
        }
        Ok(())
    }
}

/// Cleaned, further lines indented under the first.
fn lines(text: &str) -> String {
    text.trim_end().lines().map(clean).collect::<Vec<_>>().join("\n       ")
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::{Exit, Trouble};
    use pawang_protocol::Failure;

    #[test]
    fn an_error_is_what_why_and_what_to_try() {
        let trouble = Trouble::new(Exit::Failed, "cannot do it").why("one\ntwo\x1b[2J").hint("another way");
        assert_eq!(trouble.to_string(), "cannot do it\n  why: one\n       two\\x1b[2J\n  try: another way");
        assert_eq!(Trouble::new(Exit::Failed, "cannot do it").to_string(), "cannot do it");
    }

    #[test]
    fn what_the_daemon_refuses_keeps_its_word_and_gets_an_exit_code() {
        for (code, exit) in [
            ("tampered", Exit::Refused),
            ("contract_tampered", Exit::Refused),
            ("used_up", Exit::Refused),
            ("no_such_run", Exit::NotFound),
            ("log_unwritable", Exit::Failed),
            ("log_broken", Exit::LogBroken),
            ("something_new", Exit::Failed),
        ] {
            let trouble =
                Trouble::daemon("the run was not started", Failure::new(code, "so it is").hint("this"));
            assert_eq!(trouble.exit, exit, "{code}");
            assert_eq!((trouble.why, trouble.hint), (format!("so it is ({code})"), "this".to_owned()));
        }
    }
}
