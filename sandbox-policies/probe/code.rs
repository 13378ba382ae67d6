//! Acts that run other code, or reach system calls by another door; and what a process says about itself.

use crate::files::open;
use crate::{Arguments, Tried, at, broken, call};
use std::ffi::CStr;

pub fn act(name: &str, arguments: &Arguments) -> Option<Tried> {
    Some(match name {
        "execute-shell" => execute(c"/bin/sh", &[c"sh", c"-c", c"exit 0"]),
        "execute-by-loader" => execute(c"/lib64/ld-linux-x86-64.so.2", &[c"ld.so", c"/bin/true"]),
        "execute-memory" => execute_memory(),
        "execute-descriptor" => execute_descriptor(&arguments.c(0)),
        "execute-by-number" => execute_by_number(&arguments.c(0)),
        "old-door" => old_door(),
        "hello" => Ok(()),
        "fail" => std::process::exit(i32::try_from(arguments.number(0)).unwrap_or(20)),
        "crash" => unsafe {
            std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1);
            Ok(())
        },
        "spin" => loop {
            std::hint::spin_loop();
        },
        "wait" => wait(),
        "describe" => describe(),
        "leave-orphan" => leave_orphan(),
        _ => return None,
    })
}

fn execute(path: &CStr, words: &[&CStr]) -> Tried {
    let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    let env = [std::ptr::null::<u8>()];
    call(libc::SYS_execve, [at(path), argv.as_ptr() as usize, env.as_ptr() as usize, 0, 0, 0]).map(drop)
}

fn execute_fd(number: usize) -> Tried {
    let argv = [c"probe".as_ptr(), c"hello".as_ptr(), std::ptr::null()];
    let env = [std::ptr::null::<u8>()];
    let empty = libc::AT_EMPTY_PATH as usize;
    let arguments = [number, at(c""), argv.as_ptr() as usize, env.as_ptr() as usize, empty, 0];
    call(libc::SYS_execveat, arguments).map(drop)
}

/// The smallest program that there is: `exit(0)`, in a memory file.
fn execute_memory() -> Tried {
    let number = call(libc::SYS_memfd_create, [at(c"probe"), 0, 0, 0, 0, 0])? as usize;
    let image = smallest_program();
    call(libc::SYS_write, [number, image.as_ptr() as usize, image.len(), 0, 0, 0])?;
    execute_fd(number)
}

/// A file that may be read, executed through its descriptor.
fn execute_descriptor(path: &CStr) -> Tried {
    execute_fd(open(path, libc::O_RDONLY)?)
}

/// The same, through the number on which the filter lets images be executed.
fn execute_by_number(path: &CStr) -> Tried {
    let number = open(path, libc::O_RDONLY)?;
    call(libc::SYS_dup2, [number, 1023, 0, 0, 0, 0])?;
    execute_fd(1023)
}

/// `getpid` by the 32-bit door, where it is number 20; 20 on the other side is `writev`.
fn old_door() -> Tried {
    let answer: i64;
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20i64 => answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if answer == i64::from(std::process::id()) { Ok(()) } else { Err(-(answer as i32)) }
}

/// What the jail looks like from inside, one fact per line.
fn describe() -> Tried {
    let open: Vec<_> = (0..2048).filter(|n| call(libc::SYS_fcntl, [*n, 1, 0, 0, 0, 0]).is_ok()).collect();
    println!("descriptors {open:?}");
    println!("environment {:?}", std::env::vars().collect::<Vec<_>>());
    println!("arguments {:?}", std::env::args().collect::<Vec<_>>());
    // The users come from the auxiliary vector: a tool may not even ask the system.
    let [uid, gid] = [libc::AT_EUID, libc::AT_EGID].map(|entry| unsafe { libc::getauxval(entry) });
    println!("pid {} uid {uid} gid {gid}", std::process::id());
    for (name, resource) in
        [("core", libc::RLIMIT_CORE), ("files", libc::RLIMIT_NOFILE), ("data", libc::RLIMIT_DATA)]
    {
        let mut limit = [0u64; 2];
        let room = limit.as_mut_ptr() as usize;
        call(libc::SYS_prlimit64, [0, resource as usize, 0, room, 0, 0]).unwrap_or_else(|_| broken("limits"));
        println!("{name} {} {}", limit[0], limit[1]);
    }
    Ok(())
}

/// Until the kernel's end of the channel is closed.
fn wait() -> Tried {
    let mut byte = [0u8; 1];
    call(libc::SYS_read, [3, byte.as_mut_ptr() as usize, 1, 0, 0, 0]).map(drop)
}

/// A grandchild that nobody waits for, and that would live for ever.
fn leave_orphan() -> Tried {
    let child = call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0])?;
    if child == 0 {
        loop {
            unsafe { libc::pause() };
        }
    }
    Ok(())
}

fn smallest_program() -> Vec<u8> {
    let mut image = Vec::new();
    let code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let entry: u64 = 0x40_0000 + 120;
    image.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    image.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    image.extend_from_slice(&entry.to_le_bytes());
    image.extend_from_slice(&64u64.to_le_bytes());
    image.extend_from_slice(&[0; 12]);
    image.extend_from_slice(&[64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    image.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, 0x40_0000, 0x40_0000, 129, 129, 4096u64] {
        image.extend_from_slice(&word.to_le_bytes());
    }
    image.extend_from_slice(&code);
    image
}
