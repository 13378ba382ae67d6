//! `tests/contracts/`: every good contract is admitted, every bad one is refused with its exact complaint.
//!
//! The README there says what a case may say. All files are held in one go, so that one run shows all that changed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use base64ct::{Base64, Encoding};
use kit::{NOW, context, entry, key, methods, prices, rule, sign, signer};
use pawang_core::contract::source::{check, compile};
use pawang_core::contract::{Admission, Contract, ContractError, Envelope, Limits, Verified, verify};
use pawang_core::digest::Digest;
use pawang_core::permit::Policy;
use pawang_core::trust::{Ceiling, TrustEntry, TrustStore};
use pawang_protocol::Gas;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

const ROLES: [&str; 7] = ["operator", "daemon", "delegate", "stranger", "packager", "retired", "apprentice"];

/// How a good contract is broken.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    source: Option<String>,
    signer: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    prices: Option<String>,
    /// Number of grants, in place of the contract's own.
    grants: Option<usize>,
    /// Whose key the envelope shows instead of the signer's.
    shown: Option<String>,
    /// Seconds from when the contract begins.
    now: String,
    /// The program file whose content is not what was signed.
    changed: Option<String>,
    edit: Vec<Edit>,
    tamper: Vec<Edit>,
    envelope: Vec<Edit>,
    child: Option<Child>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    find: String,
    put: String,
    /// Spaces to add at the end.
    #[serde(default)]
    pad: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Child {
    signer: Option<String>,
    /// `other`: names another parent than it comes with.
    parent: Option<String>,
    /// How many contracts are cut, one from the other; 1 where absent.
    depth: Option<usize>,
    edit: Vec<Edit>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/contracts").join(name)
}

fn files(name: &str, suffix: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            Some((
                path.file_name()?.to_str()?.strip_suffix(suffix)?.to_owned(),
                fs::read_to_string(&path).ok()?,
            ))
        })
        .collect();
    files.sort();
    files
}

fn trust() -> TrustStore {
    let methods = methods();
    let all = || Ceiling::operator(&methods);
    let apprentice = Ceiling {
        gas: Gas(1_000),
        ttl_s: 3_600,
        uses: 1,
        allow: vec![rule("fs.read path=/input/**")],
        secrets: Vec::new(),
        limits: Limits::MODEST,
    };
    let mut store = TrustStore::empty();
    for entry in [
        entry("operator", all()),
        TrustEntry { purposes: Vec::new(), ..entry("packager", all()) },
        TrustEntry { not_after: Some(NOW), ..entry("retired", all()) },
        entry("apprentice", apprentice),
    ] {
        store.add(entry, &methods).unwrap();
    }
    store
}

fn apply(edits: &[Edit], text: &str) -> String {
    edits.iter().fold(text.to_owned(), |text, edit| {
        let find = edit.find.replace("{key}", &key("operator").to_string());
        let find = find.replace("{signature}", signature(&text));
        assert!(text.contains(&find), "nothing to edit: {find}");
        text.replace(&find, &edit.put) + &" ".repeat(edit.pad)
    })
}

/// The signature in the JSON of an envelope; nothing in other text.
fn signature(text: &str) -> &str {
    text.split_once("\"signatures\":[")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(signature, _)| signature)
}

fn payload(contract: &Contract, edits: &[Edit]) -> Vec<u8> {
    apply(edits, &String::from_utf8(contract.to_payload()).unwrap()).into_bytes()
}

/// The contract of a case, before its payload is edited.
fn plain(case: &Case) -> Contract {
    let methods = methods();
    let source = case.source.as_deref().unwrap_or("plain.toml");
    let toml = fs::read_to_string(folder("good").join(source)).unwrap();
    let (mut contract, _) = compile(&toml, &context(&methods)).unwrap();
    let role = |role: &Option<String>, otherwise| key(role.as_deref().unwrap_or(otherwise));
    contract.issuer = role(&case.issuer, "operator");
    contract.audience = role(&case.audience, "daemon");
    contract.delegate = case.child.as_ref().map(|_| key("delegate"));
    if let Some(table) = &case.prices {
        contract.prices = Digest::of(table.as_bytes());
    }
    if let Some(grants) = case.grants {
        contract.allow = (0..grants).map(|at| rule(&format!("fs.read path=/input/{at}"))).collect();
    }
    contract
}

/// The envelope of a case.
fn envelope(case: &Case) -> String {
    let contract = plain(case);
    let signed_by = case.signer.as_deref().unwrap_or("operator");
    let payload = payload(&contract, &case.edit);
    let mut envelope = Envelope::sign(&payload, &signer(signed_by));
    if let Some(child) = &case.child {
        envelope = cut(child, &contract, envelope);
    }
    let mut json = envelope.to_json();
    if !case.tamper.is_empty() {
        let changed = apply(&case.tamper, &String::from_utf8(payload.clone()).unwrap());
        json = json.replace(&Base64::encode_string(&payload), &Base64::encode_string(changed.as_bytes()));
    }
    if let Some(shown) = &case.shown {
        json = json.replace(&key(signed_by).to_string(), &key(shown).to_string());
    }
    apply(&case.envelope, &json)
}

