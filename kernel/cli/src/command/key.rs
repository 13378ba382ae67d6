//! `pawang key`: the operator's signing key.
//!
//! `new` makes one command enough to be ready: the key is written, and the daemon told to accept what it signs.

use crate::args::KeyOption;
use crate::clean::clean;
use crate::command::{Context, info, trust};
use crate::keyfile;
use crate::trouble::Result;
use clap::{Args, Subcommand};
use pawang_core::key::KeyId;
use serde_json::json;

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make your key, and have the daemon accept what it signs.
    ///
    /// The key is written where only you can read it and never leaves this machine. Contracts signed with it may grant
    /// whatever this daemon can give; to allow a key less, see `pawang trust add`.
    New(NewArgs),
    /// Show your public key, or the daemon's.
    Show(ShowArgs),
}

/// Options of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    #[command(flatten)]
    key: KeyOption,
    /// The name others will see it by [default: your user name]
    #[arg(long)]
    name: Option<String>,
    /// Only make the key; tell no daemon.
    #[arg(long)]
    no_trust: bool,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The daemon's key instead: the one that contracts are signed for, and that signs the log.
    #[arg(long, conflicts_with = "key")]
    daemon: bool,
    #[command(flatten)]
    key: KeyOption,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// A key that cannot be made, read, or told to the daemon.
pub fn run(context: &Context, command: &Command) -> Result<()> {
    match command {
        Command::New(args) => new(context, args),
        Command::Show(args) => show(context, args),
    }
}

fn new(context: &Context, args: &NewArgs) -> Result<()> {
    let path = context.place.key(args.key.key.as_deref())?;
    let signer = keyfile::create(&path)?;
    context.ui.done(&format!("made your key: {} (only you can read it)", path.display()));
    if args.no_trust {
        context
            .ui
            .talk(&format!("  no daemon accepts it yet: pawang trust add NAME {} --operator", signer.id()));
    } else {
        let name = args.name.clone().unwrap_or_else(user_name);
        let name = trust::accept_operator(context, signer.id(), &name)?;
        context.ui.done(&format!("the daemon accepts contracts signed by it, as {name:?}"));
        context.ui.talk("  next: pawang contract new > job.toml, then pawang run job.toml -- PROGRAM");
    }
    context.ui.line(&signer.id().to_string())
}

fn show(context: &Context, args: &ShowArgs) -> Result<()> {
    if args.daemon {
        let key = info(&mut context.connect()?)?.key;
        return if args.json { context.ui.json(&json!({"key": key})) } else { context.ui.line(&clean(&key)) };
    }
    let path = context.place.key(args.key.key.as_deref())?;
    let id: KeyId = keyfile::load(&path)?.id();
    if args.json {
        return context.ui.json(&json!({"key": id, "file": path}));
    }
    context.ui.line(&id.to_string())
}

/// The name in the password file, else the number: the environment could claim anything.
pub(crate) fn user_name() -> String {
    let uid = nix::unistd::geteuid();
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid-{uid}"), |user| user.name)
}
