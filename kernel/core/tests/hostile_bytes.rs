//! f50: whatever the bytes, reading them ends, without a panic, in a value or a clean refusal.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{contract, key, methods, present, rules, sign};
use pawang_core::attenuate::HelperRequest;
use pawang_core::contract::source::{Source, check};
use pawang_core::contract::{Contract, Envelope};
use pawang_core::key::Signer;
use pawang_core::trust::TrustStore;
use proptest::prelude::*;

/// Reads it as everything that is read from outside.
fn read_as_all(bytes: &[u8]) {
    let _ = Envelope::parse(bytes);
    let _ = Contract::parse(bytes);
    let _ = HelperRequest::parse(bytes);
    let _ = present(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Source::parse(text);
        let _ = check(text, &methods());
        let _ = TrustStore::parse(text, &methods());
        let _ = Signer::from_text(text);
    }
}

#[test]
fn deep_and_odd_documents_are_refused_cleanly() {
    for text in [
        "[".repeat(100_000),
        "{\"a\":".repeat(50_000),
        format!("{{\"parents\":{}", "[{\"parents\":".repeat(20_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(50_000)),
        format!("[{}]", "a.".repeat(50_000)),
        "\u{feff}{}".to_owned(),
        "\"\\ud800\"".to_owned(),
        "{\"contract\":1e400}".to_owned(),
        "\0".repeat(1_000),
    ] {
        read_as_all(text.as_bytes());
        assert!(Contract::parse(text.as_bytes()).is_err());
        assert!(Envelope::parse(text.as_bytes()).is_err());
        assert!(check(&text, &methods()).is_err());
    }
}

#[test]
fn a_contract_at_its_limits_is_read_and_one_beyond_is_not() {
    let many =
        |count: usize| -> String { (0..count).map(|at| format!("allow fs.read path=/{at}\n")).collect() };
    let methods = methods();
    let source = |count| kit::source(&rules(&many(count)));
    assert!(check(&source(1_024), &methods).is_ok());
    let error = check(&source(1_025), &methods).unwrap_err();
    assert_eq!(error.code(), "too_long");
    let tests = |count: usize| {
        kit::source(
            &(rules("allow run.info") + &"[[test]]\ncall = \"run.info\"\nexpect = \"allow\"\n".repeat(count)),
        )
    };
    assert!(check(&tests(1_024), &methods).is_ok());
    assert_eq!(check(&tests(1_025), &methods).unwrap_err().code(), "too_long");
    assert_eq!(check(&" ".repeat((256 << 10) + 1), &methods).unwrap_err().code(), "too_long");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn f50_any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_as_all(&bytes);
    }

    #[test]
    fn f50_a_damaged_contract_is_never_another_contract(cuts in proptest::collection::vec((any::<u16>(), any::<u8>(), 0..3_u8), 1..4)) {
        let honest = sign(&contract(&rules("allow fs.read path=/a")), "operator").to_json().into_bytes();
        let mut bytes = honest.clone();
        for (at, byte, kind) in cuts {
            let at = usize::from(at) % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        read_as_all(&bytes);
        if let Ok(verified) = present(&bytes) {
            // White space around the frame is not signed, and changes nothing.
            prop_assert_eq!(verified.issuer, key("operator"));
            prop_assert_eq!(verified.contract.to_payload(), Envelope::parse(&honest).unwrap().payload().to_vec());
        }
    }

    #[test]
    fn f50_a_damaged_source_is_read_or_refused(cuts in proptest::collection::vec((any::<u16>(), "\\PC{0,3}"), 1..4)) {
        let mut text = kit::source(&rules("allow fs.read path=/a\nallow http.fetch http=GET https://h/**\ndeny fs.read path=/a"));
        for (at, piece) in cuts {
            let at = usize::from(at) % text.len();
            let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            text.insert_str(at, &piece);
        }
        if let Err(error) = check(&text, &methods()) {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count() + 1);
        }
    }
}
