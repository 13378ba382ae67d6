//! A call's way in: identity → shape → permission → gas → record → relay, each step a type.

use super::effect::{Body, Effect};
use super::flight::{Callee, Flight, Stage};
use super::reply::Ending;
use super::{Fault, Now, PeerId, Relay, Run, RunId, plugin_of};
use crate::ledger::{Reservation, Short};
use crate::method::{MethodId, Price};
use crate::permit::{Permitted, Refusal};
use crate::record::Entry;
use crate::resource::Resource;
use crate::run::Outcome;
use pawang_protocol::limits::{CALL_DEPTH_MAX, IN_FLIGHT_MAX};
use pawang_protocol::{Denial, DenialCode, Failure, Gas, Status};

/// How much of an answer is paid for beforehand where the caller names no ceiling, in bytes.
const FIRST_REPLY: u64 = 64 << 10;

/// The one nested call there is so far: the exec tool has the kernel start the command line it was called with.
const NESTED: &[(&str, &str, &str)] = &[("exec", "exec.run", "kernel.spawn")];

/// A call as it arrived: nothing about it is believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// As in [`pawang_protocol::Message::Call`].
    pub id: u64,
    /// As there.
    pub parent: u64,
    /// As there.
    pub method: u32,
    /// As there.
    pub deadline_ms: u32,
    /// As there.
    pub gas_max: u64,
    /// As there.
    pub resource: &'a str,
    /// Bytes of arguments and data that count ([`super::moved`]).
    pub sent: u64,
    /// Whether the caller filled the field that only the kernel may fill.
    pub has_secrets: bool,
}

/// What the rules allow. Made only by [`Relay::permit`].
struct PermittedCall {
    run: RunId,
    method: MethodId,
    resource: Resource,
    parent: Option<u64>,
    depth: u8,
    permitted: Permitted,
}

/// What is paid for. Made only by [`Relay::fund`], and the only thing [`Relay::send`] takes.
struct Funded {
    call: PermittedCall,
    price: Price,
    reservation: Option<Reservation>,
    each: Vec<usize>,
}

/// Why a call does not go on.
enum Stopped {
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
    /// A call from a peer.
    ///
    /// # Errors
    /// [`Fault`] where the peer broke the protocol; nothing has then changed.
    pub fn call(
        &mut self,
        now: Now,
        from: PeerId,
        call: &Inbound,
        out: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let run = self.identify(from, call)?;
        if self.runs.get(&run).is_none_or(|run| run.ending.is_some()) {
            return Ok(());
        }
        let number = self.next_call;
        self.next_call = number.saturating_add(1);
        if let Some(run) = self.runs.get_mut(&run) {
            run.calls = run.calls.saturating_add(1);
        }
        let outcome = self
            .permit(now, run, from, call)
            .and_then(|permitted| self.fund(permitted, call, out))
            .map(|funded| self.send(now, from, call, number, funded, out));
        match outcome {
            Ok(()) => {}
            Err(Stopped::Refused(refusal)) => self.deny(run, from, call, number, refusal, out),
            Err(Stopped::OutOfGas(refusal)) => {
                self.deny(run, from, call, number, refusal, out);
                self.end(run, Outcome::OutOfGas, out);
            }
        }
        self.warn(run, out);
        Ok(())
    }

    /// Identity and shape: the channel says who it is; ids only grow; the kernel's own field is empty.
    fn identify(&mut self, from: PeerId, call: &Inbound) -> Result<RunId, Fault> {
        let peer = self.peer_mut(from).ok_or_else(|| Fault("call from a peer that is gone".to_owned()))?;
        if call.id <= peer.last_id {
            return Err(Fault(format!("call id {} after {}: ids must grow", call.id, peer.last_id)));
        }
        if call.has_secrets {
            return Err(Fault("a call with its secrets field filled; only the kernel fills it".to_owned()));
        }
        peer.last_id = call.id;
        Ok(peer.run)
    }

