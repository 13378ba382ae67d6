//! Write a Pawang tool or an automation in Rust.
//!
//! A tool names its methods and serves them ([`Tool`]); an automation asks for things ([`connect`], [`Kernel`]).
//! Both talk to the kernel over the one channel they were born with, descriptor 3, with blocking reads and
//! writes: a small call costs the tool one `read` and one `write`. There is no runtime and no thread here.
//!
//! Nothing in this crate decides anything. The kernel has decided before a tool sees a call, and an automation
//! that lies gains nothing. It reads no environment variable and opens no file.
#![deny(unsafe_code)]

mod automation;
mod book;
mod call;
mod channel;
mod detached;
mod error;
mod link;
mod outbox;
mod replies;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tool;

pub use automation::{Answer, Ask, CallId, Kernel, connect};
pub use book::Part;
pub use call::{Call, Done, Outcome, Unfinished};
pub use detached::Detached;
pub use error::{Error, Lost};
pub use pawang_protocol as protocol;
pub use pawang_protocol::{Denial, Failure, Gas};
pub use replies::{Nested, Replies};
pub use tool::Tool;
