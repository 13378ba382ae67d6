//! Hexadecimal with one spelling: lower case, two digits a byte, nothing around it.
//!
//! Digests, keys and serials are compared as text in places, so an upper-case digit is refused, not folded.

/// `bytes` in lower-case hex.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len().saturating_mul(2)];
    write(bytes, &mut text).to_owned()
}

/// The same into `text`, which must have room for two digits a byte. For places where an allocation counts.
pub(crate) fn write<'a>(bytes: &[u8], text: &'a mut [u8]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    for (pair, &byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    core::str::from_utf8(text).unwrap_or_default()
}

/// Exactly `N` bytes from exactly `2 * N` lower-case digits; `None` for anything else.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn every_byte_survives_and_only_one_spelling_is_read() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode::<256>(&encode(&all)).map(Vec::from), Some(all));
        for bad in ["", "0", "0g", "0A", "AA", " 00", "00 ", "000", "0x00", "é"] {
            assert_eq!(decode::<1>(bad), None, "{bad:?}");
        }
    }
}
