//! What is wrong with a source, and on which line.

use crate::contract::error::ContractError;
use crate::contract::rule::RuleFault;
use crate::key::KeyError;
use core::fmt;

/// A fault with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub fault: SourceFault,
}

/// What is wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFault {
    /// Not TOML, or a field that is unknown, missing or of the wrong type; carries the parser's words.
    Toml(String),
    /// Not a whole number of s, m, h or d.
    Duration(String),
    /// `[program]` names other files than were measured.
    OtherProgram,
    /// The delegate is no usable key.
    Delegate(KeyError),
    /// A fault that the contract would have.
    Contract(ContractError),
    /// A policy test that names more than one resource.
    TestResource,
    /// A policy test that came out otherwise.
    Test {
        /// The call.
        call: String,
        /// What the test expects.
        expected: String,
        /// What the policy says.
        found: String,
    },
}

impl SourceError {
    pub(super) fn at(toml: &str, at: usize, fault: SourceFault) -> Self {
        let before = toml.get(..at).unwrap_or_default();
        let line = before.bytes().filter(|&b| b == b'\n').count().saturating_add(1);
        let column = before.chars().rev().take_while(|&c| c != '\n').count().saturating_add(1);
        Self { line, column, fault }
    }

    /// The stable word of this fault.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match &self.fault {
            SourceFault::Toml(_) => "not_a_source",
            SourceFault::Duration(_) => "bad_value",
            SourceFault::OtherProgram => "wrong_program",
            SourceFault::Delegate(KeyError::Weak) => "weak_key",
            SourceFault::Delegate(_) => "not_a_key",
            SourceFault::Contract(error) => error.code(),
            SourceFault::TestResource | SourceFault::Test { .. } => "test_failed",
        }
    }

    /// What to try; empty where the message says it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match &self.fault {
            SourceFault::Toml(_) => "`pawang contract new` writes one to start from",
            SourceFault::Duration(_) => "write it as 90s, 30m, 2h or 7d",
            SourceFault::OtherProgram => "name the same program in both places, or in one only",
            SourceFault::Delegate(_) => "`pawang key show` prints a key as it is written here",
            SourceFault::Contract(error) => match error {
                ContractError::Rule { fault: RuleFault::Protected(_), .. }
                | ContractError::TooLong { .. } => error.hint(),
                _ => "correct this line",
            },
            SourceFault::TestResource => "give the one of http, path, argv and name that the call is about",
            SourceFault::Test { .. } => "correct the rules, or the test",
        }
    }
}

impl From<ContractError> for SourceFault {
    fn from(error: ContractError) -> Self {
        Self::Contract(error)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.fault)
    }
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(why) => f.write_str(why),
            Self::Duration(found) => write!(f, "{found:?} is no duration"),
            Self::OtherProgram => f.write_str("[program] names another program than is to be run"),
            Self::Delegate(error) => write!(f, "delegate refused: {error}"),
            Self::Contract(error) => error.fmt(f),
            Self::TestResource => f.write_str("the test names more than one resource"),
            Self::Test { call, expected, found } => {
                write!(f, "the test of {call} expects {expected}, and the contract says {found}")
            }
        }
    }
}

impl std::error::Error for SourceError {}
