//! `pawang contract diff A B`: what B allows that A does not, and the other way. By meaning, not by text: a narrower
//! pattern is shown as narrower, and the order of rules is not a difference.

use crate::paint::Tone;
use pawang_core::contract::{Contract, FileDigest, Rule, SecretRule, subset};
use serde::Serialize;

/// What a difference does to the rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// B allows more.
    More,
    /// B allows less.
    Less,
    /// Another, neither more nor less.
    Other,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it does.
    pub effect: Effect,
    /// Which part of the contract.
    pub field: &'static str,
    /// There; empty for nothing.
    pub a: String,
    /// Here; empty for nothing.
    pub b: String,
}

/// All differences, and how the two stand to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// One by one.
    pub differences: Vec<Difference>,
    /// Whether everything that B allows, A allows too, as the kernel proves it.
    pub b_is_within_a: bool,
    /// The same the other way.
    pub a_is_within_b: bool,
}

impl Effect {
    /// Sign and colour.
    #[must_use]
    pub fn sign(self) -> (Tone, &'static str) {
        match self {
            Self::More => (Tone::Warn, "+"),
            Self::Less => (Tone::Good, "−"),
            Self::Other => (Tone::Dim, "~"),
        }
    }

    fn of(b_is_more: bool) -> Self {
        if b_is_more { Self::More } else { Self::Less }
    }
}

/// Compares.
#[must_use]
pub fn compare(a: &Contract, b: &Contract) -> Comparison {
    let mut found = Vec::new();
    others(a, b, &mut found);
    numbers(a, b, &mut found);
    rules("allow", &a.allow, &b.allow, Effect::More, &mut found);
    rules("deny", &a.deny, &b.deny, Effect::Less, &mut found);
    secrets(&a.secrets, &b.secrets, &mut found);
    Comparison {
        differences: found,
        b_is_within_a: subset(b, a).is_ok(),
        a_is_within_b: subset(a, b).is_ok(),
    }
}

/// What is another, and not more or less.
fn others(a: &Contract, b: &Contract, found: &mut Vec<Difference>) {
    let key = |key: &Option<pawang_core::key::KeyId>| key.map(|key| key.to_string()).unwrap_or_default();
    let pairs = [
        ("name", a.name.to_string(), b.name.to_string()),
        ("issuer", a.issuer.to_string(), b.issuer.to_string()),
        ("audience", a.audience.to_string(), b.audience.to_string()),
        ("runtime", a.runtime.to_string(), b.runtime.to_string()),
        ("prices", a.prices.to_string(), b.prices.to_string()),
        ("delegate", key(&a.delegate), key(&b.delegate)),
        ("executable", file(Some(&a.program.executable)), file(Some(&b.program.executable))),
        ("script", file(a.program.script.as_ref()), file(b.program.script.as_ref())),
    ];
    for (field, a, b) in pairs.into_iter().filter(|(_, a, b)| a != b) {
        found.push(Difference { effect: Effect::Other, field, a, b });
    }
    let only = |these: &[FileDigest], those: &[FileDigest]| -> Vec<String> {
        these.iter().filter(|own| !those.contains(own)).map(|own| file(Some(own))).collect()
    };
    for a in only(&a.program.files, &b.program.files) {
        found.push(Difference { effect: Effect::Less, field: "file", a, b: String::new() });
    }
    for b in only(&b.program.files, &a.program.files) {
        found.push(Difference { effect: Effect::More, field: "file", a: String::new(), b });
    }
}

fn numbers(a: &Contract, b: &Contract, found: &mut Vec<Difference>) {
    let lifetime = |contract: &Contract| contract.not_after.saturating_sub(contract.not_before);
    let scalar = [
        ("gas", a.gas.limit.0, b.gas.limit.0),
        ("ttl_s", lifetime(a), lifetime(b)),
        ("uses", u64::from(a.uses), u64::from(b.uses)),
    ];
    let limits = a.limits.named().into_iter().zip(b.limits.named());
    let limits = limits.map(|((name, a), (_, b))| (name, u64::from(a), u64::from(b)));
    for (field, a, b) in scalar.into_iter().chain(limits).filter(|(_, a, b)| a != b) {
        found.push(Difference { effect: Effect::of(b > a), field, a: a.to_string(), b: b.to_string() });
    }
    let each = |contract: &Contract| -> Vec<String> {
        contract.gas.each.iter().map(|each| format!("{} at most {}", each.call, each.limit)).collect()
    };
    let (in_a, in_b) = (each(a), each(b));
    for text in in_a.iter().filter(|text| !in_b.contains(text)) {
        found.push(Difference { effect: Effect::More, field: "gas each", a: text.clone(), b: String::new() });
    }
    for text in in_b.iter().filter(|text| !in_a.contains(text)) {
        found.push(Difference { effect: Effect::Less, field: "gas each", a: String::new(), b: text.clone() });
    }
}

