//! The trust store: who is in it, for what, how far, and what its file may look like.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{NOW, contract, entry, key, methods, present_to, rule, rules, sign};
use pawang_core::contract::http_pattern::UrlPattern;
use pawang_core::contract::{ContractError, Limits, NotSubset, RuleFault};
use pawang_core::key::Signer;
use pawang_core::trust::{Ceiling, CeilingSecret, TRUST_ENTRIES_MAX, TrustError, TrustStore};
use pawang_protocol::Gas;

fn store_with(ceiling: Ceiling) -> TrustStore {
    let mut store = TrustStore::empty();
    store.add(entry("operator", ceiling), &methods()).unwrap();
    store
}

#[test]
fn a_trust_store_survives_its_file() {
    let store = store_with(Ceiling::operator(&methods()));
    assert_eq!(TrustStore::parse(&store.to_json(), &methods()), Ok(store));
    assert_eq!(TrustStore::parse(&TrustStore::empty().to_json(), &methods()), Ok(TrustStore::empty()));
}

#[test]
fn the_operators_ceiling_holds_whatever_a_contract_can_say() {
    let methods = methods();
    for lines in [
        "allow fs.* path=/input/**",
        "allow fs.move path=/w/**",
        "allow http.fetch http=GET,POST https://h/**",
        "allow http.* http=GET http://127.0.0.1:8080/a",
        "allow exec.run argv=git **",
        "allow memory.* name=**",
        "allow run.info",
        "allow run.spawn name=helper",
    ] {
        let store = store_with(Ceiling::operator(&methods));
        let envelope = sign(&contract(&rules(lines)), "operator").to_json();
        assert!(present_to(envelope.as_bytes(), &store, NOW).is_ok(), "{lines}");
    }
}

#[test]
fn a_ceiling_is_a_ceiling() {
    let beyond = |ceiling: Ceiling, lines: &str| {
        let envelope = sign(&contract(lines), "operator").to_json();
        match present_to(envelope.as_bytes(), &store_with(ceiling), NOW) {
            Err(ContractError::OverCeiling { name, beyond }) => {
                assert_eq!(name, "operator");
                Some(beyond)
            }
            other => {
                other.unwrap();
                None
            }
        }
    };
    let low = || Ceiling {
        gas: Gas(1_000),
        ttl_s: 3_600,
        uses: 1,
        allow: vec![rule("http.fetch http=* https://**"), rule("fs.read path=/input/** max=5")],
        secrets: vec![CeilingSecret { name: "K".to_owned(), to: UrlPattern::parse("https://h/**").unwrap() }],
        limits: Limits::MODEST,
    };
    let web = rules("allow http.fetch http=GET https://h/**");
    let secret = |name: &str, host: &str| {
        rules(&format!("allow http.fetch http=GET https://{host}/**"))
            + &format!("[[secret]]\nname = {name:?}\nto = \"https://{host}/**\"\nas = \"header:x-k={{}}\"\n")
    };
    assert_eq!(beyond(low(), &web), None);
    assert_eq!(beyond(low(), &secret("K", "h")), None);
    assert_eq!(beyond(low(), &secret("K", "i")), Some(NotSubset::Secret("K".to_owned())));
    assert_eq!(beyond(low(), &secret("L", "h")), Some(NotSubset::Secret("L".to_owned())));
    assert_eq!(
        beyond(Ceiling { gas: Gas(999), ..low() }, &web),
        Some(NotSubset::Gas { asked: Gas(1_000), most: Gas(999) })
    );
    assert_eq!(beyond(Ceiling { ttl_s: 3_599, ..low() }, &web), Some(NotSubset::Lifetime));
    let plain = rules("allow http.fetch http=GET http://h/**");
    assert!(matches!(beyond(low(), &plain), Some(NotSubset::Grant(_))));
    assert_eq!(beyond(low(), &rules("allow fs.read path=/input/a max=5")), None);
    assert!(matches!(beyond(low(), &rules("allow fs.read path=/input/a max=6")), Some(NotSubset::Calls(_))));
    assert!(matches!(beyond(low(), &rules("allow fs.read path=/input/a")), Some(NotSubset::Calls(_))));
    let limit = beyond(low(), &(web + "[limits]\nwall_s = 301\n"));
    assert_eq!(limit, Some(NotSubset::Limit { name: "wall_s", asked: 301, most: 300 }));
}

