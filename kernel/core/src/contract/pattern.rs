//! What a rule is about: a set of resources written so that "is a subset of" can be decided by looking at it.
//!
//! Every pattern is a list of segments and one of two reaches: exactly this, or this and everything below. There is
//! no other wildcard: no `*` inside a segment, no suffix match, no host pattern. Segments are whole directory names,
//! URL path segments, words of a command line or parts of a name. So two patterns overlap only if one covers the
//! other, which is what makes [`Pattern::covers`] and [`Pattern::overlaps`] exact and not estimates (f07).
//!
//! `**` stands last and alone: `/dir/**` is `/dir` itself and all below it.

use super::http_pattern::HttpPattern;
use super::rule::RuleFault;
use crate::method::ResourceKind;
use crate::resource::{ARGV_WORDS_MAX, Resource, check_name, check_path, path_segments};

/// What stands last in a pattern that reaches further.
pub(crate) const DEEP: &str = "**";

/// The resources that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Requests.
    Http(HttpPattern),
    /// Paths; for a pair of paths, both of them.
    Path(Tree),
    /// Command lines.
    Argv(Tree),
    /// Plain names.
    Name(Tree),
    /// The methods that are about nothing.
    None,
}

/// Segments, and whether what lies below them is meant too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tree {
    /// The segments from the root; none for the root itself.
    pub segments: Vec<String>,
    /// How far it reaches.
    pub reach: Reach,
}

/// How far a [`Tree`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This and nothing else.
    Exact,
    /// This and everything below.
    Below,
}

impl Tree {
    /// Everything in `other` is in `self`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match self.reach {
            Reach::Exact => other.reach == Reach::Exact && self.segments == other.segments,
            Reach::Below => other.segments.starts_with(&self.segments),
        }
    }

    /// Something is in both. Two subtrees, or a subtree and a point, meet only where one contains the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether the thing with these segments is in it.
    pub fn matches<'a>(&self, mut segments: impl Iterator<Item = &'a str>) -> bool {
        let starts = self.segments.iter().all(|own| segments.next() == Some(own));
        starts && (self.reach == Reach::Below || segments.next().is_none())
    }

    fn new<'a>(segments: impl Iterator<Item = &'a str>, reach: Reach) -> Self {
        Self { segments: segments.map(str::to_owned).collect(), reach }
    }

    fn joined(&self) -> String {
        let deep = (self.reach == Reach::Below).then_some(DEEP);
        self.segments.iter().map(String::as_str).chain(deep).collect::<Vec<_>>().join("/")
    }
}

impl Pattern {
    /// `/exact/path`, `/dir/**`, `/**`.
    ///
    /// # Errors
    /// [`RuleFault`] for a path that is not canonical or a `*` anywhere else.
    pub fn path(text: &str) -> Result<Self, RuleFault> {
        let (base, reach) = match text.strip_suffix("/**") {
            Some("") => ("/", Reach::Below),
            Some(base) => (base, Reach::Below),
            None => (text, Reach::Exact),
        };
        refuse_stars(base)?;
        check_path(base).map_err(RuleFault::Resource)?;
        Ok(Self::Path(Tree::new(path_segments(base), reach)))
    }

    /// `notes/today`, `notes/**`, `**`.
    ///
    /// # Errors
    /// [`RuleFault`] for a name that is not canonical or a `*` anywhere else.
    pub fn name(text: &str) -> Result<Self, RuleFault> {
        if text == DEEP {
            return Ok(Self::Name(Tree { segments: Vec::new(), reach: Reach::Below }));
        }
        let (base, reach) = match text.strip_suffix("/**") {
            Some(base) => (base, Reach::Below),
            None => (text, Reach::Exact),
        };
        refuse_stars(base)?;
        check_name(base).map_err(RuleFault::Resource)?;
        Ok(Self::Name(Tree::new(base.split('/'), reach)))
    }

