//! Rules of one method as a tree of segments, so that a decision looks at the call's own segments and no more.
//!
//! A lookup costs one step per segment of the resource and stops where no rule goes on; how many rules there are
//! hardly matters, and how long a hostile resource is matters only as far as some rule follows it. Steps are ordered
//! maps, not hashes: nothing to flood, and the same shape each time. The nodes stand in one list, so that neither
//! building nor dropping a deep tree needs a deep stack.

use super::fault;
use crate::contract::http_pattern::{HttpPattern, url_segments};
use crate::contract::pattern::{Pattern, Reach, Tree};
use crate::contract::{ContractError, Rule, RuleFault};
use crate::method::Methods;
use crate::resource::{HttpResource, Resource, path_segments};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Rules by segment. For requests the first segment is the origin.
#[derive(Debug)]
pub(super) struct Index {
    /// The first is the root; children are numbers in this list.
    nodes: Vec<Node>,
    /// How many rules it has.
    rules: usize,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<String, usize>,
    /// Rules about exactly this.
    exact: Vec<Leaf>,
    /// Rules about this and all below.
    below: Vec<Leaf>,
}

/// One rule at the end of its segments.
#[derive(Debug)]
struct Leaf {
    rule: u16,
    rank: Rank,
    rest: Rest,
}

/// Of several rules that match, the lowest rank is the answer; see [`ranks`].
type Rank = usize;

/// What the segments do not say.
#[derive(Debug)]
enum Rest {
    /// They say all.
    Nothing,
    /// Of a request: methods and query.
    Request(HttpPattern),
    /// Of two paths: that the second must match as well.
    Second(Tree),
}

impl Index {
    /// One index per method of the table, in its order.
    pub(super) fn build_all(rules: &[Rule], methods: &Methods) -> Result<Vec<Self>, ContractError> {
        let mut all: Vec<Self> = methods.iter().map(|_| Self::new()).collect();
        for ((number, rule), rank) in (0_u16..).zip(rules).zip(ranks(rules)) {
            for method in rule.methods(methods).map_err(|found| fault(rule, found))? {
                if let Some(own) = usize::try_from(method.0).ok().and_then(|row| all.get_mut(row)) {
                    own.insert(number, rule, rank)?;
                }
            }
        }
        Ok(all)
    }

