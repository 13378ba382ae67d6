//! Even a payload that is signed and trusted is read in one way only, and what is accepted can be enforced whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pawang_core::contract::Contract;
use pawang_core::permit::Policy;
use pawang_fuzz::Fixture;
use std::sync::LazyLock;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fuzz_target!(|payload: &[u8]| {
    let parsed = Contract::parse(payload);
    if let Ok(contract) = &parsed {
        assert_eq!(contract.to_payload(), payload, "one spelling");
    }
    match FIXTURE.verify(FIXTURE.sign(payload).as_bytes()) {
        Ok(verified) => {
            assert_eq!(parsed.as_ref(), Ok(&*verified.contract));
            assert!(verified.contract.uses > 0 && verified.contract.not_after > verified.contract.not_before);
            if let Err(error) = Policy::compile(&verified.contract, &FIXTURE.methods) {
                panic!("admitted, and cannot be enforced: {error}");
            }
        }
        Err(refusal) => drop(refusal.to_string()),
    }
});
