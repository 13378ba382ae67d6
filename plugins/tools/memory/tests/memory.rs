//! The memory tool as a process: values come back, survive, stay within the quota; two runs do not harm each other.

use pawang_sdk::protocol::limits::DATA_MAX;
use pawang_sdk::testkit::{Ask, Plugin};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::thread;
use tempfile::TempDir;

/// What an entry costs beyond key and value, as the README says.
const OVERHEAD: usize = 64;

fn tool_with(setup: Value) -> Plugin {
    let manifest = include_str!("../plugin.toml");
    Plugin::start(Path::new(env!("CARGO_BIN_EXE_pawang-memory")), manifest, &[], setup)
}

fn tool(dir: &TempDir) -> Plugin {
    tool_with(json!({"dir": dir.path(), "quota_kib": 1024}))
}

fn write(tool: &mut Plugin, key: &str, value: impl Into<Vec<u8>>) {
    tool.call(&Ask::new("memory.write", key).data(value)).ok();
}

fn read(tool: &mut Plugin, key: &str) -> Vec<u8> {
    tool.call(&Ask::new("memory.read", key)).ok().data
}

fn code(tool: &mut Plugin, ask: &Ask) -> String {
    tool.call(ask).failure().code
}

#[test]
fn value_comes_back_also_to_the_next_process() {
    let dir = TempDir::new().unwrap();
    let values = [
        ("a", b"1".to_vec()),
        ("notes/today", vec![0, 255, 10]),
        ("empty", vec![]),
        ("big", vec![7; DATA_MAX]),
    ];
    let mut first = tool(&dir);
    for (key, value) in &values {
        write(&mut first, key, value.clone());
    }
    drop(first);
    let mut second = tool(&dir);
    for (key, value) in &values {
        assert_eq!(&read(&mut second, key), value, "{key}");
    }
}

#[test]
fn write_replaces_and_remove_forgets() {
    let dir = TempDir::new().unwrap();
    let mut tool = tool(&dir);
    write(&mut tool, "k", "long value");
    write(&mut tool, "k", "new");
    assert_eq!(read(&mut tool, "k"), b"new");
    tool.call(&Ask::new("memory.remove", "k")).ok();
    assert_eq!(code(&mut tool, &Ask::new("memory.read", "k")), "not_found");
    assert_eq!(code(&mut tool, &Ask::new("memory.remove", "k")), "not_found");
}

#[test]
fn list_gives_keys_at_or_below_a_name_sorted() {
    let dir = TempDir::new().unwrap();
    let mut tool = tool(&dir);
    for key in ["notes/b", "notes/a", "notes", "notes-2", "other/notes"] {
        write(&mut tool, key, "v");
    }
    let text = tool.call(&Ask::new("memory.list", "notes")).text();
    let keys: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|entry| assert_eq!(entry["size"], 1))
        .map(|entry| entry["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["notes", "notes/a", "notes/b"]);
    assert_eq!(tool.call(&Ask::new("memory.list", "none")).text(), "");
}

#[test]
fn quota_counts_keys_and_values_exactly_to_the_byte() {
    let dir = TempDir::new().unwrap();
    let mut tool = tool_with(json!({"dir": dir.path(), "quota_kib": 1}));
    let fits = 1_024 - OVERHEAD - 1;
    assert_eq!(code(&mut tool, &Ask::new("memory.write", "k").data(vec![0; fits + 1])), "quota_exceeded");
    write(&mut tool, "k", vec![0; fits]);
    assert_eq!(code(&mut tool, &Ask::new("memory.write", "j").data("")), "quota_exceeded");
    write(&mut tool, "k", vec![1; fits]);
    assert_eq!(read(&mut tool, "k"), vec![1; fits], "replacing needs no room for both");
    tool.call(&Ask::new("memory.remove", "k")).ok();
    write(&mut tool, "j", "");
}

#[test]
fn f1_absent_and_zero_quota_hold_nothing() {
    let dir = TempDir::new().unwrap();
    for setup in [json!({"dir": dir.path()}), json!({"dir": dir.path(), "quota_kib": 0})] {
        let mut tool = tool_with(setup);
        assert_eq!(code(&mut tool, &Ask::new("memory.write", "k").data("v")), "quota_exceeded");
    }
}

#[test]
fn refused_write_leaves_the_old_value() {
    let dir = TempDir::new().unwrap();
    let mut tool = tool_with(json!({"dir": dir.path(), "quota_kib": 1}));
    write(&mut tool, "k", "old");
    assert_eq!(code(&mut tool, &Ask::new("memory.write", "k").data(vec![0; 2_000])), "quota_exceeded");
    assert_eq!(read(&mut tool, "k"), b"old");
}

#[test]
fn keys_that_are_none_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut tool = tool(&dir);
    for key in ["", "..", "a/../b", ".lock", ".new", "/etc/passwd", "A", &"k".repeat(256)] {
        for method in ["memory.read", "memory.write", "memory.remove", "memory.list"] {
            assert_eq!(code(&mut tool, &Ask::new(method, key)), "bad_key", "{method} {key}");
        }
    }
    write(&mut tool, &"k".repeat(255), "v");
}

