//! A decision told to a person: for `pawang explain`, for a denial after the fact and for a call nobody has made.
//!
//! It takes the steps of the kernel's own call path in their order (method, shape, permission) with the kernel's own
//! functions, so it cannot come to another answer (f05). Gas and counts are not looked at: they are the ledger's.

use crate::contract::Contract;
use crate::method::Methods;
use crate::permit::{Permitted, Policy, Refusal};
use crate::resource::Resource;
use core::fmt;
use pawang_protocol::DenialCode;

/// What would happen to a call, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The method asked for.
    pub call: String,
    /// The resource as it was given.
    pub resource: String,
    /// The decision.
    pub verdict: Result<Permitted, Refusal>,
    /// For "yes": the grant it is counted on, and the names of the secrets that go with it.
    pub grant: Option<String>,
    /// See [`Explanation::grant`].
    pub secrets: Vec<String>,
}

/// Decides a call given as text.
#[must_use]
pub fn explain(
    policy: &Policy,
    contract: &Contract,
    methods: &Methods,
    call: &str,
    resource: &str,
) -> Explanation {
    let verdict = decide(policy, methods, call, resource);
    let permitted = verdict.as_ref().ok();
    let grant = permitted.and_then(|permitted| policy.grant_text(permitted.grant));
    let secret = |index: &u16| contract.secrets.get(usize::from(*index)).map(|secret| secret.name.clone());
    let secrets =
        permitted.into_iter().flat_map(|permitted| permitted.secrets.iter().filter_map(secret)).collect();
    Explanation { call: call.to_owned(), resource: resource.to_owned(), verdict, grant, secrets }
}

/// The kernel's steps up to the decision.
fn decide(policy: &Policy, methods: &Methods, call: &str, resource: &str) -> Result<Permitted, Refusal> {
    let unknown = || Refusal::new(DenialCode::UnknownMethod, format!("no plugin offers {call}"));
    let method = methods.id(call).ok_or_else(unknown)?;
    let row = methods.get(method).ok_or_else(unknown)?;
    let resource = Resource::parse(row.resource, resource)
        .map_err(|error| Refusal::new(DenialCode::MalformedResource, error.to_string()))?;
    policy.decide(method, &resource)
}

/// The lines under a contract's name: call, verdict, rule, what would allow it. Text from outside is not escaped here.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "call      {} {}", self.call, self.resource.replace('\0', " "))?;
        match &self.verdict {
            Ok(permitted) => self.yes(permitted, f),
            Err(refusal) => no(refusal, f),
        }
    }
}

impl Explanation {
    fn yes(&self, permitted: &Permitted, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "verdict   allowed")?;
        self.grant.iter().try_for_each(|grant| writeln!(f, "by        {grant}"))?;
        permitted
            .max_calls
            .iter()
            .try_for_each(|max| writeln!(f, "counted   at most {max} calls under this grant"))?;
        self.secrets.iter().try_for_each(|name| writeln!(f, "secret    {name} is put in on the way out"))
    }
}

fn no(refusal: &Refusal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "verdict   denied · {} {}", refusal.code, refusal.reason)?;
    let label = if refusal.code == DenialCode::DeniedByRule { "rule    " } else { "nearest " };
    refusal.rule.iter().try_for_each(|rule| writeln!(f, "{label}  {rule}"))?;
    if !refusal.allow.is_empty() {
        writeln!(f, "to allow  add to the contract, sign again:")?;
        refusal.allow.lines().try_for_each(|line| writeln!(f, "            {line}"))?;
    }
    refusal.careful.iter().try_for_each(|text| writeln!(f, "careful   {text}"))
}
