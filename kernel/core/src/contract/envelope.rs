//! How a contract is signed: a DSSE envelope (github.com/secure-systems-lab/dsse, protocol.md) with one Ed25519 signature.
//!
//! What is signed is the PAE of payload type and payload, so that a signature made for anything else never fits a
//! contract (f57). The payload stays the bytes it came as; nothing is parsed here but the frame around it. One
//! addition to DSSE: `parents`, the signed contracts this one was cut from, nearest first. A list, not a nest: its
//! length is bounded and reading it needs no recursion.
//!
//! Does not: trust the key it finds. [`super::verify()`] looks that up.

use super::bounds::{DEPTH_MAX, ENVELOPE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::error::ContractError;
use crate::digest::Digest;
use crate::key::{KeyId, Signer};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

/// What a contract is signed as.
pub const PAYLOAD_TYPE: &str = "application/vnd.pawang.contract.v1+json";
/// How much of a foreign payload type an error repeats, in characters.
const SHOWN_MAX: usize = 64;

/// A signed contract and those it was cut from. Not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    link: Link,
    parents: Vec<Link>,
}

/// One payload with one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) payload: Vec<u8>,
    pub(super) key: KeyId,
    signature: [u8; 64],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeText {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<LinkText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkText {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureText {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Reads the frame; checks no signature.
    ///
    /// # Errors
    /// [`ContractError`]: too long, no envelope, another payload type, no usable key, too many parents.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(ContractError::TooLong {
                what: "envelope",
                found: bytes.len(),
                max: ENVELOPE_BYTES_MAX,
            });
        }
        let text: EnvelopeText =
            serde_json::from_slice(bytes).map_err(|error| ContractError::Envelope(error.to_string()))?;
        if text.parents.len() > DEPTH_MAX {
            return Err(ContractError::TooDeep(text.parents.len()));
        }
        let link =
            LinkText { payload_type: text.payload_type, payload: text.payload, signatures: text.signatures };
        let parents = text.parents.into_iter().map(Link::read).collect::<Result<_, _>>()?;
        Ok(Self { link: Link::read(link)?, parents })
    }

    /// Signs a payload as it is; whether it is a contract is the caller's to check before.
    #[must_use]
    pub fn sign(payload: &[u8], signer: &Signer) -> Self {
        let signature = signer.sign(&pae(PAYLOAD_TYPE, payload));
        Self { link: Link { payload: payload.to_owned(), key: signer.id(), signature }, parents: Vec::new() }
    }

    /// The same, with the contract it was cut from and that one's parents.
    #[must_use]
    pub fn under(mut self, parent: &Self) -> Self {
        self.parents = parent.links().cloned().collect();
        self
    }

    /// The envelope as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let LinkText { payload_type, payload, signatures } = self.link.write();
        let parents = self.parents.iter().map(Link::write).collect();
        // Strings only: writing them cannot fail, and an empty text would be no envelope.
        serde_json::to_string(&EnvelopeText { payload_type, payload, signatures, parents })
            .unwrap_or_default()
    }

    /// The bytes that were signed. Not to be acted on before [`super::verify()`] has said yes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.link.payload
    }

    /// The key that the envelope names.
    #[must_use]
    pub const fn key(&self) -> &KeyId {
        &self.link.key
    }

    /// The contract's name: the digest of its payload.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.link.payload)
    }

    /// Itself and its parents, nearest first.
    pub(super) fn links(&self) -> impl DoubleEndedIterator<Item = &Link> {
        std::iter::once(&self.link).chain(&self.parents)
    }
}

impl Link {
    /// The signature is this key's over exactly these bytes.
    pub(super) fn verifies(&self) -> bool {
        self.key.verifies(&pae(PAYLOAD_TYPE, &self.payload), &self.signature)
    }

    fn read(text: LinkText) -> Result<Self, ContractError> {
        let envelope = |why: &str| ContractError::Envelope(why.to_owned());
        if text.payload_type != PAYLOAD_TYPE {
            return Err(ContractError::PayloadType(text.payload_type.chars().take(SHOWN_MAX).collect()));
        }
        let [signature] = text.signatures.as_slice() else {
            return Err(ContractError::Envelope(format!(
                "{} signatures; exactly one is expected",
                text.signatures.len()
            )));
        };
        let key = signature.keyid.parse().map_err(ContractError::Key)?;
        let mut bytes = [0; 64];
        let read = Base64::decode(&signature.sig, &mut bytes).map(<[u8]>::len);
        if read != Ok(64) {
            return Err(envelope("the signature is not 64 bytes in base64"));
        }
        let payload = Base64::decode_vec(&text.payload).map_err(|_| envelope("the payload is not base64"))?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(ContractError::TooLong {
                what: "payload",
                found: payload.len(),
                max: PAYLOAD_BYTES_MAX,
            });
        }
        Ok(Self { payload, key, signature: bytes })
    }

    fn write(&self) -> LinkText {
        LinkText {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: Base64::encode_string(&self.payload),
            signatures: vec![SignatureText {
                keyid: self.key.to_string(),
                sig: Base64::encode_string(&self.signature),
            }],
        }
    }
}

/// DSSE's pre-authentication encoding: lengths before contents, so that no two pairs share one text.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
