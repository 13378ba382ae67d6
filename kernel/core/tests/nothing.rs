//! f01: absent, empty and zero mean none, for every field that could be taken to mean "all".

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{NOW, contract, entry, key, methods, present_to, rules, sign, source, verdict};
use pawang_core::attenuate::{HelperRequest, Mint, mint};
use pawang_core::contract::source::check;
use pawang_core::contract::{Contract, Limits, Serial};
use pawang_core::permit::Policy;
use pawang_core::trust::{Ceiling, TrustEntry, TrustStore};
use pawang_protocol::{DenialCode, Gas};

/// One call of every kind.
const CALLS: [(&str, &str); 7] = [
    ("fs.read", "/a"),
    ("fs.move", "/w/a\0/w/b"),
    ("http.fetch", "GET https://h/"),
    ("exec.run", "ls"),
    ("memory.read", "a"),
    ("run.info", ""),
    ("run.spawn", "a"),
];

#[test]
fn f01_an_empty_or_absent_list_of_grants_grants_nothing() {
    for lines in ["", "[limits]\nwall_s = 1\n"] {
        let policy = Policy::compile(&contract(lines), &methods()).unwrap();
        for (call, resource) in CALLS {
            assert_eq!(verdict(&policy, call, resource), Some(DenialCode::MethodNotGranted), "{call}");
        }
    }
}

#[test]
fn f01_a_grant_of_one_class_grants_nothing_of_another() {
    for (at, (call, resource)) in CALLS.iter().enumerate() {
        let refusal =
            kit::decide(&Policy::compile(&contract(""), &methods()).unwrap(), call, resource).unwrap_err();
        let granted = Policy::compile(&contract(&refusal.allow), &methods()).unwrap();
        for (other, (call, resource)) in CALLS.iter().enumerate() {
            assert_eq!(verdict(&granted, call, resource).is_none(), at == other, "{call}");
        }
    }
}

#[test]
fn f01_an_empty_pattern_is_an_error_and_not_a_wide_one() {
    for line in [
        "[[allow]]\ncall = \"fs.read\"\npath = \"\"",
        "[[allow]]\ncall = \"fs.read\"",
        "[[allow]]\ncall = \"\"\npath = \"/a\"",
        "[[allow]]\ncall = \"exec.run\"\nargv = []",
        "[[allow]]\ncall = \"exec.run\"\nargv = [\"\"]",
        "[[allow]]\ncall = \"memory.read\"\nname = \"\"",
        "[[allow]]\ncall = \"http.fetch\"\nhttp = \"\"",
        "[[allow]]\ncall = \"http.fetch\"\nhttp = \" https://h/\"",
        "[[allow]]\ncall = \"http.fetch\"\nhttp = \"GET \"",
        "[[allow]]\ncall = \"http.fetch\"\nhttp = \"GET https:///**\"",
        "[[allow]]\n",
    ] {
        assert!(check(&source(line), &methods()).is_err(), "{line}");
    }
}

#[test]
fn f01_zero_in_a_number_is_none_or_an_error() {
    let with = |edit: fn(&mut Contract)| {
        let mut contract = contract(&rules("allow fs.read path=/a max=3"));
        edit(&mut contract);
        kit::present(sign(&contract, "operator").to_json().as_bytes()).map_err(|error| error.code())
    };
    assert!(with(|_| {}).is_ok());
    assert_eq!(with(|c| c.uses = 0), Err("bad_value"));
    assert_eq!(with(|c| c.not_after = c.not_before), Err("bad_value"));
    assert_eq!(with(|c| c.not_after = 0), Err("bad_value"));
    assert_eq!(with(|c| c.limits.wall_s = 0), Err("bad_value"));
    assert_eq!(with(|c| c.limits.memory_mib = 0), Err("bad_value"));
    assert_eq!(with(|c| c.limits.processes = 0), Err("bad_value"));
    assert_eq!(with(|c| c.allow[0].max_calls = Some(0)), Err("bad_rule"));
    // No gas is a contract that can do nothing, and says so by the ledger.
    assert_eq!(with(|c| c.gas.limit = Gas::ZERO).map(|verified| verified.contract.gas.limit), Ok(Gas::ZERO));
}

