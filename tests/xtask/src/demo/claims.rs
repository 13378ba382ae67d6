//! What a demo claims, looked at from outside once the daemon has ended.

use super::place::{PROFILE, Place};
use std::fs;
use std::path::Path;

/// A sentence, and whether it is true.
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
}

/// All claims. `seen`: everything that was printed.
pub fn all(place: &Place, seen: &[u8]) -> Vec<Claim> {
    let report = fs::read_to_string(place.output.join("report.md")).unwrap_or_default();
    let rows = report.lines().filter(|line| line.starts_with("| ")).count().saturating_sub(2);
    let profile = fs::read_to_string(place.home.join(".profile")).unwrap_or_default();
    let claim = |text: &str, holds| Claim { text: text.to_owned(), holds };
    vec![
        Claim { text: format!("the report is written: {rows} licences"), holds: rows > 0 },
        claim("no attempt got through", !holds(seen, "NOT STOPPED") && holds(seen, "now it loops for ever")),
        claim(
            "the login script is as it was, and nothing else was written",
            profile == PROFILE && only_report(&place.output),
        ),
        claim("the private key was not read", !holds(seen, &place.bait)),
        claim(
            "the key in the vault is in no output, no log and no file",
            !holds(seen, &place.secret) && !is_below(&place.root, &place.secret),
        ),
    ]
}

fn only_report(output: &Path) -> bool {
    let names =
        fs::read_dir(output).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.file_name());
    names.eq(["report.md"])
}

fn holds(text: &[u8], needle: &str) -> bool {
    text.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Whether any file below this folder holds the needle.
fn is_below(folder: &Path, needle: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => is_below(&entry.path(), needle),
        Ok(kind) if kind.is_file() => fs::read(entry.path()).is_ok_and(|bytes| holds(&bytes, needle)),
        _ => false,
    })
}