#[test]
fn one_key_one_name_one_entry() {
    let methods = methods();
    let mut store = store_with(Ceiling::default());
    assert_eq!(
        store.add(entry("operator", Ceiling::default()), &methods),
        Err(TrustError::Twice("operator".to_owned()))
    );
    let mut renamed = entry("operator", Ceiling::default());
    renamed.name = "ann".to_owned();
    assert_eq!(store.add(renamed, &methods), Err(TrustError::Twice("operator".to_owned())));
    assert!(store.remove("operator"));
    assert!(!store.remove("operator"));
    store.add(entry("operator", Ceiling::default()), &methods).unwrap();
    assert!(store.remove(&key("operator").to_string()));
}

#[test]
fn f81_a_name_in_the_store_is_short_and_printable() {
    let long = "a".repeat(65);
    for bad in ["", "a\nb", "\u{1b}[31m", &long] {
        let mut named = entry("operator", Ceiling::default());
        named.name = bad.to_owned();
        assert_eq!(TrustStore::empty().add(named, &methods()), Err(TrustError::Name), "{bad:?}");
    }
}

#[test]
fn a_removed_key_signs_nothing_more() {
    let envelope = sign(&contract(""), "operator").to_json();
    let mut store = store_with(Ceiling::operator(&methods()));
    assert!(present_to(envelope.as_bytes(), &store, NOW).is_ok());
    store.remove("operator");
    assert_eq!(present_to(envelope.as_bytes(), &store, NOW), Err(ContractError::UnknownKey(key("operator"))));
}

#[test]
fn a_rule_of_a_ceiling_that_means_nothing_is_refused() {
    let ceiling = Ceiling { allow: vec![rule("fs.format path=/**")], ..Ceiling::default() };
    let unknown = RuleFault::UnknownMethod("fs.format".to_owned());
    let expected = TrustError::Rule("call = \"fs.format\"  path = \"/**\"".to_owned(), unknown);
    assert_eq!(TrustStore::empty().add(entry("operator", ceiling), &methods()), Err(expected));
}

#[test]
fn a_trust_file_has_a_closed_shape_and_a_bounded_size() {
    let methods = methods();
    let parse = |text: &str| TrustStore::parse(text, &methods);
    let operator = key("operator");
    for bad in [
        String::new(),
        "{}".to_owned(),
        "{\"trust\":1}".to_owned(),
        "{\"trust\":1,\"keys\":[],\"keys\":[]}".to_owned(),
        "{\"trust\":1,\"keys\":[],\"everyone\":true}".to_owned(),
        format!("{{\"trust\":1,\"keys\":[{{\"key\":\"{operator}\"}}]}}"),
        format!(
            "{{\"trust\":1,\"keys\":[{{\"key\":\"{operator}\",\"name\":\"a\",\"purposes\":[\"all\"]}}]}}"
        ),
        format!(
            "{{\"trust\":1,\"keys\":[{{\"key\":\"{operator}\",\"name\":\"a\",\"ceiling\":{{\"gas\":-1}}}}]}}"
        ),
        format!(
            "{{\"trust\":1,\"keys\":[{{\"key\":\"{operator}\",\"name\":\"a\",\"ceiling\":{{\"unlimited\":1}}}}]}}"
        ),
    ] {
        assert!(matches!(parse(&bad), Err(TrustError::Malformed(_))), "{bad}");
    }
    assert_eq!(parse("{\"trust\":2,\"keys\":[]}"), Err(TrustError::Version(2)));
    assert_eq!(parse(&" ".repeat((1 << 20) + 1)), Err(TrustError::TooLong((1 << 20) + 1, 1 << 20)));
    let mut store = TrustStore::empty();
    for at in 0..=TRUST_ENTRIES_MAX {
        let mut next = entry("operator", Ceiling::default());
        next.name = at.to_string();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&at.to_le_bytes());
        next.key = Signer::from_seed(seed).id();
        assert_eq!(store.add(next, &methods).is_ok(), at < TRUST_ENTRIES_MAX, "{at}");
    }
}
