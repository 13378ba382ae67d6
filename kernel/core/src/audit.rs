//! The chain that makes the log whole: writing it, and checking it.
//!
//! Each line holds the SHA-256 of the line before it, so that nothing can be changed, put in or taken out without every
//! later line telling. Signed heads say how far the log went at a moment, so that a cut tail shows too (f78).
//! `pawang audit verify` is [`Verifier`]; twenty lines of Python in `ARCHITECTURE.md` do the same.
//!
//! Not here: files, segments, syncing (`kernel/daemon`).

use crate::digest::Digest;
use crate::key::{KeyId, Signer};
use crate::record::{Entry, Record};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest line of the log, in bytes. A snapshot of 10,000 accounts fits four times over.
pub const LINE_MAX: usize = 64 << 20;

/// Where a chain has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tip {
    /// Number of the last record; 0 before the first.
    pub n: u64,
    /// Digest of its line; zeros before the first.
    pub digest: Digest,
    /// Its time, unix ms.
    pub t: u64,
}

/// A signed head: "the log went to record `n`, whose line has this digest".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// Number of the record.
    pub n: u64,
    /// Digest of its line.
    pub digest: Digest,
    /// The kernel's public key.
    pub key: KeyId,
    /// Signature over [`head_message`], hex.
    pub sig: String,
}

/// What is wrong with a log, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Number the bad record has, or should have.
    pub n: u64,
    /// What is wrong with it.
    pub what: Broken,
}

/// What can be wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The line is not a record; carries the parser's words.
    NotARecord(String),
    /// Its number is not one more than the last; carries what it has.
    Number(u64),
    /// It does not hold the digest of the line before it.
    Chain,
    /// Its time lies before that of the record before it.
    TimeRunsBack,
    /// A head's signature does not verify.
    Signature,
    /// The log opens with something else than a snapshot.
    NoSnapshot,
    /// The head says the log went on to this record; the log ends before it.
    CutTail(u64),
    /// The head names another digest for its record.
    OtherHistory,
    /// The last line has no line end: the write of it was interrupted.
    Torn,
}

/// The bytes a head's signature covers: DSSE's pre-authentication encoding over type and `n:digest`.
#[must_use]
pub fn head_message(n: u64, digest: &Digest) -> Vec<u8> {
    let kind = "application/vnd.pawang.head.v1";
    let payload = format!("{n}:{digest}");
    format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len()).into_bytes()
}

impl Tip {
    /// Before the first record.
    pub const START: Self = Self { n: 0, digest: Digest([0; 32]), t: 0 };

    /// Appends one record to `out` as a line and moves on. Time is held at the last record's where the clock ran back.
    ///
    /// # Errors
    /// The text of a serialisation error; the tip is then unchanged.
    pub fn append(&mut self, entry: Entry, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        let record = Record { n: self.n.saturating_add(1), t: now_ms.max(self.t), prev: self.digest, entry };
        let start = out.len();
        if let Err(error) = write_line(&record, out) {
            out.truncate(start);
            return Err(error.to_string());
        }
        let line = out.get(start..).unwrap_or_default();
        *self = Self { n: record.n, digest: Digest::of(line), t: record.t };
        out.push(b'\n');
        Ok(())
    }

    /// The entry of a head over everything so far.
    #[must_use]
    pub fn head(&self, signer: &Signer) -> Entry {
        Entry::Head { sig: crate::hex::encode(&signer.sign(&head_message(self.n, &self.digest))) }
    }

    /// A head to keep outside the log.
    #[must_use]
    pub fn signed(&self, signer: &Signer) -> SignedHead {
        let sig = crate::hex::encode(&signer.sign(&head_message(self.n, &self.digest)));
        SignedHead { n: self.n, digest: self.digest, key: signer.id(), sig }
    }
}

impl SignedHead {
    /// Whether `key` signed it.
    #[must_use]
    pub fn verifies(&self, key: &KeyId) -> bool {
        signature(&self.sig).is_some_and(|sig| key.verifies(&head_message(self.n, &self.digest), &sig))
    }
}

/// Checks a log line by line.
#[derive(Debug)]
pub struct Verifier {
    key: KeyId,
    tip: Tip,
    heads: u64,
    is_first: bool,
    /// The head kept outside, and whether its record was met.
    outside: Option<(SignedHead, bool)>,
}

impl Verifier {
    /// Checks against `key`, and against a head that was kept outside the log, where there is one. A log may start at
    /// any segment: the first line is taken at its word for what came before.
    #[must_use]
    pub fn new(key: KeyId, outside: Option<SignedHead>) -> Self {
        Self { key, tip: Tip::START, heads: 0, is_first: true, outside: outside.map(|head| (head, false)) }
    }

