//! Rules of the house that can be read off the source text: who may be unsafe, who may start a process, how long a
//! file may get, and what is nowhere.
//!
//! Text is searched, not parsed: a rule that needs more than that belongs into a lint.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test ends there")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Files that may hold unsafe code, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("sandbox-policies/src/bin/pawang-launcher/sys.rs", "the one system call that the files below it make"),
    ("ipc/sdk/src/channel.rs", "takes the one inherited descriptor over; there is no safe way"),
    (
        "sandbox-policies/src/bin/pawang-launcher/sys/confine.rs",
        "system calls that confine the process that makes them",
    ),
    ("sandbox-policies/src/bin/pawang-launcher/sys/files.rs", "descriptors and mounts"),
    ("sandbox-policies/src/bin/pawang-launcher/sys/process.rs", "clone, execute, wait"),
];

/// Files that may start another program, and why. Whatever starts an automation or a plugin is the launcher.
const STARTS_PROGRAMS: &[(&str, &str)] = &[
    ("kernel/cli/src/client/start.rs", "starts the user's own daemon"),
    ("sandbox-policies/src/launcher.rs", "the daemon's side starts the launcher, and nothing else"),
    (
        "sandbox-policies/src/bin/pawang-launcher/sys/process.rs",
        "the one place that executes plugins and automations",
    ),
];

/// Files longer than [`LINES_MAX`], and why they are one file.
const LONG: &[(&str, &str)] = &[];

const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file below the root that is part of the project, with its path from there.
fn files() -> Vec<(String, PathBuf)> {
    let (root, mut found) = (root(), Vec::new());
    let mut todo = vec![root.clone()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !["target", ".git", "artifacts", "corpus"].contains(&name.as_str()) {
                todo.push(path);
            } else if kind.is_file() {
                found.push((path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

/// Rust files and their text.
fn rust() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    rust.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

/// What is compiled into programs: not the tests, and of each file only what stands before its tests.
fn shipped() -> Vec<(String, String)> {
    let is_shipped = |name: &str| {
        let folders = ["ipc/", "kernel/", "plugins/", "providers/", "sandbox-policies/"];
        folders.iter().any(|folder| name.starts_with(folder))
            && !["/tests/", "/tests.rs", "/benches/", "/examples/", "/probe/", "testkit"]
                .iter()
                .any(|part| name.contains(part))
    };
    let before_tests = |text: String| text.split("\n#[cfg(test)]").next().unwrap_or_default().to_owned();
    let shipped = rust().into_iter().filter(|(name, _)| is_shipped(name));
    shipped.map(|(name, text)| (name, before_tests(text))).collect()
}

/// The code of a line, without a comment that ends it and without what stands between quotation marks.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.replace("\\\"", "").split('"').step_by(2).collect()
}

/// Files of `shipped()` with a line for which `is_hit` says yes, and that line.
fn hits(is_hit: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut hits = Vec::new();
    for (name, text) in shipped() {
        if let Some(line) = text.lines().find(|line| is_hit(line)) {
            hits.push((name, line.trim().to_owned()));
        }
    }
    hits
}

/// What was found is exactly what is listed: an entry that nothing needs any more has to go.
fn check_against(list: &[(&str, &str)], found: &[(String, String)]) {
    let unlisted: Vec<_> =
        found.iter().filter(|(name, _)| !list.iter().any(|(listed, _)| listed == name)).collect();
    assert!(unlisted.is_empty(), "not in the list of this test: {unlisted:#?}");
    for (listed, why) in list {
        assert!(found.iter().any(|(name, _)| name == listed), "{listed} is listed for nothing ({why})");
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.split(|c| !is_part(c)).any(|found| found == word)
}

#[test]
fn unsafe_code_is_only_in_the_listed_files() {
    check_against(UNSAFE, &hits(|line| has_word(&code(line), "unsafe")));
}

#[test]
fn crates_without_unsafe_code_forbid_it() {
    for (name, text) in shipped() {
        let is_root =
            name.ends_with("src/lib.rs") || name.ends_with("src/main.rs") || name.contains("src/bin/");
        let folder = name.split("src/").next().unwrap_or_default();
        let may_be_unsafe = UNSAFE.iter().any(|(listed, _)| listed.starts_with(folder));
        assert!(
            !is_root || may_be_unsafe || text.contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid it"
        );
    }
}

#[test]
fn f03_programs_are_started_only_by_the_listed_files() {
    let starts = ["Command::new", "execve", "posix_spawn", "fork("];
    check_against(STARTS_PROGRAMS, &hits(|line| starts.iter().any(|word| code(line).contains(word))));
}

#[test]
fn f14_no_shell_is_called_anywhere() {
    let shells = ["/bin/sh", "/bin/bash", "new(\"sh", "new(\"bash", "new(\"env"];
    let found = hits(|line| shells.iter().any(|shell| line.contains(shell)));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn f14_no_file_is_setuid_or_setgid() {
    let staged = std::env::var_os("PAWANG_PREFIX").map(PathBuf::from);
    let mut todo: Vec<PathBuf> = files().into_iter().map(|(_, path)| path).chain(staged).collect();
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let is_raised = metadata.is_file() && metadata.permissions().mode() & 0o6000 != 0;
        assert!(!is_raised, "{}", path.display());
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn files_are_at_most_400_lines_or_say_why() {
    let long: Vec<(String, String)> = rust()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(name, text)| (name, format!("{} lines", text.lines().count())))
        .collect();
    check_against(LONG, &long);
}

#[test]
fn every_rust_file_opens_with_what_it_is_for() {
    for (name, text) in rust() {
        assert!(text.starts_with("//!") || text.starts_with("#![no_main]\n//!"), "{name} does not");
    }
}

#[test]
fn every_crate_has_a_readme_and_the_lints_of_the_workspace() {
    for (name, path) in files() {
        if !name.ends_with("/Cargo.toml") || name.starts_with("tests/") {
            continue;
        }
        let has_readme = path.with_file_name("README.md").is_file() || name.starts_with("plugins/tools/");
        assert!(has_readme, "{name} has no README.md beside it");
        let manifest = fs::read_to_string(&path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} has other lints");
    }
}

#[test]
fn no_test_is_ignored_or_expects_any_panic() {
    let (ignored, panicking) = (concat!("#[", "ignore"), concat!("#[", "should_panic"));
    for (name, text) in rust() {
        assert!(!text.contains(ignored) && !text.contains(panicking), "{name}");
    }
}
