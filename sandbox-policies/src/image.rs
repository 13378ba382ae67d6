//! A program's bytes, sealed: what was hashed is what is executed (F63).
//!
//! The file is copied into anonymous memory while it is hashed, then sealed against every change, then re-opened for
//! reading only, because the kernel refuses to execute what anyone has open for writing. Swapping the file on disk
//! between check and use changes nothing.
//!
//! Deliberately absent: trust. Whether the digest is one that a contract or an installation names is the caller's part.

use rustix::fs::{Advice, MemfdFlags, Mode, OFlags, SealFlags};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Largest image, in bytes: a browser-sized runtime (node is 120 MiB) with room to spare.
pub const IMAGE_MAX: u64 = 256 << 20;

const CHUNK: usize = 64 << 10;

/// A sealed program image and its digest.
#[derive(Debug)]
pub struct SealedImage {
    /// SHA-256 of exactly the bytes that will be executed.
    pub sha256: [u8; 32],
    fd: OwnedFd,
}

impl SealedImage {
    /// Copies, hashes and seals a file, from its beginning, whatever its current offset.
    ///
    /// # Errors
    /// Whatever reading the file or making the memory gives; `FileTooLarge` beyond [`IMAGE_MAX`].
    pub fn load(file: &File) -> io::Result<Self> {
        let memory = memory()?;
        let sha256 = copy(file, &memory)?;
        rustix::fs::fchmod(&memory, Mode::from_raw_mode(0o555))?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&memory, seals)?;
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { sha256, fd })
    }

    /// The digest in hexadecimal, lower case.
    #[must_use]
    pub fn hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl AsFd for SealedImage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Asks for executable memory by name first: since Linux 6.3 a machine may make the other kind the default.
fn memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create("pawang-image", flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => Ok(rustix::fs::memfd_create("pawang-image", flags)?),
        made => Ok(made?),
    }
}

fn copy(file: &File, memory: &OwnedFd) -> io::Result<[u8; 32]> {
    // Only a hint that the whole file will be read; no file system has to heed it.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut offset: u64 = 0;
    loop {
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *buffer, offset))?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if offset > IMAGE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        hash.update(chunk);
        write_all(memory, chunk)?;
    }
    Ok(hash.finalize().into())
}

fn write_all(memory: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(memory, bytes))?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::SealedImage;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn digest_is_that_of_the_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let image = SealedImage::load(&file).unwrap();
        assert_eq!(image.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn f63_a_sealed_image_does_not_change_with_its_file_and_cannot_be_changed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        let image = SealedImage::load(&file).unwrap();
        file.write_all(b"after").unwrap();
        let mut bytes = [0; 16];
        assert_eq!(rustix::io::pread(image.as_fd(), &mut bytes, 0), Ok(6));
        assert_eq!(&bytes[..6], b"before");
        assert!(rustix::io::write(image.as_fd(), b"x").is_err());
        let writable = rustix::fs::open(
            format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&image.as_fd())),
            rustix::fs::OFlags::RDWR,
            rustix::fs::Mode::empty(),
        );
        let refused = writable.and_then(|fd| rustix::io::write(fd, b"x"));
        assert!(matches!(refused, Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS)), "{refused:?}");
    }
}
