//! Every reason why a contract is not admitted: one variant, one stable code word, one thing to try.
//!
//! The facts are in the variants. `Display` says what and why in one line; [`ContractError::hint`] says what to try.

use super::bounds::DEPTH_MAX;
use super::rule::RuleFault;
use super::secret::SecretFault;
use super::subset::NotSubset;
use crate::digest::Digest;
use crate::key::{KeyError, KeyId};
use core::fmt;
use pawang_protocol::Failure;

/// Why a contract is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractError {
    /// More bytes or more entries than are allowed.
    TooLong {
        /// Of what.
        what: &'static str,
        /// How many were found.
        found: usize,
        /// How many are allowed.
        max: usize,
    },
    /// Not a DSSE envelope with one signature; carries what is wrong.
    Envelope(String),
    /// Signed as something else than a contract of version 1; carries the payload type.
    PayloadType(String),
    /// The key in the envelope is no usable key.
    Key(KeyError),
    /// Nobody this daemon trusts.
    UnknownKey(KeyId),
    /// Trusted, but not for contracts; carries the name in the trust store.
    WrongPurpose(String),
    /// Trusted until a time that is past.
    KeyExpired {
        /// Name in the trust store.
        name: String,
        /// Unix s.
        not_after: u64,
    },
    /// The signature does not fit the bytes.
    Tampered(KeyId),
    /// The payload is not a contract in its one spelling.
    Payload {
        /// What kind of fault.
        fault: PayloadFault,
        /// The parser's words.
        why: String,
    },
    /// A version that this kernel does not know.
    Version(u32),
    /// Signed by another key than it names as its issuer.
    IssuerMismatch {
        /// Named in the payload.
        named: KeyId,
        /// Who signed.
        signed: KeyId,
    },
    /// Made for another daemon.
    WrongAudience(KeyId),
    /// Not valid yet.
    NotYetValid {
        /// Unix s.
        not_before: u64,
        /// Unix s.
        now: u64,
    },
    /// Not valid any more.
    Expired {
        /// Unix s.
        not_after: u64,
        /// Unix s.
        now: u64,
    },
    /// Signed for another price table.
    PricesChanged {
        /// The table it was signed for.
        signed: Digest,
        /// The table in force.
        now: Digest,
    },
    /// A file of the program is not what was signed.
    WrongProgram {
        /// Its path.
        path: String,
        /// The digest signed.
        signed: Digest,
        /// The digest found; none where it was not measured at all.
        found: Option<Digest>,
    },
    /// More than the issuer may sign.
    OverCeiling {
        /// Name of the issuer in the trust store.
        name: String,
        /// What is beyond the ceiling.
        beyond: NotSubset,
    },
    /// A rule that cannot be enforced or has no effect.
    Rule {
        /// As it is written.
        rule: String,
        /// What is wrong.
        fault: RuleFault,
    },
    /// A secret that cannot be sent as asked.
    Secret {
        /// Its name.
        name: String,
        /// What is wrong.
        fault: SecretFault,
    },
    /// A field whose value is out of range.
    Value {
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Beyond the contract it was cut from.
    NotASubset(NotSubset),
    /// It was cut from another contract than the one that comes with it, or from none that comes with it.
    ParentMismatch,
    /// Signed by another key than the parent names as its delegate.
    NotDelegated(KeyId),
    /// More than [`DEPTH_MAX`] parents.
    TooDeep(usize),
}

/// What is wrong with the text of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFault {
    /// Not JSON.
    NotJson,
    /// A key that stands twice.
    DuplicateKey,
    /// A field that no contract has.
    UnknownField,
    /// A field that every contract has.
    MissingField,
    /// Another type, a fraction, a negative or too large a number.
    WrongType,
    /// The right type, but not a value of the field.
    BadValue,
    /// Readable, but not in the one spelling.
    NotCanonical,
}

