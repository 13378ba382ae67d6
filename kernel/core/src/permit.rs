//! The one decision: may this contract make this call on this resource?
//!
//! [`Policy::decide`] is what enforcement, `pawang explain`, dry runs, policy tests and replay all call. Its answer
//! depends on the contract and the call alone. Deny wins over every grant; the order of rules never matters; what no
//! grant covers is refused. A path that is denied to any call, or that lies above one, cannot be moved: moving it
//! would give what is denied another name.
//!
//! Does not: count. Gas, calls made and time are the ledger's; a permit says which grant a call is counted on.

mod index;
mod refuse;

pub use refuse::Refusal;

use crate::contract::http_pattern::UrlPattern;
use crate::contract::meaning::ALWAYS_PROTECTED;
use crate::contract::pattern::Pattern;
use crate::contract::{Contract, ContractError, Rule, RuleFault};
use crate::method::{MethodId, Methods, ResourceKind};
use crate::resource::{PathPairResource, Resource, at_or_below, path_segments};
use index::Index;
use pawang_protocol::DenialCode;

/// A contract made ready for deciding: rules by method, and by method a tree of segments.
#[derive(Debug)]
pub struct Policy {
    methods: Vec<MethodRules>,
    /// The path denies of all methods together: what may not be moved.
    unmovable: Index,
    secrets: Vec<UrlPattern>,
    protected: Vec<String>,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

/// What a contract says of one method.
#[derive(Debug)]
struct MethodRules {
    name: String,
    kind: ResourceKind,
    allow: Index,
    deny: Index,
    ceilings: Vec<usize>,
}

/// "Yes", and what goes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permitted {
    /// The grant, as an index into the contract's `allow`: where the call is counted. Of several that cover the call,
    /// the one with the most calls.
    pub grant: u16,
    /// Its bound on calls.
    pub max_calls: Option<u32>,
    /// Secrets to put in, as indexes into the contract's `secrets`. Empty without an allocation.
    pub secrets: Vec<u16>,
}

impl Policy {
    /// Makes a contract ready. Only the protected paths of every machine are known to it; see [`Policy::protecting`].
    ///
    /// # Errors
    /// [`ContractError::Rule`] for a rule that means no method; a contract that was verified has none.
    pub fn compile(contract: &Contract, methods: &Methods) -> Result<Self, ContractError> {
        let allow = Index::build_all(&contract.allow, methods)?;
        let deny = Index::build_all(&contract.deny, methods)?;
        let ceilings = |name| {
            let each = contract.gas.each.iter().enumerate();
            each.filter(|(_, ceiling)| ceiling.call.matches(name)).map(|(index, _)| index).collect()
        };
        let rows =
            methods.iter().zip(allow.into_iter().zip(deny)).map(|((_, row), (allow, deny))| MethodRules {
                name: row.name.to_string(),
                kind: row.resource,
                allow,
                deny,
                ceilings: ceilings(&row.name),
            });
        Ok(Self {
            methods: rows.collect(),
            unmovable: Index::build((0..).zip(&contract.deny).filter(|(_, rule)| is_path(rule)))?,
            secrets: contract.secrets.iter().map(|secret| secret.to.clone()).collect(),
            protected: ALWAYS_PROTECTED.map(str::to_owned).to_vec(),
            allow: contract.allow.clone(),
            deny: contract.deny.clone(),
        })
    }

    /// The same, which also refuses these paths and all below them, whatever the contract says.
    #[must_use]
    pub fn protecting(mut self, paths: &[&str]) -> Self {
        self.protected.extend(paths.iter().map(|&path| path.to_owned()));
        self
    }

