//! A call's way in, last step: record, then relay.

use super::call::Inbound;
use super::effect::Effect;
use super::flight::{Callee, Flight, Stage};
use super::fund::Funded;
use super::reply::Ending;
use super::{BACKOFF_MS, Now, PeerId, Relay, RunId, Tool, plugin_of};
use crate::ledger::Reservation;
use crate::permit::Permitted;
use crate::record::Entry;
use crate::resource::Resource;
use pawang_protocol::{Failure, Gas};

/// What of a call the last step needs more than once.
struct Sent<'a> {
    now: Now,
    from: PeerId,
    inbound: &'a Inbound<'a>,
    /// The kernel's number for it.
    id: u64,
    name: String,
    wait_ms: u64,
}

impl Relay {
    /// Record, then relay. Takes only what is paid for.
    pub(super) fn send(
        &mut self,
        now: Now,
        from: PeerId,
        inbound: &Inbound,
        id: u64,
        funded: Funded,
        out: &mut Vec<Effect>,
    ) {
        let Some(row) = self.methods.get(funded.call.method) else { return };
        let wait_ms = match u64::from(inbound.deadline_ms) {
            0 => row.deadline_ms,
            asked => asked.min(row.deadline_ms),
        };
        let sent = Sent { now, from, inbound, id, name: row.name.as_str().to_owned(), wait_ms };
        out.push(Effect::Record(self.record_of(&sent, &funded)));
        let callee = self.relay_to(&sent, &funded, out);
        self.take_off(&sent, funded, callee);
        if callee == Callee::Nobody {
            let plugin = plugin_of(&sent.name).unwrap_or_default();
            let failure =
                Failure::new("tool_broken", format!("the {plugin} tool crashed too often in this run"))
                    .hint("pawang timeline shows the calls it crashed in");
            self.settle(now, id, Ending::Failed(failure), out);
        }
    }

    fn record_of(&self, sent: &Sent, funded: &Funded) -> Entry {
        let call = &funded.call;
        let reservation = funded.reservation.as_ref();
        Entry::Call {
            run: call.run,
            call: sent.id,
            parent: call.parent,
            method: sent.name.clone(),
            resource: loggable(&call.resource),
            reserved: reservation.map_or(Gas::ZERO, Reservation::amount),
            each: reservation.map_or_else(Vec::new, |reservation| reservation.each().to_vec()),
            counted: call.permitted.max_calls.map(|max| (usize::from(call.permitted.grant), max)),
            sent: sent.inbound.sent,
            secrets: self.secret_names(call.run, &call.permitted),
        }
    }

    fn secret_names(&self, run: RunId, permitted: &Permitted) -> Vec<String> {
        let Some(run) = self.runs.get(&run) else { return Vec::new() };
        let secrets = &run.verified.contract.secrets;
        let bound = permitted.secrets.iter().filter_map(|&at| secrets.get(usize::from(at)));
        bound.map(|secret| secret.name.clone()).collect()
    }

    /// Passes the call on, and says to whom.
    fn relay_to(&mut self, sent: &Sent, funded: &Funded, out: &mut Vec<Effect>) -> Callee {
        let call = &funded.call;
        let (run, id, method) = (call.run, sent.id, call.method);
        let resource = call.resource.canonical().to_owned();
        let Some(plugin) = plugin_of(&sent.name) else {
            out.push(Effect::Serve { run, id, method, resource });
            return Callee::Kernel;
        };
        if self.is_broken(run, plugin) {
            return Callee::Nobody;
        }
        let to = self.tool(run, plugin, out);
        out.push(Effect::Forward {
            to,
            id,
            parent: call.parent.unwrap_or(0),
            method,
            deadline_ms: u32::try_from(sent.wait_ms).unwrap_or(u32::MAX),
            resource,
            secrets: call.permitted.secrets.clone(),
        });
        Callee::Peer(to)
    }

    /// Enters the call into the table, under its caller, its deadline and the call it is nested in.
    fn take_off(&mut self, sent: &Sent, funded: Funded, callee: Callee) {
        let Funded { call, price, reservation, .. } = funded;
        let (id, inbound, started_us) = (sent.id, sent.inbound, sent.now.us);
        let deadline_us = started_us.saturating_add(sent.wait_ms.saturating_mul(1_000));
        if let Some(peer) = self.peer_mut(sent.from) {
            peer.calls.push((inbound.id, id));
        }
        self.deadlines.insert((deadline_us, id));
        if let Some(parent) = call.parent.and_then(|parent| self.flights.get_mut(&parent)) {
            parent.nested_open = parent.nested_open.saturating_add(1);
        }
        let flight = Flight {
            run: call.run,
            caller: sent.from,
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
            booked: Gas::ZERO,
            nested_open: 0,
            stage: Stage::Relayed,
            started_us,
            deadline_us,
            resource: call.resource.canonical().to_owned(),
            has_secrets: !call.permitted.secrets.is_empty(),
        };
        self.flights.insert(id, flight);
        self.book_on_parents(id);
    }

    /// The peer of a tool of a run, asking for its start where it is not alive.
    pub(super) fn tool(&mut self, id: RunId, plugin: &'static str, out: &mut Vec<Effect>) -> PeerId {
        let known = self.runs.get(&id).and_then(|run| run.tool(plugin)).unwrap_or_default();
        if let Some(peer) = known.peer {
            return peer;
        }
        let peer = self.add_peer(id, Some(plugin));
        if let Some(run) = self.runs.get_mut(&id) {
            run.set_tool(plugin, Tool { peer: Some(peer), crashes: known.crashes });
        }
        let delay_ms = match known.crashes {
            0 => 0,
            n => BACKOFF_MS.saturating_mul(1 << n.min(10)),
        };
        out.push(Effect::StartTool { run: id, peer, plugin, delay_ms, crashes: known.crashes });
        peer
    }
}

/// The resource as it may stand in the log: the query of a URL may hold what nobody should read there (f80).
pub(super) fn loggable(resource: &Resource) -> String {
    let text = resource.canonical();
    match (resource, text.split_once('?')) {
        (Resource::Http(_), Some((before, query))) => format!("{before}?({} bytes)", query.len()),
        _ => text.to_owned(),
    }
}
