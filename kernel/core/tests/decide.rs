//! The one decision: its laws by property, its refusals one by one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{decide, methods, policy, rules, verdict};
use pawang_core::contract::{Contract, Rule};
use pawang_core::explain::explain;
use pawang_core::method::Methods;
use pawang_core::permit::Policy;
use pawang_core::resource::Resource;
use pawang_protocol::DenialCode;
use proptest::prelude::*;

#[test]
fn every_refusal_says_why_and_what_would_change_it() {
    let granted = policy(
        "allow fs.read path=/input/**
         allow fs.move path=/w/**
         allow http.fetch http=GET https://h/v1/**
         deny fs.read path=/input/private/**",
    );
    let table = [
        ("exec.run", "ls", DenialCode::MethodNotGranted, "the contract grants nothing of exec.run", None),
        (
            "fs.read",
            "/x",
            DenialCode::ResourceNotGranted,
            "no grant covers this path",
            Some("call = \"fs.read\"  path = \"/input/**\""),
        ),
        (
            "fs.read",
            "/input/private/key",
            DenialCode::DeniedByRule,
            "a deny covers it, and deny wins over every grant",
            Some("call = \"fs.read\"  path = \"/input/private/**\""),
        ),
        (
            "fs.read",
            "/proc/self/root/input",
            DenialCode::Protected,
            "/proc is closed to every contract",
            None,
        ),
        (
            "fs.move",
            "/w/a\0/x",
            DenialCode::ResourceNotGranted,
            "no single grant covers both paths",
            Some("call = \"fs.move\"  path = \"/w/**\""),
        ),
        (
            "http.fetch",
            "POST https://h/v1/a",
            DenialCode::ResourceNotGranted,
            "this URL is granted for GET only",
            Some("call = \"http.fetch\"  http = \"GET https://h/v1/**\""),
        ),
        (
            "http.fetch",
            "GET https://h/v2",
            DenialCode::ResourceNotGranted,
            "no grant covers this URL of the host",
            Some("call = \"http.fetch\"  http = \"GET https://h/v1/**\""),
        ),
        (
            "http.fetch",
            "GET https://i/v1",
            DenialCode::ResourceNotGranted,
            "no grant covers this host",
            Some("call = \"http.fetch\"  http = \"GET https://h/v1/**\""),
        ),
    ];
    for (call, resource, code, reason, rule) in table {
        let refusal = decide(&granted, call, resource).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.reason.as_str(), refusal.rule.as_deref()),
            (code, reason, rule),
            "{call} {resource}"
        );
    }
}

#[test]
fn the_lines_that_would_allow_it_do_allow_it() {
    let nothing = policy("allow run.info");
    for (call, resource) in [
        ("fs.read", "/a b/\"quoted\"/ö"),
        ("fs.move", "/w/a\0/w/b/c"),
        ("http.fetch", "POST https://h:8443/v1/a?q=1"),
        ("exec.run", "git\0log\0--format=\"%h\""),
        ("memory.write", "notes/today"),
        ("run.spawn", "helper"),
    ] {
        let refusal = decide(&nothing, call, resource).unwrap_err();
        let widened = Policy::compile(&kit::contract(&refusal.allow), &methods()).unwrap();
        assert_eq!(verdict(&widened, call, resource), None, "{}", refusal.allow);
    }
}

#[test]
fn no_line_is_offered_where_none_could_be_granted() {
    let nothing = policy("allow run.info");
    for (call, resource) in [("fs.move", "/a/x\0/b/x"), ("fs.read", "/a/*"), ("exec.run", "ls\0*")] {
        assert_eq!(decide(&nothing, call, resource).unwrap_err().allow, "", "{call} {resource}");
    }
}

#[test]
fn f43_protected_paths_are_refused_whatever_is_granted() {
    // A contract that reaches them is not admitted; this is the wall behind that wall.
    let granted = policy("allow fs.* path=/var/**").protecting(&["/var/lib/pawang"]);
    for (call, resource, expected) in [
        ("fs.read", "/var/lib/pawang", Some(DenialCode::Protected)),
        ("fs.read", "/var/lib/pawang/audit/0001", Some(DenialCode::Protected)),
        ("fs.read", "/var/lib/pawang-other", None),
        ("fs.read", "/var/lib", None),
        ("fs.move", "/var/lib\0/var/x", Some(DenialCode::Protected)),
        ("fs.move", "/var/x\0/var/lib/pawang/y", Some(DenialCode::Protected)),
        ("fs.move", "/var/x\0/var/y", None),
    ] {
        assert_eq!(verdict(&granted, call, resource), expected, "{call} {resource:?}");
    }
}

#[test]
fn f42_what_is_denied_cannot_be_given_another_name_by_moving_it() {
    let granted =
        policy("allow fs.* path=/w/**\ndeny fs.read path=/w/a/private/**\ndeny fs.write path=/w/log");
    for (pair, expected) in [
        ("/w/a/private/key\0/w/k", Some(DenialCode::DeniedByRule)),
        ("/w/a/private\0/w/p", Some(DenialCode::DeniedByRule)),
        ("/w/a\0/w/b", Some(DenialCode::DeniedByRule)),
        ("/w/x\0/w/a", Some(DenialCode::DeniedByRule)),
        ("/w/x\0/w/a/private/x", Some(DenialCode::DeniedByRule)),
        ("/w/log\0/w/x", Some(DenialCode::DeniedByRule)),
        ("/w/x\0/w/y", None),
        ("/w/a/public\0/w/y", None),
    ] {
        assert_eq!(verdict(&granted, "fs.move", pair), expected, "{pair:?}");
    }
}

#[test]
fn a_call_is_counted_on_the_grant_with_most_calls() {
    for lines in [
        "allow fs.read path=/a/** max=2\nallow fs.read path=/a/b max=5",
        "allow fs.read path=/a/b max=5\nallow fs.read path=/a/** max=2",
    ] {
        assert_eq!(decide(&policy(lines), "fs.read", "/a/b").unwrap().max_calls, Some(5));
    }
    let free = policy("allow fs.read path=/a/** max=9\nallow fs.* path=/a/b");
    let permitted = decide(&free, "fs.read", "/a/b").unwrap();
    assert_eq!((permitted.grant, permitted.max_calls), (1, None));
}

#[test]
fn f09_each_scope_stands_alone() {
    let granted = policy("allow fs.read path=/a/**\nallow fs.write path=/a/**\ndeny fs.write path=/a/b");
    assert_eq!(verdict(&granted, "fs.read", "/a/b"), None);
    assert_eq!(verdict(&granted, "fs.write", "/a/b"), Some(DenialCode::DeniedByRule));
    assert_eq!(verdict(&granted, "fs.append", "/a/b"), Some(DenialCode::MethodNotGranted));
}

#[test]
fn secrets_go_with_the_requests_they_are_bound_to_and_no_other() {
    let secret = |name: &str, to: &str, header: &str| {
        format!("[[secret]]\nname = {name:?}\nto = {to:?}\nas = \"header:{header}={{}}\"\n")
    };
    let lines =
        rules("allow http.fetch http=GET https://h/**\nallow http.fetch http=GET http://127.0.0.1:9/**")
            + &secret("ONE", "https://h/v1/**", "authorization")
            + &secret("TWO", "https://h/v1/x", "x-key")
            + &secret("LOCAL", "http://127.0.0.1:9/**", "authorization");
    let granted = Policy::compile(&kit::contract(&lines), &methods()).unwrap();
    for (request, secrets) in [
        ("GET https://h/v1/a", vec![0]),
        ("GET https://h/v1/x", vec![0, 1]),
        ("GET https://h/v2", vec![]),
        ("GET http://127.0.0.1:9/", vec![2]),
    ] {
        assert_eq!(decide(&granted, "http.fetch", request).unwrap().secrets, secrets, "{request}");
    }
}

#[test]
fn a_word_of_care_stands_where_it_should() {
    let nothing = policy("allow run.info");
    for (call, resource, careful) in [
        ("fs.read", "/home/ann/.ssh/id_ed25519", true),
        ("fs.read", "/etc/shadow", true),
        ("fs.read", "/home/ann/notes", false),
        ("exec.run", "/bin/bash\0-c\0id", true),
        ("exec.run", "git\0log", false),
        ("http.fetch", "GET http://169.254.169.254/latest/", true),
        ("http.fetch", "GET https://h/", false),
    ] {
        assert_eq!(
            decide(&nothing, call, resource).unwrap_err().careful.is_some(),
            careful,
            "{call} {resource}"
        );
    }
}

/// Rules and calls over a small world, so that they meet often.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]", 1..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn rule_line() -> impl Strategy<Value = String> {
    let deep = prop_oneof![Just(""), Just("/**")];
    let call = prop_oneof![Just("fs.read"), Just("fs.write"), Just("fs.move"), Just("fs.*")];
    let fs = (call, path(), deep.clone()).prop_map(|(call, path, deep)| format!("{call} path={path}{deep}"));
    let verbs = prop_oneof![Just("GET"), Just("POST"), Just("GET,POST")];
    let http = (verbs, "[hi]", path(), deep.clone())
        .prop_map(|(verbs, host, path, deep)| format!("http.fetch http={verbs} https://{host}{path}{deep}"));
    let argv = (proptest::collection::vec("[ab]", 1..3), prop_oneof![Just(""), Just(" **")])
        .prop_map(|(words, deep)| format!("exec.run argv={}{deep}", words.join(" ")));
    let name = (path(), deep).prop_map(|(path, deep)| format!("memory.* name={}{deep}", &path[1..]));
    prop_oneof![4 => fs, 3 => http, 1 => argv, 1 => name]
}

fn call() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        path().prop_map(|path| ("fs.read", path)),
        path().prop_map(|path| ("fs.write", path)),
        (path(), path()).prop_map(|(from, to)| ("fs.move", format!("{from}\0{to}"))),
        (prop_oneof![Just("GET"), Just("POST")], "[hij]", path(), prop_oneof![Just(""), Just("?q=1")])
            .prop_map(|(verb, host, path, query)| (
                "http.fetch",
                format!("{verb} https://{host}{path}{query}")
            )),
        proptest::collection::vec("[ab]", 1..4).prop_map(|words| ("exec.run", words.join("\0"))),
        path().prop_map(|path| ("memory.read", path[1..].to_owned())),
    ]
}

/// A contract of these rules, assembled without the author's compiler: a deny without effect is fine here.
fn assemble(allow: &[String], deny: &[String]) -> Contract {
    let read = |lines: &[String]| -> Vec<Rule> {
        let mut read: Vec<Rule> = lines.iter().map(|line| kit::rule(line)).collect();
        read.sort_by_key(ToString::to_string);
        read.dedup();
        read
    };
    Contract { allow: read(allow), deny: read(deny), ..kit::contract("") }
}

/// The decision spelled out over the rules themselves, without any index.
fn by_the_book(methods: &Methods, contract: &Contract, call: &str, resource: &Resource) -> bool {
    let name = &methods.get(methods.id(call).unwrap()).unwrap().name;
    let covers = |rule: &Rule| rule.call.matches(name) && rule.pattern.matches(resource);
    let denied = match resource {
        Resource::PathPair(pair) => contract.deny.iter().any(|deny| {
            [pair.from(), pair.to()].into_iter().any(|path| {
                let single = Resource::parse(pawang_core::method::ResourceKind::Path, path).unwrap();
                let above = pawang_core::contract::pattern::Pattern::path(&format!("{path}/**")).unwrap();
                deny.pattern.matches(&single) || above.covers(&deny.pattern)
            })
        }),
        _ => contract.deny.iter().any(covers),
    };
    contract.allow.iter().any(covers) && !denied
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn f05_f06_decision_is_the_rules_themselves_in_any_order_and_as_explained(
        allow in proptest::collection::vec(rule_line(), 0..8),
        deny in proptest::collection::vec(rule_line(), 0..4),
        calls in proptest::collection::vec(call(), 24),
    ) {
        let methods = methods();
        let contract = assemble(&allow, &deny);
        let reversed = Contract {
            allow: contract.allow.iter().rev().cloned().collect(),
            deny: contract.deny.iter().rev().cloned().collect(),
            ..contract.clone()
        };
        let (policy, other) = (Policy::compile(&contract, &methods).unwrap(), Policy::compile(&reversed, &methods).unwrap());
        for (call, text) in calls {
            let id = methods.id(call).unwrap();
            let resource = Resource::parse(methods.get(id).unwrap().resource, &text).unwrap();
            let decided = policy.decide(id, &resource);
            prop_assert_eq!(decided.is_ok(), by_the_book(&methods, &contract, call, &resource), "{} {:?}", call, text);
            prop_assert_eq!(&explain(&policy, &contract, &methods, call, &text).verdict, &decided);
            let again = other.decide(id, &resource);
            match (&decided, &again) {
                (Ok(a), Ok(b)) => prop_assert_eq!(policy.grant_text(a.grant), other.grant_text(b.grant)),
                (Err(a), Err(b)) => prop_assert_eq!(a.code, b.code),
                _ => prop_assert!(false, "order matters: {} {:?}", call, text),
            }
        }
    }

    #[test]
    fn deny_wins_over_the_very_same_grant(line in rule_line(), calls in proptest::collection::vec(call(), 24)) {
        let methods = methods();
        let contract = assemble(std::slice::from_ref(&line), std::slice::from_ref(&line));
        let policy = Policy::compile(&contract, &methods).unwrap();
        for (call, text) in calls {
            prop_assert!(explain(&policy, &contract, &methods, call, &text).verdict.is_err(), "{} {:?}", call, text);
        }
    }
}
