//! Error numbers of the system as failures with a stable code, a sentence and what to try.

use pawang_sdk::Failure;
use rustix::io::Errno;

/// What `errno` means for `path`.
pub fn failure(path: &str, errno: Errno) -> Failure {
    let (code, what, hint) = explain(errno);
    let failure = Failure::new(code, format!("{path}: {what}")).hint(hint);
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE | Errno::BUSY => failure.retryable(),
        _ => failure,
    }
}

fn explain(errno: Errno) -> (&'static str, String, &'static str) {
    let plain = |what: &str| what.to_owned();
    match errno {
        Errno::NOENT => ("not_found", plain("there is no such file or folder"), ""),
        Errno::NOTDIR => ("not_a_directory", plain("a part of the path is not a folder"), ""),
        Errno::ISDIR => ("not_a_file", plain("it is a folder"), "list it with fs.list"),
        Errno::NXIO | Errno::NODEV => ("not_a_file", plain("it is no regular file"), ""),
        Errno::EXIST => ("already_exists", plain("it exists already"), ""),
        Errno::NOTEMPTY => ("not_empty", plain("the folder is not empty"), "remove what is in it first"),
        Errno::LOOP => (
            "symlink_refused",
            plain("the path goes through a symbolic link, which is never followed"),
            "use the path the link points to, and grant that",
        ),
        Errno::XDEV => (
            "other_filesystem",
            plain("the path leaves the granted folder or its file system"),
            "grant the mount point itself; to move, copy and then remove",
        ),
        Errno::NOSPC | Errno::DQUOT => ("no_space", plain("no space is left"), "free some space"),
        Errno::FBIG => ("too_large", plain("the file would grow beyond what this run may write"), ""),
        Errno::ACCESS | Errno::PERM => (
            "permission_denied",
            plain("the operating system refuses it"),
            "check owner and mode; the run acts as the user of the daemon",
        ),
        Errno::ROFS => ("permission_denied", plain("the file system is read-only"), ""),
        Errno::NAMETOOLONG => ("name_too_long", plain("a name in it is too long for the file system"), ""),
        Errno::MFILE | Errno::NFILE => ("busy", plain("too many files are open"), "try again later"),
        Errno::BUSY => ("busy", plain("the system is using it"), "try again later"),
        other => ("io", format!("the system says: {}", std::io::Error::from(other)), ""),
    }
}

/// The path is no regular file; `what` says what it is.
pub fn not_a_file(path: &str, what: &str) -> Failure {
    Failure::new("not_a_file", format!("{path}: it is {what}; only regular files and folders can be used"))
}

/// The path is a symbolic link.
pub fn symlink(path: &str) -> Failure {
    failure(path, Errno::LOOP)
}

/// The file has names elsewhere.
pub fn hard_link(path: &str) -> Failure {
    Failure::new(
        "hard_link_refused",
        format!("{path}: the file has other names too, so its path does not say whether it may be used"),
    )
    .hint("make a copy of the file and use that")
}