    /// Words; a last word `**` stands for any further words, also none.
    ///
    /// # Errors
    /// [`RuleFault`] for no program, too many words, a NUL, or a word that looks like a pattern and is none.
    pub fn argv(words: &[String]) -> Result<Self, RuleFault> {
        let (words, reach) = match words.split_last() {
            Some((last, rest)) if last == DEEP => (rest, Reach::Below),
            _ => (words, Reach::Exact),
        };
        if words.first().map_or(reach == Reach::Exact, String::is_empty) {
            return Err(RuleFault::Resource(crate::resource::ResourceError::NoProgram));
        }
        if words.len() > ARGV_WORDS_MAX {
            return Err(RuleFault::Resource(crate::resource::ResourceError::TooManyWords(words.len())));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(RuleFault::Resource(crate::resource::ResourceError::ControlCharacter));
        }
        if words.iter().any(|word| word == DEEP || word == "*") {
            return Err(RuleFault::Star);
        }
        Ok(Self::Argv(Tree::new(words.iter().map(String::as_str), reach)))
    }

    /// Everything that `other` stands for, `self` stands for too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => a.covers(b),
            (Self::Path(a), Self::Path(b))
            | (Self::Argv(a), Self::Argv(b))
            | (Self::Name(a), Self::Name(b)) => a.covers(b),
            (Self::None, Self::None) => true,
            _ => false,
        }
    }

    /// Some resource is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => a.overlaps(b),
            (Self::Path(a), Self::Path(b))
            | (Self::Argv(a), Self::Argv(b))
            | (Self::Name(a), Self::Name(b)) => a.overlaps(b),
            (Self::None, Self::None) => true,
            _ => false,
        }
    }

    /// Whether `resource` is in it; of a pair of paths, both. The slow, obvious form: the index of
    /// [`crate::permit`] must agree with it, and a property test holds that.
    #[must_use]
    pub fn matches(&self, resource: &Resource) -> bool {
        match (self, resource) {
            (Self::Http(pattern), Resource::Http(request)) => pattern.matches(request),
            (Self::Path(tree), Resource::Path(path)) => tree.matches(path_segments(path.as_str())),
            (Self::Path(tree), Resource::PathPair(pair)) => {
                tree.matches(path_segments(pair.from())) && tree.matches(path_segments(pair.to()))
            }
            (Self::Argv(tree), Resource::Argv(argv)) => tree.matches(argv.words()),
            (Self::Name(tree), Resource::Name(name)) => tree.matches(name.as_str().split('/')),
            (Self::None, Resource::None) => true,
            _ => false,
        }
    }

    /// Whether it can be about resources of this kind.
    #[must_use]
    pub const fn fits(&self, kind: ResourceKind) -> bool {
        matches!(
            (self, kind),
            (Self::Http(_), ResourceKind::Http)
                | (Self::Path(_), ResourceKind::Path | ResourceKind::PathPair)
                | (Self::Argv(_), ResourceKind::Argv)
                | (Self::Name(_), ResourceKind::Name)
                | (Self::None, ResourceKind::None)
        )
    }

    /// The key it is written under in a rule, if it is written at all.
    #[must_use]
    pub const fn key(&self) -> Option<&'static str> {
        match self {
            Self::Http(_) => Some("http"),
            Self::Path(_) => Some("path"),
            Self::Argv(_) => Some("argv"),
            Self::Name(_) => Some("name"),
            Self::None => None,
        }
    }

    /// What may be granted only by a ceiling: any host, any command.
    #[must_use]
    pub fn is_for_ceilings(&self) -> bool {
        match self {
            Self::Http(pattern) => pattern.is_any_host(),
            Self::Argv(tree) => tree.segments.is_empty(),
            _ => false,
        }
    }
}

/// A path pattern as it is written.
pub(crate) fn path_text(tree: &Tree) -> String {
    format!("/{}", tree.joined())
}

/// A name pattern as it is written.
pub(crate) fn name_text(tree: &Tree) -> String {
    tree.joined()
}

/// A command-line pattern as it is written.
pub(crate) fn argv_words(tree: &Tree) -> Vec<String> {
    let deep = (tree.reach == Reach::Below).then(|| DEEP.to_owned());
    tree.segments.iter().cloned().chain(deep).collect()
}

/// A `*` in a path or a name is refused even though file names may hold one: whoever writes it expects a wildcard.
fn refuse_stars(text: &str) -> Result<(), RuleFault> {
    if text.contains('*') { Err(RuleFault::Star) } else { Ok(()) }
}
