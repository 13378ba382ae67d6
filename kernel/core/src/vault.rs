//! The vault: names and secrets, sealed into the bytes of one file.
//!
//! Promises: what is sealed can be read and changed only with the key (XChaCha20-Poly1305, the whole header as
//! associated data); secrets are wiped from memory when dropped; names and sizes are bounded before anything is
//! allocated; a wrong key, a damaged file and a file of another version are three different errors.
//!
//! It does no I/O and has no randomness: the caller reads and writes the file (0600, replaced by rename), and brings
//! nonce and salt. It does not notice an *older* vault file put back in place of the newer one, and it does not hide
//! how many bytes are sealed. Where a secret may be sent stands in the contract, not here.

mod header;
mod key;
mod secret;

pub use key::{KeyCost, KeySource, VaultKey};
pub use secret::{SECRET_MAX, SECRET_MIN, SECRET_NAME_MAX, Secret, SecretName};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use core::fmt;
use header::{HEADER_LEN, Header, take};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most secrets in one vault. Far beyond what one machine's contracts name; keeps the file below 65 MiB.
pub const SECRETS_MAX: usize = 1_024;
/// Largest vault file, in bytes: every secret of full length with a name of full length, header and seal.
pub const VAULT_FILE_MAX: usize = HEADER_LEN + 16 + 2 + SECRETS_MAX * (1 + SECRET_NAME_MAX + 4 + SECRET_MAX);

/// Names and secrets, in memory.
#[derive(Debug, Default)]
pub struct Vault {
    secrets: BTreeMap<SecretName, Secret>,
}

/// Why a vault, a key or a secret was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultError {
    /// A name that is not 1 to 64 of `A-Z a-z 0-9 _ -`.
    Name,
    /// A secret of fewer than [`SECRET_MIN`] bytes.
    TooShort {
        /// Its length, in bytes.
        found: usize,
    },
    /// A secret of more than [`SECRET_MAX`] bytes.
    TooLong {
        /// Its length, in bytes.
        found: usize,
    },
    /// The vault holds [`SECRETS_MAX`] secrets already.
    Full,
    /// An empty passphrase.
    NoPassphrase,
    /// The cost of the key derivation is out of bounds, or its memory cannot be had.
    Cost,
    /// The file does not begin like a vault.
    NotAVault,
    /// A vault of a version that this program does not know.
    Version,
    /// The file is whole as far as can be seen, and this is not its key.
    WrongKey,
    /// The file was cut or changed.
    Damaged,
    /// The file is longer than any vault can be.
    FileTooLong,
}

impl Vault {
    /// An empty vault.
    #[must_use]
    pub const fn new() -> Self {
        Self { secrets: BTreeMap::new() }
    }

    /// Stores a secret; says whether it replaced one of the same name.
    ///
    /// # Errors
    /// [`VaultError::Full`] where a new name would be one too many.
    pub fn set(&mut self, name: SecretName, secret: Secret) -> Result<bool, VaultError> {
        if self.secrets.len() >= SECRETS_MAX && !self.secrets.contains_key(&name) {
            return Err(VaultError::Full);
        }
        Ok(self.secrets.insert(name, secret).is_some())
    }

    /// Removes and wipes a secret; says whether there was one.
    pub fn remove(&mut self, name: &SecretName) -> bool {
        self.secrets.remove(name).is_some()
    }

    /// The secret of this name.
    #[must_use]
    pub fn get(&self, name: &SecretName) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &SecretName> {
        self.secrets.keys()
    }

