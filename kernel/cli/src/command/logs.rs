//! `pawang logs RUN`: what a run printed. On a terminal it is cleaned; into a pipe it is given as it was.

use crate::command::Context;
use crate::command::run::output::Output;
use crate::trouble::Result;
use clap::Args;
use pawang_core::control::{LogsRequest, OutputChunk};

/// Show what a run printed: its stdout on stdout, its stderr on stderr.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The run: its id, or a beginning that only one run has.
    run: String,
    /// Go on until the run ends.
    #[arg(long, short)]
    follow: bool,
    /// One JSON object per piece: `fd`, and `text` or, where it is not UTF-8, `hex`.
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// No such run, or a lost connection.
pub fn run(context: &Context, args: &LogsArgs) -> Result<()> {
    let mut client = context.connect()?;
    let request = LogsRequest { run: args.run.clone(), follow: args.follow };
    let mut output = Output::new();
    client.stream("cannot show the output", "ctl.logs", &request, |reply| {
        if reply.data.is_empty() {
            return Ok(());
        }
        let chunk: OutputChunk = reply.decode()?;
        if args.json {
            return context.ui.json(&crate::command::run::output::as_json(chunk.fd, &reply.data));
        }
        output.write(chunk.fd, &reply.data)
    })?;
    output.finish()
}
