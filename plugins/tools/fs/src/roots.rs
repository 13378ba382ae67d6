//! The folders this tool was given, opened once, and which of them a path belongs to.
//!
//! The second of three walls: the kernel has permitted the call already. A root is walked without following any
//! symbolic link, also in its own path. A root that is missing makes the calls on it fail, and no others.

use crate::failure::failure;
use crate::open::{BENEATH, open_at};
use pawang_sdk::Failure;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use serde::Deserialize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the kernel tells the tool at start.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Longest literal prefixes of the contract's path grants. None means none.
    #[serde(default)]
    roots: Vec<RootSetup>,
    /// Paths that are denied: literal, or with `/**` at the end for "at or below".
    #[serde(default)]
    deny: Vec<String>,
    /// Whether files with several names may be used. Refused unless said, because a second name can make a file
    /// that a rule protects look like one that none does.
    #[serde(default)]
    hard_links: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootSetup {
    /// Absolute and canonical.
    path: String,
    /// `fs.read`, `fs.stat`.
    #[serde(default)]
    read: bool,
    /// `fs.list`, `fs.stat`.
    #[serde(default)]
    list: bool,
    /// Everything that changes something.
    #[serde(default)]
    write: bool,
}

/// What a call needs of its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Reading content.
    Read,
    /// Listing entries.
    List,
    /// Knowing that it is there: any right suffices.
    Look,
    /// Changing something.
    Write,
}

/// All roots, and the state of the tool.
pub struct Roots {
    roots: Vec<Root>,
    deny: Vec<Denied>,
    /// Whether files with several names may be used.
    pub hard_links: bool,
    /// Reused for content on its way.
    pub buffer: Vec<u8>,
}

struct Root {
    setup: RootSetup,
    anchor: Result<Anchor, Errno>,
}

enum Anchor {
    /// The root is a folder.
    Folder(OwnedFd),
    /// The root is a file, or not there yet: its parent, in which only that name is used.
    Entry(OwnedFd),
}

struct Denied {
    path: String,
    below: bool,
}

/// A path that belongs to a root: where to start and the rest of the way, never empty, never with `..`.
#[derive(Debug)]
pub struct Place<'a> {
    /// The whole path, for messages.
    pub path: &'a str,
    /// Where the walk starts.
    pub dir: BorrowedFd<'a>,
    /// The way from there; `.` for the root itself.
    pub rest: &'a str,
}

impl Roots {
    /// Opens what can be opened.
    ///
    /// # Errors
    /// `bad_setup` where a path is not absolute or a deny rule is of a form this tool cannot hold.
    pub fn open(setup: Setup) -> Result<Self, Failure> {
        let deny = setup.deny.iter().map(|rule| Denied::parse(rule)).collect::<Result<_, _>>()?;
        let roots = setup.roots.into_iter().map(Root::open).collect::<Result<_, _>>()?;
        Ok(Self { roots, deny, hard_links: setup.hard_links, buffer: Vec::new() })
    }

    /// The root `path` belongs to: the longest of those with the right.
    ///
    /// # Errors
    /// `refused` where no root with the right contains it or a deny rule covers it; `not_found` and the like where
    /// the root could not be opened.
    pub fn locate<'a>(&'a self, path: &'a str, need: Need) -> Result<Place<'a>, Failure> {
        check_canonical(path)?;
        if self.deny.iter().any(|denied| denied.covers(path)) {
            return Err(refused(path, "a deny rule of the contract covers it"));
        }
        let holds = |root: &&Root| root.allows(need) && below(path, &root.setup.path).is_some();
        let root = self.roots.iter().filter(holds).max_by_key(|root| root.setup.path.len());
        let root =
            root.ok_or_else(|| refused(path, "it is in none of the folders this tool was given for that"))?;
        root.place(path)
    }

    /// As [`Self::locate`], for what takes a whole tree along: refused where a denied path lies inside.
    ///
    /// # Errors
    /// As [`Self::locate`].
    pub fn locate_tree<'a>(&'a self, path: &'a str) -> Result<Place<'a>, Failure> {
        let place = self.locate(path, Need::Write)?;
        if self.deny.iter().any(|denied| below(&denied.path, path).is_some()) {
            return Err(refused(path, "something inside it is denied by the contract"));
        }
        Ok(place)
    }
}

impl Root {
    fn open(setup: RootSetup) -> Result<Self, Failure> {
        check_canonical(&setup.path).map_err(|e| Failure::new("bad_setup", e.message))?;
        let anchor = anchor(&setup.path);
        Ok(Self { setup, anchor })
    }

