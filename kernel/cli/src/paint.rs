//! Colour and width. Colour means something (green done, yellow about to hurt, red refused), and nothing is told by
//! colour alone. Nothing is coloured that is not a terminal, or where NO_COLOR is set, unless `--color always` says so.

use clap::ValueEnum;
use std::env;
use std::io::IsTerminal;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// Done, whole, open.
    Good,
    /// About to hurt.
    Warn,
    /// Refused, broken.
    Bad,
    /// Beside the point.
    Dim,
    /// What the line is about.
    Strong,
}

/// Whether one of the two streams is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colour.
    #[cfg(test)]
    pub const NONE: Self = Self { on: false };

    /// For a stream that is, or is not, a terminal.
    #[must_use]
    pub fn new(when: When, is_terminal: bool) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: match when {
                When::Always => true,
                When::Never => false,
                When::Auto => is_terminal && !no_color && !dumb,
            },
        }
    }

    /// `text` in the colour of its meaning. `text` must be clean already.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns of the terminal that stdout is; `None` where it is not one, and so nothing need be cut to fit.
#[must_use]
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let (columns, _) = terminal_size::terminal_size().map(|(w, h)| (w.0, h.0))?;
    Some(usize::from(columns).max(60))
}

#[cfg(test)]
mod tests {
    use super::{Paint, Tone, When};

    #[test]
    fn colour_is_put_on_only_when_asked_for() {
        assert_eq!(Paint::new(When::Always, false).tone(Tone::Bad, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Paint::new(When::Never, true).tone(Tone::Bad, "no"), "no");
        assert_eq!(Paint::new(When::Auto, false).tone(Tone::Good, "yes"), "yes");
    }
}