impl ContractError {
    /// The stable word of this fault.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Envelope(_) => "not_an_envelope",
            Self::PayloadType(_) => "wrong_payload_type",
            Self::Key(KeyError::Weak) => "weak_key",
            Self::Key(_) => "not_a_key",
            Self::UnknownKey(_) => "unknown_key",
            Self::WrongPurpose(_) => "wrong_purpose",
            Self::KeyExpired { .. } => "key_expired",
            Self::Tampered(_) => "tampered",
            Self::Payload { fault, .. } => fault.code(),
            Self::Version(_) => "wrong_version",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::WrongAudience(_) => "wrong_audience",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::PricesChanged { .. } => "prices_changed",
            Self::WrongProgram { .. } => "wrong_program",
            Self::OverCeiling { .. } => "over_ceiling",
            Self::Rule { fault: RuleFault::Protected(_), .. } => "protected",
            Self::Rule { .. } => "bad_rule",
            Self::Secret { .. } => "bad_secret",
            Self::Value { .. } => "bad_value",
            Self::NotASubset(_) => "not_a_subset",
            Self::ParentMismatch => "parent_mismatch",
            Self::NotDelegated(_) => "not_delegated",
            Self::TooDeep(_) => "too_deep",
        }
    }

    /// What to try; empty where the message says it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "split the work over several contracts",
            Self::Envelope(_) | Self::PayloadType(_) => "give the file that `pawang contract sign` wrote",
            Self::Key(_) => "make a new key with `pawang key new` and sign again",
            Self::UnknownKey(_) => "if you know whose key it is: `pawang trust add`",
            Self::WrongPurpose(_) => "sign with a key that is trusted for contracts",
            Self::KeyExpired { .. } => "renew the key with `pawang trust add`, or sign with another",
            Self::Tampered(_) => "get the contract again from whoever signed it; do not repair it",
            Self::Payload { .. } | Self::Version(_) => "sign it with the `pawang` of this version",
            Self::IssuerMismatch { .. } => "sign with the key that the contract names as issuer",
            Self::WrongAudience(_) => "sign it for this daemon; `pawang key show` prints its key",
            Self::NotYetValid { .. } => "wait, or check this machine's clock",
            Self::Expired { .. } => "sign a new contract",
            Self::PricesChanged { .. } => "check the gas against the new prices and sign again",
            Self::WrongProgram { .. } => "look at what changed in the program, then sign again",
            Self::OverCeiling { .. } => {
                "sign for less, or have the operator raise the ceiling with `pawang trust add`"
            }
            Self::Rule { fault: RuleFault::Protected(_), .. } => {
                "grant the directories the program needs, one by one"
            }
            Self::Rule { .. } | Self::Secret { .. } | Self::Value { .. } => "correct it and sign again",
            Self::NotASubset(_) => "ask for less, or sign a contract of its own",
            Self::ParentMismatch => "present it together with the contracts it was cut from, nearest first",
            Self::NotDelegated(_) => "sign with the key that the parent names as its delegate",
            Self::TooDeep(_) => "cut it from a contract nearer to the first",
        }
    }

    /// Sorts what serde says of a payload. Serde's wording is held by the tests of this crate.
    pub(crate) fn payload(error: &serde_json::Error) -> Self {
        let why = error.to_string();
        let fault = match () {
            () if !error.is_data() => PayloadFault::NotJson,
            () if why.starts_with("duplicate field") => PayloadFault::DuplicateKey,
            () if why.starts_with("unknown field") => PayloadFault::UnknownField,
            () if why.starts_with("missing field") => PayloadFault::MissingField,
            () if ["invalid type", "invalid value", "invalid length"]
                .iter()
                .any(|kind| why.starts_with(kind)) =>
            {
                PayloadFault::WrongType
            }
            () => PayloadFault::BadValue,
        };
        Self::Payload { fault, why }
    }
}

impl PayloadFault {
    const fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::DuplicateKey => "duplicate_key",
            Self::UnknownField => "unknown_field",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::BadValue => "bad_value",
            Self::NotCanonical => "not_canonical",
        }
    }
}

impl From<&ContractError> for Failure {
    fn from(error: &ContractError) -> Self {
        Self::new(error.code(), error.to_string()).hint(error.hint())
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { what, found, max } => {
                write!(f, "{what} too long: {found}, at most {max} are allowed")
            }
            Self::Envelope(why) => write!(f, "not a signed contract: {why}"),
            Self::PayloadType(found) => write!(f, "not a signed contract: it is signed as {found:?}"),
            Self::Key(error) => write!(f, "key of the signature refused: {error}"),
            Self::UnknownKey(key) => write!(f, "unknown key: nobody here trusts {key}"),
            Self::WrongPurpose(name) => {
                write!(f, "wrong purpose: the key of {name} is not trusted for contracts")
            }
            Self::KeyExpired { name, not_after } => {
                write!(f, "key expired: the key of {name} was trusted until {not_after} (unix s)")
            }
            Self::Tampered(key) => write!(f, "tampered: the signature of {key} does not fit these bytes"),
            Self::Payload { why, .. } => write!(f, "payload refused: {why}"),
            Self::Version(found) => write!(f, "contract of version {found}; this kernel knows version 1"),
            Self::IssuerMismatch { named, signed } => {
                write!(f, "issuer mismatch: it names {named} and is signed by {signed}")
            }
            Self::WrongAudience(audience) => {
                write!(f, "wrong audience: it is made for the daemon {audience}")
            }
            Self::NotYetValid { not_before, now } => {
                write!(f, "not yet valid: valid from {not_before}, and it is {now} (unix s)")
            }
            Self::Expired { not_after, now } => {
                write!(f, "expired: valid until {not_after}, and it is {now} (unix s)")
            }
            Self::PricesChanged { signed, now } => {
                write!(f, "prices changed: signed for table {}, in force is {}", signed.short(), now.short())
            }
            Self::WrongProgram { path, signed, found: Some(found) } => {
                write!(f, "wrong program: {path} has digest {}, signed is {}", found.short(), signed.short())
            }
            Self::WrongProgram { path, signed, found: None } => {
                write!(f, "wrong program: {path} with digest {} was not presented", signed.short())
            }
            Self::OverCeiling { name, beyond } => write!(f, "over the ceiling of {name}: {beyond}"),
            Self::Rule { rule, fault } => write!(f, "rule refused: {rule}: {fault}"),
            Self::Secret { name, fault } => write!(f, "secret {name} refused: {fault}"),
            Self::Value { field, why } => write!(f, "{field} refused: {why}"),
            Self::NotASubset(beyond) => write!(f, "not a subset of the contract it was cut from: {beyond}"),
            Self::ParentMismatch => {
                f.write_str("parent mismatch: it was cut from another contract than it comes with")
            }
            Self::NotDelegated(key) => {
                write!(f, "not delegated: the parent lets nobody or another key than {key} sign")
            }
            Self::TooDeep(depth) => write!(f, "too deep: {depth} parents, at most {DEPTH_MAX} are allowed"),
        }
    }
}

impl std::error::Error for ContractError {}
