//! subset(c, p) ⇒ whatever c allows, p allows: by property for the rules, field by field for the rest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{contract, file, key, methods, rule, rules};
use pawang_core::contract::subset::grants_within;
use pawang_core::contract::{Contract, EachCeiling, NotSubset, Rule, subset};
use pawang_core::digest::Digest;
use pawang_core::explain::explain;
use pawang_core::permit::Policy;
use pawang_protocol::Gas;
use proptest::prelude::*;

fn parent() -> Contract {
    let mut parent = contract(
        &(rules(
            "allow fs.* path=/w/**
             allow fs.read path=/r/** max=10
             allow http.fetch http=GET,POST https://h/v1/**
             allow exec.run argv=git **
             allow memory.* name=notes/**
             allow run.info
             deny fs.read path=/w/private/**",
        ) + "[[secret]]\nname = \"K\"\nto = \"https://h/v1/**\"\nas = \"header:x-k={}\"\n"),
    );
    parent.gas.each = vec![EachCeiling { call: rule("http.fetch").call, limit: Gas(300) }];
    parent.uses = 3;
    parent
}

#[test]
fn a_contract_is_part_of_itself() {
    assert_eq!(subset(&parent(), &parent()), Ok(()));
}

#[test]
fn every_field_may_shrink_and_none_may_grow() {
    type Edit = fn(&mut Contract);
    let shrinks: [Edit; 9] = [
        |c| c.gas.limit = Gas(999),
        |c| c.uses = 1,
        |c| c.not_after -= 1,
        |c| c.not_before += 1,
        |c| c.allow.clear(),
        |c| c.secrets.clear(),
        |c| c.limits.wall_s = 1,
        |c| c.gas.each[0].limit = Gas(1),
        |c| c.program.files.clear(),
    ];
    for (at, shrink) in shrinks.iter().enumerate() {
        let mut child = parent();
        shrink(&mut child);
        assert_eq!(subset(&child, &parent()), Ok(()), "shrink {at}");
        if at != 8 {
            assert!(subset(&parent(), &child).is_err(), "shrink {at} the other way round");
        }
    }
    let limit = |name| NotSubset::Limit { name, asked: 1 << 20, most: 64 };
    let grows: [(Edit, NotSubset); 16] = [
        (|c| c.gas.limit = Gas(1_001), NotSubset::Gas { asked: Gas(1_001), most: Gas(1_000) }),
        (|c| c.uses = 4, NotSubset::Uses { asked: 4, most: 3 }),
        (|c| c.not_after += 1, NotSubset::Lifetime),
        (|c| c.not_before -= 1, NotSubset::Lifetime),
        (|c| c.audience = key("stranger"), NotSubset::Other("daemon")),
        (|c| c.prices = Digest([0; 32]), NotSubset::Other("price table")),
        (|c| c.runtime = pawang_protocol::PluginName::new("static").unwrap(), NotSubset::Other("runtime")),
        (|c| c.limits.memory_store_kib = 1 << 20, limit("memory_store_kib")),
        (|c| c.deny.clear(), NotSubset::Deny("call = \"fs.read\"  path = \"/w/private/**\"".to_owned())),
        (
            |c| c.deny = vec![rule("fs.read path=/w/private/a/**")],
            NotSubset::Deny("call = \"fs.read\"  path = \"/w/private/**\"".to_owned()),
        ),
        (|c| c.gas.each.clear(), NotSubset::Each("http.fetch".to_owned())),
        (|c| c.gas.each[0].limit = Gas(301), NotSubset::Each("http.fetch".to_owned())),
        (|c| c.secrets[0].name = "OTHER".to_owned(), NotSubset::Secret("OTHER".to_owned())),
        (
            |c| c.allow.push(rule("fs.read path=/x")),
            NotSubset::Grant("call = \"fs.read\"  path = \"/x\"".to_owned()),
        ),
        (|c| c.program.script = Some(file("/tmp/evil.py")), NotSubset::Program("/tmp/evil.py".to_owned())),
        (
            |c| c.program.executable.sha256 = Digest([0; 32]),
            NotSubset::Program("/usr/bin/python3".to_owned()),
        ),
    ];
    for (grow, expected) in grows {
        let mut child = parent();
        grow(&mut child);
        assert_eq!(subset(&child, &parent()), Err(expected));
    }
}

#[test]
fn f07_a_grant_is_covered_by_its_meaning_and_not_by_its_text() {
    let parent = parent();
    for (line, covered) in [
        ("fs.write path=/w/a", true),
        ("fs.move path=/w/a/**", true),
        ("fs.* path=/w/a/**", true),
        ("fs.* path=/**", false),
        ("fs.read path=/w2/**", false),
        ("fs.read path=/r/a max=10", true),
        ("fs.read path=/r/a max=11", false),
        ("fs.read path=/r/a", false),
        ("fs.* path=/r/a max=1", false),
        ("http.fetch http=GET https://h/v1/a", true),
        ("http.fetch http=GET https://h/v1/a?q=1", true),
        ("http.fetch http=GET,PUT https://h/v1/a", false),
        ("http.fetch http=* https://h/v1/a", false),
        ("http.fetch http=GET https://h/v12", false),
        ("http.fetch http=GET https://h.evil/v1/a", false),
        ("http.fetch http=GET http://h/v1/a", false),
        ("http.fetch http=GET https://**", false),
        ("exec.run argv=git log", true),
        ("exec.run argv=git", true),
        ("exec.run argv=gitk", false),
        ("exec.run argv=**", false),
        ("memory.read name=notes/a", true),
        ("memory.read name=**", false),
        ("run.info", true),
        ("run.spawn name=a", false),
    ] {
        let found = grants_within(&[rule(line)], &parent.allow);
        assert_eq!(found.is_ok(), covered, "{line}: {found:?}");
    }
}

#[test]
fn calls_are_shared_out_and_never_twice() {
    let parent = [rule("fs.read path=/r/** max=10")];
    let within =
        |lines: &[&str]| grants_within(&lines.iter().map(|line| rule(line)).collect::<Vec<_>>(), &parent);
    assert_eq!(within(&["fs.read path=/r/a max=5", "fs.read path=/r/b max=5"]), Ok(vec![0, 0]));
    let last = "call = \"fs.read\"  path = \"/r/b\"  max_calls = 6".to_owned();
    assert_eq!(within(&["fs.read path=/r/a max=5", "fs.read path=/r/b max=6"]), Err(NotSubset::Calls(last)));
}

/// Grants over a small world, so that one often covers another.
fn rule_line() -> impl Strategy<Value = String> {
    let path = || {
        proptest::collection::vec("[ab]", 0..3)
            .prop_map(|s| s.iter().map(|s| format!("/{s}")).collect::<String>())
    };
    let deep = prop_oneof![Just("/a"), Just("/**")];
    let call = prop_oneof![Just("fs.read"), Just("fs.move"), Just("fs.*")];
    let fs = (call, path(), deep.clone()).prop_map(|(call, path, deep)| format!("{call} path={path}{deep}"));
    let verbs = prop_oneof![Just("GET"), Just("POST"), Just("GET,POST"), Just("*")];
    let query = prop_oneof![3 => Just(""), 1 => Just("?q=1")];
    let http = (verbs, "[hi]", path(), deep, query).prop_map(|(verbs, host, path, deep, query)| {
        let query = if deep == "/**" { "" } else { query };
        format!("http.fetch http={verbs} https://{host}{path}{deep}{query}")
    });
    prop_oneof![fs, http]
}

fn call() -> impl Strategy<Value = (&'static str, String)> {
    let path =
        || proptest::collection::vec("[ab]", 1..4).prop_map(|segments| format!("/{}", segments.join("/")));
    prop_oneof![
        path().prop_map(|path| ("fs.read", path)),
        (path(), path()).prop_map(|(from, to)| ("fs.move", format!("{from}\0{to}"))),
        (prop_oneof![Just("GET"), Just("POST")], "[hi]", path(), prop_oneof![Just(""), Just("?q=1")])
            .prop_map(|(verb, host, path, query)| (
                "http.fetch",
                format!("{verb} https://{host}{path}{query}")
            )),
    ]
}

fn some_contract() -> impl Strategy<Value = Contract> {
    let lines = || proptest::collection::vec(rule_line(), 0..5);
    (lines(), proptest::collection::vec(rule_line(), 0..2)).prop_map(|(allow, deny)| {
        let read = |lines: Vec<String>| lines.iter().map(|line| rule(line)).collect::<Vec<Rule>>();
        Contract { allow: read(allow), deny: read(deny), ..contract("") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn f07_what_a_subset_allows_its_parent_allows(
        parent in some_contract(),
        mut child in some_contract(),
        keep in any::<bool>(),
        calls in proptest::collection::vec(call(), 16),
    ) {
        if keep {
            child.deny.extend(parent.deny.clone());
            child.allow.retain(|grant| grants_within(std::slice::from_ref(grant), &parent.allow).is_ok());
        }
        if subset(&child, &parent).is_ok() {
            let methods = methods();
            let (small, large) = (Policy::compile(&child, &methods).unwrap(), Policy::compile(&parent, &methods).unwrap());
            for (call, resource) in calls {
                let allowed = |policy, contract| explain(policy, contract, &methods, call, &resource).verdict.is_ok();
                prop_assert!(!allowed(&small, &child) || allowed(&large, &parent), "{} {:?}", call, resource);
            }
        }
    }
}
