//! What the contract tests share: keys that are nobody's, a clock that stands still, and a contract to start from.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use pawang_core::contract::source::{CompileContext, compile};
use pawang_core::contract::{
    Admission, Contract, ContractError, Envelope, FileDigest, Program, ProgramDigests, Rule, Serial,
    Verified, verify,
};
use pawang_core::digest::Digest;
use pawang_core::key::{KeyId, Signer};
use pawang_core::method::Methods;
use pawang_core::permit::{Permitted, Policy, Refusal};
use pawang_core::resource::Resource;
use pawang_core::trust::{Ceiling, Purpose, TrustEntry, TrustStore};
use pawang_protocol::DenialCode;
use std::sync::LazyLock;

/// When every test happens, unix s.
pub const NOW: u64 = 1_800_000_000;

/// A key for one role: `operator`, `daemon`, `delegate`, `stranger`.
pub fn signer(role: &str) -> Signer {
    Signer::from_seed(Digest::of(role.as_bytes()).0)
}

pub fn key(role: &str) -> KeyId {
    signer(role).id()
}

pub fn methods() -> Methods {
    METHODS.clone()
}

static METHODS: LazyLock<Methods> = LazyLock::new(|| Methods::builtin().unwrap());
static TRUST: LazyLock<TrustStore> = LazyLock::new(trust);

pub fn prices() -> Digest {
    Digest(methods().digest)
}

pub fn file(path: &str) -> FileDigest {
    FileDigest { path: path.to_owned(), sha256: Digest::of(path.as_bytes()) }
}

pub fn program() -> Program {
    Program {
        executable: file("/usr/bin/python3"),
        script: Some(file("/home/ann/report.py")),
        files: vec![file("/home/ann/helper.py")],
    }
}

pub fn context(methods: &Methods) -> CompileContext<'_> {
    CompileContext {
        issuer: key("operator"),
        audience: key("daemon"),
        prices: prices(),
        program: program(),
        runtime: Some("python"),
        now: NOW,
        serial: Serial([5; 16]),
        methods,
    }
}

/// A source with these lines after a head that is always the same.
pub fn source(lines: &str) -> String {
    let store = if lines.contains("memory.") { "[limits]\nmemory_store_kib = 64\n" } else { "" };
    format!("contract = 1\nname = \"test\"\nttl = \"1h\"\n[gas]\nlimit = 1000\n{store}{lines}")
}

/// Compiles [`source`] of these lines.
pub fn contract(lines: &str) -> Contract {
    let methods = methods();
    match compile(&source(lines), &context(&methods)) {
        Ok((contract, _)) => contract,
        Err(error) => panic!("{error}\n{lines}"),
    }
}

/// One `[[allow]]` or `[[deny]]` per line: `allow fs.read path=/input/**`, argv with spaces for NULs.
pub fn rules(lines: &str) -> String {
    let mut toml = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(3, ' ');
        let (section, call) = (parts.next().unwrap(), parts.next().unwrap());
        toml += &format!("[[{section}]]\ncall = {call:?}\n");
        let Some(rest) = parts.next() else { continue };
        let (pattern, max) = rest.split_once(" max=").unwrap_or((rest, ""));
        let (field, value) = pattern.split_once('=').unwrap();
        match field {
            "argv" => toml += &format!("argv = {:?}\n", value.split(' ').collect::<Vec<_>>()),
            _ => toml += &format!("{field} = {value:?}\n"),
        }
        if !max.is_empty() {
            toml += &format!("max_calls = {max}\n");
        }
    }
    toml
}

/// One rule of [`rules`] without its section, read as it stands in a payload.
pub fn rule(line: &str) -> Rule {
    let toml = rules(&format!("rule {line}"));
    let mut read: std::collections::BTreeMap<String, Vec<Rule>> = toml::from_str(&toml).unwrap();
    read.remove("rule").unwrap().remove(0)
}

pub fn policy(lines: &str) -> Policy {
    Policy::compile(&contract(&rules(lines)), &methods()).unwrap()
}

/// Decides `call` on `resource`, which must be canonical.
pub fn decide(policy: &Policy, call: &str, resource: &str) -> Result<Permitted, Refusal> {
    let methods = methods();
    let id = methods.id(call).unwrap();
    let resource = Resource::parse(methods.get(id).unwrap().resource, resource).unwrap();
    policy.decide(id, &resource)
}

/// The verdict alone.
pub fn verdict(policy: &Policy, call: &str, resource: &str) -> Option<DenialCode> {
    decide(policy, call, resource).err().map(|refusal| refusal.code)
}

pub fn entry(role: &str, ceiling: Ceiling) -> TrustEntry {
    TrustEntry {
        key: key(role),
        name: role.to_owned(),
        purposes: vec![Purpose::Contract],
        not_after: None,
        ceiling,
    }
}

/// Trusts the operator for everything that can be trusted.
pub fn trust() -> TrustStore {
    let methods = methods();
    let mut store = TrustStore::empty();
    store.add(entry("operator", Ceiling::operator(&methods)), &methods).unwrap();
    store
}

/// Presents an envelope to the daemon, with the operator trusted and the program unchanged.
pub fn present(envelope: &[u8]) -> Result<Verified, ContractError> {
    present_to(envelope, &TRUST, NOW)
}

pub fn present_to(envelope: &[u8], trust: &TrustStore, now: u64) -> Result<Verified, ContractError> {
    let (methods, audience, prices) = (&*METHODS, key("daemon"), Digest(METHODS.digest));
    verify(
        envelope,
        &Admission {
            now,
            audience: &audience,
            prices: &prices,
            program: None,
            protected: &["/var/lib/pawang"],
            trust,
            methods,
        },
    )
}

pub fn sign(contract: &Contract, role: &str) -> Envelope {
    Envelope::sign(&contract.to_payload(), &signer(role))
}

/// What the daemon measures when nothing was changed.
pub fn measured(contract: &Contract) -> ProgramDigests {
    contract.program.digests()
}
