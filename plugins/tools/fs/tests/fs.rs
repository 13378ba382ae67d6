//! The fs tool as a process: what it reads, writes, lists and refuses, each refusal with its code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a surprise fails the test")]

use pawang_sdk::protocol::Status;
use pawang_sdk::testkit::{Ask, Event, Plugin};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MANIFEST: &str = include_str!("../plugin.toml");

struct Site {
    tool: Plugin,
    dir: TempDir,
}

impl Site {
    /// A tool that may do everything in `in`, below a folder that also holds `out`.
    fn new() -> Self {
        Self::with(
            |dir| json!({"roots": [{"path": dir.join("in"), "read": true, "list": true, "write": true}]}),
        )
    }

    fn with(setup: impl FnOnce(&Path) -> Value) -> Self {
        let dir = TempDir::new().unwrap();
        for sub in ["in", "out", "in/sub"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("in/a.txt"), "hello").unwrap();
        fs::write(dir.path().join("out/secret"), "secret").unwrap();
        let tool =
            Plugin::start(Path::new(env!("CARGO_BIN_EXE_pawang-fs")), MANIFEST, &[], setup(dir.path()));
        Self { tool, dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(method, self.path(path).to_str().unwrap())
    }

    fn ok(&mut self, ask: Ask) -> String {
        self.tool.call(&ask).text()
    }

    fn code(&mut self, ask: Ask) -> String {
        self.tool.call(&ask).failure().code
    }

    fn pair(&self, from: &str, to: &str) -> Ask {
        let text = format!("{}\0{}", self.path(from).display(), self.path(to).display());
        Ask::new("fs.move", &text)
    }
}

#[test]
fn read_gives_the_content_and_a_part_of_it() {
    let mut site = Site::new();
    let ask = site.ask("fs.read", "in/a.txt");
    let cases = [
        (json!({}), "hello"),
        (json!({"offset": 1}), "ello"),
        (json!({"length": 2}), "he"),
        (json!({"offset": 1, "length": 3}), "ell"),
        (json!({"length": 0}), ""),
        (json!({"offset": 5}), ""),
        (json!({"offset": u64::MAX}), ""),
        (json!({"offset": i64::MAX, "length": u64::MAX}), ""),
    ];
    for (args, text) in cases {
        assert_eq!(site.ok(ask.clone().args(args.clone())), text, "{args}");
    }
    for bad in [json!({"offset": -1}), json!({"ofset": 1}), json!([]), json!({"offset": 1.5})] {
        assert_eq!(site.code(ask.clone().args(bad)), "bad_arguments");
    }
}

#[test]
fn write_creates_and_replaces_and_append_adds() {
    let mut site = Site::new();
    let steps = [
        ("fs.write", "one", "one"),
        ("fs.append", "two", "onetwo"),
        ("fs.write", "3", "3"),
        ("fs.write", "", ""),
    ];
    for (method, data, content) in steps {
        site.ok(site.ask(method, "in/new").data(data));
        assert_eq!(fs::read_to_string(site.path("in/new")).unwrap(), content, "{method} {data}");
    }
    site.ok(site.ask("fs.append", "in/log").data("first"));
    assert_eq!(fs::read_to_string(site.path("in/log")).unwrap(), "first");
}

#[test]
fn a_file_of_300_mib_streams_through_unchanged_in_bounded_memory() {
    let mut site = Site::new();
    let mut file = fs::File::create(site.path("in/big")).unwrap();
    let mut written = Sha256::new();
    let mut block = vec![0_u8; 1 << 20];
    for round in 0..300_u32 {
        block
            .iter_mut()
            .zip(0_u32..)
            .for_each(|(b, i)| *b = (i.wrapping_mul(2_654_435_761) ^ round).to_le_bytes()[1]);
        file.write_all(&block).unwrap();
        written.update(&block);
    }
    let id = site.tool.send(&site.ask("fs.read", "in/big"));
    let mut received = Sha256::new();
    loop {
        let Event::Reply(reply) = site.tool.next_event() else { panic!("only replies are expected") };
        assert_eq!((reply.id, reply.status), (id, Status::Ok));
        received.update(&reply.data);
        if !reply.more {
            break;
        }
    }
    assert_eq!(received.finalize(), written.finalize());
    let status = fs::read_to_string(format!("/proc/{}/status", site.tool.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 16 << 10, "peak of {peak_kib} KiB");
}

#[test]
fn list_gives_every_entry_once_also_beyond_one_page() {
    let mut site = Site::new();
    for index in 0..4_000 {
        fs::write(site.path(&format!("in/sub/{index:0>60}")), "x").unwrap();
    }
    let answer = site.tool.call(&site.ask("fs.list", "in/sub"));
    assert!(answer.parts > 1, "4,000 entries do not fit into one message");
    let text = answer.text();
    let mut names: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|entry| assert_eq!((&entry["kind"], &entry["size"]), (&json!("file"), &json!(1))))
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4_000);
}