    /// Permission: the contract for an automation, the short list of nested calls for a tool.
    fn permit(
        &mut self,
        now: Now,
        id: RunId,
        from: PeerId,
        call: &Inbound,
    ) -> Result<PermittedCall, Stopped> {
        let method = MethodId(call.method);
        let refuse = |code, reason: String| Stopped::Refused(Refusal::new(code, reason));
        let row = self.methods.get(method).ok_or_else(|| {
            refuse(DenialCode::UnknownMethod, format!("no method has number {}", call.method))
        })?;
        let in_flight = self.peer(from).map_or(0, |peer| peer.calls.len());
        if in_flight >= IN_FLIGHT_MAX {
            return Err(refuse(
                DenialCode::TooManyInFlight,
                format!("{in_flight} calls are in flight; at most {IN_FLIGHT_MAX} may be"),
            ));
        }
        let resource = Resource::parse(row.resource, call.resource)
            .map_err(|error| refuse(DenialCode::MalformedResource, error.to_string()))?;
        let tool = self.peer(from).and_then(|peer| peer.tool);
        if let Some(tool) = tool {
            return self.permit_nested(id, from, tool, method, resource, call.parent);
        }
        if call.parent != 0 {
            let reason = "an automation serves no calls, so none of its calls has a parent".to_owned();
            return Err(refuse(DenialCode::MalformedCall, reason));
        }
        let run =
            self.runs.get(&id).ok_or_else(|| refuse(DenialCode::MalformedCall, "no such run".to_owned()))?;
        if now.unix_s >= run.verified.contract.not_after {
            return Err(refuse(DenialCode::Expired, "the contract has expired".to_owned()));
        }
        let permitted = run.policy.decide(method, &resource)?;
        let bound =
            permitted.secrets.iter().filter_map(|&at| run.verified.contract.secrets.get(usize::from(at)));
        if let Some(missing) = bound.map(|secret| &secret.name).find(|name| !self.secrets.contains(*name)) {
            let reason =
                format!("the secret {missing} is bound to this request and is not in the open vault");
            return Err(refuse(DenialCode::SecretRefused, reason));
        }
        Ok(PermittedCall { run: id, method, resource, parent: None, depth: 0, permitted })
    }

    /// A tool may make the nested calls its plugin is listed with, for a call it is serving, on that very resource.
    fn permit_nested(
        &self,
        run: RunId,
        from: PeerId,
        tool: &str,
        method: MethodId,
        resource: Resource,
        parent: u64,
    ) -> Result<PermittedCall, Stopped> {
        let refuse = |code, reason: &str| Stopped::Refused(Refusal::new(code, reason.to_owned()));
        let served = self
            .flights
            .get(&parent)
            .filter(|flight| flight.callee == Callee::Peer(from) && flight.stage == Stage::Relayed);
        let Some(served) = served else {
            return Err(refuse(DenialCode::MalformedCall, "the parent is not a call this tool is serving"));
        };
        let name = |id| self.methods.get(id).map_or("", |row| row.name.as_str());
        let wanted = (tool, name(served.method), name(method));
        if !NESTED.contains(&wanted) {
            return Err(refuse(DenialCode::MethodNotGranted, "this tool may not make this call"));
        }
        if served.resource != resource.canonical() {
            return Err(refuse(
                DenialCode::ResourceNotGranted,
                "a nested call keeps the resource of its parent",
            ));
        }
        let depth = served.depth.saturating_add(1);
        if depth >= CALL_DEPTH_MAX {
            return Err(refuse(DenialCode::MalformedCall, "calls are nested too deep"));
        }
        Ok(PermittedCall {
            run,
            method,
            resource,
            parent: Some(parent),
            depth,
            permitted: Permitted::default(),
        })
    }

