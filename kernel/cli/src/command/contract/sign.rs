//! `pawang contract sign` and `attenuate`: both need the signer's key, and neither needs the daemon where its key is given.

use super::prepare::{self, File, Target};
use crate::args::KeyOption;
use crate::command::{Context, info};
use crate::exit::Exit;
use crate::keyfile;
use crate::program::Program;
use crate::trouble::{Result, Trouble};
use clap::Args;
use pawang_core::attenuate::under;
use pawang_core::contract::{Contract, Envelope, subset};
use pawang_core::key::KeyId;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Sign a contract, for one program and one daemon.
///
///   pawang contract sign weather.toml --out weather.json -- python3 report.py
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The source (.toml).
    file: PathBuf,
    /// Write the signed contract there instead of to stdout. Never overwrites.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Key of the daemon it is for [default: the one that answers]
    #[arg(long, value_name = "KEY")]
    audience: Option<KeyId>,
    #[command(flatten)]
    key: KeyOption,
    /// The program it is for. May be left out where the source names it.
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

/// Cut a smaller contract from a signed one, for someone else to use.
///
/// You must be the one that the larger contract names as its `delegate`. The smaller one is for the same program and
/// daemon, and may only leave out; what it spends, the larger one has spent.
#[derive(Debug, Args)]
pub struct AttenuateArgs {
    /// The larger contract, signed.
    parent: PathBuf,
    /// The source of the smaller one (.toml).
    file: PathBuf,
    /// Write the signed contract there instead of to stdout. Never overwrites.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    key: KeyOption,
}

/// Runs `sign`.
///
/// # Errors
/// What is wrong with source, program or key.
pub fn sign(context: &Context, args: &SignArgs) -> Result<()> {
    let text = source(&args.file)?;
    let signer = keyfile::load(&context.place.key(args.key.key.as_deref())?)?;
    let program = prepare::program(&args.file, &text, &args.program)?;
    if !program.args.is_empty() {
        context.ui.warn("arguments are not part of a contract; give them again to `pawang run`");
    }
    let target = match args.audience {
        Some(audience) => Target { issuer: signer.id(), audience, ..Target::nobody()? },
        None => Target::of(&info(&mut context.connect()?)?, signer.id())?,
    };
    let (contract, payload) = prepare::compile(&args.file, &text, &target, &program)?;
    give(context, &contract, &Envelope::sign(&payload, &signer), args.out.as_deref())
}

/// Runs `attenuate`.
///
/// # Errors
/// What is wrong with either contract or the key.
pub fn attenuate(context: &Context, args: &AttenuateArgs) -> Result<()> {
    let File::Signed(larger) = prepare::read(&args.parent)? else {
        return Err(Trouble::new(Exit::Refused, format!("{} is not signed", args.parent.display()))
            .why("a smaller contract can only be cut from a signed one")
            .hint("pawang contract sign"));
    };
    let parent = Contract::parse(larger.payload()).map_err(|e| prepare::refused(&args.parent, &e))?;
    let signer = keyfile::load(&context.place.key(args.key.key.as_deref())?)?;
    if parent.delegate != Some(signer.id()) {
        let delegate = parent.delegate.map_or_else(|| "nobody".to_owned(), |key| key.to_string());
        return Err(Trouble::new(Exit::Refused, "you may not cut from this contract")
            .why(format!("its delegate is {delegate}; your key is {}", signer.id()))
            .hint("have it signed again with `delegate = \"ed25519:…\"`, your key"));
    }
    let text = source(&args.file)?;
    let target =
        Target { issuer: signer.id(), audience: parent.audience, prices: parent.prices, ..Target::nobody()? };
    let program = Program::from_contract(&parent);
    let (contract, _) = prepare::compile(&args.file, &text, &target, &program)?;
    let contract = under(contract, &parent, larger.digest());
    subset(&contract, &parent).map_err(|e| {
        Trouble::new(
            Exit::Refused,
            format!("{} asks for more than {} has", args.file.display(), args.parent.display()),
        )
        .why(e)
        .hint("ask for less")
    })?;
    give(
        context,
        &contract,
        &Envelope::sign(&contract.to_payload(), &signer).under(&larger),
        args.out.as_deref(),
    )
}

fn source(path: &Path) -> Result<String> {
    match prepare::read(path)? {
        File::Source(text) => Ok(text),
        File::Signed(_) => Err(Trouble::new(Exit::Refused, format!("{} is signed already", path.display()))
            .hint("give its source (.toml)")),
    }
}

fn give(context: &Context, contract: &Contract, envelope: &Envelope, out: Option<&Path>) -> Result<()> {
    let json = envelope.to_json();
    match out {
        None => context.ui.line(&json)?,
        Some(path) => {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .map_err(|e| Trouble::file("write", path, &e))?;
            writeln!(file, "{json}").map_err(|e| Trouble::file("write", path, &e))?;
        }
    }
    context.ui.done(&format!(
        "signed {}, contract {}…, until {}",
        contract.name,
        envelope.digest().short(),
        crate::units::utc(contract.not_after)
    ));
    Ok(())
}
