//! One contract, one key that signs it and one daemon that trusts that key, for the targets that need them.

use pawang_core::contract::{Admission, Contract, Envelope, Verified};
use pawang_core::digest::Digest;
use pawang_core::key::{KeyId, Signer};
use pawang_core::method::Methods;
use pawang_core::trust::{Ceiling, Purpose, TrustEntry, TrustStore};

/// A time within the validity of the contract, unix s.
const NOW: u64 = 1_800_000_000;

/// A daemon's view of the world, without the world.
pub struct Fixture {
    /// The price table of this kernel.
    pub methods: Methods,
    prices: Digest,
    signer: Signer,
    audience: KeyId,
    trust: TrustStore,
}

impl Fixture {
    /// The same each time.
    ///
    /// # Panics
    /// Where the kernel refuses its own price table or its operator's ceiling.
    #[must_use]
    pub fn new() -> Self {
        let methods = Methods::builtin().expect("the compiled-in table is sound");
        let signer = Signer::from_seed([7; 32]);
        let entry = TrustEntry {
            key: signer.id(),
            name: "ann".to_owned(),
            purposes: vec![Purpose::Contract],
            not_after: None,
            ceiling: Ceiling::operator(&methods),
        };
        let mut trust = TrustStore::empty();
        trust.add(entry, &methods).expect("the operator's ceiling is sound");
        // Not the digest of the table as it is today: the seeds should outlive a change of prices.
        let prices = Digest::of(b"prices");
        Self { methods, prices, signer, audience: Signer::from_seed([8; 32]).id(), trust }
    }

    /// What the daemon says of an envelope.
    ///
    /// # Errors
    /// Its reason.
    pub fn verify(&self, envelope: &[u8]) -> Result<Verified, impl std::fmt::Display + use<>> {
        let admission = Admission {
            now: NOW,
            audience: &self.audience,
            prices: &self.prices,
            program: None,
            protected: &["/var/lib/pawang"],
            trust: &self.trust,
            methods: &self.methods,
        };
        pawang_core::contract::verify(envelope, &admission)
    }

    /// Signs whatever it is given, as a careless operator would.
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> String {
        Envelope::sign(payload, &self.signer).to_json()
    }

    /// The contract that is signed and trusted.
    ///
    /// # Panics
    /// Where the kernel no longer reads it: then this text has to follow.
    #[must_use]
    pub fn contract(&self) -> Contract {
        let text = serde_json::json!({
            "contract": 1, "name": "weather-report", "issuer": self.signer.id(), "audience": self.audience,
            "program": {
                "executable": {"path": "/usr/bin/python3", "sha256": Digest::of(b"interpreter")},
                "script": {"path": "/home/ann/report.py", "sha256": Digest::of(b"script")},
                "files": [{"path": "/home/ann/words.py", "sha256": Digest::of(b"module")}]
            },
            "runtime": "python", "serial": "00112233445566778899aabbccddeeff",
            "not_before": NOW - 60, "not_after": NOW + 3_600, "uses": 3, "prices": self.prices,
            "gas": {"limit": 1_000, "each": [{"call": "http.*", "limit": 300}]},
            "allow": [
                {"call": "fs.read", "path": "/input/**"},
                {"call": "fs.move", "path": "/output/**", "max_calls": 2},
                {"call": "http.fetch", "http": "GET https://api.example.com/v1/**"},
                {"call": "exec.run", "argv": ["git", "log", "**"]},
                {"call": "memory.read", "name": "notes/**"},
                {"call": "run.info"}
            ],
            "deny": [{"call": "fs.read", "path": "/input/private/**"}],
            "secrets": [{"name": "API_KEY", "to": "https://api.example.com/**", "as": "header:authorization=Bearer {}"}],
            "limits": {
                "wall_s": 60, "memory_mib": 256, "processes": 4, "open_files": 64, "file_mib": 16, "tmp_mib": 16,
                "output_kib": 1_024, "memory_store_kib": 64
            },
            "delegate": null, "parent": null
        });
        serde_json::from_value(text).expect("a contract of this version")
    }
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}
