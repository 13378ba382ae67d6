//! What is checked of a contract beyond its shape: that every line of it can be enforced and has an effect (f02).
//!
//! A contract that passes has no rule that is silently ignored: each names priced methods, fits them, and is no
//! duplicate; each deny meets a grant; each secret can be sent, to one place. Its numbers are in range.

use super::bounds::{EACH_MAX, FILES_MAX, GAS_MAX, Limits, RULES_MAX, SECRETS_MAX, TTL_S_MAX, USES_MAX};
use super::error::ContractError;
use super::pattern::{Pattern, Reach, path_text};
use super::rule::{CallPattern, Rule, RuleFault};
use super::schema::Contract;
use super::secret::{SecretFault, SecretRule};
use crate::method::Methods;
use crate::resource::{at_or_below, check_path};

/// Paths that no contract reaches on any machine. Through `/proc/*/root`, `cwd` and `fd` every other path has a second
/// name there, so that one grant would be a grant of all.
pub const ALWAYS_PROTECTED: [&str; 1] = ["/proc"];

/// Checks the whole contract; `protected` are canonical paths beside [`ALWAYS_PROTECTED`].
///
/// # Errors
/// [`ContractError`]: the first line that is wrong.
pub fn check(contract: &Contract, methods: &Methods, protected: &[&str]) -> Result<(), ContractError> {
    check_counts(contract)?;
    check_numbers(contract)?;
    for file in contract.program.pinned() {
        let why = |error| ContractError::Value { field: "program", why: format!("{}: {error}", file.path) };
        check_path(&file.path).map_err(why)?;
    }
    for rule in &contract.allow {
        check_grant(rule, methods, protected).map_err(|fault| of_rule(rule, fault))?;
    }
    for rule in &contract.deny {
        check_deny(rule, contract, methods).map_err(|fault| of_rule(rule, fault))?;
    }
    check_twice(&contract.allow)?;
    check_twice(&contract.deny)?;
    check_each(contract, methods)?;
    check_secrets(contract)
}

/// A rule with what is wrong with it.
pub(crate) fn of_rule(rule: &Rule, fault: RuleFault) -> ContractError {
    ContractError::Rule { rule: rule.to_string(), fault }
}

fn check_counts(contract: &Contract) -> Result<(), ContractError> {
    let counts = [
        ("list of grants", contract.allow.len(), RULES_MAX),
        ("list of denies", contract.deny.len(), RULES_MAX),
        ("list of secrets", contract.secrets.len(), SECRETS_MAX),
        ("list of sub-ceilings", contract.gas.each.len(), EACH_MAX),
        ("list of program files", contract.program.files.len(), FILES_MAX),
    ];
    match counts.into_iter().find(|(_, found, max)| found > max) {
        Some((what, found, max)) => Err(ContractError::TooLong { what, found, max }),
        None => Ok(()),
    }
}

fn check_numbers(contract: &Contract) -> Result<(), ContractError> {
    let value = |field, why: String| Err(ContractError::Value { field, why });
    let ttl = contract.not_after.saturating_sub(contract.not_before);
    if ttl == 0 {
        return value("not_after", "it is not after not_before".to_owned());
    }
    if ttl > TTL_S_MAX {
        return value("not_after", format!("{ttl} s after not_before; at most {TTL_S_MAX} are allowed"));
    }
    if contract.uses == 0 || contract.uses > USES_MAX {
        return value("uses", format!("{}; from 1 to {USES_MAX} are allowed", contract.uses));
    }
    if contract.gas.limit.0 > GAS_MAX {
        return value("gas", format!("{}; at most {GAS_MAX} is allowed", contract.gas.limit.0));
    }
    if let Some(name) = contract.limits.first_missing() {
        return value("limits", format!("{name} is 0, so nothing could run"));
    }
    match contract.limits.first_above(&Limits::MOST) {
        Some((name, found, most)) => value("limits", format!("{name} is {found}; at most {most} is allowed")),
        None => Ok(()),
    }
}

fn check_grant(rule: &Rule, methods: &Methods, protected: &[&str]) -> Result<(), RuleFault> {
    rule.methods(methods)?;
    if rule.max_calls == Some(0) {
        return Err(RuleFault::NoCalls);
    }
    let any_verb = matches!(&rule.pattern, Pattern::Http(http) if http.is_any_verb());
    if any_verb && !rule.pattern.is_for_ceilings() {
        return Err(RuleFault::AnyVerb);
    }
    if rule.pattern.is_for_ceilings() {
        return Err(RuleFault::OnlyInCeilings);
    }
    match reached(&rule.pattern, protected) {
        Some(path) => Err(RuleFault::Protected(path.to_owned())),
        None => Ok(()),
    }
}

