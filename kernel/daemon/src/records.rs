//! Reading back what was written: records of a run, payloads of contracts, output that was kept.

use crate::log::segments;
use pawang_core::digest::Digest;
use pawang_core::record::{Entry, Record};
use pawang_protocol::Failure;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Records returned by one reading.
const BATCH: usize = 256;

/// A place in the log from which the records of one run are read on.
pub struct Cursor {
    dir: PathBuf,
    run: String,
    segment: usize,
    offset: u64,
    has_found: bool,
}

impl Cursor {
    /// From the beginning of the log.
    pub fn new(dir: &Path, run: &str) -> Self {
        Self { dir: dir.to_owned(), run: run.to_owned(), segment: 0, offset: 0, has_found: false }
    }

    /// Whether any record of the run was found so far.
    pub fn has_found(&self) -> bool {
        self.has_found
    }

    /// The next lines of the run, empty where there are none yet. Blocking.
    pub fn read(mut self) -> (Result<Vec<Vec<u8>>, Failure>, Self) {
        let lines = self.next_lines().map_err(|error| Failure::new("log_unreadable", error.to_string()));
        (lines, self)
    }

    fn next_lines(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        let segments = segments(&self.dir)?;
        let mut found = Vec::new();
        // Cheap before exact: the id stands in the line as it was written.
        let mark = format!("\"run\":\"{}", self.run);
        while let Some(path) = segments.get(self.segment) {
            let mut file = BufReader::new(File::open(path)?);
            file.seek(SeekFrom::Start(self.offset))?;
            let mut line = Vec::new();
            while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                self.offset = self.offset.saturating_add(u64::try_from(line.len()).unwrap_or(0));
                line.pop();
                if contains(&line, mark.as_bytes()) {
                    found.push(std::mem::take(&mut line));
                    self.has_found = true;
                }
                line.clear();
                if found.len() >= BATCH {
                    return Ok(found);
                }
            }
            if self.segment.saturating_add(1) >= segments.len() {
                break;
            }
            self.segment = self.segment.saturating_add(1);
            self.offset = 0;
        }
        Ok(found)
    }
}

/// The payload a contract was admitted with, newest segment first.
pub fn payload_of(dir: &Path, contract: Digest) -> Option<String> {
    let mark = format!("\"contract\":\"{contract}\"");
    for path in segments(dir).ok()?.into_iter().rev() {
        for line in BufReader::new(File::open(path).ok()?).split(b'\n').map_while(Result::ok) {
            if !contains(&line, b"\"kind\":\"admit\"") || !contains(&line, mark.as_bytes()) {
                continue;
            }
            if let Ok(Record { entry: Entry::Admit { contract: admitted, payload, .. }, .. }) =
                serde_json::from_slice(&line)
                && admitted == contract
            {
                return Some(payload);
            }
        }
    }
    None
}

/// Chunks of kept output from `at` on, which moves along.
pub fn output_chunks(path: &Path, at: &mut u64) -> Vec<(u8, Vec<u8>)> {
    let mut chunks = Vec::new();
    let Ok(mut file) = File::open(path) else { return chunks };
    if file.seek(SeekFrom::Start(*at)).is_err() {
        return chunks;
    }
    let mut head = [0; 5];
    while file.read_exact(&mut head).is_ok() {
        let [fd, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        let mut bytes = Vec::new();
        let read = file.by_ref().take(u64::from(length)).read_to_end(&mut bytes);
        if !read.is_ok_and(|read| u32::try_from(read) == Ok(length)) {
            break;
        }
        *at = at.saturating_add(5).saturating_add(u64::from(length));
        chunks.push((fd, bytes));
    }
    chunks
}

fn contains(line: &[u8], mark: &[u8]) -> bool {
    line.windows(mark.len()).any(|window| window == mark)
}
