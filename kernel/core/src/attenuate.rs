//! A smaller contract for a helper, minted while a run is under way.
//!
//! The run asks in JSON; what it leaves out it does not get. The result keeps the parent's denies, sub-ceilings and
//! ends when the parent ends at the latest, is a proved subset of it, and bears the parent's digest. It needs no
//! signature: it never leaves the kernel. Its gas is carved out of the parent's account by whoever calls this.
//!
//! The other way to a smaller contract is a delegate's signature, offline. [`under`] fills in for it what has to be
//! inherited; what it wrote is proved by the kernel, by the same [`subset()`].
//!
//! Does not: let a helper run code that the parent's signer did not pin.

use crate::contract::bounds::{DEPTH_MAX, PAYLOAD_BYTES_MAX};
use crate::contract::meaning;
use crate::contract::{
    CallPattern, Contract, ContractError, EachCeiling, FileDigest, GasRules, LimitsAsked, NotSubset, Program,
    Rule, Serial, Verified, subset,
};
use crate::digest::Digest;
use crate::method::Methods;
use pawang_protocol::{Gas, PluginName};
use serde::{Deserialize, Serialize};

/// What a run asks for its helper. Absent is none, except where a field says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelperRequest {
    /// The helper's name.
    pub name: PluginName,
    /// Path of a script or program that the parent's contract pins; absent, the parent's own program again.
    #[serde(default)]
    pub program: Option<String>,
    /// Gas, taken from what the parent has left.
    #[serde(default)]
    pub gas: Gas,
    /// Sub-ceilings beside the parent's.
    #[serde(default)]
    pub each: Vec<EachCeiling>,
    /// Lifetime from now, in s; absent or beyond the parent's, until the parent ends.
    #[serde(default)]
    pub ttl_s: Option<u64>,
    /// Grants.
    #[serde(default)]
    pub allow: Vec<Rule>,
    /// Denies beside the parent's.
    #[serde(default)]
    pub deny: Vec<Rule>,
    /// Names of the parent's secrets that it may use, where the parent may.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Limits; each that is absent is the parent's.
    #[serde(default)]
    pub limits: LimitsAsked,
}

/// What the daemon brings to a minting: the time, chance and tables.
#[derive(Debug, Clone, Copy)]
pub struct Mint<'a> {
    /// Unix s.
    pub now: u64,
    /// Drawn for this helper.
    pub serial: Serial,
    /// What can be called.
    pub methods: &'a Methods,
    /// As in [`crate::contract::Admission`].
    pub protected: &'a [&'a str],
}

impl HelperRequest {
    /// Reads the JSON of a run.
    ///
    /// # Errors
    /// [`ContractError::TooLong`] or [`ContractError::Payload`].
    pub fn parse(json: &[u8]) -> Result<Self, ContractError> {
        if json.len() > PAYLOAD_BYTES_MAX {
            return Err(ContractError::TooLong {
                what: "request",
                found: json.len(),
                max: PAYLOAD_BYTES_MAX,
            });
        }
        serde_json::from_slice(json).map_err(|error| ContractError::payload(&error))
    }
}

/// Mints the helper's contract.
///
/// # Errors
/// [`ContractError`]: the request is no part of the parent, or no contract at all.
pub fn mint(parent: &Verified, request: HelperRequest, mint: &Mint) -> Result<Verified, ContractError> {
    let depth = parent.chain.len().saturating_add(1);
    if depth > DEPTH_MAX {
        return Err(ContractError::TooDeep(depth));
    }
    let contract = cut(&parent.contract, request, parent.digest, mint)?;
    meaning::check(&contract, mint.methods, mint.protected)?;
    subset(&contract, &parent.contract).map_err(ContractError::NotASubset)?;
    let payload = contract.to_payload();
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(ContractError::TooLong { what: "payload", found: payload.len(), max: PAYLOAD_BYTES_MAX });
    }
    Ok(Verified::new(Digest::of(&payload), contract, parent.issuer, Some(parent.clone())))
}

