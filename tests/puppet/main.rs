//! A tool that lies. It says Hello as `fs` and then does with each call what the last name of the call's path says.
//!
//! The standard library alone: it writes the bytes of the protocol itself, so that it can write wrong ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it runs in a jail, and may die of anything")]

use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

const HELLO: u32 = 0;
const CALL: u32 = 2;
const REPLY: u32 = 3;

fn main() {
    let name = std::env::args().next().unwrap_or_default();
    // SAFETY: descriptor 3 is the channel that the kernel gave this process; nothing else here owns it.
    let mut channel = UnixStream::from(unsafe { OwnedFd::from_raw_fd(3) });
    if name == "dies-at-once" {
        std::process::exit(1);
    }
    if name == "says-nothing" {
        wait();
    }
    let _ = receive(&mut channel);
    let plugin = if name == "wrong-name" { "http" } else { "fs" };
    let body = format!("{{\"client\":\"puppet\",\"plugin\":\"{plugin}\"}}");
    let version: u16 = if name == "wrong-version" { 9 } else { 1 };
    let mut hello = HELLO.to_le_bytes().to_vec();
    hello.extend(version.to_le_bytes());
    hello.extend(0_u64.to_le_bytes());
    field(&mut hello, body.as_bytes());
    send(&mut channel, &hello);
    while let Some(frame) = receive(&mut channel) {
        if u32_at(&frame, 0) == CALL {
            act(&mut channel, u64_at(&frame, 4), &last_name(&frame));
        }
    }
}

/// What the name says, for the call with this number.
fn act(channel: &mut UnixStream, id: u64, name: &str) {
    match name {
        "crash" => std::process::abort(),
        "crash-in-stream" => {
            reply(channel, id, true, 0, b"the first half");
            std::process::abort();
        }
        "unknown-id" => reply(channel, id + 1_000, false, 0, b""),
        "twice" => {
            reply(channel, id, false, 0, b"once");
            reply(channel, id, false, 0, b"twice");
        }
        "lies-about-gas" => reply(channel, id, false, u64::MAX, b"cheap"),
        "garbage" => channel.write_all(&[0xa5; 4096]).unwrap(),
        "huge-frame" => channel.write_all(&u32::MAX.to_le_bytes()).unwrap(),
        "second-hello" => send(channel, &HELLO.to_le_bytes()),
        "own-call" => call(channel, id),
        "never" => {}
        "talks" => {
            for line in 0..100_000 {
                eprintln!("line {line} \x1b[31m\u{202e}");
            }
            reply(channel, id, false, 0, b"said");
        }
        "floods" => loop {
            reply(channel, id, true, 0, &[7; 64 << 10]);
        },
        _ => reply(channel, id, false, 0, name.as_bytes()),
    }
}

/// A call of its own, for `/etc/passwd`, as if for the call it serves.
fn call(channel: &mut UnixStream, parent: u64) {
    let mut message = CALL.to_le_bytes().to_vec();
    message.extend(1_u64.to_le_bytes());
    message.extend(parent.to_le_bytes());
    message.extend([0; 16]);
    field(&mut message, b"/etc/passwd");
    for _ in 0..3 {
        field(&mut message, b"");
    }
    send(channel, &message);
    let Some(answer) = receive(channel) else { return };
    // Tag, id, status: 1 is denied.
    let status = answer[12];
    reply(channel, parent, false, 0, format!("status {status}").as_bytes());
}

fn reply(channel: &mut UnixStream, id: u64, more: bool, gas: u64, data: &[u8]) {
    let mut message = REPLY.to_le_bytes().to_vec();
    message.extend(id.to_le_bytes());
    message.extend([0, u8::from(more)]);
    message.extend(gas.to_le_bytes());
    field(&mut message, b"");
    field(&mut message, data);
    send(channel, &message);
}

/// The last name of the path that a call is about.
fn last_name(frame: &[u8]) -> String {
    let start = 4 + 8 + 8 + 4 + 4 + 8;
    let length = usize::try_from(u64_at(frame, start)).unwrap();
    let path = String::from_utf8_lossy(&frame[start + 8..start + 8 + length]).into_owned();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn field(message: &mut Vec<u8>, content: &[u8]) {
    message.extend(u64::try_from(content.len()).unwrap().to_le_bytes());
    message.extend(content);
}

fn send(channel: &mut UnixStream, message: &[u8]) {
    let mut frame = u32::try_from(message.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(message);
    if channel.write_all(&frame).is_err() {
        std::process::exit(0);
    }
}

fn receive(channel: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    channel.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::try_from(u32::from_le_bytes(length)).ok()?];
    channel.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn wait() -> ! {
    loop {
        std::thread::park();
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
