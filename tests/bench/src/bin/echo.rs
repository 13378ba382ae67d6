//! A tool that does nothing: it takes the place of `memory` and answers every read with the data it came with. What a
//! call to it costs is what the kernel, the SDK and the system cost.
#![forbid(unsafe_code)]

use pawang_sdk::{Call, Done, Outcome, Replies, Tool};
use std::process::ExitCode;

fn main() -> ExitCode {
    Tool::new("memory", env!("CARGO_PKG_VERSION")).method("memory.read", echo).serve()
}

fn echo(_: &mut (), call: &Call, _: &mut Replies<'_>) -> Outcome {
    Ok(Done::data(call.data.as_slice()))
}
