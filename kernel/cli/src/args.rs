//! What can be asked. Each command's own options stand in its file under [`crate::command`].

use crate::command::{
    audit, completions, contract, doctor, explain, key, logs, ps, run, secret, service, stop, timeline, trust,
};
use crate::exit;
use crate::paint::When;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Run automation that nobody needs to trust, under a signed contract, with finite gas.
#[derive(Debug, Parser)]
#[command(
    name = "pawang",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "First time:\n  pawang key new                              make your key; this machine's daemon will accept it\n  \
                  pawang contract new > job.toml              write down what the program may do\n  \
                  pawang run job.toml -- python3 report.py    run it\n\n\
                  The daemon starts by itself when it is needed. How commands end: pawang help exit-codes"
)]
pub struct Cli {
    /// State directory of the daemon to talk to [else: $PAWANG_STATE, the system's service, ~/.local/state/pawang]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub state: Option<PathBuf>,
    /// When to colour: on a terminal, always, never. NO_COLOR is respected.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        hide_possible_values = true
    )]
    pub color: When,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make or show your signing key.
    #[command(subcommand)]
    Key(key::Command),
    /// Say whose signatures the daemon accepts, and how far.
    #[command(subcommand)]
    Trust(trust::Command),
    /// Write, check, sign, compare, narrow and revoke contracts.
    #[command(subcommand)]
    Contract(contract::Command),
    Run(run::RunArgs),
    Ps(ps::PsArgs),
    Inspect(ps::InspectArgs),
    Stop(stop::StopArgs),
    Logs(logs::LogsArgs),
    Timeline(timeline::TimelineArgs),
    Gas(timeline::GasArgs),
    Explain(explain::ExplainArgs),
    /// Keep keys and passwords in the vault; programs never see them.
    #[command(subcommand)]
    Secret(secret::Command),
    /// Verify or export the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Run the kernel as a service of systemd.
    #[command(subcommand)]
    Service(service::Command),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    /// How pawang ends: the exit codes.
    #[command(name = "exit-codes", long_about = exit::table())]
    ExitCodes,
}

/// Options of commands that sign.
#[derive(Debug, Clone, clap::Args)]
pub struct KeyOption {
    /// Your key file [else: $PAWANG_KEY, operator.key in a named state directory, ~/.config/pawang/key]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|a| !a.is_global_set()) {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_a_usage_error() {
        for words in [
            &["pawang", "run"][..],
            &["pawang", "frobnicate"],
            &["pawang", "ps", "--json=maybe"],
            &["pawang", "timeline"],
            &["pawang", "secret", "set"],
            &["pawang", "secret", "set", "NAME", "VALUE"],
            &["pawang", "--color", "sometimes", "ps"],
            &["pawang", "explain"],
        ] {
            let error = Cli::try_parse_from(words).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
