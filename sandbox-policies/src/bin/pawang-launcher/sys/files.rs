//! Descriptors, files and mounts.

use super::{Errno, address, call, call_plain, register};
use core::mem::size_of;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub const NO_SUID: u64 = libc::MS_NOSUID;
pub const NO_DEVICES: u64 = libc::MS_NODEV;
pub const NO_EXECUTION: u64 = libc::MS_NOEXEC;
pub const ATTR_READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub const ATTR_NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
pub const ATTR_NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;
pub const ATTR_NO_EXECUTION: u64 = libc::MOUNT_ATTR_NOEXEC;

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_ns: u64,
}

fn own(number: usize) -> OwnedFd {
    // SAFETY: called with what a call that makes a descriptor has just returned; nobody else knows the number.
    unsafe { OwnedFd::from_raw_fd(number as RawFd) }
}

fn open_at(directory: RawFd, path: &CStr, flags: i32, mode: usize) -> Result<OwnedFd, Errno> {
    let flags = register(flags | libc::O_CLOEXEC);
    // SAFETY: `path` is a C string that outlives the call; the kernel only reads it.
    unsafe { call(libc::SYS_openat, [register(directory), address(path), flags, mode, 0]) }.map(own)
}

/// A handle on `/proc/self` as it is now, for files in it that are written after `/proc` is out of reach.
pub fn open_own_process() -> Result<OwnedFd, Errno> {
    open_at(libc::AT_FDCWD, c"/proc/self", libc::O_PATH | libc::O_DIRECTORY, 0)
}

/// Lists the root directory, or tries to. Only for the proof.
pub fn list_root() -> Result<(), Errno> {
    open_at(libc::AT_FDCWD, c"/", libc::O_RDONLY | libc::O_DIRECTORY, 0).map(drop)
}

/// Writes a whole small file with one call, as the files of `/proc` want it.
pub fn write_file_at(directory: &OwnedFd, name: &CStr, content: &[u8]) -> Result<(), Errno> {
    let file = open_at(directory.as_raw_fd(), name, libc::O_WRONLY, 0)?;
    let (number, start) = (register(file.as_raw_fd()), content.as_ptr() as usize);
    // SAFETY: pointer and length are those of one slice; the kernel only reads it.
    unsafe { call(libc::SYS_write, [number, start, content.len(), 0, 0]) }.map(drop)
}

/// Makes `to` mean what `from` means.
pub fn duplicate(from: RawFd, to: RawFd, close_on_exec: bool) -> Result<(), Errno> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    call_plain(libc::SYS_dup3, [register(from), register(to), register(flags), 0, 0]).map(drop)
}

/// Closes one descriptor.
pub fn close(number: RawFd) -> Result<(), Errno> {
    call_plain(libc::SYS_close, [register(number), 0, 0, 0, 0]).map(drop)
}

/// Closes all from `first` to `last`.
pub fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    call_plain(libc::SYS_close_range, [register(first), register(last), 0, 0, 0]).map(drop)
}

/// Closes all from `first` on.
pub fn close_from(first: RawFd) -> Result<(), Errno> {
    call_plain(libc::SYS_close_range, [register(first), u32::MAX as usize, 0, 0, 0]).map(drop)
}

/// Takes a number so that nothing else gets it.
pub fn keep_number(number: RawFd) -> Result<(), Errno> {
    let null = open_at(libc::AT_FDCWD, c"/dev/null", libc::O_RDONLY, 0)?;
    if null.as_raw_fd() == number {
        let _ = std::os::fd::IntoRawFd::into_raw_fd(null);
        return Ok(());
    }
    duplicate(null.as_raw_fd(), number, true)
}

/// Whether the descriptor exists.
pub fn is_open(number: RawFd) -> bool {
    call_plain(libc::SYS_fcntl, [register(number), register(libc::F_GETFD), 0, 0, 0]).is_ok()
}

/// Whether the other end of a stream socket is closed.
pub fn is_closed(number: RawFd) -> bool {
    let mut poll = libc::pollfd { fd: number, events: 0, revents: 0 };
    let at = &raw mut poll as usize;
    // SAFETY: one `pollfd` on the stack, and a count of one.
    let answered = unsafe { call(libc::SYS_poll, [at, 1, 0, 0, 0]) };
    answered.is_err() || poll.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}

/// A pipe, closed on execution: reading end, writing end.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: room for the two numbers that the kernel writes.
    unsafe { call(libc::SYS_pipe2, [ends.as_mut_ptr() as usize, register(libc::O_CLOEXEC), 0, 0, 0]) }?;
    let [read, write] = ends;
    Ok((own(read as usize), own(write as usize)))
}

/// Returns when nobody has the writing end any more.
pub fn read_to_end(pipe: &OwnedFd) {
    let mut byte = [0u8; 1];
    loop {
        let (number, start) = (register(pipe.as_raw_fd()), byte.as_mut_ptr() as usize);
        // SAFETY: room for the one byte asked for.
        match unsafe { call(libc::SYS_read, [number, start, 1, 0, 0]) } {
            Ok(0) => return,
            Err(errno) if errno != libc::EINTR => return,
            _ => {}
        }
    }
}

