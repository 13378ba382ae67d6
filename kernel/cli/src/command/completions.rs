//! `pawang completions SHELL`.

use crate::args::Cli;
use crate::trouble::Result;
use crate::ui::Ui;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print completions for a shell.
///
/// For bash: pawang completions bash > ~/.local/share/bash-completion/completions/pawang
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Runs it.
///
/// # Errors
/// Where stdout cannot be written.
pub fn print(ui: Ui, args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pawang", &mut script);
    ui.print(&String::from_utf8_lossy(&script))
}
