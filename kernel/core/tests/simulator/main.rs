//! The deterministic simulator: a real relay over real signed contracts, and everything around it played by a seed.
//!
//! Automations call well and badly, tools answer, stream, stall, crash and lie, the operator stops and revokes, time jumps,
//! and the kernel is killed between and within events and goes on from its log. After every event the laws hold:
//! gas is conserved and spent once, no helper spends what its run was not given, the log says what the ledger says, a
//! record stands before its effect, each call is answered once and by whom it was given to (`world.rs`, `books.rs`,
//! `wires.rs`).
//!
//! A failure prints its seed; `PAWANG_SEED=n` lives that one life again and tells it step by step; `PAWANG_LIVES=n` lives that
//! many. A found seed becomes a named test in `../relay`, in words.
//!
//! What the laws are worth was tried by breaking the relay by hand, one way at a time. Each of these was found:
//! a call never settled, settled for nothing, settled twice in the log; relayed before its record; answered by a tool it was
//! not given to; a used id taken; a nested call's parent taken on trust; denials free; a cancel without a deadline, a deadline
//! without a cancel; calls of a caller that is gone going on, and answered; a helper giving back what its own helper
//! holds, or nothing; sub-ceilings and counted calls not carved; counted calls not counted; whatever a reply costs taken for
//! paid; a nested call costing its parent nothing; CPU time nobody pays for; a run out of gas going on; calls of a run
//! that is ending taken; chunks passed on after a cancel; helpers outliving their run; a broken tool started again; a place
//! reused under the same name; call numbers used again after a restart; a replay that gives uses back, or frees what was set
//! aside; a snapshot without leases, or without nested calls; a lease, an extension, a return without its record.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a simulation that is wrong should stop"
)]

mod acts;
mod books;
mod event;
#[path = "../kit/mod.rs"]
mod kit;
mod offers;
mod outside;
mod records;
mod rng;
mod talk;
mod tally;
mod wires;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use tally::Tally;
use world::World;

/// Lives, and how long each is. Together some seconds without optimisation.
const LIVES: u64 = 240;
const STEPS: u64 = 1_200;

fn live(seed: u64, is_told: bool) -> Tally {
    let mut world = World::new(seed, is_told);
    for _ in 0..STEPS {
        world.turn();
    }
    world.wind_up();
    std::mem::take(&mut world.tally)
}

#[test]
fn inv3_inv5_the_laws_hold_after_every_event_of_every_life() {
    if let Ok(seed) = std::env::var("PAWANG_SEED") {
        live(seed.parse().expect("PAWANG_SEED is a number"), true);
        return;
    }
    let lives = std::env::var("PAWANG_LIVES").map_or(LIVES, |n| n.parse().expect("PAWANG_LIVES is a number"));
    let next = AtomicU64::new(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let some = || {
        let mut tally = Tally::default();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                seed if seed <= lives => tally.merge(live(seed, false)),
                _ => return tally,
            }
        }
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        threads
            .into_iter()
            .for_each(|thread| tally.merge(thread.join().expect("a law is broken; see above")));
    });
    tally.is_complete();
}
