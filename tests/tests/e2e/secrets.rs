//! Keys that no automation sees: where a canary turns up, and where it never does.

use pawang_tests::web::Web;
use pawang_tests::{Daemon, Job, Start, processes, until};
use std::fs;

const CANARY: &str = "canary-7f3a/91+c2=ab";

/// A daemon with an open vault that holds the canary.
fn daemon() -> Daemon {
    let daemon = Daemon::with(Start { has_vault_key: true, ..Start::default() });
    daemon.set_secret("API_KEY", CANARY);
    daemon
}

fn job(url: &str) -> Job {
    Job::new("keyed")
        .allow("http.fetch", "http", &format!("GET {url}/**"))
        .allow("http.fetch", "http", &format!("POST {url}/**"))
        .secret("API_KEY", &format!("{url}/**"), "header:authorization=Bearer {}")
}

fn encodings() -> Vec<(&'static str, String)> {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = CANARY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let quoted = CANARY.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    vec![
        ("plain", CANARY.to_owned()),
        ("hex", hex.clone()),
        ("HEX", hex.to_uppercase()),
        ("percent", percent),
        ("quoted", quoted),
        ("base64", base64(CANARY.as_bytes())),
        ("base64 of the header", base64(format!("Bearer {CANARY}").as_bytes())),
        ("json", CANARY.replace('/', "\\/")),
    ]
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let word =
            part.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let digit = DIGITS[usize::try_from(word >> (18 - 6 * at) & 63).unwrap()];
            out.push(if at <= part.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn f44_a_secret_is_put_in_on_the_way_and_is_nowhere_else() {
    let daemon = daemon();
    let web = Web::start(|head, _| ("200 OK".to_owned(), format!("you said {head}").into()));
    let url = web.url();
    let script = "import sys, os
from pawang import run
with run.http.fetch('GET', sys.argv[1] + '/v1') as answer:
    print(answer.status, b'authorization' in answer.body.lower())
print('held', flush=True)
import time
time.sleep(3600)
";
    let mut live = daemon.begin(&job(&url), script, &[&url]);
    live.until_says("held");
    assert!(web.asked()[0].contains(&format!("authorization: Bearer {CANARY}")), "{:?}", web.asked());
    let detail = daemon.ask("ctl.inspect", &serde_json::json!({ "run": live.id })).unwrap();
    let known = detail["processes"].as_array().unwrap();
    let http = known.iter().find(|process| process["name"] == "http").unwrap()["pid"].as_i64();
    let others = processes::descendants(daemon.pid());
    for process in others.iter().filter(|process| Some(i64::from(process.pid)) != http) {
        assert!(!memory_holds(process.pid, CANARY.as_bytes()), "the memory of {process:?} holds it");
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            assert!(!processes::contains(&bytes, CANARY.as_bytes()), "{file} of {process:?}");
        }
    }
    let automation = known.iter().find(|process| process["name"] == "automation").unwrap()["pid"].as_i64();
    assert!(others.iter().any(|process| Some(i64::from(process.pid)) == automation), "it was looked at");
    live.cancel();
    let ran = live.end();
    assert!(ran.text().starts_with("200 True\n"), "{ran:?}");
    for (what, canary) in encodings() {
        assert_eq!(processes::holds(&daemon.state(), canary.as_bytes()), None, "{what}");
        assert!(!daemon.log().contains(&canary), "{what}");
        assert!(!processes::contains(&ran.stdout, canary.as_bytes()), "{what}");
    }
    let call = daemon.records_of(&ran.id, "call").pop().unwrap();
    assert_eq!(call["secrets"], serde_json::json!(["API_KEY"]));
}

/// Whether the memory of a process holds these bytes. Of processes that may not be looked into, nothing is known; the
/// automation is one that root may look into, as its own user would.
fn memory_holds(pid: i32, needle: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    let Ok(memory) = fs::File::open(format!("/proc/{pid}/mem")) else { return false };
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let range = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [range.0, range.1].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        processes::contains(&bytes[..read], needle)
    })
}

#[test]
fn f45_what_a_server_reflects_is_blotted_out_in_every_spelling() {
    let daemon = daemon();
    let web = Web::start(|head, _| {
        let at: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let (_, canary) = encodings().swap_remove(at);
        // Across the border of two chunks, and in a header as well.
        let body = format!("{}<{canary}>", "x".repeat((256 << 10) - 5));
        (format!("200 OK\r\nx-reflected: {canary}"), body.into())
    });
    let url = web.url();
    let script = "import sys
from pawang import run
for at in range(int(sys.argv[2])):
    with run.http.fetch('GET', f'{sys.argv[1]}/{at}') as answer:
        body = answer.body
        print(body[-60:].lstrip(b'x').decode(), dict(answer.headers).get('x-reflected'))
";
    let count = encodings().len().to_string();
    let ran = daemon.run(&job(&url), script, &[&url, &count]);
    assert_eq!((ran.outcome.as_str(), ran.exit), ("done", Some(0)), "{ran:?}");
    for (line, (what, canary)) in ran.text().lines().zip(encodings()) {
        let (body, header) = line.split_once("> ").unwrap();
        assert!(!body.contains(&canary) && body.contains("***"), "{what}: {line}");
        // A header is a JSON string in the kernel's hands; what is JSON inside that is escaped twice, and not looked for.
        assert!(what == "json" || (!header.contains(&canary) && header.contains("***")), "{what}: {line}");
    }
    assert_eq!(ran.text().lines().count(), encodings().len());
}

