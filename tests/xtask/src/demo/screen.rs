//! What a demo looks like: headings and commands, in colour on a terminal and plain where piped.

use super::claims::Claim;
use super::interrupt::Interrupt;
use crate::trouble::Trouble;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

/// The screen.
pub struct Screen {
    is_coloured: bool,
    steps: u32,
}

impl Screen {
    /// Coloured if it is a terminal, and nobody asked for no colour.
    pub fn new() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_coloured: std::io::stdout().is_terminal() && !no_colour, steps: 0 }
    }

    /// Whether commands are to print in colour.
    pub const fn is_coloured(&self) -> bool {
        self.is_coloured
    }

    /// The first line, and one below it.
    pub fn title(&self, title: &str, below: &str) {
        println!("\n{}\n{}", self.styled("1", title), self.styled("2", below));
    }

    /// A numbered heading.
    pub fn step(&mut self, text: &str) {
        self.steps += 1;
        println!("\n{}", self.styled("1", &format!("{}  {text}", self.steps)));
    }

    /// A command as one would type it.
    pub fn command(&self, words: &[&str], has_stdin: bool) {
        let stdin = if has_stdin { "pass show demo | " } else { "" };
        println!("{}", self.styled("36", &format!("$ {stdin}pawang {}", words.join(" "))));
    }

    /// Whether something holds.
    pub fn claim(&self, claim: &Claim) {
        let (colour, sign) = if claim.holds { ("32", "✓") } else { ("31", "✗") };
        println!("{} {}", self.styled(colour, sign), claim.text);
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Runs a command with both its outputs on one pipe, in the order it wrote them; shows and keeps all of it. Returns
/// its exit status, or `None` if a signal ended it.
///
/// # Errors
/// [`Trouble::System`] where it cannot be started.
pub fn run_shown(
    command: &mut Command,
    stdin: Option<&str>,
    interrupt: &Interrupt,
    seen: &mut Vec<u8>,
) -> Result<Option<i32>, Trouble> {
    let trouble = |error: std::io::Error| Trouble::System {
        what: "cannot run pawang".to_owned(),
        why: error.to_string(),
    };
    let (reader, writer) = std::io::pipe().map_err(trouble)?;
    command.stdout(writer.try_clone().map_err(trouble)?).stderr(writer);
    if stdin.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(trouble)?;
    interrupt.running(child.id());
    // The command holds the writing ends; as long as one is open, the pipe does not end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
        pipe.write_all(text.as_bytes()).map_err(trouble)?;
    }
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(trouble)? > 0 {
        std::io::stdout().write_all(&line).map_err(trouble)?;
        seen.append(&mut line);
    }
    let status = child.wait().map_err(trouble)?;
    interrupt.running(0);
    Ok(status.code())
}
