//! A call's way in, first half: identity → shape → permission. The second half is in `fund.rs` and `send.rs`.

use super::deny::Stopped;
use super::effect::Effect;
use super::flight::{Callee, Stage};
use super::{Fault, Now, PeerId, Relay, Run, RunId};
use crate::method::MethodId;
use crate::permit::{Permitted, Refusal};
use crate::resource::Resource;
use pawang_protocol::DenialCode;
use pawang_protocol::limits::{CALL_DEPTH_MAX, IN_FLIGHT_MAX};

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

/// What the rules allow. Made only by [`Relay::permit`]: `proof` is private to this file.
pub(super) struct PermittedCall {
    pub(super) run: RunId,
    pub(super) method: MethodId,
    pub(super) resource: Resource,
    /// The call it is nested in.
    pub(super) parent: Option<u64>,
    pub(super) depth: u8,
    pub(super) permitted: Permitted,
    #[expect(dead_code, reason = "its privacy is its use")]
    proof: Proof,
}

struct Proof;

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
        if !self.is_alive(run) {
            return Ok(());
        }
        let number = self.next_call;
        self.next_call = number.saturating_add(1);
        if let Some(run) = self.runs.get_mut(&run) {
            run.calls = run.calls.saturating_add(1);
        }
        let outcome = self
            .permit(now, run, from, call)
            .map_err(Stopped::from)
            .and_then(|permitted| self.fund(permitted, call, out))
            .map(|funded| self.send(now, from, call, number, funded, out));
        if let Err(stopped) = outcome {
            self.deny(run, from, call, number, stopped, out);
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
    fn permit(&self, now: Now, id: RunId, from: PeerId, call: &Inbound) -> Result<PermittedCall, Refusal> {
        let method = MethodId(call.method);
        let row = self.methods.get(method).ok_or_else(|| {
            Refusal::new(DenialCode::UnknownMethod, format!("no method has number {}", call.method))
        })?;
        let peer = self.peer(from);
        let in_flight = peer.map_or(0, |peer| peer.calls.len());
        if in_flight >= IN_FLIGHT_MAX {
            return Err(Refusal::new(
                DenialCode::TooManyInFlight,
                format!("{in_flight} calls are in flight; at most {IN_FLIGHT_MAX} may be"),
            ));
        }
        let resource = Resource::parse(row.resource, call.resource)
            .map_err(|error| Refusal::new(DenialCode::MalformedResource, error.to_string()))?;
        let run = self.runs.get(&id).ok_or_else(|| malformed("no such run"))?;
        if now.unix_s >= run.verified.contract.not_after {
            return Err(Refusal::new(DenialCode::Expired, "the contract has expired".to_owned()));
        }
        if let Some(tool) = peer.and_then(|peer| peer.tool) {
            return self.permit_nested(id, from, tool, method, resource, call.parent);
        }
        if call.parent != 0 {
            return Err(malformed("an automation serves no calls, so none of its calls has a parent"));
        }
        let permitted = run.policy.decide(method, &resource)?;
        self.secrets_at_hand(run, &permitted)?;
        Ok(PermittedCall { run: id, method, resource, parent: None, depth: 0, permitted, proof: Proof })
    }

    /// A secret that is bound to the request and cannot be put in refuses it: it must not go out without.
    fn secrets_at_hand(&self, run: &Run, permitted: &Permitted) -> Result<(), Refusal> {
        let secrets = &run.verified.contract.secrets;
        let bound = permitted.secrets.iter().filter_map(|&at| secrets.get(usize::from(at)));
        match bound.map(|secret| &secret.name).find(|name| !self.secrets.contains(*name)) {
            None => Ok(()),
            Some(missing) => Err(Refusal::new(
                DenialCode::SecretRefused,
                format!("the secret {missing} is bound to this request and is not in the open vault"),
            )),
        }
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
    ) -> Result<PermittedCall, Refusal> {
        let served = self
            .flights
            .get(&parent)
            .filter(|flight| flight.callee == Callee::Peer(from) && flight.stage == Stage::Relayed)
            .ok_or_else(|| malformed("the parent is not a call this tool is serving"))?;
        let name = |id| self.methods.get(id).map_or("", |row| row.name.as_str());
        if !NESTED.contains(&(tool, name(served.method), name(method))) {
            let reason = "this tool may not make this call".to_owned();
            return Err(Refusal::new(DenialCode::MethodNotGranted, reason));
        }
        if served.resource != resource.canonical() {
            let reason = "a nested call keeps the resource of its parent".to_owned();
            return Err(Refusal::new(DenialCode::ResourceNotGranted, reason));
        }
        let depth = served.depth.saturating_add(1);
        if depth >= CALL_DEPTH_MAX {
            return Err(malformed("calls are nested too deep"));
        }
        let (parent, permitted) = (Some(parent), Permitted::default());
        Ok(PermittedCall { run, method, resource, parent, depth, permitted, proof: Proof })
    }
}

fn malformed(reason: &str) -> Refusal {
    Refusal::new(DenialCode::MalformedCall, reason.to_owned())
}
