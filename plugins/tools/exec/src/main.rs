//! The exec tool: runs a program for its caller, without ever running one itself.
//!
//! It asks the kernel for `kernel.spawn` on the very command line that was decided on, and passes the output on. The
//! kernel starts the program in a jail of its own, so this process needs neither fork nor exec and has neither. There
//! is no shell: the command line is a list of words, and nothing splits or expands them.
//!
//! It bounds the output. It does not judge the program: an argument can make most programs do anything, and the jail
//! is what holds them.
#![forbid(unsafe_code)]

use pawang_sdk::{Call, Done, Failure, Outcome, Replies, Tool};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::ExitCode;

/// Output in bytes, both streams together, where the caller names no limit.
const OUTPUT_DEFAULT: u64 = 16 << 20;

/// What the caller may say beside the command line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunArgs {
    /// Working directory; the kernel's choice where it is absent.
    cwd: Option<String>,
    /// Environment on top of what the contract's runtime gives. The kernel refuses reserved names.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// How long the program may run, in ms, not 0; as long as the call may take where it is absent.
    timeout_ms: Option<NonZeroU32>,
    /// Most output in bytes; the program is stopped when it writes more.
    max_bytes: Option<u64>,
}

/// What the kernel is told.
#[derive(Serialize)]
struct SpawnArgs {
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<NonZeroU32>,
}

fn main() -> ExitCode {
    Tool::new("exec", env!("CARGO_PKG_VERSION")).slow_method("exec.run", run).serve()
}

/// `exec.run`: parts `{"fd": 1 | 2}` with output in `data`; the last says how it ended, as the kernel told it:
/// `{"exit": 0, "signal": null, "cpu_ms": …}`.
fn run(_: &mut (), call: &Call, replies: &mut Replies<'_>) -> Outcome {
    let RunArgs { cwd, env, timeout_ms, max_bytes } = call.args()?;
    let output_max = max_bytes.unwrap_or(OUTPUT_DEFAULT);
    let spawn = serde_json::to_vec(&SpawnArgs { cwd, env, timeout_ms })
        .map_err(|e| Failure::new("internal", format!("the request has no JSON form: {e}")))?;
    let deadline_ms = timeout_ms.map_or(0, NonZeroU32::get);
    let program = replies.call_within(deadline_ms, "kernel.spawn", &call.resource, &spawn, &call.data)?;
    let mut left = output_max;
    loop {
        let part = replies.next(&program)?;
        let length = u64::try_from(part.data.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(length).ok_or_else(|| too_much(output_max))?;
        if !part.more {
            return Ok(Done::raw(part.args).and_data(part.data));
        }
        replies.part(&part.args, &part.data)?;
    }
}

fn too_much(output_max: u64) -> Failure {
    Failure::new("too_large", format!("the program wrote more than {output_max} bytes and was stopped"))
        .hint("raise max_bytes, or let the program write to a file")
}
