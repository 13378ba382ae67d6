//! The author's TOML, compiled to the contract that is signed.
//!
//! The source says what the author decides; who signs, for which daemon, which program and when come from
//! [`CompileContext`]. What it leaves out is filled with the modest values of [`Limits::MODEST`] and one use, and the
//! signed contract spells them out. Policy tests (`[[test]]`) run here, against the very policy that will be
//! enforced: a source whose tests fail cannot be signed. Every error names a line and a column.
//!
//! ```toml
//! contract = 1
//! name     = "weather-report"
//! ttl      = "2h"                 # s, m, h or d
//! uses     = 1                    # runs; 1 where it is left out
//! runtime  = "python"             # preset; static where it is left out
//! delegate = "ed25519:…"          # who may sign smaller contracts; nobody where it is left out
//! [program]                       # may be left out where the command line names it
//! executable = "/usr/bin/python3"
//! script     = "/home/ann/report.py"
//! files      = []                 # further files whose content is pinned
//! [gas]
//! limit = 1000
//! each  = { "http.*" = 300 }
//! [limits]                        # each as in `Limits`
//! wall_s = 600
//! [[allow]]
//! call = "http.fetch"
//! http = "GET https://api.open-meteo.com/v1/forecast"
//! max_calls = 20
//! [[deny]]
//! call = "http.fetch"
//! http = "* https://api.open-meteo.com/v1/forecast?admin=1"
//! [[secret]]
//! name = "OPENMETEO_KEY"
//! to   = "https://api.open-meteo.com/**"
//! as   = "header:authorization=Bearer {}"
//! [[test]]
//! call   = "http.fetch"
//! http   = "POST https://api.open-meteo.com/v1/forecast"
//! expect = "deny"
//! code   = "D203"                 # may be left out
//! ```

mod error;
mod policy_test;
mod text;

pub use error::{SourceError, SourceFault};
pub use text::{ProgramPaths, Source};

use super::bounds::Limits;
use super::error::ContractError;
use super::meaning;
use super::rule::{CallPattern, Rule, RuleText};
use super::schema::{Contract, EachCeiling, FileDigest, GasRules, Program, Serial, VERSION};
use super::secret::{Placement, SecretRule};
use crate::contract::http_pattern::UrlPattern;
use crate::digest::Digest;
use crate::key::{KeyId, Signer};
use crate::method::Methods;
use crate::permit::Policy;
use pawang_protocol::{Gas, MethodName, PluginName};
use toml::Spanned;

/// What the author does not decide.
#[derive(Debug, Clone)]
pub struct CompileContext<'a> {
    /// Who will sign.
    pub issuer: KeyId,
    /// The daemon it is for.
    pub audience: KeyId,
    /// The price table in force there.
    pub prices: Digest,
    /// What was measured; its paths must be those of `[program]` where the source has one.
    pub program: Program,
    /// The runtime preset where the source names none, such as what fits the interpreter; else `static`.
    pub runtime: Option<&'a str>,
    /// Unix s; becomes not-before.
    pub now: u64,
    /// Drawn for this contract.
    pub serial: Serial,
    /// What can be called.
    pub methods: &'a Methods,
}

/// Compiles a source to a contract and the payload to sign, and runs its policy tests.
///
/// # Errors
/// [`SourceError`]: the first fault with its place.
pub fn compile(toml: &str, context: &CompileContext) -> Result<(Contract, Vec<u8>), SourceError> {
    let source = Source::parse(toml)?;
    let contract = assemble(&source, context).map_err(|fault| fault.in_text(toml))?;
    meaning::check(&contract, context.methods, &[]).map_err(|error| source.place(error).in_text(toml))?;
    check_store(&contract).map_err(|error| source.place(error).in_text(toml))?;
    let payload = contract.to_payload();
    if let Err(error) = Contract::parse(&payload) {
        return Err(source.place(error).in_text(toml));
    }
    let policy =
        Policy::compile(&contract, context.methods).map_err(|error| source.place(error).in_text(toml))?;
    for test in &source.tests {
        policy_test::run(test, &policy, &contract, context.methods).map_err(|fault| fault.in_text(toml))?;
    }
    Ok((contract, payload))
}

/// Checks a source for which no program was measured and no key chosen, and runs its policy tests.
///
/// # Errors
/// [`SourceError`] as for [`compile`].
pub fn check(toml: &str, methods: &Methods) -> Result<Source, SourceError> {
    let source = Source::parse(toml)?;
    // Stand-ins that no signature will ever be made with.
    let nobody = Signer::from_seed([1; 32]).id();
    let file = |path: String| FileDigest { path, sha256: Digest([0; 32]) };
    let paths = source.program.clone().unwrap_or_default();
    let context = CompileContext {
        issuer: nobody,
        audience: nobody,
        prices: Digest(methods.digest),
        program: Program {
            executable: file(paths.executable.unwrap_or_else(|| "/program".to_owned())),
            script: paths.script.map(file),
            files: paths.files.into_iter().map(file).collect(),
        },
        runtime: None,
        now: 0,
        serial: Serial([0; 16]),
        methods,
    };
    compile(toml, &context)?;
    Ok(source)
}

