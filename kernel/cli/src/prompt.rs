//! Asks a person for a secret on the terminal, without showing it. Never from argv, never from the environment.
//!
//! The terminal itself is opened, so that this works while stdin is a pipe. Echo is put back however reading ends;
//! Ctrl-C arrives as a character meanwhile, so that it cannot leave the terminal mute. For that the terminal's own line
//! editing is off as well, and the little of it that is needed is done here.

use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// Longest secret that is typed, in bytes.
const TYPED_MAX: usize = 4096;
/// Ctrl-C, as a character.
const INTERRUPT: u8 = 3;
/// Ctrl-D, as a character at the start of a line.
const END: u8 = 4;
/// Backspace, as terminals send it.
const ERASE: [u8; 2] = [0x7f, 0x08];
/// Ctrl-U: begin again.
const KILL: u8 = 0x15;

/// Puts the terminal back as it was.
struct Muted<'a> {
    terminal: &'a File,
    before: Termios,
}

/// Asks; returns what was typed, without the line end. `hint` says how to give the secret where there is no terminal.
///
/// # Errors
/// Where there is no terminal, or the person gave up.
pub fn ask(question: &str, hint: &str) -> Result<Zeroizing<Vec<u8>>> {
    let no_terminal =
        |e: io::Error| Trouble::new(Exit::Usage, "there is no terminal to ask on").why(e).hint(hint);
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    // First silence, then the question: whoever answers at once must not be shown.
    let _muted = Muted::new(&terminal).map_err(|e| no_terminal(e.into()))?;
    (&terminal).write_all(question.as_bytes()).map_err(no_terminal)?;
    let typed = read_line(&terminal);
    // The line end was not echoed either.
    let _ = (&terminal).write_all(b"\n");
    typed
}

fn read_line(mut terminal: &File) -> Result<Zeroizing<Vec<u8>>> {
    let mut typed = Zeroizing::new(Vec::with_capacity(TYPED_MAX));
    let mut byte = [0];
    loop {
        match terminal.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => match byte {
                [b'\n' | b'\r'] => break,
                [INTERRUPT] => return Err(Trouble::new(Exit::Stopped, "given up; nothing was changed")),
                [END] if typed.is_empty() => {
                    return Err(Trouble::new(Exit::Stopped, "given up; nothing was changed"));
                }
                [erase] if ERASE.contains(&erase) => drop_character(&mut typed),
                [KILL] => typed.clear(),
                [other] if typed.len() < TYPED_MAX => typed.push(other),
                _ => {
                    return Err(Trouble::new(Exit::Usage, "that is too long to be typed")
                        .why(format!("more than {TYPED_MAX} bytes"))
                        .hint("give it on stdin"));
                }
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Trouble::new(Exit::Failed, "cannot read from the terminal").why(e)),
        }
    }
    Ok(typed)
}

/// The last character, of however many bytes.
fn drop_character(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| (0x80..0xc0).contains(&byte)) {}
}

impl<'a> Muted<'a> {
    fn new(terminal: &'a File) -> nix::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut muted = before.clone();
        let off = LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ISIG | LocalFlags::ICANON;
        muted.local_flags.remove(off);
        // What was typed before the question is not an answer to it.
        tcsetattr(terminal, SetArg::TCSAFLUSH, &muted)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Muted<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}
