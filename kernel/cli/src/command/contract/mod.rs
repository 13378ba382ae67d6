//! `pawang contract`: write, check, sign, show, compare, narrow and revoke contracts.

pub mod diff;
pub mod prepare;
pub mod show;
mod sign;

use crate::clean::clean;
use crate::command::trust::methods;
use crate::command::{Context, info, trust};
use crate::exit::Exit;
use crate::paint::Tone;
use crate::trouble::{Result, Trouble};
use clap::{Args, Subcommand};
use pawang_core::contract::{Admission, Contract, Envelope, verify};
use pawang_core::control::{ContractDetail, ContractRef, Revoked};
use pawang_core::digest::Digest;
use prepare::File;
use std::path::{Path, PathBuf};

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a contract to start from: pawang contract new > job.toml
    New,
    /// Say whether a contract would be accepted, and what it allows.
    ///
    /// A source (.toml) is compiled and its own tests are run; a signed contract is checked as the daemon would.
    Check(CheckArgs),
    Sign(sign::SignArgs),
    Attenuate(sign::AttenuateArgs),
    /// Show what a contract says: a file, or the digest of one that the daemon knows.
    Show(ShowArgs),
    /// Compare two contracts by what they allow. `+` is more in the second, `−` less.
    Diff(DiffArgs),
    /// Make a contract worthless from now on, and stop the runs under it.
    Revoke(RevokeArgs),
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The contract: source or signed.
    file: PathBuf,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A file, or a digest of at least 8 digits.
    contract: String,
    /// The contract as JSON.
    #[arg(long)]
    json: bool,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first.
    a: PathBuf,
    /// The second.
    b: PathBuf,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Options of `revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// A signed contract's file, or a digest of at least 8 digits.
    contract: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it. The code is the command's exit code.
///
/// # Errors
/// What is wrong with a contract, or a lost connection.
pub fn run(context: &Context, command: &Command) -> Result<u8> {
    match command {
        Command::New => context.ui.print(include_str!("template.toml"))?,
        Command::Check(args) => check(context, args)?,
        Command::Sign(args) => sign::sign(context, args)?,
        Command::Attenuate(args) => sign::attenuate(context, args)?,
        Command::Show(args) => show(context, args)?,
        Command::Diff(args) => diff(context, args)?,
        Command::Revoke(args) => revoke(context, args)?,
    }
    Ok(Exit::Ok.code())
}

fn check(context: &Context, args: &CheckArgs) -> Result<()> {
    let contract = match prepare::read(&args.file)? {
        File::Source(_) => prepare::contract_of(&args.file)?,
        File::Signed(envelope) => check_signed(context, &args.file, &envelope)?,
    };
    context.ui.done(&format!("{} is sound; it allows", args.file.display()));
    context.ui.print(&show::rights(&contract, context.ui.out))
}

/// Exactly the check the daemon makes, with the daemon's own trust, time and prices.
fn check_signed(context: &Context, path: &Path, envelope: &Envelope) -> Result<Contract> {
    let mut client = context.connect()?;
    let daemon = info(&mut client)?;
    let methods = methods()?;
    let trust = trust::fetch(&mut client, &methods)?;
    let target = prepare::Target::of(&daemon, *envelope.key())?;
    let admission = Admission {
        now: daemon.now,
        audience: &target.audience,
        prices: &daemon.prices,
        program: None,
        protected: &[&daemon.state],
        trust: &trust,
        methods: &methods,
    };
    let verified =
        verify(envelope.to_json().as_bytes(), &admission).map_err(|e| prepare::refused(path, &e))?;
    Ok(verified.contract.as_ref().clone())
}

fn show(context: &Context, args: &ShowArgs) -> Result<()> {
    let path = Path::new(&args.contract);
    if path.exists() || !is_digest_prefix(&args.contract) {
        let contract = prepare::contract_of(path)?;
        let digest = Digest::of(&contract.to_payload());
        if args.json {
            return context.ui.json(&contract);
        }
        return context.ui.print(&show::whole(&contract, &digest, context.ui.out));
    }
    let detail: ContractDetail = context.connect()?.ask(
        "cannot show the contract",
        "ctl.contract",
        &ContractRef { contract: args.contract.clone() },
    )?;
    if args.json {
        return context.ui.json(&detail);
    }
    let contract = Contract::parse(detail.payload.as_bytes())
        .map_err(|e| Trouble::new(Exit::Failed, "the daemon's contract cannot be read").why(e))?;
    context.ui.print(&show::whole(&contract, &detail.contract, context.ui.out))?;
    let (granted, spent, reserved) = detail.gas;
    let state =
        if detail.revoked { context.ui.out.tone(Tone::Bad, "revoked") } else { "in force".to_owned() };
    context.ui.line(&format!(
        "  account   {state}   gas {spent} spent, {reserved} set aside, of {granted}   uses left {}",
        detail.uses_left
    ))
}

fn diff(context: &Context, args: &DiffArgs) -> Result<()> {
    let (a, b) = (prepare::contract_of(&args.a)?, prepare::contract_of(&args.b)?);
    let comparison = diff::compare(&a, &b);
    if args.json {
        return context.ui.json(&comparison);
    }
    let paint = context.ui.out;
    for difference in &comparison.differences {
        let (tone, sign) = difference.effect.sign();
        let sides = match (difference.a.as_str(), difference.b.as_str()) {
            ("", b) => clean(b),
            (a, "") => clean(a),
            (a, b) => format!("{}  →  {}", clean(a), clean(b)),
        };
        context.ui.line(&format!("  {} {:<11} {sides}", paint.tone(tone, sign), difference.field))?;
    }
    context.ui.line(
        match (comparison.differences.is_empty(), comparison.b_is_within_a, comparison.a_is_within_b) {
            (true, ..) => "  the two say the same",
            (_, true, true) => "  both allow the same",
            (_, true, false) => "  the second allows nothing that the first does not",
            (_, false, true) => "  the first allows nothing that the second does not",
            (_, false, false) => "  neither is within the other",
        },
    )
}

fn revoke(context: &Context, args: &RevokeArgs) -> Result<()> {
    let path = Path::new(&args.contract);
    let contract = match path.exists() {
        true => match prepare::read(path)? {
            File::Signed(envelope) => envelope.digest().to_string(),
            File::Source(_) => {
                return Err(Trouble::new(Exit::Refused, format!("{} is not signed", path.display()))
                    .why("each signing of a source is a contract of its own")
                    .hint("name the digest: pawang ps --all --json shows it"));
            }
        },
        false => args.contract.clone(),
    };
    let mut client = context.connect()?;
    let revoked: Revoked =
        client.ask("cannot revoke the contract", "ctl.revoke", &ContractRef { contract })?;
    if args.json {
        return context.ui.json(&revoked);
    }
    let stopped: Vec<String> = revoked.stopped.iter().map(ToString::to_string).collect();
    let runs = if stopped.is_empty() {
        "no run was under it".to_owned()
    } else {
        format!("stopped {}", stopped.join(", "))
    };
    context.ui.done(&format!("contract {}… is revoked; {runs}", revoked.contract.short()));
    Ok(())
}

/// What the daemon takes as the beginning of a digest.
pub fn is_digest_prefix(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
