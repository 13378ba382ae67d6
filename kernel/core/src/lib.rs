//! Every decision of the Pawang kernel, and none of its acts: pure functions and data, no I/O, no clock, no randomness.
//!
//! Reading order: [`method`] (what can be called, and its price), [`resource`] (what a call is about, made
//! canonical once), [`contract`] (what is signed), [`trust`] (whose signature counts), [`permit`] (the one
//! decision), [`ledger`] (gas), [`relay`] (the state machine of calls), [`record`] (what the log says), [`replay`]
//! (the log read back), [`control`] (what the command line and the daemon say to each other).
//!
//! Time, keys and bytes come in as arguments; what is to be done comes out as values. That is what makes
//! enforcement, `pawang explain`, replay and the simulator one code path.
#![forbid(unsafe_code)]

pub mod attenuate;
pub mod audit;
pub mod contract;
pub mod control;
pub mod digest;
pub mod explain;
mod hex;
pub mod key;
pub mod ledger;
pub mod method;
pub mod permit;
pub mod record;
pub mod redact;
pub mod relay;
pub mod replay;
pub mod resource;
pub mod run;
pub mod trust;
pub mod vault;