/// The first protected path that a pattern reaches: it lies at or below one, or one lies below it.
fn reached<'a>(pattern: &Pattern, protected: &[&'a str]) -> Option<&'a str> {
    let Pattern::Path(tree) = pattern else { return None };
    let base = match tree.segments.is_empty() {
        true => "/".to_owned(),
        false => format!("/{}", tree.segments.join("/")),
    };
    let reaches =
        |path: &str| at_or_below(&base, path) || (tree.reach == Reach::Below && at_or_below(path, &base));
    ALWAYS_PROTECTED.into_iter().chain(protected.iter().copied()).find(|path| reaches(path))
}

/// A deny must meet a grant, or it is a misunderstanding. Not so in a contract that was cut from another: there the
/// parent's denies are kept whether or not the grants they met are.
fn check_deny(rule: &Rule, contract: &Contract, methods: &Methods) -> Result<(), RuleFault> {
    rule.methods(methods)?;
    if rule.max_calls.is_some() {
        return Err(RuleFault::CountedDeny);
    }
    if rule.pattern.is_for_ceilings() {
        return Err(RuleFault::OnlyInCeilings);
    }
    let meets = |grant: &Rule| rule.overlaps(grant) || is_kept_from_moving(rule, grant);
    if contract.parent.is_some() || contract.allow.iter().any(meets) {
        Ok(())
    } else {
        Err(RuleFault::NoEffect)
    }
}

/// A denied path may not be moved either, so a deny of reading it meets a grant of moving it.
fn is_kept_from_moving(deny: &Rule, grant: &Rule) -> bool {
    let moves = match &grant.call {
        CallPattern::One(name) => name.as_str() == "fs.move",
        CallPattern::Plugin(plugin) => plugin.as_str() == "fs",
    };
    moves && deny.pattern.overlaps(&grant.pattern)
}

fn check_twice(rules: &[Rule]) -> Result<(), ContractError> {
    let mut sorted: Vec<&Rule> = rules.iter().collect();
    sorted.sort_by(|a, b| (&a.call, &a.pattern).cmp(&(&b.call, &b.pattern)));
    let twice = sorted.array_windows().find(|[a, b]| a.call == b.call && a.pattern == b.pattern);
    twice.map_or(Ok(()), |[rule, _]| Err(of_rule(rule, RuleFault::Twice)))
}

fn check_each(contract: &Contract, methods: &Methods) -> Result<(), ContractError> {
    let each = &contract.gas.each;
    for (index, ceiling) in each.iter().enumerate() {
        let value =
            |why: &str| ContractError::Value { field: "gas.each", why: format!("{}: {why}", ceiling.call) };
        if !methods.iter().any(|(_, row)| ceiling.call.matches(&row.name)) {
            return Err(value("no such method has a price"));
        }
        if each.iter().skip(index.saturating_add(1)).any(|other| other.call == ceiling.call) {
            return Err(value("it stands twice"));
        }
    }
    Ok(())
}

fn check_secrets(contract: &Contract) -> Result<(), ContractError> {
    for (index, secret) in contract.secrets.iter().enumerate() {
        check_secret(secret, contract, contract.secrets.iter().skip(index.saturating_add(1)))
            .map_err(|fault| ContractError::Secret { name: secret.name.clone(), fault })?;
    }
    Ok(())
}

fn check_secret<'a>(
    secret: &SecretRule,
    contract: &Contract,
    mut others: impl Iterator<Item = &'a SecretRule>,
) -> Result<(), SecretFault> {
    secret.check()?;
    let meets =
        |grant: &Rule| matches!(&grant.pattern, Pattern::Http(http) if http.target().overlaps(&secret.to));
    if contract.parent.is_none() && !contract.allow.iter().any(meets) {
        return Err(SecretFault::NeverSent);
    }
    if others.any(|other| secret.collides(other)) { Err(SecretFault::SameHeader) } else { Ok(()) }
}

/// The path a pattern is about, where it is about paths: what the file tool of a run is confined to.
#[must_use]
pub fn granted_path(rule: &Rule) -> Option<(String, Reach)> {
    match &rule.pattern {
        Pattern::Path(tree) => {
            let base = super::pattern::Tree { segments: tree.segments.clone(), reach: Reach::Exact };
            Some((path_text(&base), tree.reach))
        }
        _ => None,
    }
}
