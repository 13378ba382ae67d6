//! `pawang explain`: why a call was refused, or what would happen to one that nobody has made.
//!
//! Both answers come from the function the kernel enforces with; nothing is decided here.

use crate::clean::clean;
use crate::command::Context;
use crate::command::contract::{is_digest_prefix, prepare};
use crate::command::timeline;
use crate::command::trust::methods;
use crate::exit::Exit;
use crate::paint::Tone;
use crate::places::Place;
use crate::trouble::{Result, Trouble};
use clap::Args;
use pawang_core::contract::Contract;
use pawang_core::control::{ContractDetail, ContractRef, TimelineRequest};
use pawang_core::digest::Digest;
use pawang_core::explain::{Explanation, explain};
use pawang_core::method::{Methods, ResourceKind};
use pawang_core::permit::Policy;
use pawang_core::record::Entry;
use pawang_protocol::{Denial, DenialCode, Gas};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

/// Explain a verdict: of a call that was made, or of one that was not.
///
/// Ends with 0 where the call is allowed, and with 77 where it is denied.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pawang explain 7f3a91c2:12                              call 12 of that run\n  \
                        pawang explain --contract job.toml fs.read /etc/passwd\n  \
                        pawang explain --contract job.toml http.fetch GET https://api.example.com/v1/forecast"
)]
pub struct ExplainArgs {
    /// Decide by this contract: a file, or the digest of one that the daemon knows.
    #[arg(long, value_name = "CONTRACT")]
    contract: Option<String>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
    /// RUN:CALL; or with --contract a method and what it is about.
    #[arg(required = true, value_name = "CALL", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// A call as the log has it.
enum Logged {
    Denied(Box<Denial>, Gas),
    Allowed { method: String, resource: String, reserved: Gas, secrets: Vec<String> },
}

/// Runs it.
///
/// # Errors
/// No such run, call or contract.
pub fn run(context: &Context, args: &ExplainArgs) -> Result<Exit> {
    match (&args.contract, args.words.as_slice()) {
        (Some(contract), [method, resource @ ..]) => hypothetical(context, args, contract, method, resource),
        (None, [call]) => recorded(context, args, call),
        _ => Err(Trouble::new(Exit::Usage, "which call?")
            .why("without --contract, a call is named by its run and number")
            .hint("pawang explain RUN:CALL, or pawang explain --contract FILE fs.read /path")),
    }
}

fn hypothetical(
    context: &Context,
    args: &ExplainArgs,
    name: &str,
    method: &str,
    words: &[String],
) -> Result<Exit> {
    let methods = methods()?;
    let contract = contract_named(context, name)?;
    let kind = methods.id(method).and_then(|id| methods.get(id)).map(|row| row.resource);
    let explanation = decide(&contract, &protected(context), &methods, method, &resource(kind, words))?;
    let exit = if explanation.verdict.is_ok() { Exit::Ok } else { Exit::Denied };
    if args.json {
        context.ui.json(&as_json(&explanation, &contract))?;
        return Ok(exit);
    }
    context.ui.line(&format!("contract  {}  {}", clean(contract.name.as_str()), clean(name)))?;
    print(context, &explanation.to_string())?;
    Ok(exit)
}

fn recorded(context: &Context, args: &ExplainArgs, call: &str) -> Result<Exit> {
    let (run, number) = split(call)?;
    let mut client = context.connect()?;
    let mut found = None;
    let mut digest = None;
    timeline::each(&mut client, &TimelineRequest { run: run.to_owned(), follow: false }, |record| {
        match record.entry {
            Entry::Start { contract, .. } => digest = Some(contract),
            Entry::Deny { call, spent, denial, .. } if call == number => {
                found = Some(Logged::Denied(Box::new(denial), spent))
            }
            Entry::Call { call, method, resource, reserved, secrets, .. } if call == number => {
                found = Some(Logged::Allowed { method, resource, reserved, secrets });
            }
            _ => {}
        }
        Ok(())
    })?;
    let logged = found.ok_or_else(|| {
        Trouble::new(Exit::NotFound, format!("run {run} made no call {number}"))
            .hint(format!("pawang timeline {run}"))
    })?;
    let contract = match digest {
        Some(digest) => Some(client.ask::<ContractDetail>(
            "cannot show the contract",
            "ctl.contract",
            &ContractRef { contract: digest.to_string() },
        )?),
        None => None,
    };
    match logged {
        Logged::Denied(denial, spent) => denied(context, args, &denial, spent, contract.as_ref()),
        Logged::Allowed { method, resource, reserved, secrets } => {
            if args.json {
                let value = json!({"call": method, "resource": resource, "verdict": "allowed", "reserved": reserved, "secrets": secrets});
                context.ui.json(&value)?;
                return Ok(Exit::Ok);
            }
            let mut text = format!(
                "call      {method} {}\nverdict   allowed\ngas       {reserved} set aside\n",
                resource.replace('\0', " ")
            );
            for name in &secrets {
                text.push_str(&format!("secret    {name} was put in on the way out\n"));
            }
            print(context, &text)?;
            Ok(Exit::Ok)
        }
    }
}

/// A denial with what is known around it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    verdict: &'static str,
    #[serde(flatten)]
    denial: &'a Denial,
    contract_name: Option<String>,
    spent: Gas,
    careful: Option<String>,
}

