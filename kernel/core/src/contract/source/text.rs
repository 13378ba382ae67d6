//! The shape of the TOML, before it means anything.

use super::error::{SourceError, SourceFault};
use super::{Placed, placed};
use crate::contract::bounds::{LimitsAsked, SOURCE_BYTES_MAX, TESTS_MAX};
use crate::contract::error::ContractError;
use crate::contract::rule::{Rule, RuleFault, RuleText};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// A source that is TOML of the right shape.
#[derive(Debug, Clone)]
pub struct Source {
    /// The program it names, if it does: what the command line has to measure.
    pub program: Option<ProgramPaths>,
    /// Where `[program]` stands, in bytes.
    pub(super) program_at: usize,
    pub(super) text: SourceText,
    pub(super) tests: Vec<Spanned<TestText>>,
}

/// The `[program]` of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramPaths {
    /// What is executed.
    pub executable: Option<String>,
    /// What the interpreter is given.
    pub script: Option<String>,
    /// Further files.
    #[serde(default)]
    pub files: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceText {
    pub(super) contract: Spanned<u32>,
    pub(super) name: Spanned<String>,
    pub(super) ttl: Spanned<String>,
    pub(super) uses: Option<Spanned<u32>>,
    pub(super) runtime: Option<Spanned<String>>,
    pub(super) delegate: Option<Spanned<String>>,
    program: Option<Spanned<ProgramPaths>>,
    pub(super) gas: Spanned<GasText>,
    pub(super) limits: Option<Spanned<LimitsAsked>>,
    #[serde(default)]
    pub(super) allow: Vec<Spanned<RuleText>>,
    #[serde(default)]
    pub(super) deny: Vec<Spanned<RuleText>>,
    #[serde(default)]
    pub(super) secret: Vec<Spanned<SecretText>>,
    #[serde(default)]
    test: Vec<Spanned<TestText>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GasText {
    pub(super) limit: u64,
    #[serde(default)]
    pub(super) each: BTreeMap<String, Spanned<u64>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretText {
    pub(super) name: String,
    pub(super) to: String,
    #[serde(rename = "as")]
    pub(super) placement: String,
}

/// A call that must be allowed or denied.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestText {
    pub(super) call: String,
    pub(super) http: Option<String>,
    pub(super) path: Option<String>,
    /// For a pair of paths: where to.
    pub(super) to: Option<String>,
    pub(super) argv: Option<Vec<String>>,
    pub(super) name: Option<String>,
    pub(super) expect: Expect,
    pub(super) code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Expect {
    Allow,
    Deny,
}

impl Source {
    /// Reads the shape.
    ///
    /// # Errors
    /// [`SourceError`] for what is too long, no TOML, or has unknown, missing or ill-typed fields.
    pub fn parse(toml: &str) -> Result<Self, SourceError> {
        let too_long = |what, found, max| {
            SourceError::at(toml, 0, SourceFault::Contract(ContractError::TooLong { what, found, max }))
        };
        if toml.len() > SOURCE_BYTES_MAX {
            return Err(too_long("source", toml.len(), SOURCE_BYTES_MAX));
        }
        let mut text: SourceText = toml::from_str(toml).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            SourceError::at(toml, at, SourceFault::Toml(error.message().to_owned()))
        })?;
        if text.test.len() > TESTS_MAX {
            return Err(too_long("list of tests", text.test.len(), TESTS_MAX));
        }
        let tests = std::mem::take(&mut text.test);
        let program_at = text.program.as_ref().map_or(0, |program| program.span().start);
        Ok(Self { program: text.program.take().map(Spanned::into_inner), program_at, text, tests })
    }

    /// The name of the contract as it is written.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.name.get_ref()
    }

    /// The runtime preset it asks for.
    #[must_use]
    pub fn runtime(&self) -> Option<&str> {
        self.text.runtime.as_ref().map(|runtime| runtime.get_ref().as_str())
    }

    /// The line that an error of the whole contract is about, as far as that can be told.
    pub(super) fn place(&self, error: ContractError) -> Placed {
        let at = match &error {
            ContractError::Rule { rule, fault } => self.rule_at(rule, fault),
            ContractError::Secret { name, .. } => self
                .text
                .secret
                .iter()
                .rfind(|secret| secret.get_ref().name == *name)
                .map(|secret| secret.span().start),
            ContractError::Value { field: "uses", .. } => {
                self.text.uses.as_ref().map(|uses| uses.span().start)
            }
            ContractError::Value { field: "not_after", .. } => Some(self.text.ttl.span().start),
            ContractError::Value { field: "gas.each", why } => self.each_at(why),
            ContractError::Value { field: "gas", .. } => Some(self.text.gas.span().start),
            ContractError::Value { field: "limits", .. } => {
                self.text.limits.as_ref().map(|limits| limits.span().start)
            }
            ContractError::Value { field: "program", .. } => Some(self.program_at),
            _ => None,
        };
        Placed { at: at.unwrap_or(0), fault: error.into() }
    }

    /// Where the sub-ceiling stands whose call an error begins with.
    fn each_at(&self, why: &str) -> Option<usize> {
        let call = why.split(": ").next().unwrap_or_default();
        self.text.gas.get_ref().each.get(call).map(|limit| limit.span().start)
    }

    /// Where the rule with this text stands: among the denies for a fault that only denies have, and the last of
    /// two equal ones.
    fn rule_at(&self, rule: &str, fault: &RuleFault) -> Option<usize> {
        let is_it = |text: &&Spanned<RuleText>| {
            Rule::try_from(text.get_ref().clone()).is_ok_and(|read| {
                let uncounted = Rule { max_calls: None, ..read.clone() };
                read.to_string() == rule
                    || (*fault == RuleFault::Twice && rule.starts_with(&uncounted.to_string()))
            })
        };
        let deny = self.text.deny.iter().rfind(is_it);
        let allow = self.text.allow.iter().rfind(is_it);
        let of_denies = matches!(fault, RuleFault::NoEffect | RuleFault::CountedDeny);
        let found = if of_denies { deny.or(allow) } else { allow.or(deny) };
        found.map(|text| text.span().start)
    }
}

impl TestText {
    /// The resource of the call, as it would travel.
    pub(super) fn resource(&self) -> Option<String> {
        match (&self.http, &self.path, &self.to, &self.argv, &self.name) {
            (Some(text), None, None, None, None)
            | (None, Some(text), None, None, None)
            | (None, None, None, None, Some(text)) => Some(text.clone()),
            (None, Some(from), Some(to), None, None) => Some(format!("{from}\0{to}")),
            (None, None, None, Some(words), None) => Some(words.join("\0")),
            (None, None, None, None, None) => Some(String::new()),
            _ => None,
        }
    }
}

/// `90s`, `30m`, `2h` or `7d` in seconds.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let unit_at = text.len().checked_sub(1)?;
    let (digits, unit) = text.split_at_checked(unit_at)?;
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok())??.checked_mul(unit_s)
}

/// A fault at a test.
pub(super) fn at_test(test: &Spanned<TestText>, fault: SourceFault) -> Placed {
    placed(test, fault)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_duration_is_a_whole_number_with_one_unit() {
        for (text, expected) in
            [("90s", Some(90)), ("30m", Some(1_800)), ("2h", Some(7_200)), ("7d", Some(604_800))]
        {
            assert_eq!(seconds(text), expected);
        }
        for bad in
            ["", "2", "h", "2 h", "-2h", "+2h", "2.5h", "2H", "2hh", "1h30m", "99999999999999999999d", "２h"]
        {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }
}
