//! When one contract is part of another: whatever the smaller one allows, the larger one allows too.
//!
//! Structural and one-sided: a "yes" is proved by looking at the two texts, a "no" may be a mere "cannot be seen".
//! Each grant must lie within a single grant of the parent; the parent's denies must be kept; every number may only
//! shrink. Code may not be new: a smaller contract runs files that the larger one pinned.
//!
//! The same function holds issuers to their ceilings, delegates to their parents and helpers to their runs.

use super::bounds::Limits;
use super::rule::Rule;
use super::schema::{Contract, EachCeiling, GasRules};
use core::fmt;
use pawang_protocol::Gas;

/// The first thing of the smaller contract that is not within the larger one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSubset {
    /// A grant that no single grant there covers; carries it.
    Grant(String),
    /// Grants with more calls than the grants that cover them have; carries the first that finds none left.
    Calls(String),
    /// A deny that is missing here; carries it.
    Deny(String),
    /// A secret, or a place for it, that is not granted there; carries its name.
    Secret(String),
    /// More gas.
    Gas {
        /// Here.
        asked: Gas,
        /// There.
        most: Gas,
    },
    /// A sub-ceiling that is missing or higher here; carries its call.
    Each(String),
    /// A higher limit.
    Limit {
        /// Which.
        name: &'static str,
        /// Here.
        asked: u32,
        /// There.
        most: u32,
    },
    /// More uses.
    Uses {
        /// Here.
        asked: u32,
        /// There.
        most: u32,
    },
    /// Valid earlier or later, or, against a ceiling, for longer.
    Lifetime,
    /// For another daemon, price table or runtime; carries which.
    Other(&'static str),
    /// A program file that is not pinned there; carries its path.
    Program(String),
}

/// Whether `child` is part of `parent`.
///
/// # Errors
/// [`NotSubset`]: the first thing that is not.
pub fn subset(child: &Contract, parent: &Contract) -> Result<(), NotSubset> {
    same(child, parent)?;
    if child.not_before < parent.not_before || child.not_after > parent.not_after {
        return Err(NotSubset::Lifetime);
    }
    if child.uses > parent.uses {
        return Err(NotSubset::Uses { asked: child.uses, most: parent.uses });
    }
    gas_within(&child.gas, &parent.gas)?;
    limits_within(&child.limits, &parent.limits)?;
    grants_within(&child.allow, &parent.allow)?;
    denies_kept(&child.deny, &parent.deny)?;
    let new = child.secrets.iter().find(|secret| !parent.secrets.iter().any(|own| own.covers(secret)));
    if let Some(secret) = new {
        return Err(NotSubset::Secret(secret.name.clone()));
    }
    program_within(child, parent)
}

/// For each child grant, the index of the parent grant that covers it and has calls left for it.
///
/// # Errors
/// [`NotSubset::Grant`] or [`NotSubset::Calls`]. Calls are given out first come, first served, so that a fitting
/// but unlucky order may be refused; never the other way.
pub fn grants_within(child: &[Rule], parent: &[Rule]) -> Result<Vec<u16>, NotSubset> {
    let mut left: Vec<Option<u32>> = parent.iter().map(|grant| grant.max_calls).collect();
    child.iter().map(|grant| take(grant, parent, &mut left)).collect()
}

/// Finds room for one grant: best where calls are not counted.
fn take(grant: &Rule, parent: &[Rule], left: &mut [Option<u32>]) -> Result<u16, NotSubset> {
    let mut covering: Vec<(usize, &mut Option<u32>)> = parent
        .iter()
        .zip(left)
        .enumerate()
        .filter(|(_, (own, _))| own.covers(grant))
        .map(|(at, (_, left))| (at, left))
        .collect();
    if covering.is_empty() {
        return Err(NotSubset::Grant(grant.to_string()));
    }
    covering.sort_by_key(|(_, left)| left.is_some());
    for (index, left) in covering {
        let room = match (*left, grant.max_calls) {
            (None, _) => None,
            (Some(left), Some(asked)) if asked <= left => Some(left - asked),
            _ => continue,
        };
        *left = room;
        return u16::try_from(index).map_err(|_| NotSubset::Grant(grant.to_string()));
    }
    Err(NotSubset::Calls(grant.to_string()))
}

/// Every deny of the parent is still there, or a wider one is.
fn denies_kept(child: &[Rule], parent: &[Rule]) -> Result<(), NotSubset> {
    match parent.iter().find(|deny| !child.iter().any(|own| own.covers(deny))) {
        Some(dropped) => Err(NotSubset::Deny(dropped.to_string())),
        None => Ok(()),
    }
}

fn gas_within(child: &GasRules, parent: &GasRules) -> Result<(), NotSubset> {
    if child.limit > parent.limit {
        return Err(NotSubset::Gas { asked: child.limit, most: parent.limit });
    }
    // A sub-ceiling is kept by one at least as wide and low, or by less gas altogether.
    let kept = |ceiling: &EachCeiling| {
        let by_each =
            child.each.iter().any(|own| own.call.covers(&ceiling.call) && own.limit <= ceiling.limit);
        by_each || child.limit <= ceiling.limit
    };
    match parent.each.iter().find(|ceiling| !kept(ceiling)) {
        Some(ceiling) => Err(NotSubset::Each(ceiling.call.to_string())),
        None => Ok(()),
    }
}

/// No limit of `child` is above the same one of `parent`.
pub(crate) fn limits_within(child: &Limits, parent: &Limits) -> Result<(), NotSubset> {
    match child.first_above(parent) {
        Some((name, asked, most)) => Err(NotSubset::Limit { name, asked, most }),
        None => Ok(()),
    }
}

fn same(child: &Contract, parent: &Contract) -> Result<(), NotSubset> {
    let differences = [
        ("daemon", child.audience != parent.audience),
        ("price table", child.prices != parent.prices),
        ("runtime", child.runtime != parent.runtime),
    ];
    match differences.into_iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Err(NotSubset::Other(what)),
        None => Ok(()),
    }
}

/// What the child executes, and with what, was pinned by the parent: the same path with the same content.
fn program_within(child: &Contract, parent: &Contract) -> Result<(), NotSubset> {
    let pinned = |file| parent.program.pinned().any(|own| own == file);
    match child.program.pinned().find(|file| !pinned(*file)) {
        Some(file) => Err(NotSubset::Program(file.path.clone())),
        None => Ok(()),
    }
}

impl fmt::Display for NotSubset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(rule) => write!(f, "no single grant covers {rule}"),
            Self::Calls(rule) => write!(f, "too few calls are left for {rule}"),
            Self::Deny(rule) => write!(f, "the deny {rule} is missing"),
            Self::Secret(name) => write!(f, "the secret {name} may not be sent there, or not in that header"),
            Self::Gas { asked, most } => write!(f, "gas {asked}, at most {most}"),
            Self::Each(call) => write!(f, "the sub-ceiling of gas for {call} is missing or higher"),
            Self::Limit { name, asked, most } => write!(f, "{name} {asked}, at most {most}"),
            Self::Uses { asked, most } => write!(f, "uses {asked}, at most {most}"),
            Self::Lifetime => f.write_str("it is valid earlier, later or longer"),
            Self::Other(what) => write!(f, "it is for another {what}"),
            Self::Program(path) => write!(f, "the program file {path} is not pinned"),
        }
    }
}

impl std::error::Error for NotSubset {}
