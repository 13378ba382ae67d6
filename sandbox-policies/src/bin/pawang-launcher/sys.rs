//! Every system call the launcher makes on its children's behalf, each behind a safe function, and all unsafe code.
//!
//! A child made by `clone(VM)` shares memory and thread-local storage with the launcher, so nothing here goes through
//! a C library's wrapper: no `errno` variable, no locks, no allocation in what a child calls. The functions take
//! references and descriptors, never addresses; each says in its `SAFETY` line why the call keeps to what it is given.
#![allow(unsafe_code, reason = "the jail's system calls; DESIGN: unsafe code nowhere else")]
#![allow(
    clippy::as_conversions,
    reason = "registers are one width; constants of the kernel's interface are many"
)]

mod confine;
mod files;
mod process;

pub use confine::*;
pub use files::*;
pub use process::*;

use core::arch::asm;
use std::ffi::{CStr, c_long};

/// An error number of the kernel, 1 ..= 4095; 0 stands for "a proof failed".
pub type Errno = i32;

/// Makes one system call. At most five arguments: no call here has six.
///
/// # Safety
/// Every pointer among the arguments must be valid for what the kernel does with it in this call.
unsafe fn call(number: c_long, arguments: [usize; 5]) -> Result<usize, Errno> {
    let [a, b, c, d, e] = arguments;
    let answer: isize;
    // SAFETY: the kernel's calling convention on x86-64; it clobbers rcx and r11 and touches memory only through the
    // pointers given, for which the caller answers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&answer) { Err(-answer as Errno) } else { Ok(answer as usize) }
}

/// A call that takes numbers alone.
fn call_plain(number: c_long, arguments: [usize; 5]) -> Result<usize, Errno> {
    // SAFETY: used only for calls whose arguments are numbers, flags and descriptors: there is no pointer to be valid.
    unsafe { call(number, arguments) }
}

fn address(text: &CStr) -> usize {
    text.as_ptr() as usize
}

/// A descriptor or another signed number as a register.
fn register(number: i32) -> usize {
    number as isize as usize
}