pub fn change_directory(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string that the kernel only reads.
    unsafe { call(libc::SYS_chdir, [address(path), 0, 0, 0, 0]) }.map(drop)
}

/// Makes a directory; one that is there already will do.
pub fn make_directory(path: &CStr, mode: usize) -> Result<(), Errno> {
    // SAFETY: a C string that the kernel only reads.
    match unsafe { call(libc::SYS_mkdir, [address(path), mode, 0, 0, 0]) } {
        Ok(_) | Err(libc::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Makes an empty file to mount something over; one that is there already will do.
pub fn make_file(path: &CStr) -> Result<(), Errno> {
    match open_at(
        libc::AT_FDCWD,
        path,
        libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW,
        0o444,
    ) {
        Ok(_) | Err(libc::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether a descriptor is of a directory.
pub fn is_directory(fd: &OwnedFd) -> Result<bool, Errno> {
    let mut data = core::mem::MaybeUninit::<libc::stat>::zeroed();
    let at = data.as_mut_ptr() as usize;
    // SAFETY: room for one `struct stat`, in the kernel's own layout, which libc's is on x86-64.
    unsafe { call(libc::SYS_fstat, [register(fd.as_raw_fd()), at, 0, 0, 0]) }?;
    // SAFETY: zeroed before, and written by the kernel: every bit pattern of it is a `stat`.
    let data = unsafe { data.assume_init() };
    Ok(data.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64, options: &CStr) -> Result<(), Errno> {
    let arguments = [address(source), address(target), address(kind), flags as usize, address(options)];
    // SAFETY: five C strings and flags; the kernel only reads them.
    unsafe { call(libc::SYS_mount, arguments) }.map(drop)
}

/// Nothing mounted from here on is seen outside.
pub fn make_mounts_private() -> Result<(), Errno> {
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE, c"")
}

/// Mounts a file system in memory.
pub fn mount_memory(target: &CStr, options: &CStr, flags: u64) -> Result<(), Errno> {
    mount(c"pawang", target, c"tmpfs", flags, options)
}

/// A copy of what is mounted at a path and below, attached nowhere yet.
pub fn copy_tree(source: &CStr, follow_links: bool) -> Result<OwnedFd, Errno> {
    let how = OpenHow {
        flags: (libc::O_PATH | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: if follow_links { 0 } else { libc::RESOLVE_NO_SYMLINKS },
    };
    let at = &raw const how as usize;
    let arguments = [register(libc::AT_FDCWD), address(source), at, size_of::<OpenHow>(), 0];
    // SAFETY: a C string and a struct of the size given; the kernel only reads them.
    let place = unsafe { call(libc::SYS_openat2, arguments) }.map(own)?;
    let flags = libc::OPEN_TREE_CLONE as usize
        | libc::OPEN_TREE_CLOEXEC as usize
        | register(libc::AT_EMPTY_PATH | libc::AT_RECURSIVE);
    // SAFETY: an empty C string beside a descriptor.
    unsafe { call(libc::SYS_open_tree, [register(place.as_raw_fd()), address(c""), flags, 0, 0]) }.map(own)
}

/// Adds restrictions to a copied tree, at every mount in it.
pub fn restrict_tree(tree: &OwnedFd, attributes: u64) -> Result<(), Errno> {
    set_attributes(tree.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE, attributes)
}

/// Adds restrictions to the mount at a path.
pub fn restrict_mount(path: &CStr, attributes: u64) -> Result<(), Errno> {
    set_attributes(libc::AT_FDCWD, path, 0, attributes)
}

fn set_attributes(directory: RawFd, path: &CStr, flags: i32, set: u64) -> Result<(), Errno> {
    let attr = MountAttr { set, clear: 0, propagation: 0, user_ns: 0 };
    let at = &raw const attr as usize;
    let arguments = [register(directory), address(path), register(flags), at, size_of::<MountAttr>()];
    // SAFETY: a C string and a struct of the size given; the kernel only reads them.
    unsafe { call(libc::SYS_mount_setattr, arguments) }.map(drop)
}

/// Attaches a copied tree at a path.
pub fn attach_tree(tree: &OwnedFd, target: &CStr) -> Result<(), Errno> {
    let from = register(tree.as_raw_fd());
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH as usize;
    let arguments = [from, address(c""), register(libc::AT_FDCWD), address(target), flags];
    // SAFETY: two C strings that the kernel only reads.
    unsafe { call(libc::SYS_move_mount, arguments) }.map(drop)
}

/// Makes the working directory the root, and lets go of the old one.
pub fn pivot_here() -> Result<(), Errno> {
    // SAFETY: C strings that the kernel only reads. The old root is stacked on the new one, where it is unmounted.
    unsafe { call(libc::SYS_pivot_root, [address(c"."), address(c"."), 0, 0, 0]) }?;
    // SAFETY: as above.
    unsafe { call(libc::SYS_umount2, [address(c"."), register(libc::MNT_DETACH), 0, 0, 0]) }.map(drop)
}
