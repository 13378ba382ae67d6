//! A middle that decides nothing: the same automation and the same tool as in the real measurement, started without any
//! jail, and between them a loop that passes frames on. What is left between it and `pawangd` is what the kernel costs.
//!
//! It is a process of its own: `pawang-bench bare-relay AUTOMATION TOOL WORD…` is what the driver starts.

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use pawang_sdk::protocol::limits::{CHANNEL_FD, VERSION, VERSION_MIN};
use pawang_sdk::protocol::{KernelHello, Message, MethodEntry, MethodName, Role, frame::FrameBuffer};
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::CString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

/// Bytes taken at once, as the kernel does.
const READ_MAX: usize = 64 << 10;

/// One side of the relay.
struct Side {
    stream: UnixStream,
    input: FrameBuffer,
    pid: Pid,
}

/// Relays between an automation with these words and a tool until the automation ends. Its output is ours.
///
/// # Errors
/// Where one of them cannot be started, or does not speak in frames.
pub fn relay(automation: &str, tool: &str, words: &[String]) -> io::Result<()> {
    let mut front = Side::start(automation, words, Role::Automation)?;
    let mut back = Side::start(tool, &[], Role::Tool)?;
    let (mut bytes, mut out) = (vec![0; READ_MAX], Vec::new());
    loop {
        let mut polled =
            [PollFd::new(&front.stream, PollFlags::IN), PollFd::new(&back.stream, PollFlags::IN)];
        poll(&mut polled, None)?;
        let [is_front, is_back] = polled.map(|fd| !fd.revents().is_empty());
        if is_front && !front.pass(&mut back, &mut bytes, &mut out)? {
            break;
        }
        if is_back && !back.pass(&mut front, &mut bytes, &mut out)? {
            break;
        }
    }
    let pid = back.pid;
    drop(back);
    waitpid(front.pid, None)?;
    waitpid(pid, None)?;
    Ok(())
}

impl Side {
    fn start(program: &str, words: &[String], role: Role) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let words = std::iter::once(program).chain(words.iter().map(String::as_str));
        let words: Vec<CString> = words.map(CString::new).collect::<Result<_, _>>()?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(theirs.as_raw_fd(), CHANNEL_FD)?;
        let none: [CString; 0] = [];
        let pid = posix_spawn(program, &actions, &PosixSpawnAttr::init()?, &words, &none)?;
        let mut side = Self { stream, input: FrameBuffer::default(), pid };
        side.greet(role)?;
        Ok(side)
    }

    fn greet(&mut self, role: Role) -> io::Result<()> {
        let name = MethodName::try_from("memory.read".to_owned())
            .map_err(|_| io::Error::other("not a method's name"))?;
        let hello = KernelHello {
            version_min: VERSION_MIN,
            role,
            run: "00000000".to_owned(),
            methods: vec![MethodEntry { id: 1, name }],
            setup: serde_json::Value::Null,
        };
        let body = serde_json::to_vec(&hello)?;
        let mut out = Vec::new();
        let message = Message::Hello { version: VERSION, features: 0, body: &body };
        message.encode_frame(&mut out).map_err(io::Error::other)?;
        self.stream.write_all(&out)
    }

    /// Passes on what is there, but for the `Hello`. `false` at the end of the stream.
    fn pass(&mut self, to: &mut Self, bytes: &mut [u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let count = self.stream.read(bytes)?;
        self.input.extend(bytes.get(..count).unwrap_or_default());
        out.clear();
        while let Some(frame) = self.input.next_frame().map_err(io::Error::other)? {
            if !frame.starts_with(&[0; 4]) {
                out.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(0).to_le_bytes());
                out.extend_from_slice(frame);
            }
        }
        to.stream.write_all(out)?;
        Ok(count > 0)
    }
}
