//! All tests: Rust's by nextest where it is installed and by cargo otherwise, the examples in the documentation, and
//! Python's. The last line is the sum of all of them.

use crate::artifacts::build;
use crate::fuzz;
use crate::machine::{need_python, program};
use crate::stage::{Flavour, Staged, stage};
use crate::summary::{Counts, of_junit, of_libtest, of_unittest};
use crate::tree::{Tree, cargo};
use crate::trouble::Trouble;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// What everyone runs.
    Short,
    /// More cases for property tests, longer soaks, a minute of each fuzzer.
    Long,
}

const FUZZ_SECONDS: u32 = 60;

/// Runs everything and prints the sum as the last line, also where something could not be run.
///
/// # Errors
/// [`Trouble::Told`] if anything failed or kept the tests from being run.
pub fn all(tree: &Tree, length: Length) -> Result<(), Trouble> {
    let mut counts = Counts::default();
    let outcome = each_runner(tree, length, &mut counts);
    if let Err(trouble) = &outcome {
        eprintln!("{trouble}");
        counts.failed += 1;
    }
    println!("{counts}");
    match outcome {
        Ok(()) if counts.failed == 0 => Ok(()),
        Ok(()) => Err(Trouble::Told(1)),
        Err(trouble) => Err(Trouble::Told(trouble.status())),
    }
}

fn each_runner(tree: &Tree, length: Length, counts: &mut Counts) -> Result<(), Trouble> {
    need_python()?;
    if length == Length::Long {
        fuzz::need_cargo_fuzz()?;
    }
    let staged = stage(tree, Flavour::Debug)?;
    let probe = probe(tree, &staged)?;
    *counts += rust(tree, &staged, &probe, length)?;
    *counts += documentation(tree, &staged)?;
    *counts += python(tree)?;
    if length == Length::Long {
        fuzz::each(tree, FUZZ_SECONDS)?;
    }
    Ok(())
}

/// The program that tries to get out of every jail. It is built as plugins are, and never staged.
fn probe(tree: &Tree, staged: &Staged) -> Result<PathBuf, Trouble> {
    let words = ["--profile", "plugin", "-p", "pawang-sandbox", "--example", "sandbox-probe"];
    let built = build(tree, "the probe of the sandbox", Some(staged.target), &words)?;
    built.into_values().next().ok_or(Trouble::Build("the probe of the sandbox"))
}

/// Cargo as tests are to be run: they find the staged programs through these variables.
fn cargo_test(tree: &Tree, staged: &Staged) -> Command {
    let mut command = cargo();
    command
        .current_dir(&tree.root)
        .stdin(Stdio::null())
        .env("PAWANG_PREFIX", &staged.prefix)
        .env("PAWANG_LIBEXEC", staged.libexec());
    command
}

fn rust(tree: &Tree, staged: &Staged, probe: &Path, length: Length) -> Result<Counts, Trouble> {
    let mut command = cargo_test(tree, staged);
    command.env("PAWANG_PROBE", probe);
    if length == Length::Long {
        command.env("PAWANG_LONG", "1").env("PROPTEST_CASES", "4096");
    }
    if program("cargo-nextest").is_none() {
        command.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]);
        return libtest("tests", command);
    }
    // Nextest keeps its reports here wherever cargo builds to.
    let report = tree.root.join("target/nextest/default/junit.xml");
    let _ = std::fs::remove_file(&report);
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--config-file"]);
    let status = command.arg(tree.root.join("tests/nextest.toml")).status().map_err(not_started)?;
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    Ok(of_junit(&text).unwrap_or_default().settled("nextest", status.success()))
}

fn documentation(tree: &Tree, staged: &Staged) -> Result<Counts, Trouble> {
    let mut command = cargo_test(tree, staged);
    command.args(["test", "--quiet", "--workspace", "--no-fail-fast", "--doc"]);
    libtest("examples in the documentation", command)
}

/// Runs a command that prints as libtest does, passes its lines on and counts.
fn libtest(name: &str, mut command: Command) -> Result<Counts, Trouble> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(not_started)?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if !says_nothing(&line) {
                println!("{line}");
            }
            if let Some(found) = of_libtest(&line) {
                counts += found;
            }
        }
    }
    Ok(counts.settled(name, is_success(child)?))
}

/// Most crates have no examples in their documentation, and each says so in three lines.
fn says_nothing(line: &str) -> bool {
    line.is_empty()
        || line == "running 0 tests"
        || line.starts_with("test result: ok. 0 passed; 0 failed; 0 ignored")
}

fn python(tree: &Tree) -> Result<Counts, Trouble> {
    let mut child = unittest(&tree.root.join("ipc/python")).spawn().map_err(not_started)?;
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut text).map_err(not_started)?;
    }
    eprint!("{text}");
    Ok(of_unittest(&text).unwrap_or_default().settled("python", is_success(child)?))
}

/// Without a byte-code cache: the tests leave nothing in the tree.
fn unittest(folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.current_dir(folder).args(["-B", "-W", "error", "-m", "unittest"]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

fn is_success(mut child: Child) -> Result<bool, Trouble> {
    child.wait().map(|status| status.success()).map_err(not_started)
}

fn not_started(error: std::io::Error) -> Trouble {
    Trouble::System { what: "cannot run the tests".to_owned(), why: error.to_string() }
}
