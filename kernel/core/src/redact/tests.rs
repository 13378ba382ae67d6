//! Claims about redacted streams: no spelling of a canary survives, no split changes the output, nothing else changes.

use super::{Patterns, Redactor};
use crate::vault::Secret;
use proptest::prelude::*;
use std::sync::Arc;

const CANARY: &str = "sk-Canary/7+\"é\\ 9%z";

fn patterns(secrets: &[&[u8]]) -> Arc<Patterns> {
    let secrets: Vec<Secret> = secrets.iter().map(|s| Secret::new(s.to_vec()).unwrap()).collect();
    Arc::new(Patterns::new(&secrets))
}

fn redact(secrets: &[&[u8]], text: &[u8]) -> Vec<u8> {
    patterns(secrets).redact(text)
}

/// Feeds `text` in pieces of the given lengths, the last one taking the rest.
fn redact_split(patterns: &Arc<Patterns>, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    let mut redactor = Redactor::new(Arc::clone(patterns));
    for length in lengths {
        let (piece, tail) = rest.split_at((*length).min(rest.len()));
        redactor.feed(piece, &mut out);
        rest = tail;
    }
    redactor.feed(rest, &mut out);
    redactor.finish(&mut out);
    out
}

fn percent(bytes: &[u8], is_upper: bool, keep: &str) -> String {
    let one = |b: &u8| match (keep.as_bytes().contains(b) || b.is_ascii_alphanumeric(), is_upper) {
        (true, _) => char::from(*b).to_string(),
        (false, true) => format!("%{b:02X}"),
        (false, false) => format!("%{b:02x}"),
    };
    bytes.iter().map(one).collect()
}

fn json_ascii(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for index in 0..=group.len() {
            let sextet = usize::try_from(word >> (18 - 6 * index) & 63).unwrap();
            out.push(char::from(alphabet[sextet]));
        }
    }
    out
}

fn alphabet(last: &[u8; 2]) -> [u8; 64] {
    let all: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*last).collect();
    all.try_into().unwrap()
}

/// Every spelling the module promises to find.
fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![
        secret.to_owned(),
        json.replace('/', "\\/"),
        json,
        json_ascii(secret),
        percent(secret.as_bytes(), true, "-._~"),
        percent(secret.as_bytes(), false, "-._~"),
        percent(secret.as_bytes(), true, "/-._~!$&'()*,;=:@"),
        percent(secret.as_bytes(), true, "-._ ").replace(' ', "+"),
        hex.to_uppercase(),
        hex,
    ];
    for alphabet in [alphabet(b"+/"), alphabet(b"-_")] {
        for before in ["", "u", "us", "user:", "x:"] {
            for after in ["", "a", "ab", "abc"] {
                let encoded = base64(format!("{before}{secret}{after}").as_bytes(), &alphabet);
                all.push(encoded.replace('/', "%2F").replace('+', "%2b"));
                all.push(encoded.replace('/', "\\/"));
                all.push(encoded);
            }
        }
    }
    all
}

#[test]
fn f44_every_spelling_of_the_canary_becomes_stars_of_the_same_length() {
    for spelling in spellings(CANARY) {
        let text = format!("before {spelling} after");
        let out = String::from_utf8(redact(&[CANARY.as_bytes()], text.as_bytes())).unwrap();
        assert_eq!(out.len(), text.len());
        assert!(out.starts_with("before ") && out.ends_with(" after"), "{out}");
        // Base64 leaves of its neighbours what holds no bit of the secret: at most one group at either end.
        let left = out[7..out.len() - 6].replace('*', "");
        let most = if spelling.contains(CANARY) || !spelling.is_ascii() { 0 } else { 10 };
        assert!(left.len() <= most, "{spelling} leaves {left}");
    }
}

#[test]
fn spellings_that_are_the_secret_alone_leave_nothing() {
    for spelling in &spellings(CANARY)[..10] {
        assert_eq!(
            redact(&[CANARY.as_bytes()], spelling.as_bytes()),
            vec![b'*'; spelling.len()],
            "{spelling}"
        );
    }
}

#[test]
fn f45_a_secret_in_two_chunks_is_found_at_every_cut() {
    let patterns = patterns(&[CANARY.as_bytes()]);
    for spelling in spellings(CANARY) {
        let text = format!("Bearer {spelling}, again {spelling}.");
        let whole = patterns.redact(text.as_bytes());
        for cut in 0..=text.len() {
            assert_eq!(redact_split(&patterns, text.as_bytes(), &[cut]), whole, "{spelling} cut at {cut}");
        }
        assert_eq!(redact_split(&patterns, text.as_bytes(), &vec![1; text.len()]), whole);
    }
}

