//! Ed25519 keys: who signs and who is addressed.
//!
//! A [`KeyId`] *is* the public key, written `ed25519:<64 hex>`; there is no second name for a key that could point
//! elsewhere. Keys of small order are refused when they are read, so no weak key exists as a value. Signatures are
//! checked with `verify_strict` only (RFC 8032 without its latitude): one signature, one spelling.
//! A [`Signer`] never shows its seed except through [`Signer::to_text`], and wipes it when dropped.

use crate::hex;
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// What stands before the hex digits of a public key.
const PREFIX: &str = "ed25519:";
/// First line of a key file.
const FILE_MAGIC: &str = "pawang-key-v1";
/// Longest key file, in bytes: three short lines and room for a comment.
const FILE_MAX: usize = 4096;

/// A public key, proved to be a point of the curve and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 32]);

/// A secret key.
pub struct Signer(SigningKey);

/// Why a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Not `ed25519:` and 64 lower-case hex digits.
    Malformed,
    /// Not a point of the curve.
    NotAKey,
    /// Of small order: one signature would fit every message.
    Weak,
    /// A key file without the expected first line, or with more than one seed.
    NotAKeyFile,
}

impl KeyId {
    /// Accepts the 32 bytes of a public key.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`] or [`KeyError::Weak`].
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAKey)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Self(bytes)) }
    }

    /// The public key's 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hex digits: for people, never for comparing.
    #[must_use]
    pub fn short(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        hex::encode(&[a, b, c, d])
    }

    /// Whether `signature` is this key's over exactly `message`. Strict: small-order and non-canonical parts fail.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl Signer {
    /// The key that grows from `seed`; 32 bytes of a good random source.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self(key)
    }

    /// Its public half.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, which must already say what kind of statement it is: callers pass a PAE, never bare data.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The key file: a magic line, the public key as a comment, the seed. The caller stores it with mode 0600.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(hex::encode(self.0.as_bytes()));
        Zeroizing::new(format!("{FILE_MAGIC}\n# public {}\n{}\n", self.id(), seed.as_str()))
    }

    /// Reads a key file. Lines that are empty or start with `#` are comments.
    ///
    /// # Errors
    /// [`KeyError::NotAKeyFile`], which says nothing of what was found: it may have been a secret.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (magic, seed, rest) = (lines.next(), lines.next(), lines.next());
        if text.len() > FILE_MAX || magic != Some(FILE_MAGIC) || rest.is_some() {
            return Err(KeyError::NotAKeyFile);
        }
        seed.and_then(hex::decode).map(Self::from_seed).ok_or(KeyError::NotAKeyFile)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix(PREFIX).and_then(hex::decode).ok_or(KeyError::Malformed)?;
        Self::from_bytes(bytes)
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(key: KeyId) -> Self {
        key.to_string()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{PREFIX}{}", hex::encode(&self.0)))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, [redacted])", self.id())
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a public key; expected ed25519: and 64 lower-case hex digits",
            Self::NotAKey => "not a public key: these bytes are no point of the curve",
            Self::Weak => "weak public key: of small order, so that one signature fits every message",
            Self::NotAKeyFile => {
                "not a key file; expected the line pawang-key-v1 and one line of 64 hex digits"
            }
        })
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::{KeyError, KeyId, Signer};

    #[test]
    fn a_key_file_round_trips_and_debug_shows_no_seed() {
        let signer = Signer::from_seed([7; 32]);
        let text = signer.to_text();
        assert_eq!(Signer::from_text(&text).unwrap().id(), signer.id());
        assert!(!format!("{signer:?}").contains("0707"));
    }

    #[test]
    fn other_files_are_not_key_files() {
        let seed = "07".repeat(32);
        for text in ["", "pawang-key-v1", &seed, &format!("pawang-key-v2\n{seed}"), "pawang-key-v1\nzz"] {
            assert_eq!(Signer::from_text(text).err(), Some(KeyError::NotAKeyFile), "{text:?}");
        }
        let two = format!("pawang-key-v1\n{seed}\n{seed}");
        assert_eq!(Signer::from_text(&two).err(), Some(KeyError::NotAKeyFile));
    }

    #[test]
    fn f56_keys_of_small_order_are_refused_when_read() {
        let zero = format!("ed25519:{}", "00".repeat(32));
        let one = format!("ed25519:01{}", "00".repeat(31));
        assert_eq!(zero.parse::<KeyId>(), Err(KeyError::Weak));
        assert_eq!(one.parse::<KeyId>(), Err(KeyError::Weak));
        assert_eq!("ed25519:00".parse::<KeyId>(), Err(KeyError::Malformed));
        let upper = Signer::from_seed([1; 32]).id().to_string().to_uppercase().replace("ED25519", "ed25519");
        assert_eq!(upper.parse::<KeyId>(), Err(KeyError::Malformed));
    }
}
