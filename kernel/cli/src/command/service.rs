//! `pawang service install|remove`: the kernel under systemd, for one user or for the machine.
//!
//! The units are data (`kernel/daemon/service`), compiled in; installing them fills in where this installation's daemon is.
//! Deliberately absent: anything that becomes root by itself.

use crate::client::start::find_daemon;
use crate::command::Context;
use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use clap::{Args, Subcommand};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

const SYSTEM: [(&str, &str); 2] = [
    ("pawangd.service", include_str!("../../../daemon/service/system/pawangd.service")),
    ("pawangd.socket", include_str!("../../../daemon/service/system/pawangd.socket")),
];
const USER: [(&str, &str); 2] = [
    ("pawangd.service", include_str!("../../../daemon/service/user/pawangd.service")),
    ("pawangd.socket", include_str!("../../../daemon/service/user/pawangd.socket")),
];
const SYSUSERS: &str = include_str!("../../../daemon/service/system/pawang.sysusers");
/// The path that stands in the units.
const DAEMON: &str = "/usr/bin/pawangd";

/// Run the kernel as a service of systemd.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the units and start the socket; the first command that needs the daemon starts it.
    Install(Place),
    /// Stop the service and remove its units. State, keys and log stay.
    Remove(Place),
}

/// Whose service.
#[derive(Debug, Args)]
pub struct Place {
    /// For this user; without it for the whole machine, which takes root.
    #[arg(long)]
    user: bool,
    /// Write the units into this folder and start nothing.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// Missing rights, files that cannot be written, a systemd that refuses.
pub fn run(context: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Install(place) => install(context, place),
        Command::Remove(place) => remove(context, place),
    }
}

fn install(context: &Context, place: &Place) -> Result<()> {
    let daemon = find_daemon()?;
    let dir = place.dir()?;
    if !place.user && place.into.is_none() {
        need_root()?;
        check_reachable(&daemon)?;
        write(Path::new("/etc/sysusers.d/pawang.conf"), SYSUSERS)?;
    }
    for (name, text) in place.units() {
        write(&dir.join(name), &text.replace(DAEMON, &daemon.display().to_string()))?;
    }
    context.ui.done(&format!("wrote pawangd.service and pawangd.socket to {}", dir.display()));
    if place.into.is_some() {
        return Ok(());
    }
    if !place.user {
        call("systemd-sysusers", &[])?;
    }
    place.systemctl(&["daemon-reload"])?;
    place.systemctl(&["enable", "--now", "pawangd.socket"])?;
    context.ui.done("the socket is open; the first command that needs the daemon starts it");
    if !place.user {
        context.ui.talk("  next: add yourself to the group that may talk to it:  usermod -aG pawang NAME");
    }
    Ok(())
}

fn remove(context: &Context, place: &Place) -> Result<()> {
    let dir = place.dir()?;
    if place.into.is_none() {
        if !place.user {
            need_root()?;
        }
        place.systemctl(&["disable", "--now", "pawangd.socket", "pawangd.service"])?;
    }
    for (name, _) in place.units() {
        let path = dir.join(name);
        fs::remove_file(&path).map_err(|error| Trouble::file("remove", &path, &error))?;
    }
    if place.into.is_none() {
        place.systemctl(&["daemon-reload"])?;
    }
    context.ui.done("the service is removed; its state, keys and log are still there");
    Ok(())
}

impl Place {
    fn units(&self) -> &'static [(&'static str, &'static str); 2] {
        if self.user { &USER } else { &SYSTEM }
    }

    fn dir(&self) -> Result<PathBuf> {
        if let Some(dir) = &self.into {
            return Ok(dir.clone());
        }
        if !self.user {
            return Ok(PathBuf::from("/etc/systemd/system"));
        }
        let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        let none = || {
            Trouble::new(Exit::Failed, "no place for the units").why("HOME is not set").hint("use --into DIR")
        };
        config.map(|config| config.join("systemd/user")).ok_or_else(none)
    }

    fn systemctl(&self, words: &[&str]) -> Result<()> {
        let user: &[&str] = if self.user { &["--user"] } else { &[] };
        call("systemctl", &[user, words].concat())
    }
}

fn need_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Trouble::new(Exit::Usage, "a service of the machine is installed by root")
        .why("you are not root")
        .hint("pawang service install --user   installs it for you alone"))
}

/// The service runs as a user of its own, who sees no home folder.
fn check_reachable(daemon: &Path) -> Result<()> {
    if !["/home", "/root", "/tmp", "/var/tmp"].iter().any(|hidden| daemon.starts_with(hidden)) {
        return Ok(());
    }
    Err(Trouble::new(Exit::Refused, "the service could not reach its program")
        .why(format!("{} is in a folder that services do not see", daemon.display()))
        .hint("copy target/pawang to /opt/pawang, and run /opt/pawang/bin/pawang service install"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    };
    write().map_err(|error| Trouble::file("write", path, &error))
}

fn call(program: &str, words: &[&str]) -> Result<()> {
    let failed = |why: String| {
        Trouble::new(Exit::Failed, format!("{program} {} failed", words.join(" ")))
            .why(why)
            .hint("the units are written; start them by hand once systemd runs")
    };
    let output = Process::new(program).args(words).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
