//! Whose signature counts, and how far.
//!
//! The key inside an envelope is never trusted by itself (f55): it must stand here, with a purpose, and with a ceiling
//! that what it signs may not exceed. A ceiling is written like a contract and compared by the same function that
//! compares contracts, so "may sign nothing beyond it" is proved and not judged. What a ceiling leaves out is zero:
//! the entry `{"key": …, "name": …}` may sign nothing that grants anything.
//!
//! Two patterns exist only here: any host (`* https://**`) and any command (`argv = ["**"]`).

use crate::contract::bounds::{GAS_MAX, Limits, TTL_S_MAX, USES_MAX};
use crate::contract::http_pattern::UrlPattern;
use crate::contract::pattern::{Pattern, Reach, Tree};
use crate::contract::subset::{grants_within, limits_within};
use crate::contract::{CallPattern, Contract, ContractError, NotSubset, Rule, RuleFault, SecretRule};
use crate::key::KeyId;
use crate::method::{Method, Methods, ResourceKind};
use core::fmt;
use pawang_protocol::limits::NAME_MAX;
use pawang_protocol::{Gas, PluginName};
use serde::{Deserialize, Serialize};

/// The only version of the file there is.
const VERSION: u32 = 1;
/// Largest trust store, in bytes; and most entries in it. A daemon trusts people and services, not a directory.
pub const TRUST_BYTES_MAX: usize = 1 << 20;
/// See [`TRUST_BYTES_MAX`].
pub const TRUST_ENTRIES_MAX: usize = 256;

/// The keys this daemon accepts. Starts empty, and empty trusts nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustStore {
    trust: u32,
    keys: Vec<TrustEntry>,
}

/// One accepted key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustEntry {
    /// The key.
    pub key: KeyId,
    /// For people; one name, one key.
    pub name: String,
    /// What it may sign; none by default.
    #[serde(default)]
    pub purposes: Vec<Purpose>,
    /// Trusted before this time, unix s; absent, until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// How far; nothing by default.
    #[serde(default)]
    pub ceiling: Ceiling,
}

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Contracts.
    Contract,
}

/// The most that one key may sign. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// Gas of one contract.
    pub gas: Gas,
    /// Time from not-before to not-after, in s.
    pub ttl_s: u64,
    /// Uses of one contract.
    pub uses: u32,
    /// Grants must lie within these.
    pub allow: Vec<Rule>,
    /// Secrets must lie within these.
    pub secrets: Vec<CeilingSecret>,
    /// No limit may be higher than these.
    pub limits: Limits,
}

/// Which secret may be bound where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeilingSecret {
    /// Its name, or `*` for any.
    pub name: String,
    /// The URLs it may be bound to.
    pub to: UrlPattern,
}

/// Why a trust store was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustError {
    /// Too large; carries bytes or entries found and allowed.
    TooLong(usize, usize),
    /// Not the JSON of a trust store; carries the parser's words.
    Malformed(String),
    /// A version this kernel does not know.
    Version(u32),
    /// A name that is empty, longer than 64 bytes or not printable.
    Name,
    /// A key or a name that stands twice; carries it.
    Twice(String),
    /// A rule of a ceiling that means nothing; carries it.
    Rule(String, RuleFault),
}

impl TrustStore {
    /// Trusts nobody.
    #[must_use]
    pub const fn empty() -> Self {
        Self { trust: VERSION, keys: Vec::new() }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`TrustError`]; a weak key is among what is malformed.
    pub fn parse(text: &str, methods: &Methods) -> Result<Self, TrustError> {
        if text.len() > TRUST_BYTES_MAX {
            return Err(TrustError::TooLong(text.len(), TRUST_BYTES_MAX));
        }
        let read: Self =
            serde_json::from_str(text).map_err(|error| TrustError::Malformed(error.to_string()))?;
        if read.trust != VERSION {
            return Err(TrustError::Version(read.trust));
        }
        let mut store = Self::empty();
        read.keys.into_iter().try_for_each(|entry| store.add(entry, methods))?;
        Ok(store)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`TrustError`]: the key or its name is there already, or a rule of its ceiling means nothing.
    pub fn add(&mut self, entry: TrustEntry, methods: &Methods) -> Result<(), TrustError> {
        if self.keys.len() >= TRUST_ENTRIES_MAX {
            return Err(TrustError::TooLong(self.keys.len().saturating_add(1), TRUST_ENTRIES_MAX));
        }
        if entry.name.is_empty() || entry.name.len() > NAME_MAX || entry.name.chars().any(char::is_control) {
            return Err(TrustError::Name);
        }
        if let Some(there) = self.keys.iter().find(|own| own.key == entry.key || own.name == entry.name) {
            return Err(TrustError::Twice(there.name.clone()));
        }
        for rule in &entry.ceiling.allow {
            rule.methods(methods).map_err(|fault| TrustError::Rule(rule.to_string(), fault))?;
        }
        self.keys.push(entry);
        Ok(())
    }

    /// Removes the entry with this name or key; whether there was one.
    pub fn remove(&mut self, name_or_key: &str) -> bool {
        let before = self.keys.len();
        self.keys.retain(|entry| entry.name != name_or_key && entry.key.to_string() != name_or_key);
        self.keys.len() < before
    }

