//! A call through the kernel's pure part: both frames decoded, decided, charged, both records made and chained, both
//! frames encoded. No socket, no file, no other process: what is left of a call when the system costs nothing.

use crate::decisions::{NOW, World};
use crate::table::{Goal, Row, time};
use pawang_bench::{PAYLOAD, median};
use pawang_core::audit::Tip;
use pawang_core::contract::Envelope;
use pawang_core::permit::Policy;
use pawang_core::relay::{Answer, Effect, Inbound, Launch, Now, Relay, moved};
use pawang_core::run::{PeerId, RunId};
use pawang_sdk::Gas;
use pawang_sdk::protocol::{Message, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Calls in one round.
const CALLS: u32 = 20_000;
const RUN: RunId = RunId(7);

/// A relay with one run, and what a daemon keeps beside it.
struct Core {
    relay: Relay,
    automation: PeerId,
    tip: Tip,
    method: u32,
    effects: Vec<Effect>,
    records: Vec<u8>,
    frames: Vec<u8>,
    /// The tool, and the number of the last call it was sent.
    forwarded: Option<(PeerId, u64)>,
}

/// One row.
pub fn measure(rounds: usize) -> io::Result<Vec<Row>> {
    let world = World::new().map_err(io::Error::other)?;
    let mut core = Core::new(&world)?;
    let data = [7; PAYLOAD];
    let mut id = 0;
    let mut round = || -> io::Result<f64> {
        let begun = Instant::now();
        for _ in 0..CALLS {
            id += 1;
            core.call(id, &data)?;
        }
        Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
    };
    let each = median((0..rounds).map(|_| round()).collect::<io::Result<_>>()?);
    let (path, rival) = ("a call in the kernel, without any system call", String::new());
    Ok(vec![Row { path, reached: time(each), rival, figure: each / 1e3, goal: Goal::Told }])
}

impl Core {
    fn new(world: &World) -> io::Result<Self> {
        let (_, payload) = world.contract(32, 1_000_000_000)?;
        let verified = world.verify(&Envelope::sign(&payload, &world.operator).to_json())?;
        let policy = Policy::compile(&verified.contract, &world.methods).map_err(io::Error::other)?;
        let mut relay = Relay::new(Arc::new(world.methods.clone()), BTreeMap::new(), BTreeSet::new(), 1);
        let mut effects = Vec::new();
        relay.admit(&verified, &mut effects).map_err(io::Error::other)?;
        let (program, walls) = (Vec::new(), String::new());
        let launch = Launch { run: RUN, parent: None, program, walls, unix_ms: NOW * 1_000 };
        let automation = relay
            .start(now(0), verified, Arc::new(policy), launch, &mut effects)
            .map_err(io::Error::other)?;
        let method = world.methods.id("fs.read").map_or(0, |id| id.0);
        effects.clear();
        Ok(Self {
            relay,
            automation,
            tip: Tip::START,
            method,
            effects,
            records: Vec::new(),
            frames: Vec::new(),
            forwarded: None,
        })
    }

    /// There and back.
    fn call(&mut self, id: u64, data: &[u8]) -> io::Result<()> {
        self.frames.clear();
        self.records.clear();
        let asked = Message::Call {
            id,
            parent: 0,
            method: self.method,
            deadline_ms: 0,
            gas_max: 0,
            resource: "/srv/data/16/reports/2026/summary.txt",
            secrets: b"",
            args: b"",
            data,
        };
        let mut frame = Vec::with_capacity(512);
        asked.encode_frame(&mut frame).map_err(io::Error::other)?;
        let Ok(Message::Call { id, parent, method, deadline_ms, gas_max, resource, args, data, .. }) =
            Message::decode(frame.get(4..).unwrap_or_default())
        else {
            return Err(io::Error::other("not a call"));
        };
        let sent = moved(args.len(), data.len());
        let inbound =
            Inbound { id, parent, method, deadline_ms, gas_max, resource, sent, has_secrets: false };
        self.relay
            .call(now(id), self.automation, &inbound, &mut self.effects)
            .map_err(|fault| io::Error::other(fault.0))?;
        self.act(data)?;
        let (tool, number) = self.forwarded.take().ok_or_else(|| io::Error::other("the call was refused"))?;
        let received = moved(0, data.len());
        let answer = Answer { id: number, status: Status::Ok, more: false, gas: Gas::ZERO, received };
        self.relay
            .reply(now(id), tool, answer, &mut self.effects)
            .map_err(|fault| io::Error::other(fault.0))?;
        self.act(data)
    }

    /// As the daemon does, but for writing and sending.
    fn act(&mut self, data: &[u8]) -> io::Result<()> {
        let out = &mut self.frames;
        for effect in self.effects.drain(..) {
            let message = match &effect {
                Effect::Record(_) => None,
                Effect::Forward { to, id, parent, method, deadline_ms, resource, .. } => {
                    self.forwarded = Some((*to, *id));
                    let (parent, method, deadline_ms) = (*parent, method.0, *deadline_ms);
                    let (secrets, args): (&[u8], &[u8]) = (b"", b"");
                    Some(Message::Call {
                        id: *id,
                        parent,
                        method,
                        deadline_ms,
                        gas_max: 0,
                        resource,
                        secrets,
                        args,
                        data,
                    })
                }
                Effect::Answer { id, status, more, gas, .. } => {
                    let status = u8::from(*status);
                    Some(Message::Reply { id: *id, status, more: *more, gas: gas.0, args: b"", data })
                }
                _ => None,
            };
            if let Some(message) = message {
                message.encode_frame(out).map_err(io::Error::other)?;
            }
            if let Effect::Record(entry) = effect {
                self.tip.append(entry, NOW * 1_000, &mut self.records).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }
}

/// A moment, `us` after the beginning.
fn now(us: u64) -> Now {
    Now { us, unix_s: NOW }
}
