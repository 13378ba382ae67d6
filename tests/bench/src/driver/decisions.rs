//! The pure parts alone: deciding, and admitting a contract. The rival of admitting is the signature check it cannot
//! do without.

use crate::table::{Goal, Row, time};
use ed25519_dalek::{Signer as _, SigningKey};
use pawang_bench::median;
use pawang_core::contract::envelope::{PAYLOAD_TYPE, pae};
use pawang_core::contract::source::{CompileContext, compile};
use pawang_core::contract::{Admission, Contract, Envelope, FileDigest, Program, Serial, Verified, verify};
use pawang_core::digest::Digest;
use pawang_core::key::Signer;
use pawang_core::method::Methods;
use pawang_core::permit::Policy;
use pawang_core::resource::Resource;
use pawang_core::trust::{Ceiling, Purpose, TrustEntry, TrustStore};
use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::time::Instant;

/// Seed of a key that is nobody's.
const OPERATOR: [u8; 32] = [1; 32];
/// When all of it happens, unix s.
pub const NOW: u64 = 1_800_000_000;
/// Repetitions in one round.
const REPEATS: u32 = 2_000;

/// A daemon's knowledge, and an operator.
pub struct World {
    /// What can be called.
    pub methods: Methods,
    /// Signs contracts.
    pub operator: Signer,
    daemon: Signer,
    trust: TrustStore,
}

/// Everything of this module.
pub fn measure(rounds: usize) -> io::Result<Vec<Row>> {
    let world = World::new().map_err(io::Error::other)?;
    let mut rows = decide(&world, rounds, 32, "decide, 32 rules", 0.5)?;
    rows.extend(decide(&world, rounds, 1_000, "decide, 1,000 rules", 2.0)?);
    rows.extend(admit(&world, rounds)?);
    Ok(rows)
}

fn decide(
    world: &World,
    rounds: usize,
    rules: usize,
    path: &'static str,
    most_us: f64,
) -> io::Result<Vec<Row>> {
    let (contract, _) = world.contract(rules, 1_000)?;
    let policy = Policy::compile(&contract, &world.methods).map_err(io::Error::other)?;
    let method = world.methods.id("fs.read").ok_or_else(|| io::Error::other("no fs.read"))?;
    let kind = world.methods.get(method).map(|row| row.resource).ok_or_else(|| io::Error::other("no row"))?;
    let text = format!("/srv/data/{}/reports/2026/summary.txt", rules / 2);
    let resource = Resource::parse(kind, &text).map_err(io::Error::other)?;
    let alone = repeat(rounds, || policy.decide(method, black_box(&resource)).is_ok());
    let parsed = repeat(rounds, || {
        Resource::parse(kind, black_box(&text)).is_ok_and(|resource| policy.decide(method, &resource).is_ok())
    });
    let rival = format!("with the resource made canonical {}", time(parsed));
    Ok(vec![Row { path, reached: time(alone), rival, figure: alone / 1e3, goal: Goal::AtMost(most_us) }])
}

fn admit(world: &World, rounds: usize) -> io::Result<Vec<Row>> {
    let (_, payload) = world.contract(8, 1_000)?;
    let envelope = Envelope::sign(&payload, &world.operator).to_json();
    let (mut admitted, mut bare) = (Vec::new(), Vec::new());
    let signed = pae(PAYLOAD_TYPE, &payload);
    let signing = SigningKey::from_bytes(&OPERATOR);
    let (signature, key) = (signing.sign(&signed), signing.verifying_key());
    for _ in 0..rounds {
        admitted.push(repeat(1, || {
            world
                .verify(black_box(&envelope))
                .is_ok_and(|verified| Policy::compile(&verified.contract, &world.methods).is_ok())
        }));
        bare.push(repeat(1, || key.verify_strict(black_box(&signed), &signature).is_ok()));
    }
    let (admitted, bare) = (median(admitted), median(bare));
    Ok(vec![Row {
        path: "contract verified and admitted",
        reached: time(admitted),
        rival: format!("verify_strict {}", time(bare)),
        figure: admitted / bare,
        goal: Goal::AtMost(2.5),
    }])
}

/// Time of one go in ns: the median of the rounds' means. A go that says no is a broken benchmark.
fn repeat(rounds: usize, mut go: impl FnMut() -> bool) -> f64 {
    let round = |go: &mut dyn FnMut() -> bool| {
        let begun = Instant::now();
        let yes = (0..REPEATS).filter(|_| black_box(go())).count();
        assert_eq!(yes, usize::try_from(REPEATS).unwrap_or(0), "a benchmark measures something else");
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(REPEATS)
    };
    median((0..rounds).map(|_| round(&mut go)).collect())
}

impl World {
    /// Made of keys that are nobody's.
    pub fn new() -> Result<Self, String> {
        let methods = Methods::builtin()?;
        let (operator, daemon) = (Signer::from_seed(OPERATOR), Signer::from_seed([2; 32]));
        let mut trust = TrustStore::empty();
        let entry = TrustEntry {
            key: operator.id(),
            name: "operator".to_owned(),
            purposes: vec![Purpose::Contract],
            not_after: None,
            ceiling: Ceiling::operator(&methods),
        };
        trust.add(entry, &methods).map_err(|error| error.to_string())?;
        Ok(Self { methods, operator, daemon, trust })
    }

    /// As a daemon does with what it is handed.
    pub fn verify(&self, envelope: &str) -> io::Result<Verified> {
        let (audience, prices) = (self.daemon.id(), Digest(self.methods.digest));
        let admission = Admission {
            now: NOW,
            audience: &audience,
            prices: &prices,
            program: None,
            protected: &["/var/lib/pawang"],
            trust: &self.trust,
            methods: &self.methods,
        };
        verify(envelope.as_bytes(), &admission).map_err(io::Error::other)
    }

    /// A contract of so many rules, one in eight of them a deny, and its payload.
    pub fn contract(&self, rules: usize, gas: u64) -> io::Result<(Contract, Vec<u8>)> {
        let mut text = format!("contract = 1\nname = \"bench\"\nttl = \"1h\"\n[gas]\nlimit = {gas}\n");
        for rule in 0..rules {
            // Writing to a string cannot fail.
            let _ = match rule % 8 {
                7 => write!(
                    text,
                    "[[deny]]\ncall = \"fs.read\"\npath = \"/srv/data/{}/secret/**\"\n",
                    rule - 1
                ),
                _ => write!(text, "[[allow]]\ncall = \"fs.read\"\npath = \"/srv/data/{rule}/**\"\n"),
            };
        }
        let context = CompileContext {
            issuer: self.operator.id(),
            audience: self.daemon.id(),
            prices: Digest(self.methods.digest),
            program: Program {
                executable: FileDigest { path: "/usr/bin/true".to_owned(), sha256: Digest([3; 32]) },
                script: None,
                files: Vec::new(),
            },
            runtime: None,
            now: NOW,
            serial: Serial([4; 16]),
            methods: &self.methods,
        };
        compile(&text, &context).map_err(io::Error::other)
    }
}
