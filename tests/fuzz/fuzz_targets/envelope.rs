//! Nothing is accepted but what was signed: whatever envelope verifies holds the one payload that the trusted key has
//! signed (f54 to f58). The fuzzer starts from that envelope and has no key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pawang_core::contract::Envelope;
use pawang_core::digest::Digest;
use pawang_fuzz::Fixture;
use std::sync::LazyLock;

static SIGNED: LazyLock<(Fixture, Digest)> = LazyLock::new(|| {
    let fixture = Fixture::new();
    let payload = fixture.contract().to_payload();
    assert!(fixture.verify(fixture.sign(&payload).as_bytes()).is_ok(), "the guard would let it through");
    (fixture, Digest::of(&payload))
});

fuzz_target!(|bytes: &[u8]| {
    let (fixture, signed) = &*SIGNED;
    if let Ok(envelope) = Envelope::parse(bytes) {
        let again = Envelope::parse(envelope.to_json().as_bytes());
        assert_eq!(again.as_ref(), Ok(&envelope), "written and read, it is the same");
    }
    match fixture.verify(bytes) {
        Ok(verified) => assert_eq!(verified.digest, *signed, "accepted, and never signed"),
        Err(refusal) => drop(refusal.to_string()),
    }
});
