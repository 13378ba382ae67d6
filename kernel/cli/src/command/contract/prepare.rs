//! From a file and a program to a signed contract: what `run`, `sign`, `check`, `diff` and `explain` have in common.
//!
//! A file is a signed envelope where it begins with `{`, and the author's source otherwise. A source is compiled for
//! one program, whose files are hashed here; an envelope names its program, and a program given beside it must be
//! that one. Signatures of envelopes are checked by the daemon, which alone knows whom it trusts.

use crate::command::trust::methods;
use crate::command::{Context, read_file};
use crate::exit::Exit;
use crate::keyfile;
use crate::program::{FILE_MAX, Program};
use crate::trouble::{Result, Trouble};
use pawang_core::contract::bounds::{ENVELOPE_BYTES_MAX, SOURCE_BYTES_MAX};
use pawang_core::contract::source::{self, CompileContext, ProgramPaths, Source, SourceError};
use pawang_core::contract::{Contract, ContractError, Envelope, FileDigest, Serial};
use pawang_core::control::Info;
use pawang_core::digest::Digest;
use pawang_core::key::KeyId;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Ready to be run.
#[derive(Debug)]
pub struct Prepared {
    /// The signed envelope.
    pub envelope: String,
    /// Path of the executable.
    pub executable: String,
    /// Path of the script.
    pub script: Option<String>,
    /// Paths of further files.
    pub files: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Names of the secrets it may use.
    pub secrets: Vec<String>,
}

/// A file that says what is allowed.
#[derive(Debug)]
pub enum File {
    /// Signed.
    Signed(Box<Envelope>),
    /// To be compiled.
    Source(String),
}

/// For whom and when a source is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Who signs.
    pub issuer: KeyId,
    /// The daemon.
    pub audience: KeyId,
    /// Its price table.
    pub prices: Digest,
    /// Its time, unix seconds.
    pub now: u64,
}

impl Target {
    /// The daemon that answers.
    ///
    /// # Errors
    /// A daemon whose key cannot be read.
    pub fn of(daemon: &Info, issuer: KeyId) -> Result<Self> {
        let audience = daemon
            .key
            .parse()
            .map_err(|e| Trouble::new(Exit::Failed, "the daemon's key cannot be read").why(e))?;
        Ok(Self { issuer, audience, prices: daemon.prices, now: daemon.now })
    }

    /// No daemon at all: good for checking a source, not for signing it.
    ///
    /// # Errors
    /// Never in a build that passed its tests.
    pub fn nobody() -> Result<Self> {
        let key = pawang_core::key::Signer::from_seed([1; 32]).id();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Self { issuer: key, audience: key, prices: Digest(methods()?.digest), now })
    }
}

/// Reads a contract file.
///
/// # Errors
/// A file that cannot be read, or is neither kind.
pub fn read(path: &Path) -> Result<File> {
    let max = u64::try_from(ENVELOPE_BYTES_MAX.max(SOURCE_BYTES_MAX)).unwrap_or(u64::MAX);
    let bytes = read_file(path, max)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Envelope::parse(&bytes).map(|e| File::Signed(Box::new(e))).map_err(|e| refused(path, &e));
    }
    String::from_utf8(bytes).map(File::Source).map_err(|e| {
        Trouble::new(Exit::Refused, format!("{} is not a contract", path.display()))
            .why(format!("it is neither a signed contract nor text: {e}"))
            .hint("begin with: pawang contract new")
    })
}

/// The contract that a file holds, without saying that anyone signed it. A source is compiled for nobody.
///
/// # Errors
/// What is wrong with it.
pub fn contract_of(path: &Path) -> Result<Contract> {
    match read(path)? {
        File::Signed(envelope) => Contract::parse(envelope.payload()).map_err(|e| refused(path, &e)),
        File::Source(text) => look(path, &text),
    }
}

/// A signed contract and what to execute, for this daemon. Without words, the program that the contract names.
///
/// # Errors
/// What is wrong with the contract, the program or the key.
pub fn prepare(
    context: &Context,
    daemon: &Info,
    path: &Path,
    words: &[String],
    key: Option<&Path>,
) -> Result<Prepared> {
    match read(path)? {
        File::Signed(envelope) => signed(path, &envelope, words),
        File::Source(text) => {
            let signer = keyfile::load(&context.place.key(key)?)?;
            let program = program(path, &text, words)?;
            let (contract, payload) = compile(path, &text, &Target::of(daemon, signer.id())?, &program)?;
            let envelope = Envelope::sign(&payload, &signer).to_json();
            Ok(ready(envelope, &contract, program.args))
        }
    }
}

