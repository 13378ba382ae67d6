//! "No" in words: the reason, the rule, the lines that would allow it, and a word of care.
//!
//! Runs only after a refusal, so it may take its time. Nothing here decides.

use crate::contract::Rule;
use crate::contract::http_pattern::url_segments;
use crate::contract::pattern::{Pattern, Tree};
use crate::contract::rule::quoted;
use crate::resource::{Resource, path_segments};
use pawang_protocol::DenialCode;

/// Why the rules refuse, before the gas is counted and the contract named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: DenialCode,
    /// One sentence: why.
    pub reason: String,
    /// The rule that refused, or the nearest grant, as it stands in the contract.
    pub rule: Option<String>,
    /// The lines that would allow it, as TOML; empty where no line can.
    pub allow: String,
    /// What to think of before adding them.
    pub careful: Option<String>,
}

impl Refusal {
    /// A refusal that no line of a contract would change.
    #[must_use]
    pub const fn new(code: DenialCode, reason: String) -> Self {
        Self { code, reason, rule: None, allow: String::new(), careful: None }
    }

    pub(super) fn protected(path: &str) -> Self {
        Self::new(DenialCode::Protected, format!("{path} is closed to every contract"))
    }

    pub(super) fn denied(deny: &Rule) -> Self {
        let mut refusal = Self::new(
            DenialCode::DeniedByRule,
            "a deny covers it, and deny wins over every grant".to_owned(),
        );
        refusal.rule = Some(deny.to_string());
        refusal
    }

    pub(super) fn not_granted(call: &str, resource: &Resource) -> Self {
        let reason = format!("the contract grants nothing of {call}");
        Self {
            allow: grant_for(call, resource),
            careful: care(resource),
            ..Self::new(DenialCode::MethodNotGranted, reason)
        }
    }

    pub(super) fn not_covered(call: &str, resource: &Resource, nearest: Option<&Rule>) -> Self {
        let reason = reason_beside(resource, nearest);
        Self {
            rule: nearest.map(ToString::to_string),
            allow: grant_for(call, resource),
            careful: care(resource),
            ..Self::new(DenialCode::ResourceNotGranted, reason)
        }
    }
}

/// What is missing, seen from the nearest grant.
fn reason_beside(resource: &Resource, nearest: Option<&Rule>) -> String {
    let what = match resource {
        Resource::Path(_) => "no grant covers this path",
        Resource::PathPair(_) => "no single grant covers both paths",
        Resource::Argv(_) => "no grant covers this command line",
        Resource::Name(_) => "no grant covers this name",
        Resource::None => "no grant covers it",
        Resource::Http(request) => match nearest.map(|rule| &rule.pattern) {
            Some(Pattern::Http(http)) if http.target().matches(request) => {
                let verbs = http.to_string();
                let verbs = verbs.split(' ').next().unwrap_or_default();
                return format!("this URL is granted for {verbs} only");
            }
            Some(Pattern::Http(http)) if http.target().origin() == Some(request.origin()) => {
                "no grant covers this URL of the host"
            }
            _ => "no grant covers this host",
        },
    };
    what.to_owned()
}

/// The narrowest grant that would cover it, ready to paste. A pair of paths needs the directory they share.
fn grant_for(call: &str, resource: &Resource) -> String {
    let pattern = match resource {
        Resource::Path(path) => format!("path = {}\n", quoted(path.as_str())),
        Resource::PathPair(pair) => match shared_directory(pair.from(), pair.to()) {
            Some(directory) => format!("path = {}\n", quoted(&directory)),
            None => return String::new(),
        },
        Resource::Http(request) => {
            let url = format!("{} {}{}", request.method(), request.origin(), request.path());
            format!("http = {}\n", quoted(&url))
        }
        Resource::Argv(argv) => {
            let words: Vec<String> = argv.words().map(quoted).collect();
            format!("argv = [{}]\n", words.join(", "))
        }
        Resource::Name(name) => format!("name = {}\n", quoted(name.as_str())),
        Resource::None => String::new(),
    };
    // A name with a star in it can be called but not granted alone: in a rule, a star is refused.
    if pattern.trim_end_matches("/**\"\n").contains('*') {
        return String::new();
    }
    format!("[[allow]]\ncall = {}\n{pattern}", quoted(call))
}

/// `/a/**` for `/a/b` and `/a/c`; none where they share only the root, which no contract can grant.
fn shared_directory(from: &str, to: &str) -> Option<String> {
    let shared = path_segments(from).zip(path_segments(to)).take_while(|(a, b)| a == b);
    let directory: String = shared.flat_map(|(segment, _)| ["/", segment]).collect();
    (!directory.is_empty()).then(|| directory + "/**")
}

/// How much a grant and a resource have in common: the origin first, then leading segments.
pub(super) fn kinship(rule: &Rule, resource: &Resource) -> usize {
    match (&rule.pattern, resource) {
        (Pattern::Path(tree), Resource::Path(path)) => shared(tree, path_segments(path.as_str())),
        (Pattern::Path(tree), Resource::PathPair(pair)) => shared(tree, path_segments(pair.from())),
        (Pattern::Argv(tree), Resource::Argv(argv)) => shared(tree, argv.words()),
        (Pattern::Name(tree), Resource::Name(name)) => shared(tree, name.as_str().split('/')),
        (Pattern::Http(http), Resource::Http(request))
            if http.target().origin() == Some(request.origin()) =>
        {
            let whole = usize::from(http.target().matches(request)).saturating_mul(1_000_000);
            shared(http.target().path(), url_segments(request.path())).saturating_add(1).saturating_add(whole)
        }
        _ => 0,
    }
}

fn shared<'a>(tree: &Tree, segments: impl Iterator<Item = &'a str>) -> usize {
    tree.segments.iter().zip(segments).take_while(|(own, other)| own == other).count()
}

/// What a person should think of before granting it.
fn care(resource: &Resource) -> Option<String> {
    const KEYS: [&str; 9] =
        [".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".netrc", ".mozilla"];
    const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "fish", "env", "sudo", "su"];
    let text = match resource {
        Resource::Path(path) if path_segments(path.as_str()).any(|segment| KEYS.contains(&segment)) => {
            "this path holds keys. Most programs that ask for it should not have them."
        }
        Resource::Path(path) if ["/etc/shadow", "/etc/gshadow"].contains(&path.as_str()) => {
            "this file holds the passwords of this machine."
        }
        Resource::Http(request) if is_metadata(request.origin()) => {
            "this is a cloud's metadata service, which hands out the machine's own credentials."
        }
        Resource::Http(request) if request.origin().starts_with("http://") => {
            "this is plain http: whoever is on the way reads and changes it."
        }
        Resource::Argv(argv) => {
            let program = argv.words().next().unwrap_or_default();
            let name = program.rsplit('/').next().unwrap_or_default();
            if !SHELLS.contains(&name) {
                return None;
            }
            "this starts a program that starts any other program."
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn is_metadata(origin: &str) -> bool {
    const HOSTS: [&str; 4] =
        ["169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal", "100.100.100.200"];
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    HOSTS
        .iter()
        .any(|host| authority.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
}
