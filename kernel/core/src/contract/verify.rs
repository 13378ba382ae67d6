//! From bytes to a contract that may be acted on.
//!
//! The order is the promise: size, frame, trusted key, signature over the exact bytes; only then is the payload
//! parsed, and then asked: is it what its signer may sign, for this daemon, now, at these prices, for this program?
//! A chain is walked from its root, whose key must be in the trust store; each further contract must be signed by
//! the delegate of the one above and be a subset of it.
//!
//! Does not: know whether a contract was spent or revoked. That is booked on [`Verified::digest`] by the ledger.

use super::envelope::{Envelope, Link};
use super::error::ContractError;
use super::meaning;
use super::schema::{Contract, ProgramDigests};
use super::subset::subset;
use crate::digest::Digest;
use crate::key::KeyId;
use crate::method::Methods;
use crate::trust::TrustStore;
use std::sync::Arc;

/// What this daemon is and knows when a contract is presented.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// The time, unix s.
    pub now: u64,
    /// This daemon's key.
    pub audience: &'a KeyId,
    /// The price table in force.
    pub prices: &'a Digest,
    /// What was measured of the program; without it, [`Verified::check_program`] must be called before the launch.
    pub program: Option<&'a ProgramDigests>,
    /// Canonical paths that no contract may reach, such as the daemon's state directory. `/proc` is always among them.
    pub protected: &'a [&'a str],
    /// Whose signature counts, and how far.
    pub trust: &'a TrustStore,
    /// What can be called.
    pub methods: &'a Methods,
}

/// A contract that may be acted on. Made by [`verify()`] and, for helpers, by [`crate::attenuate::mint`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// SHA-256 of the payload: the name that gas and uses are booked on.
    pub digest: Digest,
    /// What was signed.
    pub contract: Arc<Contract>,
    /// Who signed it; for a helper's contract, who signed the one it was minted from.
    pub issuer: KeyId,
    /// Digests of all contracts it was cut from, nearest first. What it spends is theirs too.
    pub chain: Vec<Digest>,
    /// The same contracts, nearest first.
    pub parents: Vec<Arc<Verified>>,
}

/// Checks everything that can be checked without an account.
///
/// # Errors
/// [`ContractError`]: the first fault in the order of this module's description.
pub fn verify(envelope: &[u8], admission: &Admission) -> Result<Verified, ContractError> {
    let envelope = Envelope::parse(envelope)?;
    let mut above: Option<Verified> = None;
    for link in envelope.links().rev() {
        above = Some(match above {
            None => root(link, admission)?,
            Some(parent) => child(link, parent, admission)?,
        });
    }
    let verified = above.ok_or(ContractError::ParentMismatch)?;
    match admission.program {
        Some(measured) => verified.check_program(measured).map(|()| verified),
        None => Ok(verified),
    }
}

/// The first contract of a chain: signed by a key of the trust store, within that key's ceiling.
fn root(link: &Link, admission: &Admission) -> Result<Verified, ContractError> {
    let entry = admission.trust.signer(&link.key, admission.now)?;
    let contract = read(link, admission)?;
    if contract.parent.is_some() {
        return Err(ContractError::ParentMismatch);
    }
    entry
        .ceiling
        .admits(&contract)
        .map_err(|beyond| ContractError::OverCeiling { name: entry.name.clone(), beyond })?;
    Ok(Verified::new(Digest::of(&link.payload), contract, link.key, None))
}

/// A further contract: signed by the parent's delegate, cut from exactly that parent, and a subset of it.
fn child(link: &Link, parent: Verified, admission: &Admission) -> Result<Verified, ContractError> {
    if parent.contract.delegate != Some(link.key) {
        return Err(ContractError::NotDelegated(link.key));
    }
    let contract = read(link, admission)?;
    if contract.parent != Some(parent.digest) {
        return Err(ContractError::ParentMismatch);
    }
    subset(&contract, &parent.contract).map_err(ContractError::NotASubset)?;
    Ok(Verified::new(Digest::of(&link.payload), contract, link.key, Some(parent)))
}

/// Signature first, then the payload and what it says of itself.
fn read(link: &Link, admission: &Admission) -> Result<Contract, ContractError> {
    if !link.verifies() {
        return Err(ContractError::Tampered(link.key));
    }
    let contract = Contract::parse(&link.payload)?;
    if contract.issuer != link.key {
        return Err(ContractError::IssuerMismatch { named: contract.issuer, signed: link.key });
    }
    if contract.audience != *admission.audience {
        return Err(ContractError::WrongAudience(contract.audience));
    }
    if contract.prices != *admission.prices {
        return Err(ContractError::PricesChanged { signed: contract.prices, now: *admission.prices });
    }
    meaning::check(&contract, admission.methods, admission.protected)?;
    check_time(&contract, admission.now)?;
    Ok(contract)
}

/// `not_before <= now < not_after`.
fn check_time(contract: &Contract, now: u64) -> Result<(), ContractError> {
    let Contract { not_before, not_after, .. } = *contract;
    if now < not_before {
        return Err(ContractError::NotYetValid { not_before, now });
    }
    if now >= not_after { Err(ContractError::Expired { not_after, now }) } else { Ok(()) }
}

impl Verified {
    /// Private to the crate: the callers prove what the type promises.
    pub(crate) fn new(digest: Digest, contract: Contract, issuer: KeyId, parent: Option<Self>) -> Self {
        let parents: Vec<Arc<Self>> = parent
            .into_iter()
            .flat_map(|parent| {
                let above = parent.parents.clone();
                std::iter::once(Arc::new(parent)).chain(above)
            })
            .collect();
        let chain = parents.iter().map(|parent| parent.digest).collect();
        Self { digest, contract: Arc::new(contract), issuer, chain, parents }
    }

    /// Whether it is still, or already, the time for it. For a contract that was verified a while ago.
    ///
    /// # Errors
    /// [`ContractError::NotYetValid`] or [`ContractError::Expired`].
    pub fn check_time(&self, now: u64) -> Result<(), ContractError> {
        check_time(&self.contract, now)
    }

    /// Whether the program is what was signed, file by file.
    ///
    /// # Errors
    /// [`ContractError::WrongProgram`] for the first file that is not.
    pub fn check_program(&self, measured: &ProgramDigests) -> Result<(), ContractError> {
        let program = &self.contract.program;
        let found = std::iter::once(Some(measured.executable))
            .chain(program.script.iter().map(|_| measured.script))
            .chain(measured.files.iter().copied().map(Some).chain(std::iter::repeat(None)));
        for (file, found) in program.pinned().zip(found) {
            if found != Some(file.sha256) {
                return Err(ContractError::WrongProgram {
                    path: file.path.clone(),
                    signed: file.sha256,
                    found,
                });
            }
        }
        let more = measured.files.len() > program.files.len()
            || (program.script.is_none() && measured.script.is_some());
        if more {
            let (path, signed) = (program.executable.path.clone(), program.executable.sha256);
            return Err(ContractError::WrongProgram { path, signed, found: None });
        }
        Ok(())
    }
}