    /// Checks the next line, without its line end.
    ///
    /// # Errors
    /// [`Break`] at the first bad record.
    pub fn line(&mut self, line: &[u8]) -> Result<Record, Break> {
        let at = self.tip.n.saturating_add(1);
        let fail = |what| Break { n: at, what };
        let record: Record =
            serde_json::from_slice(line).map_err(|error| fail(Broken::NotARecord(error.to_string())))?;
        if self.is_first {
            if !matches!(record.entry, Entry::Snapshot { .. }) {
                return Err(fail(Broken::NoSnapshot));
            }
            // Nothing comes before record 1; a later one is taken at its word.
            let digest = if record.n == 1 { Tip::START.digest } else { record.prev };
            self.tip = Tip { n: record.n.saturating_sub(1), digest, t: 0 };
            self.is_first = false;
        }
        let at = self.tip.n.saturating_add(1);
        let fail = |what| Break { n: at, what };
        if record.n != at {
            return Err(fail(Broken::Number(record.n)));
        }
        if record.prev != self.tip.digest {
            return Err(fail(Broken::Chain));
        }
        if record.t < self.tip.t {
            return Err(fail(Broken::TimeRunsBack));
        }
        if let Entry::Head { sig } = &record.entry {
            let message = head_message(self.tip.n, &self.tip.digest);
            if !signature(sig).is_some_and(|sig| self.key.verifies(&message, &sig)) {
                return Err(fail(Broken::Signature));
            }
            self.heads = self.heads.saturating_add(1);
        }
        self.tip = Tip { n: record.n, digest: Digest::of(line), t: record.t };
        if let Some((head, is_met)) = &mut self.outside
            && head.n == record.n
        {
            if !head.verifies(&self.key) {
                return Err(fail(Broken::Signature));
            }
            if head.digest != self.tip.digest {
                return Err(fail(Broken::OtherHistory));
            }
            *is_met = true;
        }
        Ok(record)
    }

    /// Checks the end of the log.
    ///
    /// # Errors
    /// [`Broken::CutTail`] where the head kept outside says that it went on; [`Broken::Signature`] where that head is forged.
    pub fn finish(&self) -> Result<(Tip, u64), Break> {
        match &self.outside {
            Some((head, false)) if head.n > self.tip.n && !head.verifies(&self.key) => {
                Err(Break { n: head.n, what: Broken::Signature })
            }
            Some((head, false)) if head.n > self.tip.n => {
                Err(Break { n: self.tip.n.saturating_add(1), what: Broken::CutTail(head.n) })
            }
            _ => Ok((self.tip, self.heads)),
        }
    }
}

/// The bytes that `serde_json` makes of a record, in half the time: what is flattened into a map is written key by key
/// through it, so the entry is written as the object it is, and its brace becomes the comma after the digest.
fn write_line(record: &Record, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Record { n, t, prev, entry } = record;
    out.extend_from_slice(b"{\"n\":");
    serde_json::to_writer(&mut *out, n)?;
    out.extend_from_slice(b",\"t\":");
    serde_json::to_writer(&mut *out, t)?;
    out.extend_from_slice(b",\"prev\":");
    serde_json::to_writer(&mut *out, prev)?;
    let brace = out.len();
    serde_json::to_writer(&mut *out, entry)?;
    if let Some(brace) = out.get_mut(brace) {
        *brace = b',';
    }
    Ok(())
}

fn signature(hex: &str) -> Option<[u8; 64]> {
    crate::hex::decode(hex)
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.n, self.what)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord(error) => write!(f, "the line is not a record ({error})"),
            Self::Number(n) => write!(f, "it is numbered {n}; records are missing or were put in"),
            Self::Chain => {
                f.write_str("it does not hold the digest of the line before it; one of the two was changed")
            }
            Self::TimeRunsBack => f.write_str("its time lies before the record before it"),
            Self::Signature => f.write_str("the signature of this head is not the kernel's"),
            Self::NoSnapshot => f.write_str("a log opens with a snapshot; its beginning is missing"),
            Self::CutTail(n) => write!(
                f,
                "the log ends here, and a signed head says it went on to record {n}: its tail was cut"
            ),
            Self::OtherHistory => f.write_str("the head kept beside the log names another history"),
            Self::Torn => f.write_str("the last line has no end; its write was interrupted"),
        }
    }
}

impl std::error::Error for Break {}

#[cfg(test)]
mod tests {
    use super::{Tip, Verifier};
    use crate::digest::Digest;
    use crate::key::Signer;
    use crate::record::{Entry, Live, Record};
    use crate::run::{Outcome, RunId};
    use pawang_protocol::Gas;

    fn entries() -> Vec<Entry> {
        let (run, contract) = (RunId(0x00ab_cdef), Digest::of(b"contract"));
        let snapshot = Entry::Snapshot {
            key: "k".to_owned(),
            prices: contract,
            accounts: [(contract, crate::ledger::Account::open(Gas(9), 1, &[], 0, 10))].into(),
            revoked: vec![contract],
            trust: serde_json::json!({"keys": []}),
            next_call: 1,
            live: Live::default(),
        };
        let call = Entry::Call {
            run,
            call: 7,
            parent: Some(6),
            method: "fs.read".to_owned(),
            resource: "/a \"quoted\" \u{e9}".to_owned(),
            reserved: Gas(65),
            each: vec![1],
            counted: Some((2, 3)),
            sent: 0,
            secrets: vec!["KEY".to_owned()],
        };
        let end = Entry::End {
            run,
            outcome: Outcome::OutOfGas,
            exit: None,
            spent: Gas(1),
            took_ms: 2,
            detail: String::new(),
        };
        vec![snapshot, Entry::Halt {}, Entry::Revoke { contract }, call, end]
    }

    #[test]
    fn a_line_is_what_serde_json_makes_of_its_record_and_reads_back() {
        let (mut tip, mut verifier) = (Tip::START, Verifier::new(Signer::from_seed([1; 32]).id(), None));
        for (entry, time) in entries().into_iter().zip(5..) {
            let record = Record { n: tip.n + 1, t: time, prev: tip.digest, entry: entry.clone() };
            let mut line = Vec::new();
            tip.append(entry, time, &mut line).unwrap();
            assert_eq!(line.pop(), Some(b'\n'));
            assert_eq!(String::from_utf8_lossy(&line), serde_json::to_string(&record).unwrap());
            assert_eq!(verifier.line(&line), Ok(record));
        }
    }
}
