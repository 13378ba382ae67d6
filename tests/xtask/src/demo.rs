//! `cargo xtask demo`: a real automation under a real contract, in front of the reader's eyes.
//!
//! Everything happens in one temporary folder, with a daemon of its own, and is gone afterwards, also after Ctrl-C.
//! What is shown is what an operator would type and see. At the end the demo checks what it claims: the report is
//! there, the key is nowhere, nothing outside the contract was changed; if not, it fails.

mod claims;
mod daemon;
mod interrupt;
mod place;
mod screen;

use crate::machine::need_python;
use crate::stage::{Flavour, stage};
use crate::tree::Tree;
use crate::trouble::Trouble;
use daemon::{Daemon, Server};
use interrupt::Interrupt;
use place::Place;
use screen::Screen;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The exit status of `pawang run` where the run used up its gas: the demo ends in an endless loop.
const OUT_OF_GAS: i32 = 4;

/// One demo under way.
struct Demo<'a> {
    place: &'a Place,
    prefix: PathBuf,
    interrupt: Interrupt,
    screen: Screen,
    /// Everything that any command printed.
    seen: Vec<u8>,
}

/// Shows it.
///
/// # Errors
/// [`Trouble`] where something does not start, or a claim does not hold.
pub fn show(tree: &Tree) -> Result<(), Trouble> {
    need_python()?;
    let interrupt = Interrupt::watch()?;
    let prefix = programs(tree);
    interrupt.check()?;
    let prefix = prefix?;
    let place = Place::make(&tree.root)?;
    let server = Server::start(&place, &tree.root.join("tests/demo/server.py"))?;
    let daemon = Daemon::start(&prefix, &place)?;
    let mut demo = Demo { place: &place, prefix, interrupt, screen: Screen::new(), seen: Vec::new() };
    let outcome = demo.steps(&server.url);
    let told = daemon.stop();
    demo.interrupt.check()?;
    if outcome.is_err() && !told.is_empty() {
        eprintln!("\nthe daemon said:\n{told}");
    }
    outcome?;
    demo.claims()
}

/// Those that `PAWANG_PREFIX` names, as for tests; otherwise the ones of this tree, built and staged.
fn programs(tree: &Tree) -> Result<PathBuf, Trouble> {
    match std::env::var_os("PAWANG_PREFIX").filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => Ok(PathBuf::from(prefix)),
        None => stage(tree, Flavour::Release).map(|staged| staged.prefix),
    }
}

impl Demo<'_> {
    fn steps(&mut self, url: &str) -> Result<(), Trouble> {
        let (place, folder) = (self.place, self.place.automation.clone());
        self.screen.title(
            "Pawang",
            &format!("all of this happens in {}, and is removed afterwards", place.root.display()),
        );
        self.screen.step("An operator makes a key. The kernel accepts contracts signed with it.");
        self.pawang(&["key", "new", "--name", "ann"], None, 0)?;
        self.screen.step("A key for a paid service goes into the vault. No program will see it.");
        self.pawang(&["secret", "set", "DEMO_KEY"], Some(&place.secret), 0)?;
        self.screen.step("A contract says what an automation may do, and how much it may cost.");
        place.write_contract(url)?;
        self.pawang(&["contract", "check", "report.toml"], None, 0)?;
        self.screen
            .step("A program nobody needs to trust runs under it. It does its work, then it misbehaves.");
        let python = interpreter()?;
        let (input, output, home) = (text(&place.input)?, text(&place.output)?, text(&place.home)?);
        let words = ["run", "report.toml", "--", &python, "report.py", input, output, url, home];
        self.pawang(&words, None, OUT_OF_GAS)?;
        self.screen.step("Every call it made, what became of it, and what it cost.");
        let run = self.last_run(&folder)?;
        self.pawang(&["timeline", &run], None, 0)?;
        self.screen.step("The log of all this cannot be changed unnoticed.");
        self.pawang(&["audit", "verify"], None, 0)
    }

    /// Shows one command as it would be typed, runs it and shows what it prints.
    fn pawang(&mut self, words: &[&str], stdin: Option<&str>, expected: i32) -> Result<(), Trouble> {
        self.interrupt.check()?;
        self.screen.command(words, stdin.is_some());
        let mut command = self.command(&self.place.automation);
        if self.screen.is_coloured() {
            command.args(["--color", "always"]);
        }
        let status = screen::run_shown(command.args(words), stdin, &self.interrupt, &mut self.seen)?;
        self.interrupt.check()?;
        if status == Some(expected) {
            return Ok(());
        }
        let status = status.map_or_else(|| "by a signal".to_owned(), |code| format!("with status {code}"));
        Err(Trouble::Failed(format!("pawang {} ended {status}, not {expected}", words.join(" "))))
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.prefix.join("bin/pawang"));
        command.current_dir(folder).env("PAWANG_STATE", &self.place.state).stdin(Stdio::null());
        command
    }

    fn last_run(&self, folder: &Path) -> Result<String, Trouble> {
        #[derive(Deserialize)]
        struct Row {
            run: String,
        }
        let output = self.command(folder).args(["ps", "--all", "--json"]).output();
        let output = output.map_err(|error| Trouble::System {
            what: "cannot list runs".to_owned(),
            why: error.to_string(),
        })?;
        let rows: Vec<Row> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        rows.into_iter()
            .next()
            .map(|row| row.run)
            .ok_or_else(|| Trouble::Failed("the daemon knows of no run".to_owned()))
    }

    fn claims(&mut self) -> Result<(), Trouble> {
        self.screen.step("What was claimed, looked at from outside.");
        let mut is_good = true;
        for claim in claims::all(self.place, &self.seen) {
            self.screen.claim(&claim);
            is_good &= claim.holds;
        }
        if is_good {
            Ok(())
        } else {
            Err(Trouble::Failed("a claim of the demo does not hold; see above".to_owned()))
        }
    }
}

/// `python3`, or the whole path of the interpreter where that name is a script that finds one: what runs under a
/// contract is the very file that was signed for.
fn interpreter() -> Result<String, Trouble> {
    let is_program = |path: &Path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    if crate::machine::program("python3").is_some_and(|path| is_program(&path)) {
        return Ok("python3".to_owned());
    }
    let ask = "import os, sys; print(os.path.realpath(sys.executable))";
    let output = Command::new("python3").args(["-c", ask]).output();
    let output = output
        .map_err(|error| Trouble::System { what: "cannot ask python3".to_owned(), why: error.to_string() })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn text(path: &Path) -> Result<&str, Trouble> {
    path.to_str().ok_or_else(|| Trouble::System {
        what: format!("cannot use {}", path.display()),
        why: "a contract is UTF-8, and this path is not; set TMPDIR to another folder".to_owned(),
    })
}