/// Contracts cut from `contract`, each under the one before.
fn cut(child: &Child, contract: &Contract, mut above: Envelope) -> Envelope {
    let by = child.signer.as_deref().unwrap_or("delegate");
    for _ in 0..child.depth.unwrap_or(1) {
        let parent = if child.parent.is_some() { Digest::of(b"other") } else { above.digest() };
        let cut = Contract { issuer: key(by), parent: Some(parent), ..contract.clone() };
        above = Envelope::sign(&payload(&cut, &child.edit), &signer(by)).under(&above);
    }
    above
}

fn present(case: &Case) -> Result<Verified, ContractError> {
    let (methods, audience, prices, trust) = (methods(), key("daemon"), prices(), trust());
    let contract = plain(case);
    let mut measured = contract.program.digests();
    if let Some(changed) = &case.changed {
        let other = Digest::of(b"changed");
        let script = contract.program.script.as_ref().is_some_and(|script| script.path == *changed);
        if script { measured.script = Some(other) } else { measured.executable = other }
    }
    let now = match case.now.split_at_checked(1) {
        Some(("+", later)) => NOW + later.parse::<u64>().unwrap(),
        Some(("-", earlier)) => NOW - earlier.parse::<u64>().unwrap(),
        _ => NOW,
    };
    verify(
        envelope(case).as_bytes(),
        &Admission {
            now,
            audience: &audience,
            prices: &prices,
            program: Some(&measured),
            protected: &["/var/lib/pawang"],
            trust: &trust,
            methods: &methods,
        },
    )
}

/// What differs from run to run of the project's life is named.
fn named(text: &str) -> String {
    let keys = ROLES
        .iter()
        .fold(text.to_owned(), |text, role| text.replace(&key(role).to_string(), &format!("{{{role}}}")));
    keys.replace(&prices().short(), "{prices}")
}

/// The complaint about a bad source or a case.
fn complaint(name: &str, text: &str) -> Option<String> {
    let (code, message, hint) = match name.strip_suffix(".case") {
        Some(_) => {
            let case: Case = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let error = present(&case).err()?;
            (error.code(), error.to_string(), error.hint())
        }
        None => {
            let methods = methods();
            let error = compile(text, &context(&methods)).err()?;
            (error.code(), error.to_string(), error.hint())
        }
    };
    Some(named(&format!("{code}\n{message}\n{hint}\n")))
}

#[test]
fn every_good_contract_is_admitted() {
    let methods = methods();
    for (name, text) in files("good", ".toml") {
        if let Err(error) = check(&text, &methods) {
            panic!("{name}: {error}");
        }
        let (contract, payload) = compile(&text, &context(&methods)).unwrap();
        let envelope = sign(&contract, "operator");
        assert_eq!(envelope.payload(), payload);
        let verified =
            kit::present(envelope.to_json().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(verified.check_program(&kit::measured(&contract)), Ok(()));
        Policy::compile(&verified.contract, &methods).unwrap();
    }
}

#[test]
fn every_bad_contract_is_refused_with_its_exact_complaint() {
    let bad = files("bad", ".toml");
    assert!(bad.len() >= 50, "{}", bad.len());
    let mut wrong = String::new();
    for (name, text) in &bad {
        let found = complaint(name, text).unwrap_or_else(|| "admitted\n".to_owned());
        let expected =
            fs::read_to_string(folder("bad").join(format!("{}.expected", name.trim_end_matches(".case"))));
        if expected.ok().as_deref() != Some(found.as_str()) {
            wrong += &format!("--- {name}\n{found}");
        }
    }
    assert!(wrong.is_empty(), "these complaints are not the expected ones:\n{wrong}");
}

#[test]
fn every_expected_complaint_has_its_contract() {
    let bad: Vec<String> = files("bad", ".toml")
        .into_iter()
        .map(|(name, _)| name.trim_end_matches(".case").to_owned())
        .collect();
    for (name, _) in files("bad", ".expected") {
        assert!(bad.contains(&name), "{name}.expected stands alone");
    }
}

#[test]
fn what_breaks_a_case_is_what_it_says_and_nothing_else() {
    assert!(present(&Case::default()).is_ok());
    let with_child = Case { child: Some(Child::default()), ..Case::default() };
    let verified = present(&with_child).unwrap();
    assert_eq!((verified.chain.len(), verified.issuer), (1, key("delegate")));
    let deep =
        |depth| Case { child: Some(Child { depth: Some(depth), ..Child::default() }), ..Case::default() };
    assert_eq!(present(&deep(8)).unwrap().chain.len(), 8);
    assert_eq!(present(&deep(9)), Err(ContractError::TooDeep(9)));
}