    fn allows(&self, need: Need) -> bool {
        let RootSetup { read, list, write, .. } = self.setup;
        match need {
            Need::Read => read,
            Need::List => list,
            Need::Look => read || list || write,
            Need::Write => write,
        }
    }

    fn place<'a>(&'a self, path: &'a str) -> Result<Place<'a>, Failure> {
        let root = self.setup.path.as_str();
        match &self.anchor {
            Err(errno) => Err(failure(root, *errno)),
            Ok(Anchor::Folder(dir)) => {
                let rest = below(path, root).filter(|rest| !rest.is_empty()).unwrap_or(".");
                Ok(Place { path, dir: dir.as_fd(), rest })
            }
            Ok(Anchor::Entry(parent)) => {
                let rest = below(path, split(root).0).unwrap_or(".");
                Ok(Place { path, dir: parent.as_fd(), rest })
            }
        }
    }
}

impl Denied {
    fn parse(rule: &str) -> Result<Self, Failure> {
        let (path, is_tree) = match rule.strip_suffix("/**") {
            Some("") => ("/", true),
            Some(path) => (path, true),
            None => (rule, false),
        };
        if path.contains('*') || check_canonical(path).is_err() {
            return Err(Failure::new(
                "bad_setup",
                format!("deny rule {rule}: not a path or a path with /**"),
            ));
        }
        Ok(Self { path: path.to_owned(), below: is_tree })
    }

    fn covers(&self, path: &str) -> bool {
        if self.below { below(path, &self.path).is_some() } else { path == self.path }
    }
}

/// The way from `root` to `path`: empty where they are the same, `None` where it does not lie below.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    match path.strip_prefix(root)? {
        "" => Some(""),
        rest if root == "/" => Some(rest),
        rest => rest.strip_prefix('/'),
    }
}

/// A path cut into its parent and its last name.
pub fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => (".", path),
    }
}

fn anchor(root: &str) -> Result<Anchor, Errno> {
    let top = openat2(CWD, "/", FOLDER, Mode::empty(), ResolveFlags::empty())?;
    let way = |path: &str| path.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(".").to_owned();
    // Mount points may be crossed on the way to a root, and nowhere below it.
    let resolve = BENEATH.difference(ResolveFlags::NO_XDEV);
    match open_at(top.as_fd(), &way(root), FOLDER, Mode::empty(), resolve) {
        Ok(folder) => Ok(Anchor::Folder(folder)),
        Err(Errno::NOTDIR | Errno::NOENT) => {
            open_at(top.as_fd(), &way(split(root).0), FOLDER, Mode::empty(), resolve).map(Anchor::Entry)
        }
        Err(errno) => Err(errno),
    }
}

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What the kernel sends is canonical. This holds it to that: one spelling, so that comparing texts means something.
fn check_canonical(path: &str) -> Result<(), Failure> {
    let mut segments = path.strip_prefix('/').unwrap_or("..").split('/');
    let is_canonical = path == "/" || segments.all(|s| !matches!(s, "" | "." | "..") && !s.contains('\0'));
    if is_canonical { Ok(()) } else { Err(refused(path, "it is not an absolute path in canonical form")) }
}

fn refused(path: &str, why: &str) -> Failure {
    Failure::new("refused", format!("{path}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::{Denied, below, check_canonical, split};

    #[test]
    fn below_compares_whole_segments() {
        let cases = [
            ("/a/b", "/a", Some("b")),
            ("/a", "/a", Some("")),
            ("/ab", "/a", None),
            ("/", "/", Some("")),
            ("/a", "/", Some("a")),
            ("/b/a", "/a", None),
        ];
        for (path, root, rest) in cases {
            assert_eq!(below(path, root), rest, "{path} below {root}");
        }
    }

    #[test]
    fn deny_rules_cover_what_they_say_and_other_forms_are_refused() {
        let covers = |rule: &str, path: &str| Denied::parse(rule).unwrap().covers(path);
        assert!(covers("/a/**", "/a") && covers("/a/**", "/a/b/c") && covers("/**", "/x"));
        assert!(!covers("/a/**", "/ab") && !covers("/a", "/a/b") && covers("/a", "/a"));
        for bad in ["/a/*", "/a*/**", "a/**", "/a/../b", "", "/a//b"] {
            assert!(Denied::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_canonical_paths_pass() {
        for good in ["/", "/a", "/a/b.c", "/.hidden", "/a..b"] {
            assert!(check_canonical(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "/a/", "//a", "/a/../b", "/./a", "/a\0b", ".."] {
            assert!(check_canonical(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn split_gives_parent_and_name() {
        assert_eq!((split("/a/b"), split("/a"), split("x")), (("/a", "b"), ("/", "a"), (".", "x")));
    }
}