#[test]
fn f01_an_empty_trust_store_trusts_nobody_and_an_empty_ceiling_admits_nothing() {
    let envelope = sign(&contract(""), "operator").to_json();
    let code =
        |store: &TrustStore| present_to(envelope.as_bytes(), store, NOW).map_err(|error| error.code()).err();
    assert_eq!(code(&TrustStore::empty()), Some("unknown_key"));
    let bare = format!("{{\"trust\":1,\"keys\":[{{\"key\":\"{}\",\"name\":\"ann\"}}]}}", key("operator"));
    assert_eq!(code(&TrustStore::parse(&bare, &methods()).unwrap()), Some("wrong_purpose"));
    let purpose = bare.replace("\"ann\"", "\"ann\",\"purposes\":[\"contract\"]");
    assert_eq!(code(&TrustStore::parse(&purpose, &methods()).unwrap()), Some("over_ceiling"));
}

#[test]
fn f01_each_field_of_a_ceiling_left_out_admits_none_of_it() {
    let methods = methods();
    let lines = rules("allow http.fetch http=GET https://h/**")
        + "[[secret]]\nname = \"K\"\nto = \"https://h/**\"\nas = \"header:x-k={}\"\n";
    let envelope = sign(&contract(&lines), "operator").to_json();
    let code = |ceiling: Ceiling| {
        let mut store = TrustStore::empty();
        store.add(TrustEntry { ..entry("operator", ceiling) }, &methods).unwrap();
        present_to(envelope.as_bytes(), &store, NOW).map_err(|error| error.code()).err()
    };
    let full = || Ceiling::operator(&methods);
    assert_eq!(code(full()), None);
    for lesser in [
        Ceiling { gas: Gas::ZERO, ..full() },
        Ceiling { ttl_s: 0, ..full() },
        Ceiling { uses: 0, ..full() },
        Ceiling { allow: Vec::new(), ..full() },
        Ceiling { secrets: Vec::new(), ..full() },
        Ceiling { limits: Limits::NONE, ..full() },
        Ceiling::default(),
    ] {
        assert_eq!(code(lesser), Some("over_ceiling"));
    }
}

#[test]
fn f01_a_helper_that_asks_for_nothing_gets_nothing() {
    let methods = methods();
    let lines = rules("allow fs.read path=/a/**\nallow run.info");
    let parent = kit::present(sign(&contract(&lines), "operator").to_json().as_bytes()).unwrap();
    let request = HelperRequest::parse(br#"{"name":"helper"}"#).unwrap();
    let with = Mint { now: NOW, serial: Serial([6; 16]), methods: &methods, protected: &[] };
    let helper = mint(&parent, request, &with).unwrap();
    assert_eq!(helper.contract.gas.limit, Gas::ZERO);
    assert!(helper.contract.secrets.is_empty());
    let policy = Policy::compile(&helper.contract, &methods).unwrap();
    for (call, resource) in CALLS {
        assert_eq!(verdict(&policy, call, resource), Some(DenialCode::MethodNotGranted), "{call}");
    }
}

#[test]
fn there_is_no_word_for_unlimited() {
    for (field, value) in [
        ("uses", "\"unlimited\""),
        ("uses", "-1"),
        ("uses", "inf"),
        ("uses", "1.5"),
        ("ttl", "\"forever\""),
        ("ttl", "\"0s\""),
        ("ttl", "\"\""),
        ("ttl", "\"-1h\""),
        ("ttl", "\"367d\""),
    ] {
        let head = format!("{field} = {value}\n");
        let toml = source("").replace("ttl = \"1h\"\n", if field == "ttl" { "" } else { "ttl = \"1h\"\n" });
        assert!(check(&(head.clone() + &toml), &methods()).is_err(), "{head}");
    }
    for limit in ["-1", "nan", "inf", "1e3", "1000000000000001", "\"1000\"", "99999999999999999999"] {
        let toml = source("").replace("limit = 1000", &format!("limit = {limit}"));
        assert!(check(&toml, &methods()).is_err(), "{limit}");
    }
}
