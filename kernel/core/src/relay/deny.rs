//! "No": answered, recorded, and charged for.

use super::call::Inbound;
use super::effect::{Body, Effect};
use super::send::loggable;
use super::{PeerId, Relay, RunId};
use crate::digest::Digest;
use crate::ledger::Account;
use crate::method::MethodId;
use crate::permit::Refusal;
use crate::record::Entry;
use crate::resource::Resource;
use crate::run::Outcome;
use pawang_protocol::{Denial, Gas, Status};

/// Why a call does not go on.
pub(super) enum Stopped {
    /// The rules refuse it.
    Refused(Refusal),
    /// The run cannot pay even the least this call costs.
    OutOfGas(Refusal),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Relay {
    /// Answers with a denial and charges for it, so that probing is finite (f73).
    pub(super) fn deny(
        &mut self,
        id: RunId,
        to: PeerId,
        call: &Inbound,
        number: u64,
        stopped: Stopped,
        out: &mut Vec<Effect>,
    ) {
        let (refusal, mut is_out) = match stopped {
            Stopped::Refused(refusal) => (refusal, false),
            Stopped::OutOfGas(refusal) => (refusal, true),
        };
        let spent = self.charge_denial(id, out);
        is_out |= spent < self.methods.denial;
        let Some(denial) = self.denial(id, call, refusal) else { return };
        let mut recorded = denial.clone();
        recorded.resource = self.resource_for_log(call);
        recorded.reason = without_query(&recorded.reason);
        out.push(Effect::Record(Entry::Deny { run: id, call: number, spent, denial: recorded }));
        out.push(Effect::Answer {
            to,
            id: call.id,
            status: Status::Denied,
            more: false,
            gas: spent,
            body: Body::Denial(Box::new(denial)),
            redact: None,
        });
        if is_out {
            self.end(id, Outcome::OutOfGas, out);
        }
    }

    /// Spends what a denial costs, out of what is set aside for CPU time where nothing else is left.
    fn charge_denial(&mut self, id: RunId, out: &mut Vec<Effect>) -> Gas {
        let price = self.methods.denial;
        if self.account_of_mut(id).is_some_and(|account| account.free() < price) {
            self.reclaim_lease(id, out);
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.denied = run.denied.saturating_add(1);
        }
        self.account_of_mut(id).map_or(Gas::ZERO, |account| account.spend(price))
    }

    /// Completes a refusal to what the caller gets.
    fn denial(&self, id: RunId, call: &Inbound, refusal: Refusal) -> Option<Denial> {
        let contract: &Digest = &self.runs.get(&id)?.verified.digest;
        let method = self.methods.get(MethodId(call.method));
        Some(Denial {
            code: refusal.code,
            call: method.map_or_else(|| format!("method {}", call.method), |row| row.name.to_string()),
            resource: clip(call.resource),
            reason: refusal.reason,
            rule: refusal.rule,
            contract: contract.to_string(),
            gas_left: self.accounts.get(contract).map_or(Gas::ZERO, Account::free),
            retryable: false,
            allow: refusal.allow,
        })
    }

    fn resource_for_log(&self, call: &Inbound) -> String {
        let method = self.methods.get(MethodId(call.method));
        let resource = method.and_then(|row| Resource::parse(row.resource, call.resource).ok());
        resource.as_ref().map_or_else(|| clip(&without_query(call.resource)), loggable)
    }
}

/// A text without what may be secret of a URL in it, also of one that is malformed: user name and query (f80).
fn without_query(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, format!("?({} bytes)", query.len())),
        None => (rest, String::new()),
    };
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
    format!("{scheme}://{address}{query}")
}

/// What a peer sent that is no resource: enough to recognise it by.
fn clip(text: &str) -> String {
    const SHOWN: usize = 256;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}
