//! Runs the `[[test]]` lines of a source against the policy that would be enforced.

use super::Placed;
use super::error::SourceFault;
use super::text::{Expect, TestText, at_test};
use crate::contract::Contract;
use crate::explain::explain;
use crate::method::Methods;
use crate::permit::Policy;
use toml::Spanned;

/// Holds one test.
pub(super) fn run(
    test: &Spanned<TestText>,
    policy: &Policy,
    contract: &Contract,
    methods: &Methods,
) -> Result<(), Placed> {
    let text = test.get_ref();
    let resource = text.resource().ok_or_else(|| at_test(test, SourceFault::TestResource))?;
    let told = explain(policy, contract, methods, &text.call, &resource);
    let (allowed, code) = match &told.verdict {
        Ok(_) => (true, None),
        Err(refusal) => (false, Some(refusal.code.as_str())),
    };
    let code_fits = text.code.as_deref().is_none_or(|expected| code == Some(expected));
    if allowed == (text.expect == Expect::Allow) && code_fits {
        return Ok(());
    }
    let expected = match (text.expect, &text.code) {
        (Expect::Allow, _) => "allow".to_owned(),
        (Expect::Deny, None) => "deny".to_owned(),
        (Expect::Deny, Some(code)) => format!("deny {code}"),
    };
    let found = match &told.verdict {
        Ok(_) => "allow".to_owned(),
        Err(refusal) => format!("deny {} ({})", refusal.code, refusal.reason),
    };
    let call = format!("{} {}", text.call, resource.replace('\0', " "));
    Err(at_test(test, SourceFault::Test { call, expected, found }))
}
