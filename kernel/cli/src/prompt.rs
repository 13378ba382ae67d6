//! Asks a person for a secret on the terminal, without showing it. Never from argv, never from the environment.
//!
//! The terminal itself is opened, so that this works while stdin is a pipe. Echo is put back however reading ends;
//! Ctrl-C arrives as a character meanwhile, so that it cannot leave the terminal mute.

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
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    write!(terminal, "{question}").map_err(no_terminal)?;
    let typed = {
        let _muted = Muted::new(&terminal).map_err(|e| no_terminal(e.into()))?;
        read_line(&terminal)
    };
    // The line end was not echoed either.
    let _ = writeln!(terminal);
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

impl<'a> Muted<'a> {
    fn new(terminal: &'a File) -> nix::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut muted = before.clone();
        muted.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ISIG);
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
