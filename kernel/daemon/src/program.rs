//! The program of a run: its files measured, sealed and laid out so that what was measured is what runs (f63).
//!
//! The executable is copied into sealed memory and executed from there. Script and further files are copied into the run's
//! own folder, which nothing but the daemon can write to, and are read from there; their digests are of the copies.

use pawang_core::contract::{Contract, ProgramDigests};
use pawang_core::digest::Digest;
use pawang_protocol::Failure;
use pawang_sandbox::SealedImage;
use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Largest script or program file, in bytes.
const FILE_MAX: u64 = 64 << 20;
/// Images kept between runs. An interpreter takes some ms to copy and hash; two or three are in use on a machine.
const IMAGES_MAX: usize = 8;

/// Images of executables, by the file they were copied from. What is executed is the sealed copy, so a stale entry runs
/// the very bytes its digest names.
#[derive(Debug, Default, Clone)]
pub struct Images(Arc<Mutex<HashMap<FileKey, Arc<SealedImage>>>>);

/// Device, inode, size, change time in s and ns.
type FileKey = (u64, u64, u64, i64, i64);

/// A program laid out for a run.
#[derive(Debug)]
pub struct Program {
    /// The executable.
    pub image: Arc<SealedImage>,
    /// Its path as the operator named it; what it is told it is called.
    pub path: PathBuf,
    /// Folder with script and files.
    pub dir: PathBuf,
    /// Name of the script in that folder.
    pub script: Option<String>,
    /// What was measured.
    pub digests: ProgramDigests,
}

/// Measures and lays out a program, the files in the places the contract's own list gives them. Blocking.
///
/// # Errors
/// Where a file cannot be read or is too large.
pub fn prepare(
    images: &Images,
    contract: &Contract,
    script: Option<&str>,
    files: &[String],
    dir: &Path,
) -> Result<Program, Failure> {
    let pinned = &contract.program;
    let executable = PathBuf::from(&pinned.executable.path);
    let image = images.load(&executable).map_err(|error| unreadable(&executable, &error))?;
    // Readable whatever the daemon's umask: a foreign program may run under another user id. The folder above is closed.
    let made = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(0o755)));
    made.map_err(|error| unreadable(dir, &error))?;
    let script = script.or(pinned.script.as_ref().map(|script| script.path.as_str()));
    let script = match (&pinned.script, script) {
        (Some(_), Some(path)) => Some(copy(Path::new(path), dir)?),
        (None, Some(path)) => {
            return Err(Failure::new("wrong_program", format!("the contract names no script, and {path} was given"))
                .hint("sign the contract with the script, as in: pawang contract sign job.toml -- python3 script.py"));
        }
        (_, None) if contract.runtime.as_str() == "python" => {
            return Err(Failure::new(
                "no_script",
                "an interpreter without a script runs whatever its arguments say",
            )
            .hint("name the script: pawang run job.toml -- python3 script.py"));
        }
        (_, None) => None,
    };
    let digests = ProgramDigests {
        executable: Digest(image.sha256),
        script: script.as_ref().map(|(_, digest)| *digest),
        files: files
            .iter()
            .map(|file| copy(Path::new(file), dir).map(|(_, digest)| digest))
            .collect::<Result<_, _>>()?,
    };
    Ok(Program {
        image,
        path: executable,
        dir: dir.to_owned(),
        script: script.map(|(name, _)| name),
        digests,
    })
}

impl Images {
    /// The image of a program that `exec` starts.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn load_program(&self, path: &Path) -> Result<Arc<SealedImage>, Failure> {
        self.load(path).map_err(|error| unreadable(path, &error))
    }

    fn load(&self, path: &Path) -> std::io::Result<Arc<SealedImage>> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        let key = (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        let known = |images: &HashMap<FileKey, Arc<SealedImage>>| images.get(&key).cloned();
        if let Some(image) = self.0.lock().ok().and_then(|images| known(&images)) {
            return Ok(image);
        }
        let image = Arc::new(SealedImage::load(&file)?);
        if let Ok(mut images) = self.0.lock() {
            if images.len() >= IMAGES_MAX {
                images.clear();
            }
            images.insert(key, Arc::clone(&image));
        }
        Ok(image)
    }
}

/// Copies a file into the run's folder under its own name and returns that name and the digest of what was copied.
fn copy(path: &Path, dir: &Path) -> Result<(String, Digest), Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| Failure::new("bad_path", format!("{} has no plain file name", path.display())))?;
    let read = || -> std::io::Result<Vec<u8>> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| unreadable(path, &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(Failure::new("too_large", format!("{} is larger than {FILE_MAX} bytes", path.display())));
    }
    let target = dir.join(name);
    let mut options = OpenOptions::new();
    let write = options.write(true).create_new(true).open(&target).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.set_permissions(Permissions::from_mode(0o444))
    });
    write.map_err(|error| unreadable(&target, &error))?;
    Ok((name.to_owned(), Digest::of(&bytes)))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("program_unreadable", format!("{}: {error}", path.display()))
        .hint("check that the file is there and that the daemon's user may read it")
}
