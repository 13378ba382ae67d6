//! The audit log on disk: append-only segments of JSON lines, and the head kept beside them.
//!
//! Promises: what [`Log::write`] returned `Ok` for survives a killed daemon (it is in the page cache), and a power cut a
//! few ms later (a thread of its own groups `fdatasync`s). A write that fails leaves no torn line behind: the file is cut back, the
//! records wait in memory, and the kernel relays nothing until they are written (INV-2).
//!
//! Not here: what is recorded (`pawang_core::record`) and how it is chained (`pawang_core::audit`).

use pawang_core::audit::{SignedHead, Tip};
use pawang_core::key::Signer;
use pawang_core::record::Entry;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A segment is closed for a new one at this size, in bytes. A start reads the last one only.
pub const SEGMENT_MAX: u64 = 64 << 20;
/// Records wait at most this long for the disk, in ms.
const SYNC_MS: u64 = 5;
/// The head beside the log is renewed at most this often, in ms: a signature and a rename each time.
const HEAD_MS: u64 = 500;

/// The log, open for appending.
pub struct Log {
    dir: PathBuf,
    file: File,
    /// Bytes of the segment that are whole records.
    length: u64,
    tip: Tip,
    /// Lines made and not yet written.
    pending: Vec<u8>,
    signer: Arc<Signer>,
    syncer: Sender<Note>,
}

/// What the syncing thread is told.
enum Note {
    /// Records up to here are in the page cache.
    Written(Tip),
    /// A new segment was opened; the file to sync from now on.
    Segment(File),
    /// Sync, write the head, and answer.
    Flush(Sender<io::Result<()>>),
}

impl Log {
    /// Opens a new segment after `tip`. The first record in it must be a snapshot.
    pub fn open(dir: &Path, tip: Tip, signer: Arc<Signer>) -> io::Result<Self> {
        let file = new_segment(dir, tip.n.saturating_add(1))?;
        let (syncer, notes) = channel();
        let (to_sync, head_dir, head_signer) = (file.try_clone()?, dir.to_owned(), Arc::clone(&signer));
        std::thread::Builder::new()
            .name("pawang-sync".to_owned())
            .spawn(move || sync_loop(to_sync, &head_dir, &head_signer, &notes))?;
        Ok(Self { dir: dir.to_owned(), file, length: 0, tip, pending: Vec::new(), signer, syncer })
    }

    /// Makes a line of an entry. It is written with the next [`Log::write`].
    pub fn push(&mut self, entry: Entry, now_ms: u64) -> io::Result<u64> {
        self.tip.append(entry, now_ms, &mut self.pending).map_err(io::Error::other)?;
        Ok(self.tip.n)
    }

    /// Writes every line made so far, with one system call. To be called before anything they allow is done.
    pub fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            // Part of it may be there: a torn line must not stay in front of the next attempt.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(self.pending.len()).unwrap_or(u64::MAX));
        self.pending.clear();
        self.pending.shrink_to(1 << 20);
        // The thread lives as long as the log; if it is gone, syncing has failed and `flush` says so.
        let _ = self.syncer.send(Note::Written(self.tip));
        Ok(())
    }

    /// The same, and waits until the disk has them.
    pub fn write_through(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write()?;
        self.file.sync_data()
    }

    /// Whether it is time for a new segment.
    pub fn is_full(&self) -> bool {
        self.length >= SEGMENT_MAX
    }

    /// Closes this segment and opens the next. The next record must be a snapshot.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.write()?;
        self.file = new_segment(&self.dir, self.tip.n.saturating_add(1))?;
        self.length = 0;
        let _ = self.syncer.send(Note::Segment(self.file.try_clone()?));
        Ok(())
    }

    /// Appends a signed head.
    pub fn push_head(&mut self, now_ms: u64) -> io::Result<u64> {
        let head = self.tip.head(&self.signer);
        self.push(head, now_ms)
    }

    /// Writes, syncs, renews the head beside the log, and waits for all of it. For the end and for `ctl.head`.
    pub fn flush(&mut self) -> io::Result<Tip> {
        self.write()?;
        let (done, answer) = channel();
        let gone = |_| io::Error::other("the thread that syncs the log has ended");
        self.syncer.send(Note::Flush(done)).map_err(|_| gone(()))?;
        answer.recv().map_err(|_| gone(()))??;
        Ok(self.tip)
    }

    /// Where the log has got to.
    pub fn tip(&self) -> Tip {
        self.tip
    }
}

/// Segments of a log, oldest first.
pub fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The head kept beside the log.
pub fn head_path(dir: &Path) -> PathBuf {
    dir.join("head.json")
}

/// Names sort as the numbers of their first records do.
fn new_segment(dir: &Path, first: u64) -> io::Result<File> {
    let path = dir.join(format!("{first:020}.jsonl"));
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn sync_loop(mut file: File, dir: &Path, signer: &Signer, notes: &Receiver<Note>) {
    let mut head_due: Option<(Instant, Tip)> = None;
    let mut last_head = Instant::now();
    loop {
        let note = match head_due {
            Some((at, tip)) => match notes.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {
                    head_due = None;
                    last_head = Instant::now();
                    report(write_head(dir, tip, signer));
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(note) => note,
            },
            None => match notes.recv() {
                Ok(note) => note,
                Err(_) => return,
            },
        };
        match note {
            Note::Written(tip) => {
                std::thread::sleep(Duration::from_millis(SYNC_MS));
                let (tip, others) = drain(notes, tip);
                report(file.sync_data());
                let at = last_head.checked_add(Duration::from_millis(HEAD_MS)).unwrap_or(last_head);
                head_due = Some((at, tip));
                for other in others {
                    act(other, &mut file, dir, signer, &mut head_due);
                }
            }
            other => act(other, &mut file, dir, signer, &mut head_due),
        }
    }
}

/// Takes what has come in meanwhile: one sync serves all of it.
fn drain(notes: &Receiver<Note>, mut tip: Tip) -> (Tip, Vec<Note>) {
    let mut others = Vec::new();
    while let Ok(note) = notes.try_recv() {
        match note {
            Note::Written(later) => tip = later,
            other => {
                others.push(other);
                break;
            }
        }
    }
    (tip, others)
}

fn act(note: Note, file: &mut File, dir: &Path, signer: &Signer, head_due: &mut Option<(Instant, Tip)>) {
    match note {
        Note::Written(tip) => *head_due = Some((Instant::now(), tip)),
        Note::Segment(next) => {
            report(file.sync_data());
            *file = next;
        }
        Note::Flush(done) => {
            let outcome = file.sync_data().and_then(|()| match head_due.take() {
                Some((_, tip)) => write_head(dir, tip, signer),
                None => Ok(()),
            });
            // Whoever asked may have gone; there is nobody else to tell.
            let _ = done.send(outcome);
        }
    }
}

/// A failed sync is told and tried again with the next record; the records themselves are in the page cache.
fn report(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("pawangd: level=error what=\"log sync\" error={error:?}");
    }
}

fn write_head(dir: &Path, tip: Tip, signer: &Signer) -> io::Result<()> {
    let head: SignedHead = tip.signed(signer);
    let text = serde_json::to_vec(&head).map_err(io::Error::other)?;
    let temporary = dir.join("head.json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    file.sync_data()?;
    std::fs::rename(&temporary, head_path(dir))
}
