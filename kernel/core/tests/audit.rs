//! The chain of the log: one table of what can be done to it, and the exact place and word where each is noticed.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test ends there")]

mod kit;

use kit::{key, prices, signer};
use pawang_core::audit::{Break, Broken, SignedHead, Tip, Verifier};
use pawang_core::digest::Digest;
use pawang_core::record::{Entry, Live, Record};

type Lines = Vec<String>;
/// What is done, how, and the record and word it is noticed with.
type Case = (&'static str, fn(&mut Lines), u64, Broken);

fn snapshot() -> Entry {
    Entry::Snapshot {
        key: key("daemon").to_string(),
        prices: prices(),
        accounts: [].into(),
        revoked: Vec::new(),
        trust: serde_json::Value::Null,
        next_call: 1,
        live: Live::default(),
    }
}

fn secret(name: &str) -> Entry {
    Entry::Secret { name: name.to_owned(), act: "set".to_owned() }
}

/// Eight records, the sixth a head; and where the chain has got to after each.
fn log() -> (Lines, Vec<Tip>) {
    let (mut tip, mut lines, mut tips) = (Tip::START, Vec::new(), Vec::new());
    for n in 1..=8 {
        let entry = match n {
            1 => snapshot(),
            2 => Entry::Boot { version: "0.1.0".to_owned(), lost: Vec::new() },
            6 => tip.head(&signer("daemon")),
            n => secret(&format!("KEY_{n}")),
        };
        lines.push(append(&mut tip, entry, 1_000 + n));
        tips.push(tip);
    }
    (lines, tips)
}

fn append(tip: &mut Tip, entry: Entry, t: u64) -> String {
    let mut line = Vec::new();
    tip.append(entry, t, &mut line).unwrap();
    assert_eq!(line.pop(), Some(b'\n'));
    String::from_utf8(line).unwrap()
}

fn verify(lines: &[String], outside: Option<SignedHead>) -> Result<(Tip, u64), Break> {
    let mut verifier = Verifier::new(key("daemon"), outside);
    lines.iter().try_for_each(|line| verifier.line(line.as_bytes()).map(drop))?;
    verifier.finish()
}

/// Numbers and chains the lines anew, as whoever can write the file but not sign may do.
fn rechain(lines: &mut Lines) {
    let (mut n, mut prev) = (0, Digest([0; 32]));
    for line in lines {
        let mut record: Record = serde_json::from_str(line).unwrap();
        n += 1;
        (record.n, record.prev) = (n, prev);
        *line = serde_json::to_string(&record).unwrap();
        prev = Digest::of(line.as_bytes());
    }
}

#[test]
fn an_untouched_log_is_whole_with_and_without_a_head_kept_outside() {
    let (lines, tips) = log();
    let heads = tips.iter().map(|tip| Some(tip.signed(&signer("daemon"))));
    for head in heads.chain([None]) {
        assert_eq!(verify(&lines, head), Ok((tips[7], 1)));
    }
}

#[test]
fn f78_each_change_is_noticed_where_it_was_made() {
    let cases: [Case; 12] = [
        ("a changed word", |l| l[2] = l[2].replace("KEY_3", "KEY_9"), 4, Broken::Chain),
        ("a changed time", |l| l[2] = l[2].replace("1003", "1004"), 4, Broken::Chain),
        ("a space put in", |l| l[2] = l[2].replace(",\"t\"", ", \"t\""), 4, Broken::Chain),
        ("a record left out", |l| drop(l.remove(2)), 3, Broken::Number(4)),
        ("a record twice", |l| l.insert(3, l[2].clone()), 4, Broken::Number(3)),
        ("two records swapped", |l| l.swap(2, 3), 3, Broken::Number(4)),
        ("the beginning left out", |l| drop(l.remove(0)), 1, Broken::NoSnapshot),
        ("another number", |l| l[2] = l[2].replace("\"n\":3", "\"n\":4"), 3, Broken::Number(4)),
        (
            "something before record 1",
            |l| l[0] = l[0].replacen("\"prev\":\"0", "\"prev\":\"1", 1),
            1,
            Broken::Chain,
        ),
        (
            "time back, chained anew",
            |l| {
                l[2] = l[2].replace("1003", "1001");
                rechain(l);
            },
            3,
            Broken::TimeRunsBack,
        ),
        (
            "a changed word, chained anew",
            |l| {
                l[2] = l[2].replace("KEY_3", "KEY_9");
                rechain(l);
            },
            6,
            Broken::Signature,
        ),
        (
            "a record left out, chained anew",
            |l| {
                l.remove(2);
                rechain(l);
            },
            5,
            Broken::Signature,
        ),
    ];
    for (name, change, n, what) in cases {
        let (mut lines, _) = log();
        change(&mut lines);
        assert_eq!(verify(&lines, None), Err(Break { n, what }), "{name}");
    }
}

#[test]
fn f79_what_is_no_record_is_told_with_the_parsers_words() {
    for (line, words) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("{}", "missing field `n` at line 1 column 2"),
        ("{\"n\":3,\"n\":3}", "duplicate field `n` at line 1 column 10"),
    ] {
        let (mut lines, _) = log();
        lines[2] = line.to_owned();
        let what = Broken::NotARecord(words.to_owned());
        assert_eq!(verify(&lines, None), Err(Break { n: 3, what }), "{line}");
    }
    for damage in [|line: &str| line[..line.len() - 9].to_owned(), |line: &str| format!("{line}{line}")] {
        let (mut lines, _) = log();
        lines[2] = damage(&lines[2]);
        let broken = verify(&lines, None).unwrap_err();
        assert!(matches!(broken, Break { n: 3, what: Broken::NotARecord(_) }), "{broken}");
    }
}