fn denied(
    context: &Context,
    args: &ExplainArgs,
    denial: &Denial,
    spent: Gas,
    detail: Option<&ContractDetail>,
) -> Result<Exit> {
    let contract = detail.and_then(|detail| Contract::parse(detail.payload.as_bytes()).ok());
    let careful = contract.as_ref().and_then(|contract| careful(contract, denial));
    let contract_name = contract.map(|contract| contract.name.to_string());
    let told = Told { verdict: "denied", denial, contract_name, spent, careful };
    if args.json {
        context.ui.json(&told)?
    } else {
        print(context, &told.text())?
    }
    Ok(Exit::Denied)
}

impl Told<'_> {
    fn text(&self) -> String {
        let denial = self.denial;
        let digest = denial.contract.parse::<Digest>().map(|digest| digest.short()).unwrap_or_default();
        let name = self.contract_name.as_deref().unwrap_or_default();
        let mut lines = vec![
            format!("call      {} {}", denial.call, denial.resource.replace('\0', " ")),
            format!("verdict   denied · {} {}", denial.code, denial.reason),
            format!("contract  {digest}…  {name}   {} gas charged, {} left", self.spent, denial.gas_left),
        ];
        let label = if denial.code == DenialCode::DeniedByRule { "rule" } else { "nearest" };
        lines.extend(denial.rule.iter().map(|rule| format!("{label:<8}  {rule}")));
        if !denial.allow.is_empty() {
            lines.push("to allow  add to the contract, sign again:".to_owned());
            lines.extend(denial.allow.lines().map(|line| format!("            {line}")));
        }
        lines.extend(self.careful.iter().map(|note| format!("careful   {note}")));
        lines.join("\n")
    }
}

/// The word of care that goes with deciding the same call again, where the answer is the same.
fn careful(contract: &Contract, denial: &Denial) -> Option<String> {
    let methods = methods().ok()?;
    let again = decide(contract, &[], &methods, &denial.call, &denial.resource).ok()?;
    again.verdict.err().filter(|refusal| refusal.code == denial.code)?.careful
}

fn decide(
    contract: &Contract,
    protected: &[String],
    methods: &Methods,
    call: &str,
    resource: &str,
) -> Result<Explanation> {
    let policy = Policy::compile(contract, methods)
        .map_err(|e| Trouble::new(Exit::Refused, "the contract cannot be enforced").why(&e).hint(e.hint()))?
        .protecting(&protected.iter().map(String::as_str).collect::<Vec<_>>());
    Ok(explain(&policy, contract, methods, call, resource))
}

/// Label and text of each line, the label dim, the verdict in its colour; everything cleaned.
fn print(context: &Context, text: &str) -> Result<()> {
    let paint = context.ui.out;
    for line in text.lines().map(clean) {
        let tone = match line.split_whitespace().next() {
            Some("verdict") if line.contains("denied") => Tone::Bad,
            Some("verdict") => Tone::Good,
            Some("careful") => Tone::Warn,
            _ => Tone::Plain,
        };
        match line.split_at_checked(10) {
            Some((label, rest)) if !label.starts_with(' ') => {
                context.ui.line(&format!("{}{}", paint.tone(Tone::Dim, label), paint.tone(tone, rest)))?;
            }
            _ => context.ui.line(&line)?,
        }
    }
    Ok(())
}

