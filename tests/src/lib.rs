//! The kit of the end-to-end tests: private daemons, contracts, runs, a web server, tools that lie.
//!
//! Everything in it is real: processes, sockets, files, signatures. The programs under test are those of the folder that
//! PAWANG_PREFIX names, which `cargo xtask test` builds and names.
//!
//! Reading order: `daemon`, `job`, `control`, `ran`; then what single tests need.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

pub mod control;
pub mod daemon;
pub mod job;
pub mod processes;
pub mod puppet;
pub mod ran;
pub mod wait;
pub mod web;

pub use control::Control;
pub use daemon::{Daemon, Start};
pub use job::Job;
pub use ran::{Live, Ran};
pub use wait::until;
