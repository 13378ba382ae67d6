//! What a program prints: data, and shown as such.
//!
//! Into a pipe or a file it goes as it is. On a terminal it is cleaned of everything a terminal would obey, because
//! whoever runs untrusted programs reads their output in a terminal that obeys. Each stream is judged by itself.

use crate::clean::Cleaner;
use crate::trouble::Result;
use crate::ui::write_out;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Writes a program's two streams to ours.
#[derive(Debug)]
pub struct Output {
    out: Stream,
    err: Stream,
}

#[derive(Debug)]
struct Stream {
    /// Present where the stream is a terminal.
    cleaner: Option<Cleaner>,
    /// Whether the last thing shown on this terminal ended its line.
    is_line_ended: bool,
}

impl Output {
    /// To this process's own streams.
    #[must_use]
    pub fn new() -> Self {
        let stream =
            |is_terminal: bool| Stream { cleaner: is_terminal.then(Cleaner::default), is_line_ended: true };
        Self { out: stream(io::stdout().is_terminal()), err: stream(io::stderr().is_terminal()) }
    }

    /// The next piece of stream `fd`, 1 or 2.
    ///
    /// # Errors
    /// Where stdout cannot be written. What stderr cannot take is lost.
    pub fn write(&mut self, fd: u8, data: &[u8]) -> Result<()> {
        if fd == 2 {
            let bytes = self.err.prepare(data);
            let _ = io::stderr().write_all(&bytes);
            return Ok(());
        }
        write_out(&self.out.prepare(data))
    }

    /// Before a line of our own: ends a line that the program left open on the terminal.
    pub fn break_line(&mut self) {
        let is_open = |stream: &Stream| stream.cleaner.is_some() && !stream.is_line_ended;
        if is_open(&self.out) || is_open(&self.err) {
            let _ = io::stderr().write_all(b"\n");
            self.out.is_line_ended = true;
            self.err.is_line_ended = true;
        }
    }

    /// What was still held back.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn finish(&mut self) -> Result<()> {
        let _ = io::stderr().write_all(self.err.rest().as_bytes());
        write_out(self.out.rest().as_bytes())
    }
}

impl Stream {
    fn prepare(&mut self, data: &[u8]) -> Vec<u8> {
        match &mut self.cleaner {
            None => data.to_vec(),
            Some(cleaner) => {
                let text = cleaner.feed(data);
                self.is_line_ended = text.chars().next_back().map_or(self.is_line_ended, |c| c == '\n');
                text.into_bytes()
            }
        }
    }

    fn rest(&mut self) -> String {
        self.cleaner.as_mut().map(Cleaner::finish).unwrap_or_default()
    }
}

/// One piece of output as JSON: `text` where it is UTF-8, `hex` where it is not, so that nothing is lost.
#[must_use]
pub fn as_json(fd: u8, data: &[u8]) -> Value {
    match std::str::from_utf8(data) {
        Ok(text) => json!({"event": "output", "fd": fd, "text": text}),
        Err(_) => {
            let hex = data.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            json!({"event": "output", "fd": fd, "hex": hex})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cleaner, Stream, as_json};

    #[test]
    fn f81_a_terminal_gets_cleaned_text_and_a_pipe_gets_the_bytes() {
        let hostile = b"\x1b]0;title\x07ok\xff";
        let mut terminal = Stream { cleaner: Some(Cleaner::default()), is_line_ended: true };
        let mut pipe = Stream { cleaner: None, is_line_ended: true };
        assert_eq!(terminal.prepare(hostile), b"\\x1b]0;title\\x07ok\\xff");
        assert!(!terminal.is_line_ended);
        assert_eq!(pipe.prepare(hostile), hostile);
    }

    #[test]
    fn json_loses_nothing() {
        assert_eq!(as_json(1, "ü\n".as_bytes())["text"], "ü\n");
        assert_eq!(as_json(2, b"a\xff")["hex"], "61ff");
    }
}