/// A fault and where it starts, in bytes.
struct Placed {
    at: usize,
    fault: SourceFault,
}

impl Placed {
    fn in_text(self, toml: &str) -> SourceError {
        SourceError::at(toml, self.at, self.fault)
    }
}

fn placed<T>(spanned: &Spanned<T>, fault: SourceFault) -> Placed {
    Placed { at: spanned.span().start, fault }
}

/// Puts the pieces together; what they mean is checked afterwards.
fn assemble(source: &Source, context: &CompileContext) -> Result<Contract, Placed> {
    let text = &source.text;
    if *text.contract.get_ref() != VERSION {
        return Err(placed(&text.contract, ContractError::Version(*text.contract.get_ref()).into()));
    }
    let ttl_s = text::seconds(text.ttl.get_ref())
        .ok_or_else(|| placed(&text.ttl, SourceFault::Duration(text.ttl.get_ref().clone())))?;
    check_paths(source, &context.program)?;
    Ok(Contract {
        contract: VERSION,
        name: name("name", &text.name)?,
        issuer: context.issuer,
        audience: context.audience,
        program: context.program.clone(),
        runtime: runtime(source, context)?,
        serial: context.serial,
        not_before: context.now,
        not_after: context.now.saturating_add(ttl_s),
        uses: text.uses.as_ref().map_or(1, |uses| *uses.get_ref()),
        prices: context.prices,
        gas: gas(source)?,
        allow: text.allow.iter().map(rule).collect::<Result<_, _>>()?,
        deny: text.deny.iter().map(rule).collect::<Result<_, _>>()?,
        secrets: text.secret.iter().map(secret).collect::<Result<_, _>>()?,
        limits: text.limits.as_ref().map_or(Limits::MODEST, |limits| limits.get_ref().or(&Limits::MODEST)),
        delegate: text.delegate.as_ref().map(delegate).transpose()?,
        parent: None,
    })
}

fn name(field: &'static str, text: &Spanned<String>) -> Result<PluginName, Placed> {
    PluginName::new(text.get_ref())
        .map_err(|error| placed(text, ContractError::Value { field, why: error.to_string() }.into()))
}

fn runtime(source: &Source, context: &CompileContext) -> Result<PluginName, Placed> {
    match &source.text.runtime {
        Some(text) => name("runtime", text),
        None => PluginName::new(context.runtime.unwrap_or("static")).map_err(|error| Placed {
            at: 0,
            fault: ContractError::Value { field: "runtime", why: error.to_string() }.into(),
        }),
    }
}

fn gas(source: &Source) -> Result<GasRules, Placed> {
    let each = source.text.gas.get_ref().each.iter().map(|(call, limit)| {
        let call = CallPattern::new(call).map_err(|fault| {
            placed(limit, ContractError::Value { field: "gas.each", why: fault.to_string() }.into())
        })?;
        Ok(EachCeiling { call, limit: Gas(*limit.get_ref()) })
    });
    Ok(GasRules { limit: Gas(source.text.gas.get_ref().limit), each: each.collect::<Result<_, _>>()? })
}

fn rule(text: &Spanned<RuleText>) -> Result<Rule, Placed> {
    let written = || text.get_ref().to_string();
    Rule::try_from(text.get_ref().clone())
        .map_err(|fault| placed(text, ContractError::Rule { rule: written(), fault }.into()))
}

fn secret(text: &Spanned<text::SecretText>) -> Result<SecretRule, Placed> {
    let raw = text.get_ref();
    let name = || raw.name.clone();
    let to = UrlPattern::parse(&raw.to).map_err(|fault| {
        placed(text, ContractError::Rule { rule: format!("secret {}", name()), fault }.into())
    })?;
    let placement = Placement::new(&raw.placement)
        .map_err(|fault| placed(text, ContractError::Secret { name: name(), fault }.into()))?;
    Ok(SecretRule { name: name(), to, placement })
}

fn delegate(text: &Spanned<String>) -> Result<KeyId, Placed> {
    text.get_ref().parse().map_err(|error| placed(text, SourceFault::Delegate(error)))
}

/// Writing to a store of no size could never succeed, so an author who grants it has forgotten something.
fn check_store(contract: &Contract) -> Result<(), ContractError> {
    let writes = |rule: &Rule| MethodName::new("memory.write").is_ok_and(|name| rule.call.matches(&name));
    if contract.limits.memory_store_kib == 0 && contract.allow.iter().any(writes) {
        let why = "memory.write is granted, and memory_store_kib is 0 or left out".to_owned();
        return Err(ContractError::Value { field: "limits", why });
    }
    Ok(())
}

/// The program that was measured is the one that the source names.
fn check_paths(source: &Source, program: &Program) -> Result<(), Placed> {
    let Some(paths) = &source.program else { return Ok(()) };
    let named = [
        paths.executable.as_ref().is_none_or(|path| *path == program.executable.path),
        paths.script.is_none() || paths.script.as_ref() == program.script.as_ref().map(|script| &script.path),
        paths.files.iter().eq(program.files.iter().map(|file| &file.path)),
    ];
    if named == [true; 3] {
        Ok(())
    } else {
        Err(Placed { at: source.program_at, fault: SourceFault::OtherProgram })
    }
}
