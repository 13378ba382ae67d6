//! The probe: one hostile act per word, tried once, with the outcome as the exit code.
//!
//! `sandbox-probe ACT [ARGUMENT …]` ends with 0 where the act succeeded, with 10 and `refused ERRNO` on stdout where
//! the system refused it, and with 20 where the probe itself could not prepare the act: a probe that cannot succeed
//! proves nothing, so that is never taken for a refusal. Every act is harmless when it succeeds: it touches what the
//! test made for it and nothing else.
//!
//! Which walls must stop which act is not known here; `tests/matrix` holds the table.
#![allow(unsafe_code, reason = "hostile acts are system calls with odd arguments")]
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    reason = "test program"
)]

mod code;
mod files;
mod memory;
mod processes;
mod sockets;

use std::process::ExitCode;

/// Done, or the errno of the refusal.
pub type Tried = Result<(), i32>;

/// Arguments after the name of the act; a missing one ends the probe with 20.
pub struct Arguments(Vec<String>);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let act = words.next().unwrap_or_default();
    let arguments = Arguments(words.collect());
    let tried = files::act(&act, &arguments)
        .or_else(|| sockets::act(&act, &arguments))
        .or_else(|| processes::act(&act, &arguments))
        .or_else(|| memory::act(&act, &arguments))
        .or_else(|| code::act(&act, &arguments));
    match tried {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(errno)) => {
            println!("refused {errno}");
            ExitCode::from(10)
        }
        None => broken("no such act"),
    }
}

/// The act could not be prepared.
pub fn broken(what: &str) -> ! {
    println!("broken: {what}: {}", std::io::Error::last_os_error());
    std::process::exit(20)
}

impl Arguments {
    pub fn text(&self, index: usize) -> &str {
        self.0.get(index).map_or_else(|| broken("an argument is missing"), String::as_str)
    }

    pub fn c(&self, index: usize) -> std::ffi::CString {
        std::ffi::CString::new(self.text(index)).unwrap()
    }

    pub fn number(&self, index: usize) -> i64 {
        self.text(index).parse().unwrap_or_else(|_| broken("an argument is not a number"))
    }
}

/// A call by number: whatever a C library would do with the arguments is not done.
pub fn call(number: i64, a: [usize; 6]) -> Result<i64, i32> {
    let answer = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    if answer < 0 { Err(errno()) } else { Ok(answer) }
}

/// The answer of a C function as an outcome.
pub fn outcome(answer: impl Into<i64>) -> Tried {
    if answer.into() < 0 { Err(errno()) } else { Ok(()) }
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub fn at(text: &std::ffi::CStr) -> usize {
    text.as_ptr() as usize
}
