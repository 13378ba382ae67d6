//! The first 85 bytes of a vault file: what a reader must know before it has the key.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–7 | `PAWANGV1` |
//! | 8 | where the key comes from: 0 raw, 1 passphrase |
//! | 9–20 | memory in KiB, passes, lanes: three `u32`, little endian; zero for a raw key |
//! | 21–36 | salt; zero for a raw key |
//! | 37–60 | nonce of this sealing |
//! | 61–76 | key check: tells a wrong key from a damaged file |
//! | 77–84 | the first 8 bytes of SHA-256 over bytes 0–76: tells a damaged header from a wrong key |
//!
//! The whole header is associated data of the seal, so nobody without the key can change a bit of it unnoticed;
//! the last two fields only make the error message true.

use super::VaultError;
use super::key::{KeyCost, KeySource};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"PAWANGV1";
/// Length of the header, in bytes.
pub(super) const HEADER_LEN: usize = 85;

/// The header of a vault file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub source: KeySource,
    pub nonce: [u8; 24],
    pub key_check: [u8; 16],
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, cost, salt) = match self.source {
            KeySource::Raw => (0, [0; 3], [0; 16]),
            KeySource::Passphrase { cost, salt } => (1, cost.parts(), salt),
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.push(kind);
        for part in cost {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.key_check);
        let sum = header_sum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Reads a header off the front of `file`; returns the sealed rest too.
    pub(super) fn decode(file: &[u8]) -> Result<(Self, &[u8]), VaultError> {
        let mut rest = file;
        let magic: [u8; 8] = take(&mut rest)?;
        if &magic != MAGIC {
            return Err(if magic.starts_with(b"PAWANGV") {
                VaultError::Version
            } else {
                VaultError::NotAVault
            });
        }
        let [kind] = take(&mut rest)?;
        let mut cost = [0; 3];
        for part in &mut cost {
            *part = u32::from_le_bytes(take(&mut rest)?);
        }
        let salt = take(&mut rest)?;
        let nonce = take(&mut rest)?;
        let key_check = take(&mut rest)?;
        let summed = file.len() - rest.len();
        let sum: [u8; 8] = take(&mut rest)?;
        if file.get(..summed).map(header_sum) != Some(sum) {
            return Err(VaultError::Damaged);
        }
        Ok((Self { source: source(kind, cost, salt)?, nonce, key_check }, rest))
    }
}

/// A raw key has no cost and no salt: one spelling for one meaning.
fn source(kind: u8, cost: [u32; 3], salt: [u8; 16]) -> Result<KeySource, VaultError> {
    match (kind, cost) {
        (0, [0, 0, 0]) if salt == [0; 16] => Ok(KeySource::Raw),
        (1, [memory_kib, passes, lanes]) => {
            Ok(KeySource::Passphrase { cost: KeyCost::new(memory_kib, passes, lanes)?, salt })
        }
        _ => Err(VaultError::Damaged),
    }
}

fn header_sum(bytes: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk().copied().unwrap_or([0; 8])
}

/// Takes the next `N` bytes; a file that ends before them was cut.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], VaultError> {
    let (head, tail) = rest.split_first_chunk().ok_or(VaultError::Damaged)?;
    *rest = tail;
    Ok(*head)
}