    /// Decides. No allocation on the way to "yes" unless secrets go with it.
    ///
    /// # Errors
    /// [`Refusal`], of which the caller makes a [`pawang_protocol::Denial`].
    pub fn decide(&self, method: MethodId, resource: &Resource) -> Result<Permitted, Refusal> {
        let rules = self.rules(method)?;
        if rules.kind != resource.kind() {
            return Err(Refusal::new(
                DenialCode::MalformedResource,
                format!("{} is about another kind of resource", rules.name),
            ));
        }
        if let Some(path) = self.protected_by(resource) {
            return Err(Refusal::protected(path));
        }
        if rules.allow.is_empty() {
            return Err(Refusal::not_granted(&rules.name, resource));
        }
        if let Some(deny) = self.denied_by(rules, resource) {
            return Err(Refusal::denied(deny));
        }
        let Some((grant, rule)) =
            rules.allow.find(resource).and_then(|at| Some((at, self.allow.get(usize::from(at))?)))
        else {
            return Err(Refusal::not_covered(&rules.name, resource, self.nearest(method, resource)));
        };
        Ok(Permitted { grant, max_calls: rule.max_calls, secrets: self.secrets_for(resource) })
    }

    /// The sub-ceilings of gas that a call of this method falls under, as indexes into the contract's `gas.each`.
    pub fn gas_ceilings(&self, method: MethodId) -> impl Iterator<Item = usize> {
        self.rules(method).into_iter().flat_map(|rules| rules.ceilings.iter().copied())
    }

    /// The text of a grant, for people.
    #[must_use]
    pub fn grant_text(&self, grant: u16) -> Option<String> {
        self.allow.get(usize::from(grant)).map(ToString::to_string)
    }

    fn rules(&self, method: MethodId) -> Result<&MethodRules, Refusal> {
        let row = usize::try_from(method.0).ok().and_then(|index| self.methods.get(index));
        row.ok_or_else(|| {
            Refusal::new(DenialCode::UnknownMethod, format!("no method has number {}", method.0))
        })
    }

    /// The deny that refuses it.
    fn denied_by(&self, rules: &MethodRules, resource: &Resource) -> Option<&Rule> {
        let at = match resource {
            Resource::PathPair(pair) => self.kept_from_moving(pair),
            _ => rules.deny.find(resource),
        };
        at.and_then(|at| self.deny.get(usize::from(at)))
    }

    /// A deny, of any method, that covers one of the two paths or lies below it.
    fn kept_from_moving(&self, pair: &PathPairResource) -> Option<u16> {
        [pair.from(), pair.to()].into_iter().find_map(|path| self.unmovable.touched(path_segments(path)))
    }

    /// The protected path that the resource is, lies below or, where it is moved, lies above.
    fn protected_by(&self, resource: &Resource) -> Option<&str> {
        let hit = |path: &str, moved: bool| {
            let own = self.protected.iter().map(String::as_str);
            own.into_iter().find(|own| at_or_below(path, own) || (moved && at_or_below(own, path)))
        };
        match resource {
            Resource::Path(path) => hit(path.as_str(), false),
            Resource::PathPair(pair) => hit(pair.from(), true).or_else(|| hit(pair.to(), true)),
            _ => None,
        }
    }

    fn secrets_for(&self, resource: &Resource) -> Vec<u16> {
        let Resource::Http(request) = resource else { return Vec::new() };
        let matching = (0..).zip(&self.secrets).filter(|(_, to)| to.matches(request));
        matching.map(|(index, _)| index).collect()
    }

    /// The grant of this method that shares most with the resource. Only for telling people.
    fn nearest(&self, method: MethodId, resource: &Resource) -> Option<&Rule> {
        let rules = self.rules(method).ok()?;
        rules
            .allow
            .rules()
            .filter_map(|at| self.allow.get(usize::from(at)))
            .max_by_key(|rule| refuse::kinship(rule, resource))
    }
}

/// A rule about paths.
const fn is_path(rule: &Rule) -> bool {
    matches!(rule.pattern, Pattern::Path(_))
}

/// A rule's fault as an error of its contract.
fn fault(rule: &Rule, fault: RuleFault) -> ContractError {
    crate::contract::meaning::of_rule(rule, fault)
}