#[test]
fn f78_a_tail_that_was_cut_is_noticed_by_the_head_kept_outside_and_only_by_it() {
    let (lines, tips) = log();
    let head = || Some(tips[7].signed(&signer("daemon")));
    for kept in 0..8 {
        let n = u64::try_from(kept).unwrap() + 1;
        assert_eq!(verify(&lines[..kept], head()), Err(Break { n, what: Broken::CutTail(8) }));
    }
    assert_eq!(verify(&lines[..7], None), Ok((tips[6], 1)));
}

#[test]
fn a_head_kept_outside_that_names_another_history_is_told_from_a_forged_one() {
    let (lines, tips) = log();
    let mut other = tips[4];
    other.digest = Digest::of(b"another line");
    let beyond = Tip { n: 9, ..tips[7] };
    let mut cut = tips[4].signed(&signer("daemon"));
    cut.sig.pop();
    for (name, head, n, what) in [
        ("another history", other.signed(&signer("daemon")), 5, Broken::OtherHistory),
        ("another's signature", tips[4].signed(&signer("stranger")), 5, Broken::Signature),
        ("another's signature on another history", other.signed(&signer("stranger")), 5, Broken::Signature),
        ("a signature cut short", cut, 5, Broken::Signature),
        ("a tail that never was", beyond.signed(&signer("stranger")), 9, Broken::Signature),
        ("a tail that was", beyond.signed(&signer("daemon")), 9, Broken::CutTail(9)),
    ] {
        assert_eq!(verify(&lines, Some(head)), Err(Break { n, what }), "{name}");
    }
}

#[test]
fn a_head_of_another_key_is_no_head() {
    let mut after = Tip::START;
    let first = append(&mut after, snapshot(), 1);
    for (name, head) in [
        ("a stranger's", after.head(&signer("stranger"))),
        ("a true one of another moment", Tip::START.head(&signer("daemon"))),
    ] {
        let second = append(&mut after.clone(), head, 2);
        let broken = Break { n: 2, what: Broken::Signature };
        assert_eq!(verify(&[first.clone(), second], None), Err(broken), "{name}");
    }
}

#[test]
fn a_log_may_begin_at_any_segment() {
    let (lines, _) = log();
    let mut tip = Tip { n: 8, digest: Digest::of(lines[7].as_bytes()), t: 1_008 };
    let later = [append(&mut tip, snapshot(), 1_009), append(&mut tip, secret("K"), 1_010)];
    assert_eq!(verify(&later, None), Ok((tip, 0)));
    let whole: Lines = lines.into_iter().chain(later).collect();
    assert_eq!(verify(&whole, None), Ok((tip, 1)));
}

#[test]
fn a_clock_that_runs_back_is_held_where_the_log_is() {
    let mut tip = Tip::START;
    let lines = [append(&mut tip, snapshot(), 5_000), append(&mut tip, secret("K"), 4_000)];
    assert_eq!((tip.t, verify(&lines, None)), (5_000, Ok((tip, 0))));
}

#[test]
fn f78_no_bit_of_a_log_can_be_turned_unnoticed() {
    let (lines, tips) = log();
    let head = tips[7].signed(&signer("daemon"));
    for (at, line) in lines.iter().enumerate() {
        for (byte, bit) in (0..line.len()).zip((0..8).cycle()) {
            let mut verifier = Verifier::new(key("daemon"), Some(head.clone()));
            let mut changed = line.clone().into_bytes();
            changed[byte] ^= 1 << bit;
            let mut read = lines[..at].iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
            read.push(changed);
            read.extend(lines[at + 1..].iter().map(|line| line.as_bytes().to_vec()));
            let outcome = read.iter().try_for_each(|line| verifier.line(line).map(drop));
            assert!(outcome.is_err(), "line {} byte {byte} bit {bit}", at + 1);
        }
    }
}

#[test]
fn a_break_is_told_in_a_sentence() {
    for (what, text) in [
        (
            Broken::Chain,
            "record 4: it does not hold the digest of the line before it; one of the two was changed",
        ),
        (Broken::Number(9), "record 4: it is numbered 9; records are missing or were put in"),
        (Broken::TimeRunsBack, "record 4: its time lies before the record before it"),
        (Broken::Signature, "record 4: the signature of this head is not the kernel's"),
        (Broken::NoSnapshot, "record 4: a log opens with a snapshot; its beginning is missing"),
        (
            Broken::CutTail(9),
            "record 4: the log ends here, and a signed head says it went on to record 9: its tail was cut",
        ),
        (Broken::OtherHistory, "record 4: the head kept beside the log names another history"),
        (Broken::Torn, "record 4: the last line has no end; its write was interrupted"),
        (Broken::NotARecord("words".to_owned()), "record 4: the line is not a record (words)"),
    ] {
        assert_eq!(Break { n: 4, what }.to_string(), text);
    }
}
