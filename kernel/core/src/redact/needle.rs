//! One secret in one shape: its bytes, its hexadecimal digits, or the part of a base64 text that it decides.
//!
//! A needle is a row of symbols; each says which bits of it the secret fixes. Base64 needs that: where the secret
//! does not begin on a group of three bytes, the symbols at its ends hold some of its bits and some of its
//! neighbours'. They are part of the needle, so that they are redacted too.

use super::token::{Notation, Token, escape, hex_digit, next_token};
use zeroize::Zeroizing;

/// What the symbols of a needle are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Bytes,
    Hex,
    Base64,
}

/// One symbol: `value` in the bits that are set in `mask`.
type Symbol = [u8; 2];

/// What to look for. Wiped when dropped.
pub(super) struct Needle {
    symbols: Zeroizing<Vec<Symbol>>,
    alphabet: Alphabet,
    notation: Notation,
}

/// What stands at one place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Not this needle.
    No,
    /// Its first `symbols` symbols, and then the text ends.
    Begun { symbols: usize },
    /// All of it, written as `width` bytes.
    Whole { width: usize },
}

impl Needle {
    /// Every shape of `secret` that is looked for.
    pub(super) fn all(secret: &[u8]) -> Vec<Self> {
        let bytes = |notation| Self::new(secret.iter().map(|b| [*b, 0xff]), Alphabet::Bytes, notation);
        let hex = secret.iter().flat_map(|b| [[b >> 4, 0xf], [b & 0xf, 0xf]]);
        let mut needles = vec![
            bytes(Notation::Plain),
            bytes(Notation::Percent),
            bytes(Notation::Json),
            Self::new(hex, Alphabet::Hex, Notation::Plain),
        ];
        for before in 0..3 {
            for notation in [Notation::Percent, Notation::Json] {
                needles.push(Self::new(base64_symbols(secret, before), Alphabet::Base64, notation));
            }
        }
        needles
    }

    fn new(symbols: impl Iterator<Item = Symbol>, alphabet: Alphabet, notation: Notation) -> Self {
        Self { symbols: Zeroizing::new(symbols.collect()), alphabet, notation }
    }

    /// Looks for the needle at the front of `text`.
    pub(super) fn find_at(&self, text: &[u8]) -> Found {
        let mut rest = text;
        let mut matched = 0;
        while matched < self.symbols.len() {
            let Token::Is { bytes, length, width } = next_token(self.notation, rest) else {
                return Found::Begun { symbols: matched };
            };
            for byte in bytes.iter().take(length) {
                if !self.accepts(matched, *byte) {
                    return Found::No;
                }
                matched += 1;
            }
            rest = rest.get(width..).unwrap_or_default();
        }
        Found::Whole { width: text.len() - rest.len() }
    }

    /// Whether a text that begins with this byte can begin with the needle. Only ever too generous.
    pub(super) fn may_begin(&self, first: u8) -> bool {
        self.is_escape(first) || self.accepts(0, first)
    }

    /// The same of a text that begins with these two bytes.
    pub(super) fn may_begin_pair(&self, first: u8, second: u8) -> bool {
        self.is_escape(first)
            || (self.accepts(0, first) && (self.is_escape(second) || self.accepts(1, second)))
    }

    fn is_escape(&self, byte: u8) -> bool {
        escape(self.notation) == Some(byte)
    }

    /// Whether `byte` can stand for the symbol at `index`.
    fn accepts(&self, index: usize, byte: u8) -> bool {
        let Some([value, mask]) = self.symbols.get(index) else { return false };
        let symbol = match self.alphabet {
            Alphabet::Bytes if byte == b'+' && self.notation == Notation::Percent && *value == b' ' => {
                Some(b' ')
            }
            Alphabet::Bytes => Some(byte),
            Alphabet::Hex => hex_digit(byte),
            Alphabet::Base64 => sextet(byte),
        };
        symbol.is_some_and(|symbol| (symbol ^ value) & mask == 0)
    }
}

/// The base64 symbols that hold bits of `secret` where `before` (0 to 2) other bytes precede it in its group.
fn base64_symbols(secret: &[u8], before: usize) -> impl Iterator<Item = Symbol> {
    let bits = (secret.len() + before) * 8;
    (before * 8 / 6..bits.div_ceil(6)).map(move |index| {
        (index * 6..index * 6 + 6).fold([0, 0], |[value, mask], bit| {
            let byte = (bit / 8).checked_sub(before).and_then(|at| secret.get(at));
            let is_set = byte.is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1);
            [value << 1 | u8::from(is_set), mask << 1 | u8::from(byte.is_some())]
        })
    })
}

/// The value of a base64 character, of the standard or the URL alphabet (RFC 4648 §§4, 5).
const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::base64_symbols;

    #[test]
    fn base64_symbols_fix_exactly_the_bits_of_the_secret() {
        // "abc" is 011000 010110 001001 100011.
        let at = |before| base64_symbols(b"abc", before).collect::<Vec<_>>();
        assert_eq!(at(0), [[0b011000, 63], [0b010110, 63], [0b001001, 63], [0b100011, 63]]);
        assert_eq!(at(1)[0], [0b000110, 0b001111]);
        assert_eq!(at(2)[0], [0b000001, 0b000011]);
        for before in 0..3 {
            let fixed: u32 = at(before).iter().map(|[_, mask]| mask.count_ones()).sum();
            assert_eq!(fixed, 24, "{before}");
        }
    }
}