#[test]
fn f47_a_secret_goes_nowhere_but_to_its_destination() {
    let daemon = daemon();
    let bound = Web::start(|head, _| match head {
        head if head.contains("/away ") => {
            ("302 Found\r\nlocation: http://127.0.0.1:1/".to_owned(), Vec::new())
        }
        _ => ("200 OK".to_owned(), b"bound".to_vec()),
    });
    let other = Web::start(|_, _| ("200 OK".to_owned(), b"other".to_vec()));
    let [here, there] = [bound.url(), other.url()];
    let script = "import sys
from pawang import run, Denied, Failed
here, there = sys.argv[1:3]
def fetch(url, **more):
    try:
        with run.http.fetch('GET', url, **more) as answer:
            print(answer.status, answer.body.decode())
    except Denied as no:
        print(no.denial.code)
    except Failed as no:
        print(no.failure.code)
fetch(here + '/v1/x')
fetch(there + '/v1/x')
fetch(here + '/other')
fetch(here + '/v1/away')
fetch(there + '/v1/x', headers={'authorization': 'Bearer {}'})
fetch(there + '/v1/x', headers={'x-key': 'API_KEY'})
";
    let job = Job::new("bound")
        .allow("http.fetch", "http", &format!("GET {here}/**"))
        .allow("http.fetch", "http", &format!("GET {there}/**"))
        .secret("API_KEY", &format!("{here}/v1/**"), "header:authorization=Bearer {}");
    let ran = daemon.run(&job, script, &[&here, &there]);
    ran.expect("200 bound\n200 other\n200 bound\n302 \n200 other\n200 other\n");
    let carried = |web: &Web| web.asked().iter().map(|head| head.contains(CANARY)).collect::<Vec<bool>>();
    assert_eq!(carried(&bound), [true, false, true]);
    assert_eq!(carried(&other), [false, false, false]);
}

#[test]
fn a_secret_that_is_missing_or_locked_denies_the_call_and_nothing_is_sent() {
    let web = Web::start(|_, _| ("200 OK".to_owned(), Vec::new()));
    let url = web.url();
    let script = "import sys
from pawang import run, Denied
try:
    run.http.fetch('GET', sys.argv[1] + '/x')
except Denied as no:
    print(no.denial.code, 'API_KEY' in no.denial.reason)
";
    // No vault at all; then one that holds something else.
    let daemon = Daemon::start();
    daemon.run(&job(&url), script, &[&url]).expect("D207 True\n");
    let daemon = Daemon::with(Start { has_vault_key: true, ..Start::default() });
    daemon.set_secret("OTHER_KEY", "something");
    daemon.run(&job(&url), script, &[&url]).expect("D207 True\n");
    assert_eq!(web.asked(), Vec::<String>::new());
    // Stored, it is put in; locked by a restart without its key, it is not.
    let passphrase = daemon.write("passphrase", "correct horse battery\n");
    fs::set_permissions(&passphrase, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut locked = Daemon::start();
    let opened = locked.control().ask("ctl.vault-unlock", &serde_json::Value::Null, b"correct horse battery");
    opened.unwrap();
    locked.set_secret("API_KEY", CANARY);
    let sends = script.replace("API_KEY", "x");
    locked.run(&job(&url), &sends, &[&url]).expect("");
    assert_eq!(web.asked().len(), 1);
    locked.stop();
    locked.boot();
    locked.run(&job(&url), script, &[&url]).expect("D207 True\n");
    assert_eq!(web.asked().len(), 1);
}

#[test]
fn a_secret_removed_while_a_run_goes_on_is_no_longer_put_in() {
    let daemon = daemon();
    let web = Web::start(|_, _| ("200 OK".to_owned(), b"ok".to_vec()));
    let url = web.url();
    let script = "import sys
from pawang import run, Denied
url = sys.argv[1]
print(run.http.fetch('GET', url + '/1').status, flush=True)
sys.stdin.read()
try:
    print(run.http.fetch('GET', url + '/2').status)
except Denied as no:
    print(no.denial.code)
";
    let mut live = daemon.begin(&job(&url), script, &[&url]);
    live.until_says("200");
    daemon.ask("ctl.secret-remove", &serde_json::json!({ "name": "API_KEY" })).unwrap();
    let run = serde_json::json!({ "run": live.id });
    live.control.call("ctl.stdin", &run, b"").unwrap();
    live.end().expect("200\nD207\n");
    until("the vault forgets it", || {
        (processes::holds(&daemon.state(), CANARY.as_bytes()).is_none()).then_some(())
    });
}
