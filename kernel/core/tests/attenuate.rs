//! A run mints a contract for its helper: never more than its own, never code that nobody pinned.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{NOW, contract, key, methods, rule, rules, sign, verdict};
use pawang_core::attenuate::{HelperRequest, Mint, mint, under};
use pawang_core::contract::{Contract, ContractError, EachCeiling, Limits, NotSubset, Serial, Verified};
use pawang_core::permit::Policy;
use pawang_protocol::{DenialCode, Gas};

fn parent() -> Verified {
    let mut contract = contract(
        &(rules(
            "allow fs.read path=/input/**
             allow http.fetch http=GET https://h/**
             deny fs.read path=/input/private/**",
        ) + "[[secret]]\nname = \"K\"\nto = \"https://h/v1/**\"\nas = \"header:x-k={}\"\n"),
    );
    contract.gas.each = vec![EachCeiling { call: rule("http.fetch").call, limit: Gas(300) }];
    kit::present(sign(&contract, "operator").to_json().as_bytes()).unwrap()
}

fn ask(parent: &Verified, json: &str) -> Result<Verified, ContractError> {
    let methods = methods();
    let with =
        Mint { now: NOW + 10, serial: Serial([6; 16]), methods: &methods, protected: &["/var/lib/pawang"] };
    mint(parent, HelperRequest::parse(json.as_bytes())?, &with)
}

#[test]
fn a_helper_gets_what_it_asked_for_and_inherits_what_binds() {
    let parent = parent();
    let helper = ask(
        &parent,
        r#"{"name":"helper","program":"/home/ann/helper.py","gas":100,"ttl_s":60,"secrets":["K"],
            "each":[{"call":"http.fetch","limit":50}],
            "allow":[{"call":"fs.read","path":"/input/a/**"},{"call":"http.fetch","http":"GET https://h/v1/x","max_calls":2}]}"#,
    )
    .unwrap();
    let contract = &helper.contract;
    assert_eq!((contract.gas.limit, contract.gas.each[0].limit), (Gas(100), Gas(50)));
    assert_eq!((contract.not_before, contract.not_after, contract.uses), (NOW + 10, NOW + 70, 1));
    assert_eq!(contract.deny, parent.contract.deny);
    assert_eq!((contract.parent, helper.chain.as_slice()), (Some(parent.digest), &[parent.digest][..]));
    assert_eq!(contract.program.script.as_ref().unwrap().path, "/home/ann/helper.py");
    assert_eq!(helper.issuer, parent.issuer);
    let policy = Policy::compile(contract, &methods()).unwrap();
    for (call, resource, expected) in [
        ("fs.read", "/input/a/b", None),
        ("fs.read", "/input/b", Some(DenialCode::ResourceNotGranted)),
        ("fs.read", "/input/private/x", Some(DenialCode::DeniedByRule)),
        ("http.fetch", "GET https://h/v1/x", None),
    ] {
        assert_eq!(verdict(&policy, call, resource), expected, "{call} {resource}");
    }
}

#[test]
fn a_helper_never_gets_more_than_the_run_has() {
    let parent = parent();
    let program = |path: &str| NotSubset::Program(path.to_owned());
    for (json, expected) in [
        (r#""gas":1001"#, NotSubset::Gas { asked: Gas(1_001), most: Gas(1_000) }),
        (
            r#""allow":[{"call":"fs.write","path":"/input/a"}]"#,
            NotSubset::Grant("call = \"fs.write\"  path = \"/input/a\"".to_owned()),
        ),
        (
            r#""allow":[{"call":"fs.read","path":"/inputs"}]"#,
            NotSubset::Grant("call = \"fs.read\"  path = \"/inputs\"".to_owned()),
        ),
        (r#""secrets":["OTHER"]"#, NotSubset::Secret("OTHER".to_owned())),
        (r#""program":"/tmp/evil.py""#, program("/tmp/evil.py")),
        (r#""program":"/home/ann/../ann/helper.py""#, program("/home/ann/../ann/helper.py")),
    ] {
        assert_eq!(
            ask(&parent, &format!("{{\"name\":\"helper\",{json}}}")),
            Err(ContractError::NotASubset(expected)),
            "{json}"
        );
    }
}

#[test]
fn a_helper_ends_when_the_run_ends() {
    let parent = parent();
    for ttl in ["", ",\"ttl_s\":999999999", ",\"ttl_s\":18446744073709551615"] {
        let helper = ask(&parent, &format!("{{\"name\":\"helper\"{ttl}}}")).unwrap();
        assert_eq!(helper.contract.not_after, parent.contract.not_after);
    }
    assert_eq!(ask(&parent, r#"{"name":"helper","ttl_s":0}"#).unwrap_err().code(), "bad_value");
}

#[test]
fn a_sub_ceiling_is_inherited_even_when_nobody_asks_for_it() {
    let helper = ask(&parent(), r#"{"name":"helper","gas":900}"#).unwrap();
    assert_eq!(helper.contract.gas.each, parent().contract.gas.each);
}

#[test]
fn f61_helpers_of_helpers_end_at_the_eighth() {
    let mut run = parent();
    for depth in 1..=8 {
        run = ask(&run, r#"{"name":"helper","gas":1,"ttl_s":100}"#).unwrap();
        assert_eq!((run.chain.len(), run.parents.len()), (depth, depth));
    }
    assert_eq!(ask(&run, r#"{"name":"helper"}"#), Err(ContractError::TooDeep(9)));
}

#[test]
fn a_request_has_a_closed_shape() {
    for (json, code) in [
        ("{}", "missing_field"),
        (r#"{"name":"a","name":"b"}"#, "duplicate_key"),
        (r#"{"name":"a","uses":9}"#, "unknown_field"),
        (r#"{"name":"a","delegate":"x"}"#, "unknown_field"),
        (r#"{"name":"A"}"#, "bad_value"),
        (r#"{"name":"a","gas":-1}"#, "wrong_type"),
        (r#"{"name":"a","gas":1.5}"#, "wrong_type"),
        (r#"{"name":"a","allow":[{"call":"fs.read","path":"/a","x":1}]}"#, "unknown_field"),
        (r#"{"name":"a","limits":{"network":1}}"#, "unknown_field"),
        ("", "not_json"),
    ] {
        assert_eq!(ask(&parent(), json).unwrap_err().code(), code, "{json}");
    }
    assert_eq!(HelperRequest::parse(&vec![b' '; (64 << 10) + 1]).unwrap_err().code(), "too_long");
}

#[test]
fn a_helper_may_ask_for_lower_limits_one_by_one_and_for_no_higher() {
    let parent = parent();
    let helper = ask(&parent, r#"{"name":"helper","limits":{"wall_s":1}}"#).unwrap();
    assert_eq!(helper.contract.limits, Limits { wall_s: 1, ..parent.contract.limits });
    let higher = NotSubset::Limit { name: "wall_s", asked: 301, most: 300 };
    assert_eq!(
        ask(&parent, r#"{"name":"helper","limits":{"wall_s":301}}"#),
        Err(ContractError::NotASubset(higher))
    );
}

#[test]
fn a_delegates_contract_inherits_what_binds_and_is_admitted() {
    let mut parent = (*parent().contract).clone();
    parent.delegate = Some(key("delegate"));
    let above = sign(&parent, "operator");
    let own = Contract {
        issuer: key("delegate"),
        not_after: NOW + 999_999,
        ..contract(&rules("allow fs.read path=/input/a"))
    };
    let child = under(own, &parent, above.digest());
    assert_eq!((&child.deny, &child.gas.each), (&parent.deny, &parent.gas.each));
    let verified = kit::present(sign(&child, "delegate").under(&above).to_json().as_bytes()).unwrap();
    assert_eq!((verified.chain, verified.contract.not_after), (vec![above.digest()], parent.not_after));
}

#[test]
fn f43_a_helper_cannot_be_granted_what_no_contract_can() {
    let error =
        ask(&parent(), r#"{"name":"helper","allow":[{"call":"fs.read","path":"/var/lib/pawang/audit"}]}"#);
    assert_eq!(error.unwrap_err().code(), "protected");
}
