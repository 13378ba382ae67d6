//! The relay, claim by claim. What must hold in any order of events is the simulator's (`../simulator`); here each test says
//! what one event does, to the unit of gas and the word of the answer.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test ends there")]

mod calls;
mod gas;
mod helpers;
#[path = "../kit/mod.rs"]
mod kit;
mod replies;
mod runs;
mod stage;
mod stopping;