    /// Gas: the call's ceiling is set aside, also under each sub-ceiling; a nested call is paid by its parent as it goes.
    fn fund(
        &mut self,
        call: PermittedCall,
        inbound: &Inbound,
        out: &mut Vec<Effect>,
    ) -> Result<Funded, Stopped> {
        let malformed =
            || Stopped::Refused(Refusal::new(DenialCode::MalformedCall, "no such run".to_owned()));
        let price = self.methods.get(call.method).map(|row| row.price).ok_or_else(malformed)?;
        let run = self.runs.get_mut(&call.run).ok_or_else(malformed)?;
        if call.parent.is_some() {
            return Ok(Funded { call, price, reservation: None, each: Vec::new() });
        }
        let each: Vec<usize> = run.policy.gas_ceilings(call.method).collect();
        let digest = run.verified.digest;
        let account = self.accounts.get_mut(&digest).ok_or_else(malformed)?;
        let least = price.of(inbound.sent);
        let first = if price.grows() { price.of(inbound.sent.saturating_add(FIRST_REPLY)) } else { least };
        let wanted = if inbound.gas_max == 0 { first } else { Gas(inbound.gas_max) };
        if wanted < least {
            let reason = format!("gas_max is {wanted}, and this call costs at least {least}");
            return Err(Refusal::new(DenialCode::ReservationUsedUp, reason).into());
        }
        let amount = wanted.min(account.available(&each)).max(least);
        let reservation = match account.reserve(amount, each.clone()) {
            Err(Short::OutOfGas { .. }) if self.reclaim_lease(call.run, out) => {
                self.accounts.get_mut(&digest).ok_or_else(malformed)?.reserve(amount, each.clone())
            }
            outcome => outcome,
        }
        .map_err(stopped)?;
        let account = self.accounts.get_mut(&digest).ok_or_else(malformed)?;
        if let Some(max) = call.permitted.max_calls
            && !account.take_call(usize::from(call.permitted.grant), max)
        {
            account.settle(reservation, Gas::ZERO);
            let reason = format!("the grant allows {max} calls, and all of them were made");
            return Err(Refusal::new(DenialCode::CallsUsedUp, reason).into());
        }
        Ok(Funded { call, price, reservation: Some(reservation), each })
    }

    /// Record, then relay.
    fn send(
        &mut self,
        now: Now,
        from: PeerId,
        inbound: &Inbound,
        id: u64,
        funded: Funded,
        out: &mut Vec<Effect>,
    ) {
        let Funded { call, price, reservation, each } = funded;
        let Some(row) = self.methods.get(call.method) else { return };
        let (name, limit_ms) = (row.name.as_str().to_owned(), row.deadline_ms);
        let Some(run) = self.runs.get_mut(&call.run) else { return };
        let secrets: Vec<String> = call
            .permitted
            .secrets
            .iter()
            .filter_map(|&index| run.verified.contract.secrets.get(usize::from(index)))
            .map(|secret| secret.name.clone())
            .collect();
        let wait_ms = match u64::from(inbound.deadline_ms) {
            0 => limit_ms,
            asked => asked.min(limit_ms),
        };
        let deadline_us = now.us.saturating_add(wait_ms.saturating_mul(1_000));
        let resource = call.resource.canonical().to_owned();
        out.push(Effect::Record(Entry::Call {
            run: call.run,
            call: id,
            parent: call.parent,
            method: name.clone(),
            resource: loggable(&call.resource),
            reserved: reservation.as_ref().map_or(Gas::ZERO, Reservation::amount),
            each,
            counted: call.permitted.max_calls.map(|max| (usize::from(call.permitted.grant), max)),
            sent: inbound.sent,
            secrets,
        }));
        let broken = plugin_of(&name).filter(|plugin| self.is_broken(call.run, plugin));
        let callee = match plugin_of(&name) {
            Some(plugin) if broken.is_none() => Callee::Peer(self.tool(call.run, plugin, out)),
            _ => Callee::Kernel,
        };
        let has_secrets = !call.permitted.secrets.is_empty();
        match callee {
            Callee::Peer(to) => out.push(Effect::Forward {
                to,
                id,
                parent: call.parent.unwrap_or(0),
                method: call.method,
                deadline_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX),
                resource: resource.clone(),
                secrets: call.permitted.secrets.to_vec(),
            }),
            Callee::Kernel if broken.is_some() => {}
            Callee::Kernel => {
                out.push(Effect::Serve { run: call.run, id, method: call.method, resource: resource.clone() })
            }
        }
        if let Some(peer) = self.peer_mut(from) {
            peer.calls.push((inbound.id, id));
        }
        self.deadlines.insert((deadline_us, id));
        self.flights.insert(
            id,
            Flight {
                run: call.run,
                caller: from,
                caller_id: inbound.id,
                callee,
                method: call.method,
                price,
                parent: call.parent,
                depth: call.depth,
                reservation,
                gas_max: (inbound.gas_max != 0).then_some(Gas(inbound.gas_max)),
                sent: inbound.sent,
                received: 0,
                declared: Gas::ZERO,
                nested: Gas::ZERO,
                nested_done: Gas::ZERO,
                nested_open: 0,
                stage: Stage::Relayed,
                started_us: now.us,
                deadline_us,
                resource,
                secrets: has_secrets,
            },
        );
        if let Some(parent) = self.flights.get(&id).and_then(|flight| flight.parent)
            && let Some(parent) = self.flights.get_mut(&parent)
        {
            parent.nested_open = parent.nested_open.saturating_add(1);
        }
        self.charge_parent(id);
        if let Some(plugin) = broken {
            let failure =
                Failure::new("tool_broken", format!("the {plugin} tool crashed too often in this run"))
                    .hint("pawang timeline shows the calls it crashed in");
            self.settle(now, id, Ending::Failed(failure), out);
        }
    }

    /// Answers with a denial and charges for it, so that probing is finite (f73).
    fn deny(
        &mut self,
        id: RunId,
        to: PeerId,
        call: &Inbound,
        number: u64,
        refusal: Refusal,
        out: &mut Vec<Effect>,
    ) {
        let price = self.methods.denial;
        let method = self.methods.get(MethodId(call.method));
        let name = method.map_or_else(|| format!("method {}", call.method), |row| row.name.to_string());
        let resource = method.and_then(|row| Resource::parse(row.resource, call.resource).ok());
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.denied = run.denied.saturating_add(1);
        let digest = run.verified.digest;
        let spent = self.accounts.get_mut(&digest).map_or(Gas::ZERO, |account| account.spend(price));
        let left = self.accounts.get(&digest).map_or(Gas::ZERO, crate::ledger::Account::free);
        let denial = refusal.into_denial(&name, call.resource, &digest, left);
        let mut recorded = denial.clone();
        recorded.resource = resource.as_ref().map_or_else(|| clip(call.resource), loggable);
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
        if spent < price {
            self.end(id, Outcome::OutOfGas, out);
        }
    }

    /// The peer of a tool of a run, asking for its start where it is not alive.
    pub(super) fn tool(&mut self, id: RunId, plugin: &'static str, out: &mut Vec<Effect>) -> PeerId {
        let known = self.runs.get(&id).and_then(|run| run.tool(plugin)).unwrap_or_default();
        if let Some(peer) = known.peer {
            return peer;
        }
        let peer = self.add_peer(id, Some(plugin));
        if let Some(run) = self.runs.get_mut(&id) {
            run.set_tool(plugin, super::Tool { peer: Some(peer), crashes: known.crashes });
        }
        let delay_ms = match known.crashes {
            0 => 0,
            n => super::BACKOFF_MS.saturating_mul(1 << n.min(10)),
        };
        out.push(Effect::StartTool { run: id, peer, plugin, delay_ms, crashes: known.crashes });
        peer
    }
}