/// The contract asked for, with what it inherits filled in. Not yet checked.
fn cut(
    parent: &Contract,
    request: HelperRequest,
    digest: Digest,
    mint: &Mint,
) -> Result<Contract, ContractError> {
    let ttl_end = request.ttl_s.map_or(parent.not_after, |ttl| mint.now.saturating_add(ttl));
    let secrets =
        request.secrets.iter().map(|name| inherited_secrets(parent, name)).collect::<Result<Vec<_>, _>>()?;
    Ok(Contract {
        contract: parent.contract,
        name: request.name,
        issuer: parent.issuer,
        audience: parent.audience,
        program: program_for(parent, request.program)?,
        runtime: parent.runtime.clone(),
        serial: mint.serial,
        not_before: mint.now,
        not_after: ttl_end.min(parent.not_after),
        uses: 1,
        prices: parent.prices,
        gas: GasRules { limit: request.gas, each: merge_each(request.each, &parent.gas.each) },
        allow: request.allow,
        deny: merge_denies(request.deny, &parent.deny),
        secrets: secrets.into_iter().flatten().collect(),
        limits: request.limits.or(&parent.limits),
        delegate: None,
        parent: Some(digest),
    })
}

/// A delegate's contract with what it inherits filled in: program, runtime, denies, sub-ceilings, parent, and no time
/// outside the parent's. Not yet proved to be a part of it: [`subset()`] says that.
#[must_use]
pub fn under(child: Contract, parent: &Contract, parent_digest: Digest) -> Contract {
    Contract {
        audience: parent.audience,
        program: parent.program.clone(),
        runtime: parent.runtime.clone(),
        not_before: child.not_before.max(parent.not_before),
        not_after: child.not_after.min(parent.not_after),
        prices: parent.prices,
        gas: GasRules { limit: child.gas.limit, each: merge_each(child.gas.each, &parent.gas.each) },
        deny: merge_denies(child.deny, &parent.deny),
        parent: Some(parent_digest),
        ..child
    }
}

fn inherited_secrets(
    parent: &Contract,
    name: &str,
) -> Result<Vec<crate::contract::SecretRule>, ContractError> {
    let own: Vec<_> = parent.secrets.iter().filter(|secret| secret.name == name).cloned().collect();
    if own.is_empty() { Err(ContractError::NotASubset(NotSubset::Secret(name.to_owned()))) } else { Ok(own) }
}

/// The parent's program again, or another of its pinned files: as the script where the parent runs a script, else
/// as the executable.
fn program_for(parent: &Contract, path: Option<String>) -> Result<Program, ContractError> {
    let Some(path) = path else { return Ok(parent.program.clone()) };
    let pinned = |file: &&FileDigest| file.path == path;
    let Some(file) = parent.program.pinned().find(pinned).cloned() else {
        return Err(ContractError::NotASubset(NotSubset::Program(path)));
    };
    let (executable, script) = match &parent.program.script {
        Some(_) => (parent.program.executable.clone(), Some(file)),
        None => (file, None),
    };
    Ok(Program { executable, script, files: parent.program.files.clone() })
}

/// The parent's sub-ceilings, and the helper's own where they are lower or new.
fn merge_each(own: Vec<EachCeiling>, parent: &[EachCeiling]) -> Vec<EachCeiling> {
    let mut merged = parent.to_vec();
    for ceiling in own {
        let same = |call: &CallPattern| *call == ceiling.call;
        match merged.iter_mut().find(|there| same(&there.call)) {
            Some(there) => there.limit = there.limit.min(ceiling.limit),
            None => merged.push(ceiling),
        }
    }
    merged
}

/// The parent's denies, and the helper's own that are not among them.
fn merge_denies(own: Vec<Rule>, parent: &[Rule]) -> Vec<Rule> {
    let mut merged = parent.to_vec();
    merged.extend(own.into_iter().filter(|rule| !parent.contains(rule)));
    merged
}
