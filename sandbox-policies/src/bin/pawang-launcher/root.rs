//! A file tree of its own: an empty file system in memory, with the plan's binds in it, made the root of everything.
//!
//! Every mount gets every restriction that its use allows. There is no `/proc`, no `/sys`, no `/run`, no `/etc` but
//! single files of the runtime. At the end the tree itself is read-only and the old one is gone from sight for ever.
//!
//! Source: mount_setattr(2), open_tree(2), pivot_root(2) ("pivot_root(".", ".")").

use crate::sys::{self, Errno};
use pawang_sandbox::plan::{BindKind, BindPlan, RootPlan};
use std::collections::BTreeSet;
use std::ffi::{CString, NulError};

/// Any directory that is there on every Linux: the new tree is mounted over it for a moment.
const OVER: &std::ffi::CStr = c"/proc";

/// A plan's file tree, as C strings.
pub struct Prepared {
    binds: Vec<Bind>,
    tmp: Option<CString>,
    tmp_access: u64,
}

struct Bind {
    source: CString,
    /// Relative to the new root.
    target: CString,
    /// Directories above the target, outermost first.
    parents: Vec<CString>,
    attributes: u64,
    follow_links: bool,
}

impl Prepared {
    pub fn new(plan: &RootPlan) -> Result<Self, NulError> {
        let tmp = match plan.tmp_mib {
            0 => None,
            mib => Some(CString::new(format!("mode=1777,size={mib}m,nr_inodes=16384"))?),
        };
        let mut binds = plan.binds.iter().map(Bind::new).collect::<Result<Vec<_>, _>>()?;
        // Most binds share their parents; each is made once, by the first that needs it.
        let mut made = BTreeSet::new();
        for bind in &mut binds {
            bind.parents.retain(|parent| made.insert(parent.clone()));
        }
        Ok(Self { binds, tmp, tmp_access: plan.tmp_access })
    }

    /// Builds the tree and moves into it.
    pub fn build(&self) -> Result<(), Errno> {
        sys::make_mounts_private()?;
        sys::mount_memory(OVER, c"mode=0755,size=1m,nr_inodes=4096", sys::NO_SUID | sys::NO_DEVICES)?;
        sys::change_directory(OVER)?;
        sys::make_directory(c"tmp", 0o755)?;
        if let Some(options) = &self.tmp {
            sys::mount_memory(c"tmp", options, sys::NO_SUID | sys::NO_DEVICES | sys::NO_EXECUTION)?;
        }
        self.binds.iter().try_for_each(Bind::put_up)?;
        sys::restrict_mount(c".", sys::ATTR_READ_ONLY | sys::ATTR_NO_SUID | sys::ATTR_NO_DEVICES)?;
        sys::pivot_here()?;
        sys::change_directory(c"/")
    }

    /// The private `/tmp` did not exist when the ruleset was made.
    pub fn grant_tmp(&self, ruleset: i32) -> Result<(), Errno> {
        match &self.tmp {
            Some(_) => sys::landlock_grant(ruleset, c"/tmp", self.tmp_access),
            None => Ok(()),
        }
    }
}

impl Bind {
    fn new(plan: &BindPlan) -> Result<Self, NulError> {
        let target = plan.target.trim_matches('/');
        let cuts = target.match_indices('/').filter_map(|(at, _)| target.get(..at));
        Ok(Self {
            source: CString::new(plan.source.as_str())?,
            parents: cuts.map(CString::new).collect::<Result<_, _>>()?,
            target: CString::new(target)?,
            attributes: attributes(plan.kind),
            follow_links: matches!(plan.kind, BindKind::Runtime),
        })
    }

    fn put_up(&self) -> Result<(), Errno> {
        let tree = sys::copy_tree(&self.source, self.follow_links)?;
        sys::restrict_tree(&tree, self.attributes)?;
        for parent in &self.parents {
            sys::make_directory(parent, 0o755)?;
        }
        if sys::is_directory(&tree)? {
            sys::make_directory(&self.target, 0o755)?;
        } else {
            sys::make_file(&self.target)?;
        }
        sys::attach_tree(&tree, &self.target)
    }
}

fn attributes(kind: BindKind) -> u64 {
    let least = sys::ATTR_NO_SUID;
    match kind {
        BindKind::Runtime => least | sys::ATTR_READ_ONLY | sys::ATTR_NO_DEVICES,
        BindKind::ReadOnly => least | sys::ATTR_READ_ONLY | sys::ATTR_NO_DEVICES | sys::ATTR_NO_EXECUTION,
        BindKind::Writable => least | sys::ATTR_NO_DEVICES | sys::ATTR_NO_EXECUTION,
        BindKind::Device => least | sys::ATTR_READ_ONLY | sys::ATTR_NO_EXECUTION,
    }
}
