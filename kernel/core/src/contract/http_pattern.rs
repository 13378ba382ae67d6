//! Patterns over requests: `GET,HEAD https://host[:port]/path`, `/path/**`, and in ceilings `* https://**`.
//!
//! Methods, origin, path and query are compared apart, each as a whole; there is no host wildcard. Without a `?` any
//! query is meant, with one exactly that query.

use super::pattern::{DEEP, Reach, Tree};
use super::rule::RuleFault;
use crate::resource::{HttpResource, ResourceError, check_method, check_url, split_url};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Most methods listed in one pattern: more than are registered for plain HTTP.
const METHODS_MAX: usize = 16;

/// A set of requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpPattern {
    verbs: Verbs,
    target: UrlPattern,
}

/// A set of URLs: what a secret is bound to, and the part of an [`HttpPattern`] after its methods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPattern {
    origin: Origin,
    path: Tree,
    query: Option<String>,
}

/// The methods meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Verbs {
    /// These, sorted.
    Listed(Vec<String>),
    /// `*`: each of them. For denies and ceilings.
    Any,
}

/// The origin meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// Scheme, host and port.
    One(String),
    /// Any host by this scheme. For ceilings.
    AnyHost(String),
}

impl HttpPattern {
    /// Reads `GET,HEAD https://host/path/**`.
    ///
    /// # Errors
    /// [`RuleFault`]: a method or URL that is not canonical, a wildcard anywhere but as a last segment `**`.
    pub fn parse(text: &str) -> Result<Self, RuleFault> {
        let (verbs, url) = text.split_once(' ').ok_or(RuleFault::Resource(ResourceError::HttpMethod))?;
        Ok(Self { verbs: Verbs::parse(verbs)?, target: UrlPattern::parse(url)? })
    }

    /// Everything that `other` stands for, `self` stands for too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.verbs.covers(&other.verbs) && self.target.covers(&other.target)
    }

    /// Some request is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.verbs.overlaps(&other.verbs) && self.target.overlaps(&other.target)
    }

    /// Whether `request` is in it.
    #[must_use]
    pub fn matches(&self, request: &HttpResource) -> bool {
        self.has_verb(request.method()) && self.target.matches(request)
    }

    /// Whether it is about any host of a scheme.
    #[must_use]
    pub const fn is_any_host(&self) -> bool {
        matches!(self.target.origin, Origin::AnyHost(_))
    }

    /// Whether it is about any method.
    #[must_use]
    pub const fn is_any_verb(&self) -> bool {
        matches!(self.verbs, Verbs::Any)
    }

    /// Whether the method is meant.
    #[must_use]
    pub fn has_verb(&self, verb: &str) -> bool {
        match &self.verbs {
            Verbs::Any => true,
            Verbs::Listed(verbs) => verbs.iter().any(|own| own == verb),
        }
    }

    /// The URLs meant, whatever the method.
    #[must_use]
    pub const fn target(&self) -> &UrlPattern {
        &self.target
    }
}

impl UrlPattern {
    /// Reads `https://host/path`, `https://host/path/**` or, for ceilings, `https://**`.
    ///
    /// # Errors
    /// [`RuleFault`] as for [`HttpPattern::parse`].
    pub fn parse(text: &str) -> Result<Self, RuleFault> {
        if let Some(scheme @ ("https" | "http")) = text.strip_suffix("://**") {
            let path = Tree { segments: Vec::new(), reach: Reach::Below };
            return Ok(Self { origin: Origin::AnyHost(scheme.to_owned()), path, query: None });
        }
        let (base, reach) = match text.strip_suffix("/**") {
            Some(base) => (base, Reach::Below),
            None => (text, Reach::Exact),
        };
        // A base that names an origin only is checked with the slash that a URL must have.
        let (origin, path, query) = split_url(base);
        let probe =
            if reach == Reach::Below && path.is_empty() { format!("{base}/") } else { base.to_owned() };
        check_url(&probe).map_err(RuleFault::Resource)?;
        if path.contains('*') || origin.contains('*') || (reach == Reach::Below && query.is_some()) {
            return Err(RuleFault::Star);
        }
        let segments = path.strip_prefix('/').into_iter().flat_map(|path| path.split('/')).map(str::to_owned);
        let path = Tree { segments: segments.collect(), reach };
        if reach == Reach::Below && path.segments.last().is_some_and(String::is_empty) {
            return Err(RuleFault::Resource(ResourceError::EmptySegment));
        }
        Ok(Self { origin: Origin::One(origin.to_owned()), path, query: query.map(str::to_owned) })
    }