    /// All entries, in the order they were added.
    #[must_use]
    pub fn entries(&self) -> &[TrustEntry] {
        &self.keys
    }

    /// The entry of a key that may sign contracts at this time.
    ///
    /// # Errors
    /// [`ContractError::UnknownKey`], [`ContractError::WrongPurpose`] or [`ContractError::KeyExpired`].
    pub fn signer(&self, key: &KeyId, now: u64) -> Result<&TrustEntry, ContractError> {
        let entry =
            self.keys.iter().find(|entry| entry.key == *key).ok_or(ContractError::UnknownKey(*key))?;
        if !entry.purposes.contains(&Purpose::Contract) {
            return Err(ContractError::WrongPurpose(entry.name.clone()));
        }
        match entry.not_after {
            Some(not_after) if now >= not_after => {
                Err(ContractError::KeyExpired { name: entry.name.clone(), not_after })
            }
            _ => Ok(entry),
        }
    }
}

impl Ceiling {
    /// For the operator's own key: every method with its broadest pattern and the highest bounds a contract can
    /// have. Written out rule by rule, so that the file shows what is trusted, and not limitless: what no contract
    /// may say, this may not either.
    #[must_use]
    pub fn operator(methods: &Methods) -> Self {
        let mut allow: Vec<Rule> = Vec::new();
        for (_, row) in methods.iter() {
            let call = widest_call(row, methods);
            for pattern in broadest(row.resource) {
                let rule = Rule { call: call.clone(), pattern, max_calls: None };
                if !allow.contains(&rule) {
                    allow.push(rule);
                }
            }
        }
        let secrets = ["https://**", "http://**"].into_iter().filter_map(|to| UrlPattern::parse(to).ok());
        Self {
            gas: Gas(GAS_MAX),
            ttl_s: TTL_S_MAX,
            uses: USES_MAX,
            allow,
            secrets: secrets.map(|to| CeilingSecret { name: "*".to_owned(), to }).collect(),
            limits: Limits::MOST,
        }
    }

    /// Whether a contract is within it.
    ///
    /// # Errors
    /// [`NotSubset`]: the first thing beyond.
    pub fn admits(&self, contract: &Contract) -> Result<(), NotSubset> {
        if contract.gas.limit > self.gas {
            return Err(NotSubset::Gas { asked: contract.gas.limit, most: self.gas });
        }
        if contract.not_after.saturating_sub(contract.not_before) > self.ttl_s {
            return Err(NotSubset::Lifetime);
        }
        if contract.uses > self.uses {
            return Err(NotSubset::Uses { asked: contract.uses, most: self.uses });
        }
        limits_within(&contract.limits, &self.limits)?;
        grants_within(&contract.allow, &self.allow)?;
        match contract.secrets.iter().find(|secret| !self.secrets.iter().any(|own| own.covers(secret))) {
            Some(secret) => Err(NotSubset::Secret(secret.name.clone())),
            None => Ok(()),
        }
    }
}

impl CeilingSecret {
    fn covers(&self, secret: &SecretRule) -> bool {
        (self.name == "*" || self.name == secret.name) && self.to.covers(&secret.to)
    }
}

/// `plugin.*` where one pattern fits all methods of the plugin, so that a contract may say so too; else the method alone.
fn widest_call(row: &Method, methods: &Methods) -> CallPattern {
    let siblings = || methods.iter().filter(|(_, other)| other.name.plugin() == row.name.plugin());
    let one_kind = siblings().all(|(_, other)| broadest(other.resource) == broadest(row.resource));
    match PluginName::new(row.name.plugin()) {
        Ok(plugin) if one_kind => CallPattern::Plugin(plugin),
        _ => CallPattern::One(row.name.clone()),
    }
}

/// The widest patterns over resources of one kind.
fn broadest(kind: ResourceKind) -> Vec<Pattern> {
    let all = Tree { segments: Vec::new(), reach: Reach::Below };
    match kind {
        ResourceKind::Path | ResourceKind::PathPair => vec![Pattern::Path(all)],
        ResourceKind::Argv => vec![Pattern::Argv(all)],
        ResourceKind::Name => vec![Pattern::Name(all)],
        ResourceKind::None => vec![Pattern::None],
        ResourceKind::Http => {
            let texts = ["* https://**", "* http://**"];
            texts
                .into_iter()
                .filter_map(|text| crate::contract::http_pattern::HttpPattern::parse(text).ok())
                .map(Pattern::Http)
                .collect()
        }
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(found, max) => {
                write!(f, "trust store too long: {found}, at most {max} are allowed")
            }
            Self::Malformed(why) => write!(f, "not a trust store: {why}"),
            Self::Version(found) => write!(f, "trust store of version {found}; this kernel knows version 1"),
            Self::Name => {
                write!(f, "a name in a trust store has 1 to {NAME_MAX} bytes and no control characters")
            }
            Self::Twice(name) => {
                write!(f, "{name} is trusted already; remove it first to change its ceiling")
            }
            Self::Rule(rule, fault) => write!(f, "ceiling refused: {rule}: {fault}"),
        }
    }
}

impl std::error::Error for TrustError {}
