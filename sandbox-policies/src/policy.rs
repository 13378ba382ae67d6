//! One policy file as it is written: rules by name, every one with its reason.
//!
//! Reading is strict: an unknown field, an unknown call, an empty list, a missing reason or a call that no profile may
//! ever allow is an error. What a file *means* together with the file it extends is decided in [`crate::profile`].
//!
//! Deliberately absent: deny rules that win over allow rules. A filter is an allow-list; `refuse` only chooses the
//! errno with which a call that is not allowed is answered.

use crate::never::NEVER;
use crate::syscalls::{Number, number};
use core::fmt;
use serde::Deserialize;

/// What happens to a call that nothing allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Default {
    /// The process is killed. For our own plugins: such a call is a bug or a break-in.
    Kill,
    /// The call fails with EPERM. For foreign programs, which try things and go on.
    Errno,
}

/// When a rule applies at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Where the jail may hold more than one process and they can be counted.
    Tasks,
    /// Where a signal can reach nothing outside the jail.
    Signals,
}

/// How many bits of an argument the kernel looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum Width {
    /// An `int` of the kernel: the upper half is ignored by it, and so must be by the rule.
    Int,
    /// A pointer or a `long`: all bits count.
    Long,
}

/// One condition: `argument & mask` is one of `is`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Which argument, 0 ..= 5.
    pub arg: u8,
    /// How wide it is, 32 where absent.
    #[serde(default = "int")]
    pub width: Width,
    /// The bits that are looked at; all where absent.
    #[serde(default)]
    pub mask: Option<u64>,
    /// The values allowed. Never empty; exactly one where the width is 64.
    pub is: Vec<u64>,
}

/// Calls that are allowed where every condition holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Names of calls.
    pub calls: Vec<String>,
    /// Why they are needed.
    pub why: String,
    /// All must hold; none is asked where absent.
    #[serde(default)]
    pub args: Vec<Condition>,
    /// Absent: always.
    #[serde(default)]
    pub when: Option<When>,
}

/// Calls that are answered with a certain errno instead of the default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// Names of calls.
    pub calls: Vec<String>,
    /// Name of the errno, or `"OK"`: the call is answered as done without being done.
    pub errno: Errno,
    /// Why this answer.
    pub why: String,
}

/// The answers a refusal may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Errno {
    /// Answered with success and not done.
    #[serde(rename = "OK")]
    Pretend,
    /// Permission denied.
    #[serde(rename = "EACCES")]
    Access,
    /// Operation not permitted.
    #[serde(rename = "EPERM")]
    Permission,
    /// As if the kernel had no such call.
    #[serde(rename = "ENOSYS")]
    NoSuchCall,
}

/// One file of `profiles/`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name of the profile, the file's own.
    pub profile: String,
    /// The profile that this one adds to.
    #[serde(default)]
    pub extends: Option<String>,
    /// What happens to all other calls. Said once, in the file that extends nothing.
    #[serde(default)]
    pub default: Option<Default>,
    /// Whether the process keeps the machine's network. Absent: it has none.
    #[serde(default)]
    pub network: bool,
    /// Whether strangers' code runs under it. Absent: our own.
    #[serde(default)]
    pub foreign: bool,
    /// What the profile is for.
    pub why: String,
    /// What is allowed.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// What is refused with a chosen answer.
    #[serde(default)]
    pub refuse: Vec<Refuse>,
}

/// Why a policy cannot be used. All of them are mistakes in a file of `profiles/` or in a name given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// No profile or runtime has this name.
    Unknown(String),
    /// The file is not what the format says; carries the parser's words.
    Malformed(String),
    /// A rule names a call that Linux on x86-64 does not have.
    UnknownCall(String),
    /// A rule names a call that no profile may allow.
    Never(String),
    /// A list is empty or a reason is missing.
    Empty(&'static str),
    /// A condition cannot be expressed in a filter; says which.
    Condition(String),
    /// The rule allows nothing that is not allowed already.
    Redundant(String),
    /// Only the file that extends nothing, and always that file, names the default.
    DefaultMisplaced(String),
    /// The filter has a jump or a length beyond what the kernel takes.
    TooLarge(usize),
}

const fn int() -> Width {
    Width::Int
}

impl TryFrom<u8> for Width {
    type Error = &'static str;
    fn try_from(bits: u8) -> Result<Self, Self::Error> {
        match bits {
            32 => Ok(Self::Int),
            64 => Ok(Self::Long),
            _ => Err("width is 32 or 64"),
        }
    }
}

impl Errno {
    /// The number the kernel returns.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Pretend => 0,
            Self::Permission => 1,
            Self::Access => 13,
            Self::NoSuchCall => 38,
        }
    }
}

impl Policy {
    /// Reads one file.
    ///
    /// # Errors
    /// [`PolicyError`] for anything that is not exactly the format.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text).map_err(|e| PolicyError::Malformed(e.to_string()))?;
        reason(&policy.why)?;
        for rule in &policy.allow {
            reason(&rule.why)?;
            calls(&rule.calls)?;
            forbidden(rule)?;
            rule.args.iter().try_for_each(Condition::check)?;
        }
        for rule in &policy.refuse {
            reason(&rule.why)?;
            calls(&rule.calls)?;
        }
        Ok(policy)
    }
}

