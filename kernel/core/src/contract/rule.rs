//! One line of a contract: a call and the resources it is about.
//!
//! The same spelling in the author's TOML, in the signed JSON, in denials and in ceilings:
//! `call = "fs.read"  path = "/input/**"`. The pattern's key must be the one that the method's resource asks for; a
//! rule that names a method nobody prices, or fits none, is an error and never a rule without effect (f02).

use super::http_pattern::HttpPattern;
use super::pattern::{Pattern, argv_words, name_text, path_text};
use crate::method::{Method, MethodId, Methods};
use crate::resource::ResourceError;
use core::fmt;
use pawang_protocol::{MethodName, PluginName};
use serde::{Deserialize, Serialize};

/// A grant or a deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RuleText", into = "RuleText")]
pub struct Rule {
    /// Which methods.
    pub call: CallPattern,
    /// On what.
    pub pattern: Pattern,
    /// Grants only: how many calls, at least 1; absent, gas alone bounds them.
    pub max_calls: Option<u32>,
}

/// One method, or all methods of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CallPattern {
    /// `fs.read`.
    One(MethodName),
    /// `fs.*`.
    Plugin(PluginName),
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleFault {
    /// The call is neither `plugin.verb` nor `plugin.*`.
    Call(String),
    /// No priced method of this name exists.
    UnknownMethod(String),
    /// More than one of `http`, `path`, `argv`, `name`.
    ManyPatterns,
    /// The pattern is not of the kind that the method's resource is.
    Misfit {
        /// The method.
        call: String,
        /// The key it needs; empty for none.
        needs: &'static str,
    },
    /// The resource in the pattern is refused.
    Resource(ResourceError),
    /// A wildcard where none is allowed.
    Star,
    /// A method twice, or too many of them.
    Verbs,
    /// A pattern that only a ceiling may use.
    OnlyInCeilings,
    /// `*` for the HTTP methods of a grant.
    AnyVerb,
    /// `max_calls = 0`, which grants nothing.
    NoCalls,
    /// `max_calls` on a deny.
    CountedDeny,
    /// The same grant or deny twice.
    Twice,
    /// A deny that meets no grant.
    NoEffect,
    /// It reaches the kernel's own state or `/proc`; carries the path.
    Protected(String),
}

/// A rule as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleText {
    pub(crate) call: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) argv: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_calls: Option<u32>,
}

impl Rule {
    /// The methods it is about.
    ///
    /// # Errors
    /// [`RuleFault`] where there is none, or one whose resource the pattern does not fit.
    pub fn methods(&self, table: &Methods) -> Result<Vec<MethodId>, RuleFault> {
        let meant: Vec<MethodId> = match &self.call {
            CallPattern::One(name) => table.id(name.as_str()).into_iter().collect(),
            CallPattern::Plugin(_) => {
                table.iter().filter(|(_, row)| self.call.matches(&row.name)).map(|(id, _)| id).collect()
            }
        };
        if meant.is_empty() {
            return Err(RuleFault::UnknownMethod(self.call.to_string()));
        }
        let mut rows = meant.iter().filter_map(|id| table.get(*id));
        match rows.find(|row| !self.pattern.fits(row.resource)) {
            Some(row) => Err(RuleFault::Misfit { call: row.name.to_string(), needs: needed_key(row) }),
            None => Ok(meant),
        }
    }

    /// Everything that `other` is about, `self` is about too. Counts are compared by the caller.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.call.covers(&other.call) && self.pattern.covers(&other.pattern)
    }

    /// Some call is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.call.covers(&other.call) || other.call.covers(&self.call))
            && self.pattern.overlaps(&other.pattern)
    }

    /// The rule as lines of TOML under `[[section]]`.
    #[must_use]
    pub fn to_toml(&self, section: &str) -> String {
        let fields: String =
            RuleText::from(self.clone()).fields().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[[{section}]]\n{fields}")
    }
}

impl RuleText {
    /// Keys and values, in the order they are written.
    fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let text = |text: &Option<String>| text.as_deref().map(quoted);
        let argv = self.argv.as_ref().map(|words| {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!("[{}]", words.join(", "))
        });
        [
            ("call", Some(quoted(&self.call))),
            ("http", text(&self.http)),
            ("path", text(&self.path)),
            ("argv", argv),
            ("name", text(&self.name)),
            ("max_calls", self.max_calls.map(|max| max.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
    }
}

impl CallPattern {
    /// Reads `fs.read` or `fs.*`.
    ///
    /// # Errors
    /// [`RuleFault::Call`].
    pub fn new(text: &str) -> Result<Self, RuleFault> {
        let fault = || RuleFault::Call(text.to_owned());
        match text.strip_suffix(".*") {
            Some(plugin) => PluginName::new(plugin).map(Self::Plugin).map_err(|_| fault()),
            None => MethodName::new(text).map(Self::One).map_err(|_| fault()),
        }
    }

    /// Whether the method is meant.
    #[must_use]
    pub fn matches(&self, name: &MethodName) -> bool {
        match self {
            Self::One(own) => own == name,
            Self::Plugin(plugin) => plugin.as_str() == name.plugin(),
        }
    }

    /// Every method that `other` means, `self` means too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match other {
            Self::One(name) => self.matches(name),
            Self::Plugin(_) => self == other,
        }
    }
}

