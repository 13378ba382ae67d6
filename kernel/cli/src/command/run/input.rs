//! Forwards our stdin to the program, where it is a pipe or a file; else the program finds its own closed.
//!
//! One piece at a time: the next is read when the program's pipe has taken the last, so that nothing piles up here or
//! in the daemon. A terminal is not forwarded: what is typed there is meant for the shell and for Ctrl-C.

use crate::client::Voice;
use pawang_core::control::RunRef;
use pawang_core::run::RunId;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Bytes forwarded at once; a quarter of what one message may hold, and what a pipe holds.
const CHUNK: usize = 64 << 10;

/// The forwarding, seen from the thread that reads replies.
#[derive(Debug, Default)]
pub(super) struct Input {
    answers: Option<Sender<u64>>,
}

impl Input {
    /// Begins to forward to `run`.
    pub(super) fn start(voice: Voice, run: RunId) -> Self {
        let (answers, answered) = channel();
        let run = RunRef { run: run.to_string() };
        // Ends with the process: a read from stdin cannot be interrupted otherwise.
        thread::spawn(move || forward(&voice, &run, &answered));
        Self { answers: Some(answers) }
    }

    /// A call other than the run's was answered; it may have been a piece of input.
    pub(super) fn answered(&self, id: u64) {
        if let Some(answers) = &self.answers {
            let _ = answers.send(id);
        }
    }
}

fn forward(voice: &Voice, run: &RunRef, answered: &Receiver<u64>) {
    let mut chunk = vec![0; CHUNK];
    let is_forwarded = is_pipe_or_file();
    loop {
        let read = if is_forwarded { read_some(&mut chunk) } else { 0 };
        let piece = chunk.get(..read).unwrap_or_default();
        // Where the run has ended, or closed its stdin, there is nobody to tell.
        let Ok(id) = voice.call("ctl.stdin", run, piece) else { return };
        if read == 0 || !answered.iter().any(|answer| answer == id) {
            return;
        }
    }
}

/// Zero at the end, and on an error, which ends the input as well.
fn read_some(chunk: &mut [u8]) -> usize {
    loop {
        match io::stdin().lock().read(chunk) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            read => return read.unwrap_or(0),
        }
    }
}

fn is_pipe_or_file() -> bool {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let kind = stdin.and_then(|file| file.metadata()).map(|meta| meta.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_file() || kind.is_socket())
}
