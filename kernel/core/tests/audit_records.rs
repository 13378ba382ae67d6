//! Every kind of record as it stands in a file, word for word: whoever reads logs with another program reads this.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test ends there")]

use pawang_core::audit::Tip;
use pawang_core::digest::Digest;
use pawang_core::ledger::{Account, Share, ShareCalls, ShareEach};
use pawang_core::record::{Entry, Live, Record};
use pawang_core::run::{Outcome, RunId};
use pawang_protocol::{Denial, DenialCode, Gas};
use std::collections::BTreeSet;

const RUN: RunId = RunId(0x7f3a_91c2);
/// One more than a number that JavaScript and jq read exactly.
const BIG: u64 = (1 << 53) + 1;

const fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn account() -> Account {
    let mut account = Account::open(Gas(BIG), 2, &[Gas(300)], 2, 1_800_003_600);
    assert!(account.take_use() && account.take_call(1, 5));
    let reservation = account.reserve(Gas(7), vec![0]).unwrap();
    account.settle(reservation, Gas(3));
    account
}

fn live() -> Live {
    Live {
        runs: [(RUN, digest(1))].into(),
        calls: vec![(9, RUN, Gas(64), vec![0, 2])],
        nested: vec![(10, RUN)],
        leases: [(RUN, Gas(16))].into(),
        carved: [(digest(2), (digest(1), Gas(100), share()))].into(),
    }
}

fn share() -> Share {
    Share {
        each: vec![
            ShareEach { from: 0, to: Some(1), amount: Gas(50) },
            ShareEach { from: 1, to: None, amount: Gas(u64::MAX) },
        ],
        calls: vec![ShareCalls { from: 2, max: 10, to: 0, calls: 4 }],
    }
}

fn denial() -> Denial {
    Denial {
        code: DenialCode::ResourceNotGranted,
        call: text("fs.read"),
        resource: text("/etc/passwd"),
        reason: text("no grant covers this path"),
        rule: Some(text("call = \"fs.read\"")),
        contract: digest(1).to_string(),
        gas_left: Gas(u64::MAX),
        retryable: false,
        allow: text("[[allow]]\n"),
    }
}

