//! The key of the vault: derived from a passphrase by argon2id, or given as 32 random bytes (a key file, a
//! credential of the service manager).
//!
//! The cost of a derivation is part of the vault's header, so a vault stays readable when the default rises. Cost
//! read from a file is bounded: a manipulated header can neither make the derivation cheap nor exhaust the machine.
//! No randomness here: the salt comes in as an argument.

use super::VaultError;
use argon2::{Algorithm, Argon2, Params, Version};
use core::fmt;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What a passphrase derivation costs: argon2id (RFC 9106), version 0x13.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Where a vault's key comes from, as its header says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// 32 bytes that somebody else keeps.
    Raw,
    /// A passphrase, with this cost and this salt.
    Passphrase {
        /// Cost of one derivation.
        cost: KeyCost,
        /// 16 random bytes, new for each new passphrase.
        salt: [u8; 16],
    },
}

/// The 32 bytes that open a vault, and how they were had. Wiped when dropped.
pub struct VaultKey {
    bytes: Zeroizing<[u8; 32]>,
    source: KeySource,
}

impl KeyCost {
    /// 64 MiB, three passes, one lane: RFC 9106's second recommended option, with its four lanes made one, since
    /// this implementation computes lanes one after the other. About 0.1 s.
    pub const DEFAULT: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 1 };
    /// The least that is accepted: 8 MiB, one pass.
    pub const LEAST: Self = Self { memory_kib: 8 << 10, passes: 1, lanes: 1 };
    /// The most that is accepted: 1 GiB, 16 passes, 8 lanes; some ten seconds.
    pub const MOST: Self = Self { memory_kib: 1 << 20, passes: 16, lanes: 8 };

    /// A cost between [`Self::LEAST`] and [`Self::MOST`] in each part.
    ///
    /// # Errors
    /// [`VaultError::Cost`] outside of that.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, VaultError> {
        let fits = (Self::LEAST.memory_kib..=Self::MOST.memory_kib).contains(&memory_kib)
            && (Self::LEAST.passes..=Self::MOST.passes).contains(&passes)
            && (Self::LEAST.lanes..=Self::MOST.lanes).contains(&lanes);
        if fits { Ok(Self { memory_kib, passes, lanes }) } else { Err(VaultError::Cost) }
    }

    /// Memory in KiB, passes, lanes.
    #[must_use]
    pub const fn parts(&self) -> [u32; 3] {
        [self.memory_kib, self.passes, self.lanes]
    }
}

impl VaultKey {
    /// Derives the key of a passphrase. Takes the time and memory that `cost` says: not for a thread that must
    /// answer.
    ///
    /// # Errors
    /// [`VaultError::NoPassphrase`] for an empty one; [`VaultError::Cost`] where the memory cannot be had.
    pub fn from_passphrase(passphrase: &[u8], salt: &[u8; 16], cost: KeyCost) -> Result<Self, VaultError> {
        if passphrase.is_empty() {
            return Err(VaultError::NoPassphrase);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(bytes.len()));
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| VaultError::Cost)?)
            .hash_password_into(passphrase, salt, bytes.as_mut())
            .map_err(|_| VaultError::Cost)?;
        Ok(Self { bytes, source: KeySource::Passphrase { cost, salt: *salt } })
    }

    /// Takes 32 random bytes as they are. The caller wipes its own copy.
    #[must_use]
    pub fn from_raw(bytes: &[u8; 32]) -> Self {
        Self { bytes: Zeroizing::new(*bytes), source: KeySource::Raw }
    }

    /// How this key was had.
    #[must_use]
    pub const fn source(&self) -> KeySource {
        self.source
    }

    /// 16 bytes that tell this key from another without saying anything about it: a hash, domain separated. A
    /// wrong passphrase can so be told from a damaged file. It makes guessing no cheaper than the sealed data does.
    pub(super) fn check(&self) -> [u8; 16] {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"pawang vault 1: key check\0")
            .chain_update(*self.bytes)
            .finalize()
            .into();
        hash.first_chunk().copied().unwrap_or([0; 16])
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyCost, VaultError, VaultKey};

    #[test]
    fn cost_is_held_at_every_limit() {
        for (memory_kib, passes, lanes, is_good) in [
            (8 << 10, 1, 1, true),
            (1 << 20, 16, 8, true),
            ((8 << 10) - 1, 1, 1, false),
            ((1 << 20) + 1, 1, 1, false),
            (64 << 10, 0, 1, false),
            (64 << 10, 17, 1, false),
            (64 << 10, 3, 0, false),
            (64 << 10, 3, 9, false),
            (u32::MAX, u32::MAX, u32::MAX, false),
        ] {
            assert_eq!(
                KeyCost::new(memory_kib, passes, lanes).is_ok(),
                is_good,
                "{memory_kib} {passes} {lanes}"
            );
        }
    }

    #[test]
    fn derivation_agrees_with_the_reference_implementation() {
        // argon2-cffi: hash_secret_raw(b"passphrase", b"somesaltsomesalt", 3, 65536, 1, 32, Type.ID, 0x13)
        let key = VaultKey::from_passphrase(b"passphrase", b"somesaltsomesalt", KeyCost::DEFAULT).unwrap();
        let hex: String = key.bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "39837cffefc4c24cc7eb6bc3f79d88c55eab1cdc68b6e187489e4967654ee4a4");
    }

    #[test]
    fn f01_an_empty_passphrase_opens_nothing() {
        let refused = VaultKey::from_passphrase(b"", &[0; 16], KeyCost::LEAST).unwrap_err();
        assert_eq!(refused, VaultError::NoPassphrase);
    }

    #[test]
    fn f44_debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", VaultKey::from_raw(&[7; 32])), "VaultKey([redacted])");
    }

    #[test]
    fn passphrase_salt_and_cost_each_change_the_key() {
        let base = VaultKey::from_passphrase(b"one", &[1; 16], KeyCost::LEAST).unwrap();
        let dearer = KeyCost::new(8 << 10, 2, 1).unwrap();
        for (passphrase, salt, cost) in [
            (&b"two"[..], [1; 16], KeyCost::LEAST),
            (b"one", [2; 16], KeyCost::LEAST),
            (b"one", [1; 16], dearer),
        ] {
            let other = VaultKey::from_passphrase(passphrase, &salt, cost).unwrap();
            assert_ne!(base.check(), other.check());
        }
    }
}