#[test]
fn two_runs_at_once_lose_nothing_and_share_one_quota() {
    let dir = TempDir::new().unwrap();
    let quota_kib = 16;
    let runs: Vec<_> = (0..3)
        .map(|run| {
            let mut tool = tool_with(json!({"dir": dir.path(), "quota_kib": quota_kib}));
            thread::spawn(move || {
                let keys = (0..60).map(|n| format!("run{run}/key{n}"));
                let stored = |key: &String| {
                    let answer = tool.call(&Ask::new("memory.write", key).data(vec![b'v'; 200]));
                    answer.status == pawang_sdk::protocol::Status::Ok
                };
                keys.filter(stored).collect::<Vec<_>>()
            })
        })
        .collect();
    let stored: Vec<String> = runs.into_iter().flat_map(|run| run.join().unwrap()).collect();
    let held: usize = stored.iter().map(|key| key.len() + 200 + OVERHEAD).sum();
    let quota = 1_024 * quota_kib;
    assert!(held <= quota && held > quota - 2 * (200 + OVERHEAD + 16), "{held} of {quota} bytes are used");
    let mut tool = tool(&dir);
    for key in &stored {
        assert_eq!(read(&mut tool, key), vec![b'v'; 200], "{key}");
    }
}

#[test]
fn kill_in_the_middle_of_writes_leaves_every_value_whole() {
    let dir = TempDir::new().unwrap();
    for round in 1..=5_u8 {
        let mut tool = tool(&dir);
        write(&mut tool, "k", vec![round; 100_000]);
        for n in 0..20 {
            tool.send(&Ask::new("memory.write", "k").data(vec![n; 100_000]));
        }
        // Dropping kills, wherever the tool is.
        drop(tool);
        let value = read(&mut self::tool(&dir), "k");
        assert_eq!(value.len(), 100_000);
        assert!(value.iter().all(|byte| *byte == value[0]), "round {round}: a mixture of two values");
    }
}

#[test]
fn leftover_of_a_crash_is_neither_listed_nor_counted() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(".new"), vec![0; 5_000]).unwrap();
    fs::write(dir.path().join("Strange.File"), "x").unwrap();
    let mut tool = tool_with(json!({"dir": dir.path(), "quota_kib": 1}));
    write(&mut tool, "k", vec![0; 900]);
    assert_eq!(tool.call(&Ask::new("memory.list", "k")).text().lines().count(), 1);
}

#[test]
fn f42_symlink_in_the_store_is_not_followed() {
    let dir = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("k")).unwrap();
    let mut tool = tool(&dir);
    assert_eq!(code(&mut tool, &Ask::new("memory.read", "k")), "io");
    write(&mut tool, "k", "mine");
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert_eq!(read(&mut tool, "k"), b"mine");
}

#[test]
fn a_store_that_is_missing_answers_every_call_with_the_reason() {
    let mut tool = tool_with(json!({"dir": "/no/such/store", "quota_kib": 1}));
    assert_eq!(code(&mut tool, &Ask::new("memory.read", "k")), "bad_setup");
}
