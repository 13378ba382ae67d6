//! `pawang`, the command line: what an operator says to the kernel, and how its answers look.
//!
//! Reading order: [`args`] (what can be asked), [`places`] (which daemon, which key), [`client`] (the connection),
//! [`command`] (one file per group of commands), [`program`] (from words to what will be executed), [`exit`] (how it
//! ends). Rules for how things look: [`ui`], [`paint`], [`table`], [`units`], [`clean`].
//!
//! It decides nothing about a run: `explain` and `contract check` call the very functions the kernel enforces with.
#![forbid(unsafe_code)]

mod args;
mod clean;
mod client;
mod command;
mod exit;
mod keyfile;
mod paint;
mod places;
mod program;
mod prompt;
mod table;
mod trouble;
mod ui;
mod units;

use args::Cli;
use clap::Parser;
use paint::Tone;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use trouble::Trouble;
use ui::Ui;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let [_, word, daemon, state] = words.as_slice()
        && word == client::start::DETACH
    {
        return tell(
            &Ui::new(paint::When::Never),
            &client::start::become_daemon(Path::new(daemon), Path::new(state)),
        );
    }
    let cli = Cli::parse_from(words);
    let ui = Ui::new(cli.color);
    match command::run(&cli, ui) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => tell(&ui, &trouble),
    }
}

/// What, why, what to try; then the exit code.
fn tell(ui: &Ui, trouble: &Trouble) -> ExitCode {
    ui.talk(&format!("{} {trouble}", ui.err.tone(Tone::Bad, "pawang:")));
    ExitCode::from(trouble.exit.code())
}
