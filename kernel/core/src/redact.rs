//! Redaction: takes secrets out of a stream that comes back from a tool, before an automation or a log sees it.
//!
//! Promises: each occurrence of a secret becomes as many `*` as it had bytes, whether it stands there as it is,
//! percent-encoded, inside a JSON string, in hexadecimal, or anywhere within a base64 text (standard or URL alphabet,
//! any alignment); the output does not depend on how the stream was cut into chunks; everything else passes
//! unchanged; a secret that the end of the stream cuts off is redacted as far as it came.
//!
//! It is the second wall, against servers that reflect a header by accident. A server that *helps* the automation can
//! always spell a secret in some other way (reversed, compressed, encoded twice, base64 in lines, a piece in each of
//! several replies): the first wall is that a secret is sent only to the destination the contract binds it to.

mod needle;
mod token;

use crate::vault::Secret;
use core::ops::Range;
use needle::{Found, Needle};
use std::sync::Arc;
use zeroize::Zeroizing;

/// How many symbols of a secret at the end of a stream count as a secret cut off, rather than as chance.
const CUT_OFF_MIN: usize = 4;

/// All shapes of some secrets, ready to be looked for. Made once per run, shared by its streams.
pub struct Patterns {
    needles: Vec<Needle>,
    /// For each first byte, the needles that may begin with it.
    starts: Vec<Vec<usize>>,
    /// For each pair of bytes, whether any needle may begin with it: what lets most of a stream pass at one look.
    pairs: Vec<bool>,
}

/// What all needles say about one place of a text.
struct Sighting {
    /// Bytes of text that the widest whole needle takes; 0 where there is none.
    width: usize,
    /// Symbols of the longest needle that the end of the text cuts off.
    begun: Option<usize>,
}

/// One stream being redacted.
pub struct Redactor {
    patterns: Arc<Patterns>,
    /// Held back: what may be the beginning of a secret. Wiped when dropped.
    pending: Zeroizing<Vec<u8>>,
    /// How many bytes at the front of `pending` belong to a secret already found.
    covered: usize,
}

impl Patterns {
    /// Prepares the shapes of `secrets`.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let needles: Vec<Needle> = secrets.into_iter().flat_map(|s| Needle::all(s.expose())).collect();
        let mut starts = Vec::with_capacity(1 << 8);
        let mut pairs = Vec::with_capacity(1 << 16);
        for first in 0..=u8::MAX {
            let begin: Vec<(usize, &Needle)> =
                needles.iter().enumerate().filter(|(_, needle)| needle.may_begin(first)).collect();
            pairs.extend(
                (0..=u8::MAX).map(|second| begin.iter().any(|(_, n)| n.may_begin_pair(first, second))),
            );
            starts.push(begin.into_iter().map(|(index, _)| index).collect());
        }
        Self { needles, starts, pairs }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Redacts a text that is there as a whole, such as a header or an error message.
    #[must_use]
    pub fn redact(self: &Arc<Self>, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut redactor = Redactor::new(Arc::clone(self));
        redactor.feed(text, &mut out);
        redactor.finish(&mut out);
        out
    }

    /// The first place of `text` at which a needle may begin; its length where there is none.
    fn next_candidate(&self, text: &[u8]) -> usize {
        let may_begin = |pair: &[u8]| match *pair {
            [first, second] => self.pairs.get(usize::from(first) << 8 | usize::from(second)) == Some(&true),
            _ => true,
        };
        let last_may = text.last().is_some_and(|&b| self.starting_with(b).next().is_some());
        let end = text.len() - usize::from(last_may);
        text.windows(2).position(may_begin).unwrap_or(end)
    }

    fn starting_with(&self, first: u8) -> impl Iterator<Item = &Needle> {
        let starts = self.starts.get(usize::from(first)).into_iter().flatten();
        starts.filter_map(|index| self.needles.get(*index))
    }

    /// What stands at the front of `text`.
    fn look_at(&self, text: &[u8]) -> Sighting {
        let mut seen = Sighting { width: 0, begun: None };
        let Some(first) = text.first() else { return seen };
        for needle in self.starting_with(*first) {
            match needle.find_at(text) {
                Found::No => {}
                Found::Whole { width } => seen.width = seen.width.max(width),
                Found::Begun { symbols } => seen.begun = seen.begun.max(Some(symbols)),
            }
        }
        seen
    }
}

impl Redactor {
    /// Begins a stream.
    #[must_use]
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, pending: Zeroizing::new(Vec::new()), covered: 0 }
    }

    /// Takes the next chunk and appends to `out` what is decided. Held back is only what may be the beginning of a
    /// secret: never more than the longest secret in its longest spelling.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.append(chunk);
        let mut at = 0;
        while at < self.pending.len() {
            let text = self.pending.get(at..).unwrap_or_default();
            let clear = self.patterns.next_candidate(text);
            let text = text.get(clear..).unwrap_or_default();
            let seen = self.patterns.look_at(text);
            let is_decided = seen.begun.is_none() && !text.is_empty();
            self.release(at..at + clear, out);
            at += clear;
            if !is_decided {
                break;
            }
            self.covered = self.covered.max(seen.width);
            self.release(at..at + 1, out);
            at += 1;
        }
        self.pending.drain(..at);
    }

    /// Ends the stream: what was held back is appended to `out`, redacted where it began like a secret.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        for at in 0..self.pending.len() {
            let text = self.pending.get(at..).unwrap_or_default();
            let seen = self.patterns.look_at(text);
            let cut_off = if seen.begun >= Some(CUT_OFF_MIN) { text.len() } else { 0 };
            self.covered = self.covered.max(seen.width).max(cut_off);
            self.release(at..at + 1, out);
        }
    }

    /// Lets these bytes of `pending` out, as `*` where they are covered.
    fn release(&mut self, range: Range<usize>, out: &mut Vec<u8>) {
        let hidden = self.covered.min(range.len());
        out.resize(out.len() + hidden, b'*');
        out.extend_from_slice(self.pending.get(range.start + hidden..range.end).unwrap_or_default());
        self.covered -= hidden;
    }

    /// Appends without leaving an unwiped copy behind, as a growing vector would.
    fn append(&mut self, chunk: &[u8]) {
        let length = self.pending.len() + chunk.len();
        if length > self.pending.capacity() {
            let mut roomier = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            roomier.extend_from_slice(&self.pending);
            self.pending = roomier;
        }
        self.pending.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests;