#[test]
fn what_is_no_secret_passes_unchanged() {
    for text in [
        "",
        "plain text, 100 % of it; \\u0041 %41 \\",
        "sk-Canary/7",
        "sk-Canary/6+\"é\\ 9%z",
        "0123456789abcdef0123456789abcdef",
    ] {
        let padded = format!("{text} .");
        assert_eq!(redact(&[CANARY.as_bytes()], padded.as_bytes()), padded.as_bytes());
    }
    let all_bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    assert_eq!(redact(&[b"0123456789-"], &all_bytes), all_bytes);
    assert_eq!(redact(&[], &all_bytes), all_bytes);
}

#[test]
fn overlapping_occurrences_and_overlapping_secrets_are_all_covered() {
    assert_eq!(redact(&[b"abcabcab"], b"-abcabcabcab-"), b"-***********-");
    assert_eq!(redact(&[b"abcdefgh", b"efghijkl", b"abcdefghi"], b"-abcdefghijkl-"), b"-************-");
    assert_eq!(redact(&[b"abcdefgh", b"abcdefghijklmnop"], b"abcdefghijkl."), b"********ijkl.");
}

#[test]
fn a_secret_cut_off_by_the_end_is_redacted_as_far_as_it_came() {
    for (text, expected) in [
        (&b"key=abcdefg"[..], &b"key=*******"[..]),
        (b"key=abcd", b"key=****"),
        (b"key=abc", b"key=abc"),
        (b"key=%61%62%63%64%6", b"key=**************"),
    ] {
        assert_eq!(redact(&[b"abcdefgh"], text), expected);
    }
    // A shorter secret that ends the stream, inside a longer one that is only begun.
    assert_eq!(redact(&[b"zzabcdefghi", b"cdefghij+-"], b"cdefghij"), b"********");
    assert_eq!(redact(&[b"abcdefgh", b"fghxxxxx"], b"abcdefgh"), b"********");
}

#[test]
fn redacted_json_is_still_json() {
    let text = serde_json::to_string(&[CANARY, "kept"]).unwrap();
    let out = redact(&[CANARY.as_bytes()], text.as_bytes());
    let values: Vec<String> = serde_json::from_slice(&out).unwrap();
    assert!(values[0].bytes().all(|b| b == b'*'));
    assert_eq!(values[1], "kept");
}

#[test]
fn held_back_is_only_what_may_begin_a_secret() {
    let mut redactor = Redactor::new(patterns(&[b"abcdefgh"]));
    let mut out = Vec::new();
    redactor.feed(b"nothing to see ", &mut out);
    assert_eq!(out, b"nothing to see ");
    redactor.feed(b"12abc", &mut out);
    assert_eq!(out, b"nothing to see 12");
    redactor.feed(b"x,", &mut out);
    assert_eq!(out, b"nothing to see 12abcx,");
}

proptest! {
    #[test]
    fn any_split_gives_the_same_output(
        secret in "[ab%\\\\u0/+]{8,12}",
        text in prop::collection::vec("[ab%\\\\u0/+]{0,9}", 0..40),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        lengths in prop::collection::vec(0_usize..9, 0..60),
    ) {
        let mut text = text;
        let known = spellings(&secret);
        for index in at {
            let place = index.index(text.len() + 1);
            text.insert(place, known[index.index(known.len())].clone());
        }
        let text = text.concat();
        let patterns = patterns(&[secret.as_bytes()]);
        let whole = patterns.redact(text.as_bytes());
        prop_assert_eq!(whole.len(), text.len());
        prop_assert_eq!(redact_split(&patterns, text.as_bytes(), &lengths), whole);
    }

    #[test]
    fn f44_a_canary_never_survives(
        secret in "[!-~é ]{8,40}",
        before in "[ -~]{0,30}",
        after in "[ -~]{0,30}",
        which in any::<prop::sample::Index>(),
    ) {
        let known = spellings(&secret);
        let text = format!("{before}{}{after}", known[which.index(10)]);
        let out = redact(&[secret.as_bytes()], text.as_bytes());
        let stars = out.iter().filter(|b| **b == b'*').count();
        prop_assert!(stars >= known[which.index(10)].len(), "{}", String::from_utf8_lossy(&out));
        let survives = out.windows(secret.len()).any(|w| w == secret.as_bytes() && w.iter().any(|b| *b != b'*'));
        prop_assert!(!survives);
    }

    #[test]
    fn any_bytes_pass_with_their_length(text in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert_eq!(redact(&[b"abcdefgh"], &text).len(), text.len());
    }
}
