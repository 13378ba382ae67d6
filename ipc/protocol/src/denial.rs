//! The two kinds of "no" that travel: a [`Denial`] (the rules refuse) and a [`Failure`] (it was allowed, and went wrong).
//!
//! The third kind, a fault (a peer broke the protocol), never travels: the process is stopped.

use crate::gas::Gas;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Why the rules refuse. The codes are stable; this is the one table of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DenialCode {
    /// No plugin offers this method.
    #[serde(rename = "D101")]
    UnknownMethod,
    /// The resource is not in canonical form, or of the wrong kind for the method.
    #[serde(rename = "D102")]
    MalformedResource,
    /// The call itself is malformed: nested too deep, unknown parent.
    #[serde(rename = "D103")]
    MalformedCall,
    /// The contract grants nothing at all of this method.
    #[serde(rename = "D201")]
    MethodNotGranted,
    /// A deny rule covers it. Deny wins over every grant.
    #[serde(rename = "D202")]
    DeniedByRule,
    /// The method is granted, but not on this resource.
    #[serde(rename = "D203")]
    ResourceNotGranted,
    /// The grant that covers it has no calls left.
    #[serde(rename = "D204")]
    CallsUsedUp,
    /// The contract was revoked.
    #[serde(rename = "D205")]
    Revoked,
    /// The contract has expired.
    #[serde(rename = "D206")]
    Expired,
    /// A secret is bound to this destination and may not travel this way (not https, vault locked, missing).
    #[serde(rename = "D207")]
    SecretRefused,
    /// The kernel's own state; no contract can grant it.
    #[serde(rename = "D208")]
    Protected,
    /// The run has too little gas left for this call.
    #[serde(rename = "D301")]
    OutOfGas,
    /// A sub-ceiling of the contract (`[gas] each`) is reached.
    #[serde(rename = "D302")]
    CeilingReached,
    /// Too many calls are in flight.
    #[serde(rename = "D303")]
    TooManyInFlight,
    /// The call that this one is nested in has too little of its reservation left, or its own `gas_max` is too low.
    #[serde(rename = "D304")]
    ReservationUsedUp,
    /// The contract asked for is not a subset of the one it is cut from.
    #[serde(rename = "D401")]
    NotASubset,
}

/// "No", with everything a person or a program needs to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Stable code.
    pub code: DenialCode,
    /// The method asked for, such as `fs.read`.
    pub call: String,
    /// The resource as the kernel understood it; as it was sent where it could not be understood.
    pub resource: String,
    /// One sentence: why.
    pub reason: String,
    /// The rule that refused, or the nearest grant, as it stands in the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Digest of the contract, hex.
    pub contract: String,
    /// Gas left in the run after this denial was charged.
    pub gas_left: Gas,
    /// Always false: the same call under the same contract is denied again.
    pub retryable: bool,
    /// The lines that would allow it, as TOML; empty where no line can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub allow: String,
}

/// "It was allowed, and did not succeed."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable word, snake_case: `not_found`, `timed_out`, `tool_crashed` …
    pub code: String,
    /// One sentence: what happened and why.
    pub message: String,
    /// What to try; empty where nothing is known.
    #[serde(default, rename = "try", skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Whether the same call may succeed later.
    #[serde(default)]
    pub retryable: bool,
}

impl DenialCode {
    /// The code as it is printed, `D203`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownMethod => "D101",
            Self::MalformedResource => "D102",
            Self::MalformedCall => "D103",
            Self::MethodNotGranted => "D201",
            Self::DeniedByRule => "D202",
            Self::ResourceNotGranted => "D203",
            Self::CallsUsedUp => "D204",
            Self::Revoked => "D205",
            Self::Expired => "D206",
            Self::SecretRefused => "D207",
            Self::Protected => "D208",
            Self::OutOfGas => "D301",
            Self::CeilingReached => "D302",
            Self::TooManyInFlight => "D303",
            Self::ReservationUsedUp => "D304",
            Self::NotASubset => "D401",
        }
    }
}

impl Failure {
    /// A failure without a hint that will not pass by itself.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: String::new(), retryable: false }
    }

    /// The same with what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, said to pass by itself.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl fmt::Display for DenialCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied: {} {} ({} {})", self.call, self.resource, self.code, self.reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; try: {}", self.hint) }
    }
}

impl std::error::Error for Denial {}
impl std::error::Error for Failure {}