#[test]
fn list_shows_kinds_and_names_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let mut site = Site::new();
    fs::write(site.path("in/sub").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    symlink("/etc/passwd", site.path("in/sub/link")).unwrap();
    fs::create_dir(site.path("in/sub/folder")).unwrap();
    let text = site.ok(site.ask("fs.list", "in/sub"));
    let mut entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    entries.sort_by_key(|entry| entry["name"].as_str().unwrap().to_owned());
    let expected = json!([
        {"name": "caf\u{fffd}", "name_hex": "636166e9", "kind": "file", "size": 0},
        {"name": "folder", "kind": "dir", "size": 0},
        {"name": "link", "kind": "symlink", "size": 0},
    ]);
    assert_eq!(Value::from(entries), expected);
}

#[test]
fn stat_tells_kind_size_time_and_mode() {
    let mut site = Site::new();
    fs::set_permissions(site.path("in/a.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let facts = site.tool.call(&site.ask("fs.stat", "in/a.txt")).ok().args.remove(0);
    assert_eq!((&facts["kind"], &facts["size"], &facts["mode"]), (&json!("file"), &json!(5), &json!(0o640)));
    assert!(facts["mtime_ms"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(site.tool.call(&site.ask("fs.stat", "in")).ok().args[0]["kind"], "dir");
}

#[test]
fn mkdir_remove_and_move_change_names() {
    let mut site = Site::new();
    site.ok(site.ask("fs.mkdir", "in/new"));
    site.ok(site.pair("in/a.txt", "in/new/b.txt"));
    assert_eq!(fs::read_to_string(site.path("in/new/b.txt")).unwrap(), "hello");
    assert_eq!(site.code(site.ask("fs.remove", "in/new")), "not_empty");
    site.ok(site.ask("fs.remove", "in/new/b.txt"));
    site.ok(site.ask("fs.remove", "in/new"));
    assert!(!site.path("in/new").exists());
}

#[test]
fn move_replaces_only_when_told_to() {
    let mut site = Site::new();
    fs::write(site.path("in/b.txt"), "old").unwrap();
    let ask = site.pair("in/a.txt", "in/b.txt");
    assert_eq!(site.code(ask.clone()), "already_exists");
    assert_eq!(fs::read_to_string(site.path("in/b.txt")).unwrap(), "old");
    site.ok(ask.args(json!({"replace": true})));
    assert_eq!(fs::read_to_string(site.path("in/b.txt")).unwrap(), "hello");
}

#[test]
fn each_refusal_has_its_code() {
    let mut site = Site::new();
    let cases = [
        ("fs.read", "in/none", "not_found"),
        ("fs.read", "in", "not_a_file"),
        ("fs.read", "in/sub", "not_a_file"),
        ("fs.write", "in/sub", "not_a_file"),
        ("fs.read", "in/a.txt/x", "not_a_directory"),
        ("fs.list", "in/a.txt", "not_a_directory"),
        ("fs.list", "in/none", "not_found"),
        ("fs.stat", "in/none", "not_found"),
        ("fs.mkdir", "in/sub", "already_exists"),
        ("fs.mkdir", "in/x/y", "not_found"),
        ("fs.mkdir", "in", "refused"),
        ("fs.remove", "in/none", "not_found"),
        ("fs.remove", "in", "refused"),
        ("fs.write", "in/x/y", "not_found"),
        ("fs.read", "out/secret", "refused"),
        ("fs.read", "in/../out/secret", "refused"),
        ("fs.read", "in/./a.txt", "refused"),
        ("fs.write", "out/new", "refused"),
    ];
    for (method, path, code) in cases {
        assert_eq!(site.code(site.ask(method, path)), code, "{method} {path}");
    }
    let long = format!("in/{}", "n".repeat(300));
    assert_eq!(site.code(site.ask("fs.read", &long)), "name_too_long");
    assert_eq!(site.code(Ask::new("fs.read", "relative")), "refused");
    assert_eq!(site.code(Ask::new("fs.move", "/only/one")), "bad_resource");
    let inside_itself = site.pair("in/sub", "in/sub/x");
    assert_eq!(site.code(inside_itself), "refused");
}

#[test]
fn f1_absent_roots_and_rights_mean_none() {
    for setup in [json!({}), json!({"roots": []})] {
        let mut site = Site::with(|_| setup);
        assert_eq!(site.code(site.ask("fs.read", "in/a.txt")), "refused");
        assert_eq!(site.code(Ask::new("fs.list", "/")), "refused");
    }
    let mut site = Site::with(|dir| json!({"roots": [{"path": dir.join("in")}]}));
    for method in ["fs.read", "fs.write", "fs.list", "fs.stat", "fs.mkdir", "fs.remove"] {
        assert_eq!(site.code(site.ask(method, "in/a.txt")), "refused", "{method}");
    }
}

#[test]
fn each_right_allows_its_own_methods_only() {
    let rights = [
        ("read", ["fs.read", "fs.stat"].as_slice()),
        ("list", &["fs.list", "fs.stat"]),
        ("write", &["fs.write", "fs.append", "fs.mkdir", "fs.remove", "fs.stat"]),
    ];
    for (right, allowed) in rights {
        let mut site = Site::with(|dir| json!({"roots": [{"path": dir.join("in"), right: true}]}));
        for method in ["fs.read", "fs.list", "fs.stat", "fs.write", "fs.append", "fs.mkdir", "fs.remove"] {
            let path = if method == "fs.list" { "in" } else { "in/a.txt" };
            let answer = site.tool.call(&site.ask(method, path).data("x"));
            let is_refused = answer.status == Status::Failed && answer.failure().code == "refused";
            assert_eq!(is_refused, !allowed.contains(&method), "{right}: {method}");
        }
    }
}

#[test]
fn the_root_with_the_right_counts_not_only_the_nearest() {
    let mut site = Site::with(
        |dir| json!({"roots": [{"path": dir, "read": true}, {"path": dir.join("in"), "write": true}]}),
    );
    assert_eq!(site.ok(site.ask("fs.read", "in/a.txt")), "hello");
    assert_eq!(site.code(site.ask("fs.write", "out/x")), "refused");
}

#[test]
fn deny_wins_and_nothing_carries_denied_things_away() {
    let mut site = Site::with(|dir| {
        json!({
            "roots": [{"path": dir.join("in"), "read": true, "list": true, "write": true}],
            "deny": [dir.join("in/sub/private/**"), dir.join("in/a.txt")],
        })
    });
    fs::create_dir(site.path("in/sub/private")).unwrap();
    fs::write(site.path("in/sub/private/key"), "secret").unwrap();
    for (method, path) in [
        ("fs.read", "in/sub/private/key"),
        ("fs.list", "in/sub/private"),
        ("fs.read", "in/a.txt"),
        ("fs.write", "in/a.txt"),
    ] {
        assert_eq!(site.code(site.ask(method, path)), "refused", "{method} {path}");
    }
    assert_eq!(site.code(site.pair("in/sub", "in/moved")), "refused");
    assert_eq!(site.code(site.pair("in/sub/private", "in/moved")), "refused");
    assert!(site.path("in/sub/private/key").exists());
}

#[test]
fn a_granted_file_gives_that_file_and_nothing_beside_it() {
    let mut site = Site::with(
        |dir| json!({"roots": [{"path": dir.join("in/a.txt"), "read": true}, {"path": dir.join("in/later"), "write": true}]}),
    );
    assert_eq!(site.ok(site.ask("fs.read", "in/a.txt")), "hello");
    assert_eq!(site.code(site.ask("fs.read", "in/b.txt")), "refused");
    assert_eq!(site.code(site.ask("fs.read", "in")), "refused");
    site.ok(site.ask("fs.write", "in/later").data("now"));
    assert_eq!(fs::read_to_string(site.path("in/later")).unwrap(), "now");
}

#[test]
fn a_missing_root_fails_its_own_calls_only() {
    let mut site = Site::with(
        |dir| json!({"roots": [{"path": dir.join("in"), "read": true}, {"path": dir.join("no/such/root"), "read": true}]}),
    );
    assert_eq!(site.code(site.ask("fs.read", "no/such/root/x")), "not_found");
    assert_eq!(site.ok(site.ask("fs.read", "in/a.txt")), "hello");
}

#[test]
fn f2_setup_that_cannot_be_held_answers_every_call_with_the_reason() {
    for setup in [
        json!({"roots": [{"path": "relative", "read": true}]}),
        json!({"deny": ["/a/*/b"]}),
        json!({"unknown": 1}),
        json!({"roots": [{"path": "/", "raed": true}]}),
    ] {
        let mut site = Site::with(|_| setup.clone());
        assert_eq!(site.code(site.ask("fs.read", "in/a.txt")), "bad_setup", "{setup}");
    }
}

#[test]
fn cancelled_stream_ends_with_cancelled_and_the_tool_goes_on() {
    let mut site = Site::new();
    let big = fs::File::create(site.path("in/big")).unwrap();
    big.set_len(1 << 30).unwrap();
    let id = site.tool.send(&site.ask("fs.read", "in/big"));
    site.tool.cancel(id);
    let answer = site.tool.answer(id);
    assert_eq!(answer.status, Status::Cancelled);
    assert!(answer.data.len() < 1 << 30);
    assert_eq!(site.ok(site.ask("fs.read", "in/a.txt")), "hello");
}

#[test]
fn the_end_of_the_channel_is_the_end_of_the_tool() {
    let output = Site::new().tool.stop();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
