//! The floor: three processes with a relay in the middle that decides nothing, charges nothing and writes nothing down.
//! And the smallest program there is, for measuring how it is started.
//!
//! `ping N`, `pipe N DEPTH`: as the automation of the same commands does, through the bare relay; prints figures.
//! `ready`: writes 16 bytes and ends. `middle`, `middle-pipe`, `end`: the other two processes, started by the first.
//! Channels are what a program is born with: a socket as standard input, and for the middle one as standard output too.
#![forbid(unsafe_code)]
#![allow(clippy::as_conversions, reason = "a time in ns fits into 64 bits for 500 years")]

use pawang_bench::{Figures, MESSAGE, WARM_UP};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Bytes taken at once, as the kernel does.
const READ_MAX: usize = 64 << 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().unwrap_or(0_usize);
    let done = match words[..] {
        ["ping", calls] => ping(number(calls)).map(|figures| println!("{figures}")),
        ["pipe", calls, depth] => pipe(number(calls), number(depth)).map(|figures| println!("{figures}")),
        ["ready"] => io::stdout().write_all(&[b'.'; 16]).and_then(|()| io::stdout().flush()),
        ["middle"] => middle(),
        ["middle-pipe"] => middle_pipe(),
        ["end"] => end(),
        _ => Err(io::Error::other("ping N | pipe N DEPTH | ready")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the other two and returns this one's end.
fn chain(middle: &str) -> io::Result<UnixStream> {
    let (ours, front) = UnixStream::pair()?;
    let (back, last) = UnixStream::pair()?;
    let own = std::env::current_exe()?;
    let start = |role: &str, stdin: UnixStream, stdout: Stdio| {
        Command::new(&own).arg(role).stdin(OwnedFd::from(stdin)).stdout(stdout).spawn()
    };
    start(middle, front, OwnedFd::from(back).into())?;
    start("end", last, Stdio::null())?;
    Ok(ours)
}

fn ping(calls: usize) -> io::Result<Figures> {
    let mut stream = chain("middle")?;
    let mut message = message();
    let mut samples = Vec::with_capacity(calls);
    let mut begun = Instant::now();
    for call in 0..calls + WARM_UP {
        if call == WARM_UP {
            samples.clear();
            begun = Instant::now();
        }
        let before = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        samples.push(before.elapsed().as_nanos() as u64);
    }
    Ok(Figures::of(samples, begun.elapsed()))
}

/// Reads what is there, and sends one new message for each whole one, in one write.
fn pipe(calls: usize, depth: usize) -> io::Result<Figures> {
    let mut stream = chain("middle-pipe")?;
    let (batch, mut buffer) = (message().repeat(depth), vec![0; READ_MAX]);
    let (mut sent, mut received) = (depth.min(calls), 0);
    let mut open: VecDeque<Instant> = vec![Instant::now(); sent].into();
    let mut samples = Vec::with_capacity(calls);
    let begun = Instant::now();
    stream.write_all(batch.get(..MESSAGE * sent).unwrap_or_default())?;
    while samples.len() < calls {
        received += stream.read(&mut buffer)?;
        let whole = received / MESSAGE - samples.len();
        samples.extend(open.drain(..whole).map(|begun| begun.elapsed().as_nanos() as u64));
        let more = whole.min(calls - sent);
        open.extend(vec![Instant::now(); more]);
        stream.write_all(batch.get(..MESSAGE * more).unwrap_or_default())?;
        sent += more;
    }
    Ok(Figures::of(samples, begun.elapsed()))
}

/// A descriptor this process was born with, as a socket.
fn born_with(fd: impl AsFd) -> io::Result<UnixStream> {
    fd.as_fd().try_clone_to_owned().map(UnixStream::from)
}

/// One message at a time: there, and back.
fn middle() -> io::Result<()> {
    let (mut front, mut back) = (born_with(io::stdin())?, born_with(io::stdout())?);
    let (mut buffer, mut out) = (vec![0; READ_MAX], Vec::new());
    loop {
        if !pass(&mut front, &mut back, &mut buffer, &mut out)?
            || !pass(&mut back, &mut front, &mut buffer, &mut out)?
        {
            return Ok(());
        }
    }
}

/// Whichever side has something.
fn middle_pipe() -> io::Result<()> {
    let (mut front, mut back) = (born_with(io::stdin())?, born_with(io::stdout())?);
    let (mut buffer, mut out) = (vec![0; READ_MAX], Vec::new());
    loop {
        let mut polled = [PollFd::new(&front, PollFlags::IN), PollFd::new(&back, PollFlags::IN)];
        poll(&mut polled, None)?;
        let [is_front, is_back] = polled.map(|fd| !fd.revents().is_empty());
        if (is_front && !pass(&mut front, &mut back, &mut buffer, &mut out)?)
            || (is_back && !pass(&mut back, &mut front, &mut buffer, &mut out)?)
        {
            return Ok(());
        }
    }
}

fn end() -> io::Result<()> {
    let mut stream = born_with(io::stdin())?;
    let mut back = stream.try_clone()?;
    let (mut buffer, mut out) = (vec![0; READ_MAX], Vec::new());
    while pass(&mut stream, &mut back, &mut buffer, &mut out)? {}
    Ok(())
}

/// Passes on the messages that are there, one by one, in one write. `false` at the end of the stream.
///
/// A relay has to know where a message ends; that much it does with each, and no more. No message is ever cut in two
/// here: all in flight fit into one read.
fn pass(
    from: &mut UnixStream,
    to: &mut UnixStream,
    buffer: &mut [u8],
    out: &mut Vec<u8>,
) -> io::Result<bool> {
    let count = from.read(buffer)?;
    let mut rest = buffer.get(..count).unwrap_or_default();
    out.clear();
    while let Some((word, after)) = rest.split_first_chunk::<4>() {
        let (body, after) =
            after.split_at_checked(u32::from_le_bytes(*word) as usize).unwrap_or((after, &[]));
        out.extend_from_slice(word);
        out.extend_from_slice(body);
        rest = after;
    }
    to.write_all(out)?;
    Ok(count > 0)
}

/// One message: its length, and as many bytes.
fn message() -> [u8; MESSAGE] {
    let mut message = [7; MESSAGE];
    let length = (MESSAGE - 4) as u32;
    message.iter_mut().zip(length.to_le_bytes()).for_each(|(byte, length)| *byte = length);
    message
}