/// The program that the words stand for, or else the one that the source names.
///
/// # Errors
/// No such program, or none named.
pub fn program(path: &Path, text: &str, words: &[String]) -> Result<Program> {
    let named = paths(path, text)?;
    if !words.is_empty() {
        let program = Program::resolve(words)?;
        let differs =
            |named: &Option<String>, found: Option<&String>| named.is_some() && named.as_ref() != found;
        if differs(&named.executable, Some(&program.executable))
            || differs(&named.script, program.script.as_ref())
        {
            let script =
                program.script.as_ref().map(|script| format!(", script = {script:?}")).unwrap_or_default();
            return Err(Trouble::new(Exit::Refused, format!("{} is for another program", path.display()))
                .why(format!(
                    "its [program] names other files than executable = {:?}{script}",
                    program.executable
                ))
                .hint("write the real files there, links followed, or leave [program] out"));
        }
        return Ok(program);
    }
    let Some(executable) = named.executable else {
        return Err(Trouble::new(Exit::Usage, "no program to run")
            .why(format!("{} names none, and none is given", path.display()))
            .hint(format!("pawang run {} -- PROGRAM", path.display())));
    };
    Program::resolve(&std::iter::once(executable).chain(named.script).collect::<Vec<_>>())
}

/// Compiles a source for one program.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn compile(path: &Path, text: &str, target: &Target, program: &Program) -> Result<(Contract, Vec<u8>)> {
    let methods = methods()?;
    let context = CompileContext {
        issuer: target.issuer,
        audience: target.audience,
        prices: target.prices,
        program: pinned(program, paths(path, text)?.files)?,
        runtime: Some(program.runtime.name()),
        now: target.now,
        serial: serial()?,
        methods: &methods,
    };
    source::compile(text, &context).map_err(|e| unsound(path, &e))
}

/// Compiles a source for nobody, so that it can be looked at. Its program's files are not read.
fn look(path: &Path, text: &str) -> Result<Contract> {
    let methods = methods()?;
    let target = Target::nobody()?;
    let paths = paths(path, text)?;
    let file = |path: String| FileDigest { path, sha256: Digest([0; 32]) };
    let context = CompileContext {
        issuer: target.issuer,
        audience: target.audience,
        prices: target.prices,
        program: pawang_core::contract::Program {
            executable: file(paths.executable.unwrap_or_else(|| "/program".to_owned())),
            script: paths.script.map(file),
            files: paths.files.into_iter().map(file).collect(),
        },
        runtime: None,
        now: target.now,
        serial: Serial([0; 16]),
        methods: &methods,
    };
    source::compile(text, &context).map(|(contract, _)| contract).map_err(|e| unsound(path, &e))
}

fn paths(path: &Path, text: &str) -> Result<ProgramPaths> {
    Source::parse(text).map(|source| source.program.unwrap_or_default()).map_err(|e| unsound(path, &e))
}

fn unsound(path: &Path, error: &SourceError) -> Trouble {
    Trouble::new(Exit::Refused, format!("{} is not accepted", path.display())).why(error).hint(error.hint())
}

fn signed(path: &Path, envelope: &Envelope, words: &[String]) -> Result<Prepared> {
    let contract = Contract::parse(envelope.payload()).map_err(|e| refused(path, &e))?;
    let mut args = Vec::new();
    if !words.is_empty() {
        let program = Program::resolve(words)?;
        let script = contract.program.script.as_ref().map(|script| script.path.as_str());
        if program.executable != contract.program.executable.path || program.script.as_deref() != script {
            return Err(other_program(path, &contract, &program));
        }
        args = program.args;
    }
    Ok(ready(envelope.to_json(), &contract, args))
}

fn ready(envelope: String, contract: &Contract, args: Vec<String>) -> Prepared {
    let program = &contract.program;
    Prepared {
        envelope,
        executable: program.executable.path.clone(),
        script: program.script.as_ref().map(|script| script.path.clone()),
        files: program.files.iter().map(|file| file.path.clone()).collect(),
        args,
        secrets: contract.secrets.iter().map(|secret| secret.name.clone()).collect(),
    }
}

/// Each file of the program, hashed.
fn pinned(program: &Program, files: Vec<String>) -> Result<pawang_core::contract::Program> {
    let pin = |path: &str| {
        let bytes = read_file(Path::new(path), FILE_MAX)?;
        Ok(FileDigest { path: path.to_owned(), sha256: Digest::of(&bytes) })
    };
    Ok(pawang_core::contract::Program {
        executable: pin(&program.executable)?,
        script: program.script.as_deref().map(pin).transpose()?,
        files: files.iter().map(|path| pin(path)).collect::<Result<_>>()?,
    })
}

fn serial() -> Result<Serial> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Trouble::new(Exit::Failed, "the system gives no randomness").why(e))?;
    Ok(Serial(bytes))
}

/// A contract that is refused here, before any daemon saw it.
pub fn refused(path: &Path, error: &ContractError) -> Trouble {
    Trouble::new(Exit::Refused, format!("{} is refused", path.display())).why(error).hint(error.hint())
}

fn other_program(path: &Path, contract: &Contract, program: &Program) -> Trouble {
    let text = |executable: &str, script: Option<&str>| match script {
        Some(script) => format!("{executable} {script}"),
        None => executable.to_owned(),
    };
    let signed = &contract.program;
    let signed = text(&signed.executable.path, signed.script.as_ref().map(|script| script.path.as_str()));
    let given = text(&program.executable, program.script.as_deref());
    Trouble::new(Exit::Refused, format!("{} is for another program", path.display()))
        .why(format!("it was signed for {signed}; given is {given}"))
        .hint("leave the program out, or sign a contract for this one")
}
