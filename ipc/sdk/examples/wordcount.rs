//! A whole tool: counts lines, words and bytes of the text it is sent. Its manifest is `wordcount.toml`.
//!
//! It runs in the narrowest sandbox there is: one channel, no files, no network.

use pawang_sdk::{Call, Done, Failure, Outcome, Replies, Tool};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Whether empty lines count too.
    #[serde(default)]
    empty_lines: bool,
}

#[derive(Serialize)]
struct Counts {
    lines: usize,
    words: usize,
    bytes: usize,
}

fn main() -> ExitCode {
    Tool::new("wordcount", env!("CARGO_PKG_VERSION")).method("wordcount.count", count).serve()
}

fn count(_: &mut (), call: &Call, _: &mut Replies<'_>) -> Outcome {
    let args: Args = call.args()?;
    let text = std::str::from_utf8(&call.data)
        .map_err(|_| Failure::new("bad_text", "the text is not UTF-8").hint("convert it first"))?;
    let lines = text.lines().filter(|line| args.empty_lines || !line.trim().is_empty()).count();
    Ok(Done::json(&Counts { lines, words: text.split_whitespace().count(), bytes: text.len() })?)
}
