//! The deterministic simulator: a real relay over real signed contracts, and everything around it played by a seed.
//!
//! Automations call well and badly, tools answer, stream, stall, crash and lie, the operator stops and revokes, time jumps,
//! and the kernel is killed between and within events and goes on from its log. After every event the laws hold:
//! gas is conserved and spent once, no helper spends what its run was not given, the log says what the ledger says, a
//! record stands before its effect, each call is answered once and by whom it was given to (`world.rs`, `books.rs`,
//! `wires.rs`).
//!
//! A failure prints its seed; `PAWANG_SEED=n` lives that one life again and tells it step by step. A found seed becomes a
//! named test in `relay*.rs`, in words.
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
mod rng;
mod tally;
mod wires;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use tally::Tally;
use world::World;

/// Lives, and how long each is. Together some seconds without optimisation.
const SEEDS: u64 = 240;
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
    let next = AtomicU64::new(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lives = || {
        let mut tally = Tally::default();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                seed if seed <= SEEDS => tally.merge(live(seed, false)),
                _ => return tally,
            }
        }
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(lives)).collect();
        threads
            .into_iter()
            .for_each(|thread| tally.merge(thread.join().expect("a law is broken; see above")));
    });
    tally.is_complete();
}