impl Condition {
    /// The bits looked at.
    #[must_use]
    pub fn mask(&self) -> u64 {
        self.mask.unwrap_or(match self.width {
            Width::Int => u64::from(u32::MAX),
            Width::Long => u64::MAX,
        })
    }

    fn check(&self) -> Result<(), PolicyError> {
        let refuse = |what: &str| Err(PolicyError::Condition(format!("{what} (argument {})", self.arg)));
        if self.arg > 5 {
            return refuse("a call has arguments 0 to 5");
        }
        if self.is.is_empty() {
            return Err(PolicyError::Empty("is"));
        }
        if self.width == Width::Int && self.mask() > u64::from(u32::MAX) {
            return refuse("the mask is wider than 32 bits");
        }
        if self.width == Width::Long && self.is.len() != 1 {
            return refuse("a 64-bit argument is compared with exactly one value");
        }
        if self.is.iter().any(|value| value & !self.mask() != 0) {
            return refuse("a value has bits outside the mask, so it can never match");
        }
        Ok(())
    }
}

/// The numbers of the calls named.
///
/// # Errors
/// [`PolicyError::Empty`], [`PolicyError::UnknownCall`].
pub fn calls(names: &[String]) -> Result<Vec<Number>, PolicyError> {
    if names.is_empty() {
        return Err(PolicyError::Empty("calls"));
    }
    names.iter().map(|name| number(name).ok_or_else(|| PolicyError::UnknownCall(name.clone()))).collect()
}

fn reason(why: &str) -> Result<(), PolicyError> {
    if why.trim().is_empty() { Err(PolicyError::Empty("why")) } else { Ok(()) }
}

fn forbidden(rule: &Allow) -> Result<(), PolicyError> {
    match rule.calls.iter().find(|call| NEVER.contains(&call.as_str())) {
        Some(call) => Err(PolicyError::Never(call.clone())),
        None => Ok(()),
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "no profile or runtime is called {name:?}"),
            Self::Malformed(what) => write!(f, "not a policy: {what}"),
            Self::UnknownCall(call) => write!(f, "x86-64 has no system call {call:?}"),
            Self::Never(call) => write!(f, "{call:?} is never allowed, by any profile"),
            Self::Empty(field) => write!(f, "{field:?} is empty; empty means none, so the rule says nothing"),
            Self::Condition(what) => write!(f, "condition: {what}"),
            Self::Redundant(call) => write!(f, "{call:?} is allowed already; delete the rule"),
            Self::DefaultMisplaced(profile) => {
                write!(
                    f,
                    "{profile:?}: the default stands in the profile that extends nothing, and only there"
                )
            }
            Self::TooLarge(len) => write!(f, "the filter has {len} instructions or a jump past 255"),
        }
    }
}

impl std::error::Error for PolicyError {}

#[cfg(test)]
mod tests {
    use super::{Policy, PolicyError};

    fn with(rule: &str) -> Result<Policy, PolicyError> {
        Policy::parse(&format!("profile = \"x\"\nwhy = \"w\"\ndefault = \"kill\"\n{rule}"))
    }

    #[test]
    fn a_rule_is_read() {
        let policy = with("[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"").unwrap();
        assert_eq!(policy.allow[0].calls, ["read"]);
    }

    #[test]
    fn f2_a_rule_that_would_do_nothing_is_an_error() {
        let text = |s: &str| s.to_owned();
        for (rule, error) in [
            ("[[allow]]\ncalls = []\nwhy = \"w\"", PolicyError::Empty("calls")),
            ("[[allow]]\ncalls = [\"read\"]\nwhy = \" \"", PolicyError::Empty("why")),
            ("[[allow]]\ncalls = [\"raed\"]\nwhy = \"w\"", PolicyError::UnknownCall(text("raed"))),
            (
                "[[refuse]]\ncalls = [\"raed\"]\nerrno = \"EPERM\"\nwhy = \"w\"",
                PolicyError::UnknownCall(text("raed")),
            ),
            ("[[allow]]\ncalls = [\"ptrace\"]\nwhy = \"w\"", PolicyError::Never(text("ptrace"))),
            (
                "[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\nargs = [{ arg = 0, is = [] }]",
                PolicyError::Empty("is"),
            ),
            (
                "[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\nargs = [{ arg = 6, is = [1] }]",
                PolicyError::Condition(text("a call has arguments 0 to 5 (argument 6)")),
            ),
            (
                "[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\nargs = [{ arg = 0, mask = 1, is = [2] }]",
                PolicyError::Condition(text(
                    "a value has bits outside the mask, so it can never match (argument 0)",
                )),
            ),
            (
                "[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\nargs = [{ arg = 0, width = 64, is = [1, 2] }]",
                PolicyError::Condition(text(
                    "a 64-bit argument is compared with exactly one value (argument 0)",
                )),
            ),
        ] {
            assert_eq!(with(rule), Err(error), "{rule}");
        }
    }

    #[test]
    fn unknown_fields_are_errors() {
        for rule in [
            "deny = 1",
            "[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\nunless = 1",
            "[[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\nargs = [{ arg = 0, is = [1], op = \"eq\" }]",
        ] {
            assert!(matches!(with(rule), Err(PolicyError::Malformed(_))), "{rule}");
        }
    }
}
