//! Where the command's words go: the result on stdout, the talk on stderr.
//!
//! A reader that closes its end of stdout (`pawang timeline X | head`) ends the command quietly. Nothing here
//! decides anything; commands hand in text that is clean, or let [`crate::table`] clean it.

use crate::exit::Exit;
use crate::paint::{Paint, Tone, When};
use crate::table::Table;
use crate::trouble::{Result, Trouble};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How this command shows things.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Colour of stdout.
    pub out: Paint,
    /// Colour of stderr.
    pub err: Paint,
}

impl Ui {
    /// As `--color` and the two streams have it.
    #[must_use]
    pub fn new(when: When) -> Self {
        Self {
            out: Paint::new(when, io::stdout().is_terminal()),
            err: Paint::new(when, io::stderr().is_terminal()),
        }
    }

    /// Result text, as it is.
    ///
    /// # Errors
    /// Where stdout cannot be written; a closed pipe is no error, it ends the process with success.
    pub fn print(&self, text: &str) -> Result<()> {
        write_out(text.as_bytes())
    }

    /// Result text and a line end.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub fn line(&self, text: &str) -> Result<()> {
        write_out(format!("{text}\n").as_bytes())
    }

    /// One value as one line of JSON.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|e| Trouble::new(Exit::Failed, "the result cannot be written as JSON").why(e))?;
        self.line(&text)
    }

    /// A table, cut to the terminal; where it has no rows, `none` says so.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub fn table(&self, table: &Table, none: &str) -> Result<()> {
        if table.is_empty() {
            self.talk(none);
            return Ok(());
        }
        self.print(&table.render(self.out, crate::paint::width()))
    }

    /// A line of talk on stderr. What cannot be told is not worth ending for.
    pub fn talk(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// A line of talk that says something was done.
    pub fn done(&self, text: &str) {
        self.talk(&format!("{} {text}", self.err.tone(Tone::Good, "✓")));
    }

    /// A line of talk that warns.
    pub fn warn(&self, text: &str) {
        self.talk(&format!("{} {text}", self.err.tone(Tone::Warn, "!")));
    }
}

/// Raw bytes to stdout, at once.
///
/// # Errors
/// As [`Ui::print`].
pub fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Trouble::new(Exit::Failed, "cannot write to stdout").why(e)),
    }
}
