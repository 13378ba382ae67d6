//! Acts on memory and other things that run out, and on kernel interfaces with a memory of their own.

use crate::{Arguments, Tried, at, call};

const MIB: usize = 1 << 20;

pub fn act(name: &str, arguments: &Arguments) -> Option<Tried> {
    let count = || arguments.number(0) as usize;
    Some(match name {
        "memory-bomb" => fill(count(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        "shared-memory-bomb" => fill(count(), libc::MAP_SHARED | libc::MAP_ANONYMOUS),
        "stack-memory-bomb" => fill(count(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN),
        "descriptor-bomb" => (0..count()).try_for_each(|_| call(libc::SYS_dup, [0; 6]).map(drop)),
        "disk-bomb" => disk(&arguments.c(0), arguments.number(1) as usize),
        "lock-memory" => lock(),
        "executable-memory" => map(1, libc::PROT_READ | libc::PROT_EXEC, 0x22).map(drop),
        "make-executable" => make_executable(),
        "memfd" => call(libc::SYS_memfd_create, [at(c"probe"), 0, 0, 0, 0, 0]).map(drop),
        "userfaultfd" => call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]).map(drop),
        "io-uring" => {
            let mut parameters = [0u64; 32];
            call(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr() as usize, 0, 0, 0, 0]).map(drop)
        }
        "keyring" => call(libc::SYS_keyctl, [0, -3isize as usize, 1, 0, 0, 0]).map(drop),
        "personality" => {
            call(libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE as usize, 0, 0, 0, 0, 0]).map(drop)
        }
        "local-descriptors" => {
            let mut room = [0u64; 8];
            call(libc::SYS_modify_ldt, [0, room.as_mut_ptr() as usize, 64, 0, 0, 0]).map(drop)
        }
        "shared-memory-key" => {
            call(libc::SYS_shmget, [arguments.number(0) as usize, 4096, 0, 0, 0, 0]).map(drop)
        }
        "shared-memory-make" => {
            let flags = (libc::IPC_CREAT | 0o666) as usize;
            call(libc::SYS_shmget, [arguments.number(0) as usize, 4096, flags, 0, 0, 0]).map(drop)
        }
        "shared-memory-remove" => remove(arguments.number(0) as usize),
        "message-queue" => message_queue(),
        "large-pipe" => large_pipe(),
        _ => return None,
    })
}

fn map(bytes: usize, protection: i32, flags: i32) -> Result<*mut u8, i32> {
    let none = -1isize as usize;
    call(libc::SYS_mmap, [0, bytes, protection as usize, flags as usize, none, 0]).map(|at| at as *mut u8)
}

/// Maps this many MiB and writes to every page.
fn fill(mib: usize, flags: i32) -> Tried {
    let start = map(mib * MIB, libc::PROT_READ | libc::PROT_WRITE, flags)?;
    // From the far end: a mapping that grows downwards is grown from there.
    for page in (0..mib * MIB / 4096).rev() {
        unsafe { start.add(page * 4096).write_volatile(1) };
    }
    Ok(())
}

/// Writes a file of this many MiB, and removes it again.
fn disk(path: &std::ffi::CString, mib: usize) -> Tried {
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let number = crate::files::open(path, libc::O_CREAT | libc::O_WRONLY)?;
    let part = vec![1u8; MIB];
    let mut left = mib * MIB;
    let mut refused = Ok(());
    while left > 0 && refused.is_ok() {
        match call(libc::SYS_write, [number, part.as_ptr() as usize, MIB.min(left), 0, 0, 0]) {
            Ok(count) => left -= count as usize,
            Err(errno) => refused = Err(errno),
        }
    }
    let _ = call(libc::SYS_unlink, [at(path), 0, 0, 0, 0, 0]);
    refused
}

fn lock() -> Tried {
    let start = map(4096, libc::PROT_READ, 0x22)?;
    call(libc::SYS_mlock, [start as usize, 4096, 0, 0, 0, 0]).map(drop)
}

fn make_executable() -> Tried {
    let start = map(4096, libc::PROT_READ | libc::PROT_WRITE, 0x22)?;
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    call(libc::SYS_mprotect, [start as usize, 4096, protection, 0, 0, 0]).map(drop)
}

fn remove(key: usize) -> Tried {
    let id = call(libc::SYS_shmget, [key, 0, 0, 0, 0, 0])?;
    call(libc::SYS_shmctl, [id as usize, libc::IPC_RMID as usize, 0, 0, 0, 0]).map(drop)
}

fn message_queue() -> Tried {
    // Room for one message of 64 bytes.
    let attributes: [i64; 8] = [0, 1, 64, 0, 0, 0, 0, 0];
    let name = std::ffi::CString::new(format!("pawang-probe-{}", std::process::id())).unwrap_or_default();
    let flags = (libc::O_CREAT | libc::O_RDWR) as usize;
    call(libc::SYS_mq_open, [at(&name), flags, 0o600, attributes.as_ptr() as usize, 0, 0])?;
    call(libc::SYS_mq_unlink, [at(&name), 0, 0, 0, 0, 0]).map(drop)
}

fn large_pipe() -> Tried {
    let mut ends = [0i32; 2];
    call(libc::SYS_pipe2, [ends.as_mut_ptr() as usize, 0, 0, 0, 0, 0])?;
    call(libc::SYS_fcntl, [ends[0] as usize, libc::F_SETPIPE_SZ as usize, MIB, 0, 0, 0]).map(drop)
}