    /// The bytes of the vault file. `nonce`: 24 random bytes, new for every sealing; with 24 bytes chance never
    /// repeats one.
    ///
    /// # Errors
    /// [`VaultError::FileTooLong`] where the cipher refuses the length, which no vault within its limits reaches.
    pub fn seal(&self, key: &VaultKey, nonce: [u8; 24]) -> Result<Vec<u8>, VaultError> {
        let mut file = Header { source: key.source(), nonce, key_check: key.check() }.encode();
        let plain = self.encode();
        let sealed = XChaCha20Poly1305::new(key.bytes().into())
            .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &file })
            .map_err(|_| VaultError::FileTooLong)?;
        file.extend_from_slice(&sealed);
        Ok(file)
    }

    /// Opens the bytes of a vault file.
    ///
    /// # Errors
    /// [`VaultError`]: `NotAVault`, `Version`, `Damaged`, `WrongKey`, `Cost`, `FileTooLong`.
    pub fn open(file: &[u8], key: &VaultKey) -> Result<Self, VaultError> {
        let (header, sealed) = read_header(file)?;
        if header.key_check != key.check() || header.source != key.source() {
            return Err(VaultError::WrongKey);
        }
        let aad = file.get(..HEADER_LEN).ok_or(VaultError::Damaged)?;
        let plain = XChaCha20Poly1305::new(key.bytes().into())
            .decrypt(&XNonce::from(header.nonce), Payload { msg: sealed, aad })
            .map_err(|_| VaultError::Damaged)?;
        Self::decode(&Zeroizing::new(plain))
    }

    /// What key a vault file wants, so that the caller can ask for it.
    ///
    /// # Errors
    /// [`VaultError`]: `NotAVault`, `Version`, `Damaged`, `Cost`, `FileTooLong`.
    pub fn key_source(file: &[u8]) -> Result<KeySource, VaultError> {
        read_header(file).map(|(header, _)| header.source)
    }

    /// Count, then for each secret in order of names: length and bytes of its name, length and bytes of itself.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it at once: a vector that grows leaves unwiped copies behind.
        let room: usize = self.secrets.iter().map(|(n, s)| 5 + n.as_str().len() + s.expose().len()).sum();
        let mut plain = Zeroizing::new(Vec::with_capacity(2 + room));
        plain.extend_from_slice(&u16::try_from(self.secrets.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (name, secret) in &self.secrets {
            plain.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
            plain.extend_from_slice(name.as_str().as_bytes());
            plain.extend_from_slice(&u32::try_from(secret.expose().len()).unwrap_or(u32::MAX).to_le_bytes());
            plain.extend_from_slice(secret.expose());
        }
        plain
    }

    /// Strict: names ascend, so there is one encoding of one vault, and nothing may follow the last secret.
    fn decode(plain: &[u8]) -> Result<Self, VaultError> {
        let mut rest = plain;
        let count = u16::from_le_bytes(take(&mut rest)?);
        let mut vault = Self::new();
        for _ in 0..count {
            let [name_len] = take(&mut rest)?;
            let name = take_slice(&mut rest, usize::from(name_len))?;
            let name = core::str::from_utf8(name).map_err(|_| VaultError::Damaged)?;
            let name = SecretName::new(name).map_err(|_| VaultError::Damaged)?;
            if vault.secrets.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(VaultError::Damaged);
            }
            let length =
                usize::try_from(u32::from_le_bytes(take(&mut rest)?)).map_err(|_| VaultError::Damaged)?;
            let secret = take_slice(&mut rest, length)?.to_vec();
            vault.set(name, Secret::new(secret).map_err(|_| VaultError::Damaged)?)?;
        }
        if rest.is_empty() { Ok(vault) } else { Err(VaultError::Damaged) }
    }
}

fn read_header(file: &[u8]) -> Result<(Header, &[u8]), VaultError> {
    if file.len() > VAULT_FILE_MAX {
        return Err(VaultError::FileTooLong);
    }
    Header::decode(file)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], VaultError> {
    let (head, tail) = rest.split_at_checked(length).ok_or(VaultError::Damaged)?;
    *rest = tail;
    Ok(head)
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => {
                f.write_str("a secret's name is 1 to 64 of A-Z a-z 0-9 _ -, such as OPENAI_API_KEY")
            }
            Self::TooShort { found } => write!(
                f,
                "the secret has {found} bytes; fewer than {SECRET_MIN} would also occur in ordinary text by accident, \
                 and redacting them would destroy it; use a longer key"
            ),
            Self::TooLong { found } => write!(f, "the secret has {found} bytes, the most is {SECRET_MAX}"),
            Self::Full => {
                write!(f, "the vault holds {SECRETS_MAX} secrets, the most it can; remove one first")
            }
            Self::NoPassphrase => f.write_str("the passphrase is empty, and an empty one protects nothing"),
            Self::Cost => f.write_str(
                "the cost of the key derivation is outside 8 MiB to 1 GiB, 1 to 16 passes, 1 to 8 lanes, \
                 or the memory for it cannot be had",
            ),
            Self::NotAVault => f.write_str("not a vault file; check the path"),
            Self::Version => {
                f.write_str("a vault of another version; use the version of pawang that wrote it")
            }
            Self::WrongKey => f.write_str("wrong passphrase or key file; the vault itself looks whole"),
            Self::Damaged => f.write_str("the vault file was cut or changed; restore it from a backup"),
            Self::FileTooLong => {
                write!(f, "longer than a vault can be ({VAULT_FILE_MAX} bytes); check the path")
            }
        }
    }
}

impl core::error::Error for VaultError {}

#[cfg(test)]
mod tests;