impl Run {
    pub(super) fn tool(&self, plugin: &str) -> Option<super::Tool> {
        self.tools.iter().find(|(name, _)| *name == plugin).map(|(_, tool)| *tool)
    }

    pub(super) fn set_tool(&mut self, plugin: &'static str, tool: super::Tool) {
        match self.tools.iter_mut().find(|(name, _)| *name == plugin) {
            Some((_, slot)) => *slot = tool,
            None => self.tools.push((plugin, tool)),
        }
    }
}

fn stopped(short: Short) -> Stopped {
    match short {
        Short::OutOfGas { needed, free } => Stopped::OutOfGas(Refusal::new(
            DenialCode::OutOfGas,
            format!("this call needs {needed} gas and {free} are left"),
        )),
        Short::Ceiling { needed, left, .. } => Stopped::Refused(Refusal::new(
            DenialCode::CeilingReached,
            format!("this call needs {needed} gas and {left} are left under a sub-ceiling of the contract"),
        )),
    }
}

/// The resource as it may stand in the log: the query of a URL may hold what nobody should read there (f80).
fn loggable(resource: &Resource) -> String {
    let text = resource.canonical();
    match (resource, text.split_once('?')) {
        (Resource::Http(_), Some((before, query))) => format!("{before}?({} bytes)", query.len()),
        _ => text.to_owned(),
    }
}

/// What a peer sent that is no resource: enough to recognise it by.
fn clip(text: &str) -> String {
    const SHOWN: usize = 256;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

/// Completes a refusal to what the caller gets.
impl Refusal {
    fn into_denial(self, call: &str, resource: &str, contract: &crate::digest::Digest, left: Gas) -> Denial {
        Denial {
            code: self.code,
            call: call.to_owned(),
            resource: clip(resource),
            reason: self.reason,
            rule: self.rule,
            contract: contract.to_string(),
            gas_left: left,
            retryable: false,
            allow: self.allow,
        }
    }
}
