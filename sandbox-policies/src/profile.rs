//! A profile: a policy file together with the one it extends, flattened to one outcome per system call.
//!
//! Extending only ever adds. A rule that allows what is allowed already is an error, so that what a file says is what
//! it does. The files are compiled in: a profile cannot change under a running kernel.
//!
//! Deliberately absent: reading profiles from disk, and any profile that is not reviewed with this code.

use crate::filter::Filter;
use crate::policy::{Condition, Default, Policy, PolicyError, When, calls};
use crate::syscalls::{Number, PROOF_ERRNO, PROOF_NUMBER, name};
use core::fmt;
use std::collections::BTreeMap;

const FILES: &[(&str, &str)] = &[
    ("tool", include_str!("../profiles/tool.toml")),
    ("tool-files", include_str!("../profiles/tool-files.toml")),
    ("tool-fs", include_str!("../profiles/tool-fs.toml")),
    ("tool-http", include_str!("../profiles/tool-http.toml")),
    ("tool-exec", include_str!("../profiles/tool-exec.toml")),
    ("tool-memory", include_str!("../profiles/tool-memory.toml")),
    ("foreign", include_str!("../profiles/foreign.toml")),
    ("automation", include_str!("../profiles/automation.toml")),
    ("program", include_str!("../profiles/program.toml")),
    ("init", include_str!("../profiles/init.toml")),
];

/// The profiles a process can be launched under. The others are bases, or the launcher's own.
const NAMES: &[&str] = &["tool", "tool-fs", "tool-http", "tool-exec", "tool-memory", "automation", "program"];

/// A chain of `extends` longer than this is a mistake.
const EXTENDS_MAX: usize = 4;

/// What the jail of one launch makes possible; rules with a `when` depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, std::default::Default)]
pub struct FilterOptions {
    /// More than one process or thread, counted.
    pub tasks: bool,
    /// A signal can reach nothing outside.
    pub signals: bool,
}

/// What a filter does with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The whole process dies.
    Kill,
    /// The call is not done; the process sees this errno, or success where it is 0.
    Errno(u16),
    /// The call goes to the kernel.
    Allow,
    /// It goes to the kernel where one of the alternatives holds (all conditions of it); else `otherwise`.
    Check {
        /// Any of these is enough.
        alternatives: Vec<Vec<Condition>>,
        /// [`Outcome::Kill`] or [`Outcome::Errno`].
        otherwise: Box<Outcome>,
    },
}

/// A profile, flattened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: String,
    default: Default,
    network: bool,
    foreign: bool,
    rules: Vec<(Number, Option<When>, Vec<Condition>)>,
    refusals: BTreeMap<Number, u16>,
}

impl Profile {
    /// The profile with this name.
    ///
    /// # Errors
    /// [`PolicyError::Unknown`]; the others only where a compiled-in file is wrong, which a test excludes.
    pub fn named(name: &str) -> Result<Self, PolicyError> {
        Self::from_files(name, FILES)
    }