/// Every kind in full, and those with optional parts once more without them.
fn entries() -> Vec<(Entry, &'static str)> {
    let call = |parent, each, counted, secrets| Entry::Call {
        run: RUN,
        call: BIG,
        parent,
        method: text("fs.read"),
        resource: text("/a \"b\""),
        reserved: Gas(65),
        each,
        counted,
        sent: u64::MAX,
        secrets,
    };
    let start = |parent| Entry::Start {
        run: RUN,
        contract: digest(1),
        name: text("weather"),
        parent,
        program: vec![text("/usr/bin/python3"), text("a.py")],
        walls: text("landlock"),
    };
    let end =
        |outcome, exit, detail| Entry::End { run: RUN, outcome, exit, spent: Gas(5), took_ms: 6, detail };
    let carve = |share| Entry::Carve { contract: digest(1), helper: digest(2), reserved: Gas(100), share };
    vec![
        (
            Entry::Snapshot {
                key: text("ed25519:k"),
                prices: digest(3),
                accounts: [(digest(1), account())].into(),
                revoked: vec![digest(4)],
                trust: serde_json::json!({"n": u64::MAX}),
                next_call: BIG,
                live: live(),
            },
            r#"{"kind":"snapshot","key":"ed25519:k","prices":"@3","accounts":{"@1":{"granted":9007199254740993,"free":9007199254740990,"reserved":0,"spent":3,"uses_left":1,"each":[{"limit":300,"used":3}],"calls":[0,1],"not_after":1800003600}},"revoked":["@4"],"trust":{"n":18446744073709551615},"next_call":9007199254740993,"live":{"runs":{"7f3a91c2":"@1"},"calls":[[9,"7f3a91c2",64,[0,2]]],"nested":[[10,"7f3a91c2"]],"leases":{"7f3a91c2":16},"carved":{"@2":["@1",100,{"each":[{"from":0,"to":1,"amount":50},{"from":1,"to":null,"amount":18446744073709551615}],"calls":[{"from":2,"max":10,"to":0,"calls":4}]}]}}}"#,
        ),
        (
            Entry::Boot { version: text("0.1.0"), lost: vec![RUN] },
            r#"{"kind":"boot","version":"0.1.0","lost":["7f3a91c2"]}"#,
        ),
        (Entry::Halt {}, r#"{"kind":"halt"}"#),
        (Entry::Trust { trust: serde_json::json!([]) }, r#"{"kind":"trust","trust":[]}"#),
        (
            Entry::Admit {
                contract: digest(1),
                name: text("weather"),
                issuer: text("ed25519:i"),
                account: Account::open(Gas(u64::MAX), 1, &[], 0, 9),
                payload: text("{\"contract\":1}"),
            },
            r#"{"kind":"admit","contract":"@1","name":"weather","issuer":"ed25519:i","account":{"granted":18446744073709551615,"free":18446744073709551615,"reserved":0,"spent":0,"uses_left":1,"each":[],"calls":[],"not_after":9},"payload":"{\"contract\":1}"}"#,
        ),
        (Entry::Revoke { contract: digest(1) }, r#"{"kind":"revoke","contract":"@1"}"#),
        (
            start(Some(RunId(1))),
            r#"{"kind":"start","run":"7f3a91c2","contract":"@1","name":"weather","parent":"00000001","program":["/usr/bin/python3","a.py"],"walls":"landlock"}"#,
        ),
        (
            start(None),
            r#"{"kind":"start","run":"7f3a91c2","contract":"@1","name":"weather","program":["/usr/bin/python3","a.py"],"walls":"landlock"}"#,
        ),
        (
            call(Some(BIG - 1), vec![1], Some((2, 3)), vec![text("KEY")]),
            r#"{"kind":"call","run":"7f3a91c2","call":9007199254740993,"parent":9007199254740992,"method":"fs.read","resource":"/a \"b\"","reserved":65,"each":[1],"counted":[2,3],"sent":18446744073709551615,"secrets":["KEY"]}"#,
        ),
        (
            call(None, Vec::new(), None, Vec::new()),
            r#"{"kind":"call","run":"7f3a91c2","call":9007199254740993,"method":"fs.read","resource":"/a \"b\"","reserved":65,"sent":18446744073709551615}"#,
        ),
        (
            Entry::Extend { run: RUN, call: 9, more: Gas(BIG) },
            r#"{"kind":"extend","run":"7f3a91c2","call":9,"more":9007199254740993}"#,
        ),
        (
            Entry::Settle {
                run: RUN,
                call: 9,
                status: text("failed: timed_out"),
                spent: Gas(1),
                received: u64::MAX,
                took_us: BIG,
                left: Gas(2),
            },
            r#"{"kind":"settle","run":"7f3a91c2","call":9,"status":"failed: timed_out","spent":1,"received":18446744073709551615,"took_us":9007199254740993,"left":2}"#,
        ),
        (
            Entry::Deny { run: RUN, call: 9, spent: Gas(1), denial: denial() },
            r#"{"kind":"deny","run":"7f3a91c2","call":9,"spent":1,"denial":{"code":"D203","call":"fs.read","resource":"/etc/passwd","reason":"no grant covers this path","rule":"call = \"fs.read\"","contract":"@1","gas_left":18446744073709551615,"retryable":false,"allow":"[[allow]]\n"}}"#,
        ),
        (Entry::Lease { run: RUN, reserved: Gas(16) }, r#"{"kind":"lease","run":"7f3a91c2","reserved":16}"#),
        (
            Entry::Cpu { run: RUN, ms: BIG, spent: Gas(BIG), left: Gas(0) },
            r#"{"kind":"cpu","run":"7f3a91c2","ms":9007199254740993,"spent":9007199254740993,"left":0}"#,
        ),
        (
            Entry::Warn { run: RUN, spent: Gas(8), granted: Gas(10) },
            r#"{"kind":"warn","run":"7f3a91c2","spent":8,"granted":10}"#,
        ),
        (
            carve(share()),
            r#"{"kind":"carve","contract":"@1","helper":"@2","reserved":100,"share":{"each":[{"from":0,"to":1,"amount":50},{"from":1,"to":null,"amount":18446744073709551615}],"calls":[{"from":2,"max":10,"to":0,"calls":4}]}}"#,
        ),
        (carve(Share::default()), r#"{"kind":"carve","contract":"@1","helper":"@2","reserved":100}"#),
        (
            Entry::Return { contract: digest(1), helper: digest(2), spent: Gas(3) },
            r#"{"kind":"return","contract":"@1","helper":"@2","spent":3}"#,
        ),
        (
            Entry::Fault { run: RUN, who: text("fs"), what: text("it lied\u{1b}") },
            r#"{"kind":"fault","run":"7f3a91c2","who":"fs","what":"it lied\u001b"}"#,
        ),
        (
            Entry::Tool { run: RUN, tool: text("fs"), crashes: 1, walls: text("seccomp") },
            r#"{"kind":"tool","run":"7f3a91c2","tool":"fs","crashes":1,"walls":"seccomp"}"#,
        ),
        (
            end(Outcome::OutOfGas, Some(-1), text("why")),
            r#"{"kind":"end","run":"7f3a91c2","outcome":"out_of_gas","exit":-1,"spent":5,"took_ms":6,"detail":"why"}"#,
        ),
        (
            end(Outcome::Done, None, String::new()),
            r#"{"kind":"end","run":"7f3a91c2","outcome":"done","spent":5,"took_ms":6}"#,
        ),
        (
            Entry::Secret { name: text("KEY"), act: text("removed") },
            r#"{"kind":"secret","name":"KEY","act":"removed"}"#,
        ),
        (Entry::Head { sig: text("ab") }, r#"{"kind":"head","sig":"ab"}"#),
    ]
}

/// The golden text with digests written out: `@3` is 32 bytes of 3.
fn written(golden: &str) -> String {
    (1..5).fold(golden.to_owned(), |text, byte| text.replace(&format!("@{byte}"), &digest(byte).to_string()))
}

/// No wildcard: a new kind does not compile until it has a golden line.
fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::Snapshot { .. } => "snapshot",
        Entry::Boot { .. } => "boot",
        Entry::Halt {} => "halt",
        Entry::Trust { .. } => "trust",
        Entry::Admit { .. } => "admit",
        Entry::Revoke { .. } => "revoke",
        Entry::Start { .. } => "start",
        Entry::Call { .. } => "call",
        Entry::Extend { .. } => "extend",
        Entry::Settle { .. } => "settle",
        Entry::Deny { .. } => "deny",
        Entry::Lease { .. } => "lease",
        Entry::Cpu { .. } => "cpu",
        Entry::Warn { .. } => "warn",
        Entry::Carve { .. } => "carve",
        Entry::Return { .. } => "return",
        Entry::Fault { .. } => "fault",
        Entry::Tool { .. } => "tool",
        Entry::End { .. } => "end",
        Entry::Secret { .. } => "secret",
        Entry::Head { .. } => "head",
    }
}

#[test]
fn every_kind_of_record_has_its_golden_line_and_reads_back_to_the_last_digit() {
    let mut tip = Tip { n: BIG - 1, digest: digest(9), t: 0 };
    for (entry, golden) in entries() {
        let (n, prev, golden) = (tip.n + 1, tip.digest, written(golden));
        let mut line = Vec::new();
        tip.append(entry.clone(), BIG, &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        let head = format!("{{\"n\":{n},\"t\":{BIG},\"prev\":\"{prev}\",");
        assert_eq!(line, format!("{head}{}\n", &golden[1..]));
        let record = Record { n, t: BIG, prev, entry };
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        assert_eq!(serde_json::to_string(&record).unwrap(), line.trim_end());
        assert!(golden.starts_with(&format!("{{\"kind\":\"{}\"", kind(&record.entry))));
        assert_eq!(tip.digest, Digest::of(line.trim_end().as_bytes()));
    }
    let kinds: BTreeSet<&str> = entries().iter().map(|(entry, _)| kind(entry)).collect();
    assert_eq!(kinds.len(), 21);
}

#[test]
fn a_record_that_belongs_to_a_run_says_so() {
    for (entry, _) in entries() {
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(entry.run().map(|run| run.to_string()).as_deref(), json["run"].as_str(), "{entry:?}");
    }
}

#[test]
fn f50_numbers_that_are_none_of_ours_are_no_record() {
    for (from, to) in [
        ("\"more\":9007199254740993", "\"more\":-1"),
        ("\"more\":9007199254740993", "\"more\":1.0"),
        ("\"more\":9007199254740993", "\"more\":1e3"),
        ("\"more\":9007199254740993", "\"more\":18446744073709551616"),
        ("\"more\":9007199254740993", "\"more\":\"1\""),
        ("\"call\":9", "\"call\":9,\"call\":9"),
        ("\"run\":\"7f3a91c2\"", "\"run\":\"7F3A91C2\""),
        ("\"run\":\"7f3a91c2\"", "\"run\":\"7f3a91c\""),
        ("\"kind\":\"extend\"", "\"kind\":\"Extend\""),
        ("\"kind\":\"extend\",", ""),
    ] {
        let record = Record {
            n: 1,
            t: 1,
            prev: digest(0),
            entry: Entry::Extend { run: RUN, call: 9, more: Gas(BIG) },
        };
        let line = serde_json::to_string(&record).unwrap();
        assert!(serde_json::from_str::<Record>(&line).is_ok());
        let changed = line.replace(from, to);
        assert!(line != changed && serde_json::from_str::<Record>(&changed).is_err(), "{changed}");
    }
}
