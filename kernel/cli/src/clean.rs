//! Makes what others wrote safe to show: a terminal obeys control characters, and bidi marks reorder what is read.
//!
//! [`clean`] is for text inside our own lines. [`Cleaner`] is for a program's output on a terminal: it keeps line ends
//! and tabs, remembers a character that is cut by the end of a chunk, and shows everything that is not text as `\xNN`.
//! Where the output is a pipe or a file nothing is changed: then it is data, not something a terminal acts on.

use std::fmt::Write as _;

/// Whether a terminal, or the order in which a line is read, could be changed by `c`.
///
/// Control characters (C0, DEL, C1), line and paragraph separators, bidirectional marks, embeddings, overrides and
/// isolates (Unicode UAX #9), zero-width characters that hide text, and tag characters.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` on one line, with every unsafe character shown as an escape.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// As [`clean`], and at most `max` characters: a longer text loses its middle, which tells least in a path or a URL.
#[must_use]
pub fn clean_short(text: &str, max: usize) -> String {
    let text = clean(text);
    let len = text.chars().count();
    if len <= max {
        return text;
    }
    let keep = max.saturating_sub(1);
    let head = keep.div_ceil(2);
    let tail = keep.saturating_sub(head);
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(len.saturating_sub(tail)).collect();
    format!("{begin}…{end}")
}

fn push(out: &mut String, c: char) {
    if !is_unsafe(c) {
        out.push(c);
        return;
    }
    let code = u32::from(c);
    let _ = if code < 0x100 { write!(out, "\\x{code:02x}") } else { write!(out, "\\u{{{code:x}}}") };
}

/// Cleans a stream of bytes for a terminal.
#[derive(Debug, Default)]
pub struct Cleaner {
    /// The beginning of a character that the last chunk cut; at most 3 bytes.
    cut: Vec<u8>,
}

impl Cleaner {
    /// The next chunk, safe to show.
    pub fn feed(&mut self, chunk: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(chunk);
        let mut out = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(part) = chunks.next() {
            for c in part.valid().chars() {
                if matches!(c, '\n' | '\t') { out.push(c) } else { push(&mut out, c) }
            }
            let invalid = part.invalid();
            if chunks.peek().is_none() && may_continue(invalid) {
                self.cut = invalid.to_vec();
            } else {
                escape(&mut out, invalid);
            }
        }
        out
    }

    /// What was left of a character that never came whole.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        escape(&mut out, &std::mem::take(&mut self.cut));
        out
    }
}

/// Whether more bytes could still make a character of these.
fn may_continue(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Cleaner, clean, clean_short};

    #[test]
    fn f81_nothing_that_a_terminal_obeys_survives() {
        for (text, shown) in [
            ("plain ü 漢", "plain ü 漢"),
            ("\x1b[2J\x07", "\\x1b[2J\\x07"),
            ("a\rb\nc\td", "a\\x0db\\x0ac\\x09d"),
            ("\u{9b}31m", "\\x9b31m"),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("\u{200b}\u{2066}\u{feff}\u{e0041}", "\\u{200b}\\u{2066}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(clean(text), shown);
        }
    }

    #[test]
    fn long_text_loses_its_middle() {
        assert_eq!(clean_short("/input/cities.csv", 17), "/input/cities.csv");
        assert_eq!(clean_short("/input/cities.csv", 9), "/inp….csv");
        assert_eq!(clean_short("漢字漢字", 3), "漢…字");
        assert_eq!(clean_short("abc", 0), "…");
    }

    #[test]
    fn a_stream_is_cleaned_the_same_wherever_it_is_cut() {
        let stream = "ok ü 漢\t\x1b[0m\n".bytes().chain([0xff, b'x', 0xe6, 0xbc]).collect::<Vec<u8>>();
        let whole = "ok ü 漢\t\\x1b[0m\n\\xffx\\xe6\\xbc";
        for cut in 0..=stream.len() {
            let mut cleaner = Cleaner::default();
            let mut shown = cleaner.feed(&stream[..cut]);
            shown += &cleaner.feed(&stream[cut..]);
            shown += &cleaner.finish();
            assert_eq!(shown, whole, "cut at {cut}");
        }
    }
}
