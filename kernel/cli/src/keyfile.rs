//! The operator's key on disk: one file, mode 0600, in a directory others cannot write to.
//!
//! A key file that anyone else could read or replace is refused, not repaired: whoever could write it may have. A new
//! key never overwrites an old one.

use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use pawang_core::key::Signer;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Largest key file read, in bytes.
const FILE_MAX: u64 = 4096;

/// Reads the key at `path`.
///
/// # Errors
/// Where it is missing, open to others, or no key.
pub fn load(path: &Path) -> Result<Signer> {
    let file =
        File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path);
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Trouble::new(Exit::NotFound, "you have no key yet")
            .why(format!("{} does not exist", path.display()))
            .hint("pawang key new"),
        _ => Trouble::file("read the key", path, &e),
    })?;
    check_mode(&file, path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|e| Trouble::file("read the key", path, &e))?;
    Signer::from_text(&text).map_err(|e| {
        Trouble::new(Exit::Refused, format!("{} is not a key", path.display()))
            .why(e)
            .hint("pawang key new --key FILE")
    })
}

/// Makes a new key at `path`.
///
/// # Errors
/// Where a file is there already, or it cannot be written.
pub fn create(path: &Path) -> Result<Signer> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| Trouble::new(Exit::Failed, "the system gives no randomness").why(e))?;
    let signer = Signer::from_seed(seed);
    let cannot = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => Trouble::new(Exit::Refused, "there is a key already")
            .why(format!("{} exists, and contracts are signed with it", path.display()))
            .hint("pawang key show; or make another: pawang key new --key FILE"),
        _ => Trouble::file("write the key", path, &e),
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| Trouble::file("create", dir, &e))?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    let written = file.write_all(signer.to_text().as_bytes()).and_then(|()| file.sync_all());
    if let Err(e) = written {
        // Half a key is worse than none: the next try must not find it.
        let _ = fs::remove_file(path);
        return Err(Trouble::file("write the key", path, &e));
    }
    Ok(signer)
}

/// On the open file, so that what was checked is what is read.
fn check_mode(file: &File, path: &Path) -> Result<()> {
    let meta = file.metadata().map_err(|e| Trouble::file("read the key", path, &e))?;
    let me = nix::unistd::geteuid().as_raw();
    let refuse = |why: String, hint: String| {
        Err(Trouble::new(Exit::Refused, format!("the key {} is not used", path.display()))
            .why(why)
            .hint(hint))
    };
    if !meta.is_file() {
        return refuse("it is not a regular file".into(), "name the key file itself: --key FILE".into());
    }
    if meta.uid() != me {
        return refuse(
            format!("it belongs to uid {}, and you are {me}", meta.uid()),
            "use your own key".into(),
        );
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o7777;
        return refuse(
            format!("others may read or change it (mode {mode:04o}); whoever did could sign as you"),
            format!("if you are sure nobody did: chmod 600 {}; else make a new one", path.display()),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{create, load};
    use crate::exit::Exit;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_new_key_is_for_its_owner_alone_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/pawang/key");
        let made = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(load(&path).unwrap().id(), made.id());
        let again = create(&path).unwrap_err();
        assert_eq!((again.exit, again.what.as_str()), (Exit::Refused, "there is a key already"));
        assert_eq!(load(&path).unwrap().id(), made.id());
    }

    #[test]
    fn a_key_that_others_may_touch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = load(&path).unwrap_err();
            assert_eq!(refused.exit, Exit::Refused);
            assert!(refused.why.contains(&format!("(mode {mode:04o})")), "{refused}");
        }
    }

    #[test]
    fn what_is_not_a_key_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let missing = load(&path).unwrap_err();
        assert_eq!((missing.exit, missing.hint.as_str()), (Exit::NotFound, "pawang key new"));
        create(&path).unwrap();
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(load(&link).is_err(), "a link could be turned elsewhere");
        fs::write(&path, "pawang-key-v1\nnot hex\n").unwrap();
        let bad = load(&path).unwrap_err();
        assert!(bad.exit == Exit::Refused && !bad.to_string().contains("not hex"), "{bad}");
        assert_eq!(load(dir.path()).unwrap_err().exit, Exit::Refused);
    }
}
