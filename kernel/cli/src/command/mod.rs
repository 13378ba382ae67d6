//! The commands, one file per group, and what they share: the daemon they talk to and how they show things.

pub mod audit;
pub mod completions;
pub mod contract;
pub mod doctor;
pub mod explain;
pub mod key;
pub mod logs;
pub mod ps;
pub mod run;
pub mod secret;
pub mod service;
pub mod stop;
pub mod timeline;
pub mod trust;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::exit::{self, Exit};
use crate::places::Place;
use crate::trouble::{Result, Trouble};
use crate::ui::Ui;
use pawang_core::control::Info;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// How to show things.
    pub ui: Ui,
    /// Which daemon.
    pub place: Place,
}

impl Context {
    /// A connection, to a daemon started for it where that is allowed.
    ///
    /// # Errors
    /// Where there is no reaching it.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(&self.place)
    }
}

/// Does what was asked. The code is the program's own status where a run ended by itself.
///
/// # Errors
/// What the command could not do.
pub fn run(cli: &Cli, ui: Ui) -> Result<u8> {
    match &cli.command {
        Command::Completions(args) => return done(completions::print(ui, args)),
        Command::ExitCodes => return done(ui.print(&exit::table())),
        _ => {}
    }
    let context = Context { ui, place: Place::find(cli.state.as_deref())? };
    match &cli.command {
        Command::Key(command) => done(key::run(&context, command)),
        Command::Trust(command) => done(trust::run(&context, command)),
        Command::Contract(command) => contract::run(&context, command),
        Command::Run(args) => run::run(&context, args),
        Command::Ps(args) => done(ps::ps(&context, args)),
        Command::Inspect(args) => done(ps::inspect(&context, args)),
        Command::Stop(args) => done(stop::run(&context, args)),
        Command::Logs(args) => done(logs::run(&context, args)),
        Command::Timeline(args) => done(timeline::timeline(&context, args)),
        Command::Gas(args) => done(timeline::gas(&context, args)),
        Command::Explain(args) => explain::run(&context, args).map(Exit::code),
        Command::Secret(command) => done(secret::run(&context, command)),
        Command::Audit(command) => done(audit::run(&context, command)),
        Command::Service(command) => done(service::run(&context, command)),
        Command::Doctor(args) => doctor::run(&context, args).map(Exit::code),
        Command::Completions(_) | Command::ExitCodes => Ok(Exit::Ok.code()),
    }
}

fn done(result: Result<()>) -> Result<u8> {
    result.map(|()| Exit::Ok.code())
}

/// What the daemon says about itself.
///
/// # Errors
/// A lost connection.
pub fn info(client: &mut Client) -> Result<Info> {
    client.ask("cannot ask the daemon about itself", "ctl.info", &())
}

/// Reads a file of at most `max` bytes; `-` is stdin.
///
/// # Errors
/// Where it cannot be read, or is longer.
pub fn read_file(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = max.saturating_add(1);
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    let length = read.map_err(|e| Trouble::file("read", path, &e))?;
    if u64::try_from(length).is_ok_and(|n| n <= max) {
        return Ok(bytes);
    }
    Err(Trouble::new(Exit::Refused, format!("{} is too long", path.display()))
        .why(format!("more than {max} bytes")))
}
