//! One daemon, real tools, real programs: what the parts promise together.
//!
//! Each file is one subject. A name that begins with `f` and a number holds against the flaw of that number in other systems.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod admission;
mod control;
mod frames;
mod helpers;
mod lies;
mod log;
mod pages;
mod secrets;
mod stubborn;
mod walls;
mod work;
