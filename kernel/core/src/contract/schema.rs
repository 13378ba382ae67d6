//! What a contract holds, and its one spelling as JSON.
//!
//! The payload is this struct as compact JSON with the fields in this order, integers only. [`Contract::parse`] reads
//! it and then writes it again: bytes that come out different were not in the one spelling and are refused, which
//! closes every gap a tolerant reader leaves. There is no map, so no key can stand twice.

use super::bounds::{Limits, PAYLOAD_BYTES_MAX};
use super::error::{ContractError, PayloadFault};
use super::rule::{CallPattern, Rule};
use super::secret::SecretRule;
use crate::digest::Digest;
use crate::hex;
use crate::key::KeyId;
use core::fmt;
use pawang_protocol::{Gas, PluginName};
use serde::{Deserialize, Serialize};

/// The only version there is.
pub const VERSION: u32 = 1;

/// A contract as it was signed. Plain data: that someone signed it is said by [`super::Verified`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// [`VERSION`].
    pub contract: u32,
    /// For people; two contracts may share it.
    pub name: PluginName,
    /// Who signs.
    pub issuer: KeyId,
    /// The daemon that may act on it.
    pub audience: KeyId,
    /// What will be executed.
    pub program: Program,
    /// Which runtime preset it needs, such as `python` or `static`.
    pub runtime: PluginName,
    /// Drawn by whoever signs, so that two contracts of the same text are two accounts.
    pub serial: Serial,
    /// Valid from this time, unix s.
    pub not_before: u64,
    /// Valid before this time, unix s.
    pub not_after: u64,
    /// How many runs, at least 1.
    pub uses: u32,
    /// Digest of the price table it was signed for.
    pub prices: Digest,
    /// How much gas.
    pub gas: GasRules,
    /// What is granted; nothing else is.
    pub allow: Vec<Rule>,
    /// What is refused in spite of a grant.
    pub deny: Vec<Rule>,
    /// What the kernel puts into requests.
    pub secrets: Vec<SecretRule>,
    /// What a run may use of the machine.
    pub limits: Limits,
    /// Who may sign smaller contracts under this one.
    pub delegate: Option<KeyId>,
    /// Digest of the contract this one was cut from.
    pub parent: Option<Digest>,
}

/// The code that a contract is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// What is executed: a binary, or the interpreter of `script`.
    pub executable: FileDigest,
    /// What the interpreter is given.
    pub script: Option<FileDigest>,
    /// Further files of the program: modules, and scripts of its helpers.
    pub files: Vec<FileDigest>,
}

/// A file and what must be in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Absolute path, canonical.
    pub path: String,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

/// What the daemon measured of a program, in the order of the contract's own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramDigests {
    /// Of the executable.
    pub executable: Digest,
    /// Of the script, if the contract names one.
    pub script: Option<Digest>,
    /// Of each further file.
    pub files: Vec<Digest>,
}

/// Gas of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GasRules {
    /// All there is, for all uses together.
    pub limit: Gas,
    /// Sub-ceilings; every one that matches a call applies to it.
    pub each: Vec<EachCeiling>,
}

/// A sub-ceiling of gas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachCeiling {
    /// For calls of these methods together.
    pub call: CallPattern,
    /// This much.
    pub limit: Gas,
}

/// Sixteen random bytes, written as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(pub [u8; 16]);

/// The text is not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASerial;

impl Contract {
    /// Reads a payload. Only its shape: what the contract means is checked by [`super::meaning`].
    ///
    /// # Errors
    /// [`ContractError::TooLong`], [`ContractError::Payload`] or [`ContractError::Version`].
    pub fn parse(payload: &[u8]) -> Result<Self, ContractError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(ContractError::TooLong {
                what: "payload",
                found: payload.len(),
                max: PAYLOAD_BYTES_MAX,
            });
        }
        let contract: Self =
            serde_json::from_slice(payload).map_err(|error| ContractError::payload(&error))?;
        if contract.contract != VERSION {
            return Err(ContractError::Version(contract.contract));
        }
        if contract.to_payload() != payload {
            let fault = PayloadFault::NotCanonical;
            return Err(ContractError::Payload {
                fault,
                why: "written again, it has other bytes".to_owned(),
            });
        }
        Ok(contract)
    }

    /// The bytes to sign. Their SHA-256 is the contract's name.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        // A derived struct of strings and integers has nothing that can fail to be written; were it otherwise, the
        // empty payload is no contract.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Program {
    /// Every file of it: executable, script, further files.
    pub fn pinned(&self) -> impl Iterator<Item = &FileDigest> {
        std::iter::once(&self.executable).chain(&self.script).chain(&self.files)
    }

    /// What must be measured, where everything is as it was signed.
    #[must_use]
    pub fn digests(&self) -> ProgramDigests {
        ProgramDigests {
            executable: self.executable.sha256,
            script: self.script.as_ref().map(|script| script.sha256),
            files: self.files.iter().map(|file| file.sha256).collect(),
        }
    }
}

impl TryFrom<String> for Serial {
    type Error = NotASerial;
    fn try_from(text: String) -> Result<Self, NotASerial> {
        hex::decode(&text).map(Self).ok_or(NotASerial)
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        hex::encode(&serial.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Display for NotASerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a serial; expected 32 lower-case hex digits")
    }
}

impl std::error::Error for NotASerial {}