    /// Everything that `other` stands for, `self` stands for too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let query = self.query.is_none() || self.query == other.query;
        self.origin.covers(&other.origin) && self.path.covers(&other.path) && query
    }

    /// Some URL is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let origin = self.origin.covers(&other.origin) || other.origin.covers(&self.origin);
        let query = self.query.is_none() || other.query.is_none() || self.query == other.query;
        origin && self.path.overlaps(&other.path) && query
    }

    /// Whether the URL of `request` is in it.
    #[must_use]
    pub fn matches(&self, request: &HttpResource) -> bool {
        self.origin.matches(request.origin())
            && self.path.matches(url_segments(request.path()))
            && self.has_query(request.query())
    }

    /// Whether the query is meant.
    #[must_use]
    pub fn has_query(&self, query: Option<&str>) -> bool {
        self.query.is_none() || self.query.as_deref() == query
    }

    /// The one origin meant, unless it is any.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match &self.origin {
            Origin::One(origin) => Some(origin),
            Origin::AnyHost(_) => None,
        }
    }

    /// The paths meant.
    #[must_use]
    pub const fn path(&self) -> &Tree {
        &self.path
    }
}

/// The segments of a canonical URL path; a slash at the end makes a last, empty one.
pub(crate) fn url_segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

impl Verbs {
    fn parse(text: &str) -> Result<Self, RuleFault> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut verbs: Vec<String> = text.split(',').map(str::to_owned).collect();
        verbs.iter().try_for_each(|verb| check_method(verb)).map_err(RuleFault::Resource)?;
        verbs.sort();
        let listed = verbs.len();
        verbs.dedup();
        if verbs.len() == listed && listed <= METHODS_MAX {
            Ok(Self::Listed(verbs))
        } else {
            Err(RuleFault::Verbs)
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Listed(_), Self::Any) => false,
            (Self::Listed(own), Self::Listed(others)) => others.iter().all(|verb| own.contains(verb)),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Listed(own), Self::Listed(others)) => others.iter().any(|verb| own.contains(verb)),
        }
    }
}

impl Origin {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AnyHost(scheme), Self::One(origin)) => has_scheme(origin, scheme),
            _ => self == other,
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::One(own) => own == origin,
            Self::AnyHost(scheme) => has_scheme(origin, scheme),
        }
    }
}

fn has_scheme(origin: &str, scheme: &str) -> bool {
    origin.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://"))
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verbs {
            Verbs::Any => write!(f, "* {}", self.target),
            Verbs::Listed(verbs) => write!(f, "{} {}", verbs.join(","), self.target),
        }
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::AnyHost(scheme) => return write!(f, "{scheme}://{DEEP}"),
            Origin::One(origin) => f.write_str(origin)?,
        }
        self.path.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))?;
        if self.path.reach == Reach::Below {
            write!(f, "/{DEEP}")?;
        }
        self.query.iter().try_for_each(|query| write!(f, "?{query}"))
    }
}

impl TryFrom<String> for UrlPattern {
    type Error = RuleFault;
    fn try_from(text: String) -> Result<Self, RuleFault> {
        Self::parse(&text)
    }
}

impl From<UrlPattern> for String {
    fn from(pattern: UrlPattern) -> Self {
        pattern.to_string()
    }
}