    /// One index of some rules, with their numbers. Which of several is found first does not matter to it.
    pub(super) fn build<'a>(rules: impl Iterator<Item = (u16, &'a Rule)>) -> Result<Self, ContractError> {
        let mut index = Self::new();
        for (number, rule) in rules {
            index.insert(number, rule, 0)?;
        }
        Ok(index)
    }

    /// Whether it has no rule at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// The rule that covers `resource`, if one does.
    pub(super) fn find(&self, resource: &Resource) -> Option<u16> {
        match resource {
            Resource::Path(path) => self.best(path_segments(path.as_str()), |_| true),
            Resource::Name(name) => self.best(name.as_str().split('/'), |_| true),
            Resource::Argv(argv) => self.best(argv.words(), |_| true),
            Resource::None => self.best(std::iter::empty(), |_| true),
            Resource::Http(request) => {
                let segments = std::iter::once(request.origin()).chain(url_segments(request.path()));
                self.best(segments, |rest| rest.is_of(request))
            }
            Resource::PathPair(pair) => {
                self.best(path_segments(pair.from()), |rest| rest.has_second(pair.to()))
            }
        }
    }

    /// A rule that covers the path with these segments or lies below it.
    pub(super) fn touched<'a>(&self, segments: impl Iterator<Item = &'a str>) -> Option<u16> {
        let mut at = 0;
        for segment in segments {
            let node = self.nodes.get(at)?;
            if let Some(leaf) = node.below.first() {
                return Some(leaf.rule);
            }
            at = *node.children.get(segment)?;
        }
        self.rules_from(at).next()
    }

    /// The numbers of all its rules.
    pub(super) fn rules(&self) -> impl Iterator<Item = u16> {
        self.rules_from(0)
    }

    /// The numbers of the rules at a node and below it.
    fn rules_from(&self, at: usize) -> impl Iterator<Item = u16> {
        let mut open = vec![at];
        let leaves = std::iter::from_fn(move || {
            let node = self.nodes.get(open.pop()?)?;
            open.extend(node.children.values());
            Some(node.exact.iter().chain(&node.below))
        });
        leaves.flatten().map(|leaf| leaf.rule)
    }

    /// The best accepted rule at the end of these segments or on the way there.
    fn best<'a>(
        &self,
        mut segments: impl Iterator<Item = &'a str>,
        accepts: impl Fn(&Rest) -> bool,
    ) -> Option<u16> {
        let mut best: Option<&Leaf> = None;
        let mut next = Some(0);
        while let Some(node) = next.and_then(|at| self.nodes.get(at)) {
            best = better(best, &node.below, &accepts);
            next = match segments.next() {
                Some(segment) => node.children.get(segment).copied(),
                None => {
                    best = better(best, &node.exact, &accepts);
                    None
                }
            };
        }
        best.map(|leaf| leaf.rule)
    }

    fn new() -> Self {
        Self { nodes: vec![Node::default()], rules: 0 }
    }

    fn insert(&mut self, number: u16, rule: &Rule, rank: Rank) -> Result<(), ContractError> {
        let root = Tree { segments: Vec::new(), reach: Reach::Exact };
        let (origin, tree, rest) = match &rule.pattern {
            Pattern::Http(http) => {
                let origin = http.target().origin().ok_or_else(|| fault(rule, RuleFault::OnlyInCeilings))?;
                (Some(origin), http.target().path(), Rest::Request(http.clone()))
            }
            Pattern::Path(tree) => (None, tree, Rest::Second(tree.clone())),
            Pattern::Argv(tree) | Pattern::Name(tree) => (None, tree, Rest::Nothing),
            Pattern::None => (None, &root, Rest::Nothing),
        };
        let at = self.grow(origin.into_iter().chain(tree.segments.iter().map(String::as_str)));
        let leaf = Leaf { rule: number, rank, rest };
        self.rules = self.rules.saturating_add(1);
        if let Some(node) = self.nodes.get_mut(at) {
            match tree.reach {
                Reach::Exact => node.exact.push(leaf),
                Reach::Below => node.below.push(leaf),
            }
        }
        Ok(())
    }

    /// The node at the end of these segments, made if it is not there.
    fn grow<'a>(&mut self, segments: impl Iterator<Item = &'a str>) -> usize {
        let mut at = 0;
        for segment in segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return at };
            at = *node.children.entry(segment.to_owned()).or_insert(fresh);
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        at
    }
}

/// The rank of each rule: uncounted first, then most calls, then by what it says. The order the rules stand in has no
/// part in it, as no two of a contract say the same.
fn ranks(rules: &[Rule]) -> Vec<Rank> {
    let mut order: Vec<(&Rule, usize)> = rules.iter().zip(0..).collect();
    order.sort_by_key(|(rule, _)| {
        (rule.max_calls.is_some(), Reverse(rule.max_calls), &rule.call, &rule.pattern)
    });
    let mut ranks: Vec<(usize, Rank)> =
        order.into_iter().zip(0..).map(|((_, at), rank)| (at, rank)).collect();
    ranks.sort_unstable();
    ranks.into_iter().map(|(_, rank)| rank).collect()
}

/// The lowest rank among `best` and the accepted `leaves`.
fn better<'a>(
    best: Option<&'a Leaf>,
    leaves: &'a [Leaf],
    accepts: &impl Fn(&Rest) -> bool,
) -> Option<&'a Leaf> {
    leaves.iter().fold(best, |best, leaf| {
        let wins = best.is_none_or(|own| leaf.rank < own.rank) && accepts(&leaf.rest);
        if wins { Some(leaf) } else { best }
    })
}

impl Rest {
    fn is_of(&self, request: &HttpResource) -> bool {
        match self {
            Self::Request(http) => {
                http.has_verb(request.method()) && http.target().has_query(request.query())
            }
            Self::Nothing | Self::Second(_) => false,
        }
    }

    fn has_second(&self, path: &str) -> bool {
        match self {
            Self::Second(tree) => tree.matches(path_segments(path)),
            Self::Nothing | Self::Request(_) => false,
        }
    }
}