    /// The names a jail can be given.
    #[must_use]
    pub const fn names() -> &'static [&'static str] {
        NAMES
    }

    /// Flattens `name` out of a set of files, each with the name it has.
    ///
    /// # Errors
    /// Any [`PolicyError`].
    pub fn from_files(name: &str, files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let mut chain = vec![load(name, files)?];
        while let Some(base) = chain.last().and_then(|policy| policy.extends.clone()) {
            if chain.len() == EXTENDS_MAX {
                return Err(PolicyError::Malformed(format!("{name:?} extends more than {EXTENDS_MAX} deep")));
            }
            chain.push(load(&base, files)?);
        }
        Self::flatten(name, chain)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether strangers' code runs under it: such a process gets a file tree of its own and an init above it.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Whether it keeps the machine's network namespace.
    #[must_use]
    pub const fn has_network(&self) -> bool {
        self.network
    }

    /// What happens to a call that [`Profile::outcomes`] does not list.
    #[must_use]
    pub const fn default_outcome(&self) -> Outcome {
        match self.default {
            Default::Kill => Outcome::Kill,
            Default::Errno => Outcome::Errno(libc_eperm()),
        }
    }

    /// One outcome for each call that differs from the default, in order of number.
    #[must_use]
    pub fn outcomes(&self, options: FilterOptions) -> BTreeMap<Number, Outcome> {
        let mut outcomes: BTreeMap<_, _> =
            self.refusals.iter().map(|(call, errno)| (*call, Outcome::Errno(*errno))).collect();
        for (call, when, conditions) in &self.rules {
            if applies(*when, options) {
                let before = outcomes.remove(call).unwrap_or_else(|| self.default_outcome());
                outcomes.insert(*call, before.allowing(conditions));
            }
        }
        outcomes.insert(PROOF_NUMBER, Outcome::Errno(PROOF_ERRNO));
        outcomes
    }

    /// The filter for one launch.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`], which a test excludes for the compiled-in profiles.
    pub fn filter(&self, options: FilterOptions) -> Result<Filter, PolicyError> {
        Filter::compile(&self.outcomes(options), &self.default_outcome())
    }

    /// The flattened profile as text, one line per call: what the golden files hold.
    #[must_use]
    pub fn listing(&self, options: FilterOptions) -> String {
        let mut text = format!("default {}\n", self.default_outcome());
        for (call, outcome) in self.outcomes(options) {
            text.push_str(&format!("{} {outcome}\n", name(call).unwrap_or("(proof)")));
        }
        text
    }

    /// `chain` is the profile first, then what it extends. Rules are laid down from the base upwards.
    fn flatten(name: &str, chain: Vec<Policy>) -> Result<Self, PolicyError> {
        let base = chain.last().and_then(|policy| policy.default);
        let stated = chain.iter().filter(|policy| policy.default.is_some()).count();
        let (Some(default), 1) = (base, stated) else {
            return Err(PolicyError::DefaultMisplaced(name.to_owned()));
        };
        let mut profile = Self {
            name: name.to_owned(),
            default,
            network: chain.iter().any(|policy| policy.network),
            foreign: chain.iter().any(|policy| policy.foreign),
            rules: Vec::new(),
            refusals: BTreeMap::new(),
        };
        chain.into_iter().rev().try_for_each(|policy| profile.add(policy))?;
        Ok(profile)
    }

    fn add(&mut self, policy: Policy) -> Result<(), PolicyError> {
        for rule in policy.allow {
            for (call, text) in calls(&rule.calls)?.into_iter().zip(&rule.calls) {
                if self.rules.iter().any(|(known, when, args)| {
                    *known == call && (when.is_none() || *when == rule.when) && covers(args, &rule.args)
                }) {
                    return Err(PolicyError::Redundant(text.clone()));
                }
                self.rules.push((call, rule.when, rule.args.clone()));
            }
        }
        for rule in policy.refuse {
            for (call, text) in calls(&rule.calls)?.into_iter().zip(&rule.calls) {
                if self.refusals.insert(call, rule.errno.number()).is_some() {
                    return Err(PolicyError::Redundant(text.clone()));
                }
            }
        }
        Ok(())
    }
}

impl Outcome {
    /// This outcome with one more way to be allowed.
    fn allowing(self, conditions: &[Condition]) -> Self {
        match self {
            Self::Allow => Self::Allow,
            _ if conditions.is_empty() => Self::Allow,
            Self::Check { mut alternatives, otherwise } => {
                alternatives.push(conditions.to_vec());
                Self::Check { alternatives, otherwise }
            }
            refused @ (Self::Kill | Self::Errno(_)) => {
                Self::Check { alternatives: vec![conditions.to_vec()], otherwise: Box::new(refused) }
            }
        }
    }
}

fn load(name: &str, files: &[(&str, &str)]) -> Result<Policy, PolicyError> {
    let (_, text) =
        files.iter().find(|(file, _)| *file == name).ok_or_else(|| PolicyError::Unknown(name.to_owned()))?;
    let policy = Policy::parse(text)?;
    if policy.profile == name {
        Ok(policy)
    } else {
        Err(PolicyError::Malformed(format!("the file of {name:?} calls itself {:?}", policy.profile)))
    }
}

/// Whether everything that meets `new` meets `known` already: its conditions are among the new ones.
fn covers(known: &[Condition], new: &[Condition]) -> bool {
    known.iter().all(|condition| new.contains(condition))
}

const fn applies(when: Option<When>, options: FilterOptions) -> bool {
    match when {
        None => true,
        Some(When::Tasks) => options.tasks,
        Some(When::Signals) => options.signals,
    }
}

/// EPERM, by number, so that this file says the same on every libc.
const fn libc_eperm() -> u16 {
    1
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Errno(errno) => write!(f, "errno {errno}"),
            Self::Allow => f.write_str("allow"),
            Self::Check { alternatives, otherwise } => {
                for (index, conditions) in alternatives.iter().enumerate() {
                    let parts: Vec<_> = conditions.iter().map(ToString::to_string).collect();
                    write!(f, "{}allow if {}", if index == 0 { "" } else { ", " }, parts.join(" and "))?;
                }
                write!(f, ", else {otherwise}")
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<_> = self.is.iter().map(|value| format!("{value:#x}")).collect();
        write!(f, "a{}", self.arg)?;
        if let Some(mask) = self.mask {
            write!(f, "&{mask:#x}")?;
        }
        if self.width == crate::policy::Width::Long {
            f.write_str(":64")?;
        }
        write!(f, "={}", values.join("|"))
    }
}