fn as_json(explanation: &Explanation, contract: &Contract) -> serde_json::Value {
    let (call, resource) = (&explanation.call, &explanation.resource);
    match &explanation.verdict {
        Ok(permitted) => json!({
            "call": call, "resource": resource, "verdict": "allowed", "rule": explanation.grant,
            "max_calls": permitted.max_calls, "secrets": explanation.secrets, "contract_name": contract.name,
        }),
        Err(refusal) => json!({
            "call": call, "resource": resource, "verdict": "denied", "code": refusal.code, "reason": refusal.reason,
            "rule": refusal.rule, "allow": refusal.allow, "careful": refusal.careful, "contract_name": contract.name,
        }),
    }
}

/// What the daemon at this place closes to every contract: its own state.
fn protected(context: &Context) -> Vec<String> {
    match &context.place {
        Place::Own { state, .. } => vec![state.to_string_lossy().into_owned()],
        Place::System => Vec::new(),
    }
}

/// A contract by file or digest.
fn contract_named(context: &Context, name: &str) -> Result<Contract> {
    if Path::new(name).exists() || !is_digest_prefix(name) {
        return prepare::contract_of(Path::new(name));
    }
    let reference = ContractRef { contract: name.to_owned() };
    let detail: ContractDetail =
        context.connect()?.ask("cannot show the contract", "ctl.contract", &reference)?;
    Contract::parse(detail.payload.as_bytes())
        .map_err(|e| Trouble::new(Exit::Failed, "the daemon's contract cannot be read").why(e))
}

/// The words of a resource as the one text a call carries.
fn resource(kind: Option<ResourceKind>, words: &[String]) -> String {
    match kind {
        Some(ResourceKind::PathPair | ResourceKind::Argv) => words.join("\0"),
        _ => words.join(" "),
    }
}

fn split(call: &str) -> Result<(&str, u64)> {
    let parts = call.rsplit_once(':').and_then(|(run, number)| Some((run, number.parse().ok()?)));
    parts.ok_or_else(|| {
        Trouble::new(Exit::Usage, format!("{call:?} names no call"))
            .why("a call is named RUN:CALL, such as 7f3a91c2:12")
            .hint("pawang timeline RUN shows the numbers")
    })
}

#[cfg(test)]
mod tests {
    use super::{Told, resource, split};
    use pawang_core::method::ResourceKind;
    use pawang_protocol::{Denial, DenialCode, Gas};

    #[test]
    fn a_denial_names_rule_reason_and_the_lines_that_would_allow_it() {
        let denial = Denial {
            code: DenialCode::ResourceNotGranted,
            call: "fs.read".into(),
            resource: "/home/ann/.ssh/id_ed25519".into(),
            reason: "no grant covers this path".into(),
            rule: Some("call = \"fs.read\"  path = \"/input/**\"".into()),
            contract: "91".repeat(32),
            gas_left: Gas(980),
            retryable: false,
            allow: "[[allow]]\ncall = \"fs.read\"\npath = \"/home/ann/.ssh/id_ed25519\"\n".into(),
        };
        let contract_name = Some("weather-report".to_owned());
        let careful = Some("this path holds keys.".to_owned());
        let told = Told { verdict: "denied", denial: &denial, contract_name, spent: Gas(1), careful };
        assert_eq!(
            told.text(),
            "call      fs.read /home/ann/.ssh/id_ed25519\n\
             verdict   denied · D203 no grant covers this path\n\
             contract  91919191…  weather-report   1 gas charged, 980 left\n\
             nearest   call = \"fs.read\"  path = \"/input/**\"\n\
             to allow  add to the contract, sign again:\n            [[allow]]\n            \
             call = \"fs.read\"\n            path = \"/home/ann/.ssh/id_ed25519\"\n\
             careful   this path holds keys."
        );
    }

    #[test]
    fn words_become_the_text_that_a_call_carries() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        for (kind, list, text) in [
            (Some(ResourceKind::Http), words(&["GET", "https://a/"]), "GET https://a/"),
            (Some(ResourceKind::Argv), words(&["git", "log", "-1"]), "git\0log\0-1"),
            (Some(ResourceKind::PathPair), words(&["/a", "/b"]), "/a\0/b"),
            (Some(ResourceKind::Path), words(&["/with", "blank"]), "/with blank"),
            (None, words(&["x"]), "x"),
        ] {
            assert_eq!(resource(kind, &list), text);
        }
    }

    #[test]
    fn a_recorded_call_is_run_and_number() {
        assert_eq!(split("7f3a:12").unwrap(), ("7f3a", 12));
        for bad in ["7f3a", "7f3a:", "7f3a:x", "7f3a:-1", ""] {
            assert!(split(bad).is_err(), "{bad:?}");
        }
    }
}