/// `wider` is what a rule that B has in addition does: more for grants, less for denies.
fn rules(field: &'static str, a: &[Rule], b: &[Rule], wider: Effect, found: &mut Vec<Difference>) {
    let narrower = if wider == Effect::More { Effect::Less } else { Effect::More };
    let mut paired = Vec::new();
    for rule in b.iter().filter(|rule| !a.contains(rule)) {
        // A rule that one of A's wholly covers, or that covers one, is that rule changed.
        let kin = a.iter().find(|own| !b.contains(own) && (own.covers(rule) || rule.covers(own)));
        let effect = match kin {
            Some(own) if own.covers(rule) && rule.covers(own) => Effect::of(calls(rule) > calls(own)),
            Some(own) if own.covers(rule) => narrower,
            _ => wider,
        };
        paired.extend(kin);
        found.push(Difference {
            effect,
            field,
            a: kin.map(Rule::to_string).unwrap_or_default(),
            b: rule.to_string(),
        });
    }
    for rule in a.iter().filter(|rule| !b.contains(rule) && !paired.contains(rule)) {
        found.push(Difference { effect: narrower, field, a: rule.to_string(), b: String::new() });
    }
}

/// Absent bounds nothing but gas.
fn calls(rule: &Rule) -> u64 {
    rule.max_calls.map_or(u64::MAX, u64::from)
}

fn secrets(a: &[SecretRule], b: &[SecretRule], found: &mut Vec<Difference>) {
    let text = |secret: &SecretRule| format!("{} to {} as {}", secret.name, secret.to, secret.placement);
    for secret in a.iter().filter(|own| !b.contains(own)) {
        found.push(Difference { effect: Effect::Less, field: "secret", a: text(secret), b: String::new() });
    }
    for secret in b.iter().filter(|own| !a.contains(own)) {
        found.push(Difference { effect: Effect::More, field: "secret", a: String::new(), b: text(secret) });
    }
}

fn file(file: Option<&FileDigest>) -> String {
    file.map(|file| format!("{} sha256 {}", file.path, file.sha256.short())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Effect, compare};
    use crate::command::contract::prepare;
    use std::fs;
    use std::path::Path;

    const A: &str = "contract = 1\nname = \"a\"\nttl = \"1h\"\n[gas]\nlimit = 100\n\
        [[allow]]\ncall = \"fs.read\"\npath = \"/data/in/**\"\n[[allow]]\ncall = \"fs.list\"\npath = \"/data/in/**\"\n\
        [[deny]]\ncall = \"fs.read\"\npath = \"/data/in/private/**\"\n";

    fn source(dir: &Path, name: &str, text: &str) -> pawang_core::contract::Contract {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        prepare::contract_of(&path).unwrap()
    }

    #[test]
    fn differences_are_of_meaning_and_say_which_way_they_go() {
        let dir = tempfile::tempdir().unwrap();
        let a = source(dir.path(), "a", A);
        for (from, to, field, effect) in [
            ("\"/data/in/**\"\n[[deny]]", "\"/data/in/x/**\"\n[[deny]]", "allow", Effect::Less),
            ("\"/data/in/**\"\n[[allow]]", "\"/data/**\"\n[[allow]]", "allow", Effect::More),
            (
                "\"/data/in/**\"\n[[allow]]",
                "\"/data/in/**\"\nmax_calls = 3\n[[allow]]",
                "allow",
                Effect::Less,
            ),
            ("\"/data/in/private/**\"", "\"/data/in/private/a\"", "deny", Effect::More),
            ("limit = 100", "limit = 200", "gas", Effect::More),
            ("ttl = \"1h\"", "ttl = \"30m\"", "ttl_s", Effect::Less),
        ] {
            assert!(A.contains(from), "{from}");
            let b = source(dir.path(), "b", &A.replacen(from, to, 1));
            let found = compare(&a, &b).differences;
            let found: Vec<_> = found.iter().map(|d| (d.field, d.effect)).collect();
            assert_eq!(found, [(field, effect)], "{to}");
        }
    }

    #[test]
    fn the_order_of_rules_is_no_difference() {
        let dir = tempfile::tempdir().unwrap();
        let a = source(dir.path(), "a", A);
        let mut b = a.clone();
        b.allow.reverse();
        b.not_before = a.not_before;
        assert_eq!(compare(&a, &b).differences, []);
    }
}