impl TryFrom<RuleText> for Rule {
    type Error = RuleFault;
    fn try_from(text: RuleText) -> Result<Self, RuleFault> {
        let call = CallPattern::new(&text.call)?;
        let pattern = match (text.http, text.path, text.argv, text.name) {
            (Some(http), None, None, None) => Pattern::Http(HttpPattern::parse(&http)?),
            (None, Some(path), None, None) => Pattern::path(&path)?,
            (None, None, Some(argv), None) => Pattern::argv(&argv)?,
            (None, None, None, Some(name)) => Pattern::name(&name)?,
            (None, None, None, None) => Pattern::None,
            _ => return Err(RuleFault::ManyPatterns),
        };
        Ok(Self { call, pattern, max_calls: text.max_calls })
    }
}

impl From<Rule> for RuleText {
    fn from(rule: Rule) -> Self {
        let mut text = Self {
            call: rule.call.to_string(),
            http: None,
            path: None,
            argv: None,
            name: None,
            max_calls: rule.max_calls,
        };
        match &rule.pattern {
            Pattern::Http(http) => text.http = Some(http.to_string()),
            Pattern::Path(tree) => text.path = Some(path_text(tree)),
            Pattern::Argv(tree) => text.argv = Some(argv_words(tree)),
            Pattern::Name(tree) => text.name = Some(name_text(tree)),
            Pattern::None => {}
        }
        text
    }
}

impl TryFrom<String> for CallPattern {
    type Error = RuleFault;
    fn try_from(text: String) -> Result<Self, RuleFault> {
        Self::new(&text)
    }
}

impl From<CallPattern> for String {
    fn from(call: CallPattern) -> Self {
        call.to_string()
    }
}

/// The key that a method's resource is written under.
const fn needed_key(row: &Method) -> &'static str {
    use crate::method::ResourceKind as Kind;
    match row.resource {
        Kind::Path | Kind::PathPair => "path",
        Kind::Http => "http",
        Kind::Argv => "argv",
        Kind::Name => "name",
        Kind::None => "",
    }
}

/// A TOML basic string: JSON's escapes are TOML's, and no text here holds the one character they treat apart (DEL).
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One line: `call = "fs.read"  path = "/input/**"`.
impl fmt::Display for RuleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> = self.fields().map(|(key, value)| format!("{key} = {value}")).collect();
        f.write_str(&fields.join("  "))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RuleText::from(self.clone()).fmt(f)
    }
}

impl fmt::Display for CallPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::Plugin(plugin) => write!(f, "{plugin}.*"),
        }
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(found) => write!(f, "{found:?} is no call; expected plugin.verb or plugin.*"),
            Self::UnknownMethod(call) => write!(f, "no method {call} has a price"),
            Self::ManyPatterns => f.write_str("more than one of http, path, argv and name"),
            Self::Misfit { call, needs: "" } => {
                write!(f, "{call} is about no resource; leave the pattern out")
            }
            Self::Misfit { call, needs } => write!(f, "{call} needs the key {needs}, and no other"),
            Self::Resource(error) => error.fmt(f),
            Self::Star => {
                f.write_str("a wildcard is allowed only as the whole last segment or word, written **")
            }
            Self::Verbs => f.write_str("an HTTP method is listed twice, or more than 16 are"),
            Self::OnlyInCeilings => {
                f.write_str("\"any host\" and \"any command\" may stand only in a ceiling")
            }
            Self::AnyVerb => f.write_str("list the HTTP methods; * may stand only in a deny or a ceiling"),
            Self::NoCalls => f.write_str("max_calls = 0 grants nothing; leave the rule out"),
            Self::CountedDeny => f.write_str("a deny has no max_calls; it refuses every call"),
            Self::Twice => f.write_str("the same rule stands twice"),
            Self::NoEffect => f.write_str("this deny meets no grant, so it has no effect"),
            Self::Protected(path) => write!(f, "it reaches {path}, which no contract can grant"),
        }
    }
}

impl std::error::Error for RuleFault {}
