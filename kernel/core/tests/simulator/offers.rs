//! The contracts of the simulation: really signed, really verified, each poor in its own way. And what is asked under
//! them, with the answer the rules must give.

use crate::kit::{self, NOW, key, methods, rules, sign};
use crate::rng::Rng;
use pawang_core::attenuate::{HelperRequest, Mint, mint};
use pawang_core::contract::{Contract, EachCeiling, Serial, Verified};
use pawang_core::digest::Digest;
use pawang_core::permit::Policy;
use pawang_protocol::{DenialCode, Gas};
use std::sync::{Arc, LazyLock};

/// A contract ready to run under.
#[derive(Debug, Clone)]
pub struct Offer {
    pub verified: Verified,
    pub policy: Arc<Policy>,
}

/// All grants that any of them has. One rule per method, so that the method tells the rule.
const GRANTS: &str = "allow fs.read path=/input/** max=400
    allow fs.write path=/output/**
    allow http.fetch http=GET https://h/**
    allow memory.write name=**
    allow exec.run argv=/usr/bin/git **
    allow run.info
    allow run.spawn name=helper
    deny fs.read path=/input/private/**";

/// What the automation says, and what it must hear: a denial with this code, or none but for want of gas or of room.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    pub method: &'static str,
    pub resource: &'static str,
    pub denied: Option<DenialCode>,
}

pub const ASKINGS: &[Asking] = &[
    yes("fs.read", "/input/a.txt"),
    yes("fs.read", "/input/deep/b.txt"),
    yes("fs.write", "/output/report"),
    yes("http.fetch", "GET https://h/v1/x?q=1"),
    yes("http.fetch", "GET https://h/open"),
    yes("memory.write", "notes/today"),
    yes("exec.run", "/usr/bin/git\0status"),
    yes("exec.run", "/usr/bin/git\0log"),
    yes("run.info", ""),
    yes("run.spawn", "helper"),
    no("fs.read", "/input/private/key", DenialCode::DeniedByRule),
    no("fs.read", "/etc/passwd", DenialCode::ResourceNotGranted),
    no("fs.read", "/input/../etc/passwd", DenialCode::MalformedResource),
    no("fs.read", "/proc/1/environ", DenialCode::Protected),
    no("fs.list", "/input", DenialCode::MethodNotGranted),
    no("http.fetch", "GET https://evil/", DenialCode::ResourceNotGranted),
    no("kernel.spawn", "/usr/bin/git\0status", DenialCode::MethodNotGranted),
    no("memory.write", "Not A Name", DenialCode::MalformedResource),
];

const fn yes(method: &'static str, resource: &'static str) -> Asking {
    Asking { method, resource, denied: None }
}

const fn no(method: &'static str, resource: &'static str, code: DenialCode) -> Asking {
    Asking { method, resource, denied: Some(code) }
}

/// The contracts, made once: signing is what takes long.
pub static OFFERS: LazyLock<Vec<Offer>> = LazyLock::new(|| {
    let mut offers: Vec<Offer> = [
        of("rich", 1_000_000, 1_000, |_| {}),
        of("huge", 1_000_000_000_000_000, 1_000, |_| {}),
        of("modest", 4_000, 1_000, |_| {}),
        of("poor", 60, 1_000, |_| {}),
        of("penniless", 1, 3, |_| {}),
        of("short-lived", 5_000, 100, |contract| contract.not_after = NOW + 600),
        of("counted", 5_000, 3, |contract| contract.allow[0].max_calls = Some(5)),
        of("capped", 20_000, 100, |contract| {
            let each = |call, limit| EachCeiling { call: kit::rule(call).call, limit: Gas(limit) };
            contract.gas.each = vec![each("http.fetch", 300), each("fs.*", 400), each("exec.run", 90)];
        }),
        of("grantless", 500, 100, |contract| {
            contract.allow.clear();
            contract.deny.clear();
            contract.secrets.clear();
        }),
    ]
    .map(|contract| offer(kit::present(sign(&contract, "operator").to_json().as_bytes()).unwrap()))
    .into();
    offers.extend(delegated());
    offers
});

fn of(name: &str, gas: u64, uses: u32, change: impl FnOnce(&mut Contract)) -> Contract {
    let secret = "[[secret]]\nname = \"K\"\nto = \"https://h/v1/**\"\nas = \"header:x-k={}\"\n";
    let mut contract = kit::contract(&(rules(GRANTS) + secret));
    contract.serial = Serial(Digest::of(name.as_bytes()).0[..16].try_into().unwrap());
    (contract.gas.limit, contract.uses) = (Gas(gas), uses);
    contract.not_after = NOW + 30 * 86_400;
    change(&mut contract);
    contract
}

/// A contract with a delegate, two that the delegate cut from it, and one cut from one of those.
fn delegated() -> Vec<Offer> {
    let mut parent = of("parent", 3_000, 50, |contract| {
        contract.allow[0].max_calls = Some(30);
        contract.gas.each = vec![EachCeiling { call: kit::rule("fs.*").call, limit: Gas(900) }];
    });
    parent.delegate = Some(key("delegate"));
    let parent_envelope = sign(&parent, "operator");
    let cut = |name: &str, above: &Contract, gas, uses, calls| {
        let mut contract = of(name, gas, uses, |_| {});
        contract.issuer = key("delegate");
        contract.allow[0].max_calls = Some(calls);
        contract.gas.each = vec![EachCeiling { call: kit::rule("fs.*").call, limit: Gas(gas / 3) }];
        contract.delegate = Some(key("delegate"));
        contract.parent = Some(Digest::of(&above.to_payload()));
        contract
    };
    let (first, second) = (cut("first", &parent, 1_500, 4, 10), cut("second", &parent, 2_000, 2, 25));
    let first_envelope = sign(&first, "delegate").under(&parent_envelope);
    let second_envelope = sign(&second, "delegate").under(&parent_envelope);
    let third = cut("third", &first, 600, 2, 6);
    let third_envelope = sign(&third, "delegate").under(&first_envelope);
    [parent_envelope, first_envelope, second_envelope, third_envelope]
        .map(|envelope| offer(kit::present(envelope.to_json().as_bytes()).unwrap()))
        .into()
}

fn offer(verified: Verified) -> Offer {
    let policy = Arc::new(Policy::compile(&verified.contract, &methods()).unwrap());
    Offer { verified, policy }
}

/// A contract that a run mints for a helper, if its own is large enough.
pub fn helper(rng: &mut Rng, own: &Verified, now: u64) -> Option<Offer> {
    let gas = [0, 1, 40, 300, 1_000][usize::try_from(rng.below(5)).unwrap()];
    let calls = rng.below(5) + 1;
    let ttl = if rng.once_in(4) { ",\"ttl_s\":30" } else { "" };
    let grants = format!(
        r#"{{"call":"fs.read","path":"/input/**","max_calls":{calls}}},
           {{"call":"http.fetch","http":"GET https://h/**"}},
           {{"call":"exec.run","argv":["/usr/bin/git","**"]}},
           {{"call":"run.spawn","name":"helper"}}"#
    );
    let (grants, secrets) = if rng.once_in(5) { ("", "") } else { (grants.as_str(), "\"K\"") };
    let json = format!(r#"{{"name":"helper","gas":{gas}{ttl},"secrets":[{secrets}],"allow":[{grants}]}}"#);
    let mut serial = [0; 16];
    serial[..8].copy_from_slice(&rng.next().to_le_bytes());
    let with = Mint { now, serial: Serial(serial), methods: &methods(), protected: &[] };
    mint(own, HelperRequest::parse(json.as_bytes()).unwrap(), &with).ok().map(offer)
}

/// What the grants of a contract say of an asking.
pub fn must(asking: &Asking, contract: &Contract) -> Option<DenialCode> {
    let granted = contract.allow.iter().any(|grant| grant.call.to_string() == asking.method);
    match asking.denied {
        Some(DenialCode::DeniedByRule | DenialCode::ResourceNotGranted) | None if !granted => {
            Some(DenialCode::MethodNotGranted)
        }
        code => code,
    }
}
