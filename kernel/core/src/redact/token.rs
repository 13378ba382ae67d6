//! Reads the next character of a text as one of three notations would: as it stands, percent-encoded, or inside a
//! JSON string.
//!
//! A secret that comes back in a reply may have been re-written character by character in many ways (`%2F`, `%2f`,
//! `/`, `\/`, `\u002f`). Reading each character back is simpler than listing all spellings, and misses none of them,
//! mixed ones neither. Sources: RFC 3986 §2.1, the WHATWG form encoding, RFC 8259 §7.

/// How a text writes its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// As they are.
    Plain,
    /// `%2F` and `%2f`; everything else as it is.
    Percent,
    /// `\/`, `\"`, `\n`, `\u002f`; everything else as it is.
    Json,
}

/// What stands at the front of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Some bytes (the first `length` of `bytes`, 1 to 4), written as `width` bytes of text.
    Is { bytes: [u8; 4], length: usize, width: usize },
    /// That depends on text still to come.
    Unfinished,
}

/// Reads the first token of `text`. An escape that is none stands for itself. Empty text is unfinished.
pub(super) fn next_token(notation: Notation, text: &[u8]) -> Token {
    match (notation, text) {
        (_, []) => Token::Unfinished,
        (Notation::Percent, [b'%', rest @ ..]) => percent(rest),
        (Notation::Json, [b'\\', rest @ ..]) => json(rest),
        (_, [byte, ..]) => one(*byte, 1),
    }
}

/// The byte that begins an escape.
pub(super) const fn escape(notation: Notation) -> Option<u8> {
    match notation {
        Notation::Plain => None,
        Notation::Percent => Some(b'%'),
        Notation::Json => Some(b'\\'),
    }
}

/// The value of a hexadecimal digit of either case.
pub(super) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

const fn one(byte: u8, width: usize) -> Token {
    Token::Is { bytes: [byte, 0, 0, 0], length: 1, width }
}

/// After a `%`.
fn percent(rest: &[u8]) -> Token {
    match rest {
        [] => Token::Unfinished,
        [high] if hex_digit(*high).is_some() => Token::Unfinished,
        [high, low, ..] => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => one(high << 4 | low, 3),
            _ => one(b'%', 1),
        },
        _ => one(b'%', 1),
    }
}

/// After a `\`.
fn json(rest: &[u8]) -> Token {
    let Some((kind, rest)) = rest.split_first() else { return Token::Unfinished };
    match kind {
        b'"' | b'\\' | b'/' => one(*kind, 2),
        b'b' => one(8, 2),
        b't' => one(b'\t', 2),
        b'n' => one(b'\n', 2),
        b'f' => one(12, 2),
        b'r' => one(b'\r', 2),
        b'u' => unicode(rest),
        _ => one(b'\\', 1),
    }
}

/// After a `\u`: one UTF-16 unit, or two that make a pair.
fn unicode(rest: &[u8]) -> Token {
    match (unit(rest), rest.get(4..)) {
        (Unit::Unfinished, _) => Token::Unfinished,
        (Unit::None, _) | (Unit::Is(_), None) => one(b'\\', 1),
        (Unit::Is(high @ 0xd800..=0xdbff), Some(rest)) => low_half(high, rest),
        (Unit::Is(code), Some(_)) => character(u32::from(code), 6),
    }
}

/// After the first half of a pair.
fn low_half(high: u16, rest: &[u8]) -> Token {
    let low = match rest {
        [] | [b'\\'] => Unit::Unfinished,
        [b'\\', b'u', rest @ ..] => unit(rest),
        _ => Unit::None,
    };
    match low {
        Unit::Unfinished => Token::Unfinished,
        Unit::Is(low @ 0xdc00..=0xdfff) => {
            let code = 0x1_0000 + (u32::from(high & 0x3ff) << 10) + u32::from(low & 0x3ff);
            character(code, 12)
        }
        _ => one(b'\\', 1),
    }
}

enum Unit {
    Is(u16),
    None,
    Unfinished,
}

/// Four hexadecimal digits.
fn unit(text: &[u8]) -> Unit {
    let mut value = 0;
    for index in 0..4 {
        match text.get(index).copied().map(hex_digit) {
            None => return Unit::Unfinished,
            Some(None) => return Unit::None,
            Some(Some(digit)) => value = value << 4 | u16::from(digit),
        }
    }
    Unit::Is(value)
}

fn character(code: u32, width: usize) -> Token {
    let Some(character) = char::from_u32(code) else { return one(b'\\', 1) };
    let mut bytes = [0; 4];
    let length = character.encode_utf8(&mut bytes).len();
    Token::Is { bytes, length, width }
}

#[cfg(test)]
mod tests {
    use super::{Notation, Token, next_token};

    fn check(notation: Notation, text: &str, expected: Option<(&str, usize)>) {
        let found = match next_token(notation, text.as_bytes()) {
            Token::Is { bytes, length, width } => Some((bytes[..length].to_vec(), width)),
            Token::Unfinished => None,
        };
        assert_eq!(found, expected.map(|(s, w)| (s.as_bytes().to_vec(), w)), "{notation:?} {text:?}");
    }

    #[test]
    fn each_notation_reads_its_own_escapes_and_no_others() {
        check(Notation::Plain, "%41", Some(("%", 1)));
        check(Notation::Plain, r"\n", Some((r"\", 1)));
        check(Notation::Percent, "%2f", Some(("/", 3)));
        check(Notation::Percent, "%2F", Some(("/", 3)));
        check(Notation::Percent, "%zz", Some(("%", 1)));
        check(Notation::Percent, "%4z", Some(("%", 1)));
        check(Notation::Percent, r"\n", Some((r"\", 1)));
        check(Notation::Json, r"\/", Some(("/", 2)));
        check(Notation::Json, r"\n", Some(("\n", 2)));
        check(Notation::Json, r"\u002F", Some(("/", 6)));
        check(Notation::Json, r"\u00e9", Some(("é", 6)));
        check(Notation::Json, r"\ud83d\ude00", Some(("😀", 12)));
        check(Notation::Json, r"\ud83dx", Some((r"\", 1)));
        check(Notation::Json, r"\ude00", Some((r"\", 1)));
        check(Notation::Json, r"\x41", Some((r"\", 1)));
        check(Notation::Json, "%41", Some(("%", 1)));
    }

    #[test]
    fn what_could_still_become_an_escape_is_unfinished() {
        for text in ["", "%", "%4"] {
            check(Notation::Percent, text, None);
        }
        for text in ["", r"\", r"\u", r"\u00", r"\ud83d", r"\ud83d\", r"\ud83d\ude0"] {
            check(Notation::Json, text, None);
        }
    }
}
