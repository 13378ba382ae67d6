//! The vault of this daemon: its file, its key while it is open, and what is put into calls.
//!
//! A secret leaves this module in two ways only: sealed into the vault's file, and inside the `secrets` field of a call
//! on its way to a tool. Nothing here is printed, logged or part of an error.

use pawang_core::contract::SecretRule;
use pawang_core::control::VaultState;
use pawang_core::redact::Patterns;
use pawang_core::vault::{KeyCost, KeySource, Secret, SecretName, Vault, VaultKey};
use pawang_protocol::Failure;
use pawang_protocol::hello::PutIn;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The vault, open or not.
pub struct Secrets {
    path: PathBuf,
    open: Option<(Vault, VaultKey)>,
    is_there: bool,
}

impl Secrets {
    /// Finds the vault's file; opens it where a key is given from outside.
    pub fn new(path: &Path, key: Option<&Path>) -> Result<Self, Failure> {
        let mut secrets = Self { path: path.to_owned(), open: None, is_there: path.exists() };
        let Some(key) = key else { return Ok(secrets) };
        let key = VaultKey::from_raw(&*read_key(key)?);
        let vault = if secrets.is_there {
            Vault::open(&secrets.file()?, &key).map_err(trouble)?
        } else {
            Vault::new()
        };
        secrets.open = Some((vault, key));
        Ok(secrets)
    }

    /// Whether it is open.
    pub fn state(&self) -> VaultState {
        match (&self.open, self.is_there) {
            (Some(_), _) => VaultState::Open,
            (None, true) => VaultState::Locked,
            (None, false) => VaultState::Absent,
        }
    }

    /// Opens the vault with a passphrase; where there is none yet, this passphrase becomes its key. Takes as long as the
    /// key derivation does, by intent.
    pub fn unlock(&mut self, passphrase: &[u8]) -> Result<(), Failure> {
        if self.open.is_some() {
            return Ok(());
        }
        if passphrase.is_empty() {
            return Err(Failure::new("bad_passphrase", "the passphrase is empty"));
        }
        let (vault, key) = if self.is_there {
            let file = self.file()?;
            let KeySource::Passphrase { salt, cost } = Vault::key_source(&file).map_err(trouble)? else {
                return Err(Failure::new(
                    "vault_key",
                    "this vault is opened by a key file, not by a passphrase",
                )
                .hint("start pawangd with --vault-key FILE"));
            };
            let key = VaultKey::from_passphrase(passphrase, &salt, cost).map_err(trouble)?;
            (Vault::open(&file, &key).map_err(trouble)?, key)
        } else {
            let mut salt = [0; 16];
            random(&mut salt)?;
            let key = VaultKey::from_passphrase(passphrase, &salt, KeyCost::DEFAULT).map_err(trouble)?;
            (Vault::new(), key)
        };
        self.open = Some((vault, key));
        if self.is_there { Ok(()) } else { self.save() }
    }

    /// Stores a secret.
    pub fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), Failure> {
        let name = SecretName::new(name).map_err(trouble)?;
        let secret = Secret::new(value).map_err(trouble)?;
        self.vault()?.set(name, secret).map_err(trouble)?;
        self.save()
    }

    /// Removes a secret; whether it was there.
    pub fn remove(&mut self, name: &str) -> Result<bool, Failure> {
        let name = SecretName::new(name).map_err(trouble)?;
        let was_there = self.vault()?.remove(&name);
        self.save()?;
        Ok(was_there)
    }

    /// The names of the secrets that can be put in now; none while the vault is locked.
    pub fn names(&self) -> BTreeSet<String> {
        let names = self.open.iter().flat_map(|(vault, _)| vault.names());
        names.map(|name| name.as_str().to_owned()).collect()
    }

    /// What is put into a call under these rules, as the tool reads it, and what its replies must be searched for.
    pub fn put_in<'a>(
        &self,
        rules: impl Iterator<Item = &'a SecretRule>,
    ) -> (Zeroizing<Vec<u8>>, Arc<Patterns>) {
        let mut put_in = Vec::new();
        let mut used = Vec::new();
        for rule in rules {
            let Some(secret) = self.get(&rule.name) else { continue };
            let Some(text) = secret.as_header_text() else { continue };
            let (before, after) = rule.placement.around();
            put_in.push(PutIn {
                header: rule.placement.header().to_owned(),
                value: [before, text, after].concat(),
            });
            used.push(secret);
        }
        let json = Zeroizing::new(serde_json::to_vec(&put_in).unwrap_or_default());
        for mut put_in in put_in {
            zeroize::Zeroize::zeroize(&mut put_in.value);
        }
        (json, Arc::new(Patterns::new(used)))
    }

    fn get(&self, name: &str) -> Option<&Secret> {
        let (vault, _) = self.open.as_ref()?;
        vault.get(&SecretName::new(name).ok()?)
    }

    fn vault(&mut self) -> Result<&mut Vault, Failure> {
        let hint = if self.is_there {
            "pawang secret unlock"
        } else {
            "pawang secret unlock, which chooses a passphrase"
        };
        let locked = || Failure::new("vault_locked", "the vault is not open").hint(hint);
        self.open.as_mut().map(|(vault, _)| vault).ok_or_else(locked)
    }

    fn file(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read(&self.path).map_err(|error| Failure::new("vault_unreadable", error.to_string()))
    }

    /// Writes beside, syncs, renames: a crash leaves the old vault or the new one.
    fn save(&mut self) -> Result<(), Failure> {
        let Some((vault, key)) = &self.open else { return Ok(()) };
        let mut nonce = [0; 24];
        random(&mut nonce)?;
        let sealed = vault.seal(key, nonce).map_err(trouble)?;
        let beside = self.path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&sealed)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(|error| Failure::new("vault_unwritable", error.to_string()))?;
        self.is_there = true;
        Ok(())
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let wrong = |what: String| Failure::new("vault_key", format!("{}: {what}", path.display()));
    let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| wrong(error.to_string()))?);
    if let Ok(raw) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(Zeroizing::new(raw));
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let digest: Option<pawang_core::digest::Digest> = text.parse().ok();
    digest
        .map(|key| Zeroizing::new(key.0))
        .ok_or_else(|| wrong("expected 32 bytes or 64 hex digits".to_owned()))
}

fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::new("no_randomness", error.to_string()))
}

fn trouble(error: impl std::fmt::Display) -> Failure {
    Failure::new("vault", error.to_string())
}
