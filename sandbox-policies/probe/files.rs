//! Acts on files outside what was granted.

use crate::{Arguments, Tried, at, broken, call, errno, outcome};
use std::ffi::{CStr, CString};

const CWD: usize = libc::AT_FDCWD as isize as usize;

/// The first argument is a file outside, or what the name of the act says.
pub fn act(name: &str, arguments: &Arguments) -> Option<Tried> {
    Some(match name {
        "read-file" | "read-through-link" | "read-dotdot" | "read-proc-1" => read(&arguments.c(0)),
        "write-file" => open(&arguments.c(0), libc::O_WRONLY).map(drop),
        "write-own-memory" => open(c"/proc/self/mem", libc::O_RDWR).map(drop),
        "create-file" => {
            open(&beside(arguments, "new"), libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY).map(drop)
        }
        "openat2-file" => openat2(&arguments.c(0)),
        "truncate-path" => outcome(unsafe { libc::truncate(arguments.c(0).as_ptr(), 0) }),
        "truncate-by-open" => open(&arguments.c(0), libc::O_RDONLY | libc::O_TRUNC).map(drop),
        "stat" => stat(&arguments.c(0)),
        "access" => call(libc::SYS_access, [at(&arguments.c(0)), 0, 0, 0, 0, 0]).map(drop),
        "chdir" => call(libc::SYS_chdir, [at(&folder(arguments)), 0, 0, 0, 0, 0]).map(drop),
        "list-folder" => list(&folder(arguments)),
        "chmod" => call(libc::SYS_fchmodat, [CWD, at(&arguments.c(0)), 0o666, 0, 0, 0]).map(drop),
        "chown" => chown(&arguments.c(0)),
        "setxattr" => setxattr(&arguments.c(0)),
        "utimens" => call(libc::SYS_utimensat, [CWD, at(&arguments.c(0)), 0, 0, 0, 0]).map(drop),
        "rename" => two(libc::SYS_rename, &arguments.c(0), &beside(arguments, "renamed")),
        "rename-out" => two(libc::SYS_rename, &arguments.c(1), &beside(arguments, "moved")),
        "link" => two(libc::SYS_link, &arguments.c(0), &beside(arguments, "linked")),
        "link-in" => two(libc::SYS_link, &arguments.c(0), &join(&arguments.c(1), ".linked")),
        "symlink" => two(libc::SYS_symlink, &arguments.c(0), &beside(arguments, "symlinked")),
        "symlink-in" => two(libc::SYS_symlink, &arguments.c(0), &join(&arguments.c(1), ".symlinked")),
        "unlink" => call(libc::SYS_unlink, [at(&arguments.c(0)), 0, 0, 0, 0, 0]).map(drop),
        "mkdir" => call(libc::SYS_mkdir, [at(&beside(arguments, "made")), 0o700, 0, 0, 0, 0]).map(drop),
        "mkfifo" => node(arguments, libc::S_IFIFO),
        "mksock" => node(arguments, libc::S_IFSOCK),
        "inotify" => inotify(&arguments.c(0)),
        "fanotify" => call(libc::SYS_fanotify_init, [0x200, 0, 0, 0, 0, 0]).map(drop),
        "name-to-handle" => handle(&arguments.c(0)),
        _ => return None,
    })
}

pub fn open(path: &CStr, flags: i32) -> Result<usize, i32> {
    let number = call(libc::SYS_openat, [CWD, at(path), flags as usize, 0o600, 0, 0])?;
    Ok(number as usize)
}

fn read(path: &CStr) -> Tried {
    let number = open(path, libc::O_RDONLY)?;
    let mut byte = [0u8; 1];
    call(libc::SYS_read, [number, byte.as_mut_ptr() as usize, 1, 0, 0, 0]).map(drop)
}

fn openat2(path: &CStr) -> Tried {
    let how: [u64; 3] = [0, 0, 0];
    call(libc::SYS_openat2, [CWD, at(path), how.as_ptr() as usize, 24, 0, 0]).map(drop)
}

fn stat(path: &CStr) -> Tried {
    let mut data = [0u64; 64];
    call(libc::SYS_stat, [at(path), data.as_mut_ptr() as usize, 0, 0, 0, 0]).map(drop)
}

fn list(path: &CStr) -> Tried {
    let number = open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut entries = [0u64; 512];
    call(libc::SYS_getdents64, [number, entries.as_mut_ptr() as usize, 4096, 0, 0, 0]).map(drop)
}

fn chown(path: &CStr) -> Tried {
    // Its own user, and its own group: an owner may always do that.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    call(libc::SYS_chown, [at(path), uid as usize, gid as usize, 0, 0, 0]).map(drop)
}

fn setxattr(path: &CStr) -> Tried {
    let value = [1u8];
    let arguments = [at(path), at(c"user.pawang"), value.as_ptr() as usize, 1, 0, 0];
    call(libc::SYS_setxattr, arguments).map(drop)
}

fn two(number: i64, from: &CStr, to: &CStr) -> Tried {
    call(number, [at(from), at(to), 0, 0, 0, 0]).map(drop)
}

fn node(arguments: &Arguments, kind: u32) -> Tried {
    let mode = (kind | 0o600) as usize;
    call(libc::SYS_mknod, [at(&beside(arguments, "node")), mode, 0, 0, 0, 0]).map(drop)
}

fn inotify(path: &CStr) -> Tried {
    let number = call(libc::SYS_inotify_init1, [0; 6])?;
    call(libc::SYS_inotify_add_watch, [number as usize, at(path), 0x20, 0, 0, 0]).map(drop)
}

fn handle(path: &CStr) -> Tried {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        data: [u8; 128],
    }
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut mount = 0i32;
    let room = [CWD, at(path), &raw mut handle as usize, &raw mut mount as usize, 0, 0];
    let answer = call(libc::SYS_name_to_handle_at, room).map(drop);
    let _ = (handle.kind, handle.data, errno());
    answer
}

/// A name of its own beside the file of the first argument.
fn beside(arguments: &Arguments, word: &str) -> CString {
    join(&arguments.c(0), &format!(".{word}"))
}

fn folder(arguments: &Arguments) -> CString {
    let path = arguments.text(0);
    let (folder, _) = path.rsplit_once('/').unwrap_or_else(|| broken("not a path"));
    CString::new(folder).unwrap()
}

fn join(path: &CStr, more: &str) -> CString {
    let mut bytes = path.to_bytes().to_vec();
    bytes.extend_from_slice(more.as_bytes());
    CString::new(bytes).unwrap()
}
