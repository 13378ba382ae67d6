//! Users and groups: leaving root behind, and the one-line maps of a new user namespace.
//!
//! Inside, the process has the same number as outside; it is no root in either. Groups besides its own are given up
//! where that takes root, and can never be regained: `setgroups` is switched off before the map is written.

use crate::sys::{self, Errno};
use std::os::fd::OwnedFd;

/// Text of the maps, made before the clone.
pub struct Prepared {
    /// Whether the launcher runs as root.
    pub is_root: bool,
    become_user: Option<u32>,
    uid_map: Vec<u8>,
    gid_map: Vec<u8>,
}

impl Prepared {
    pub fn new(become_user: Option<u32>) -> Self {
        let (own_uid, own_gid) = (sys::user(), sys::group());
        let uid = become_user.unwrap_or(own_uid);
        let gid = become_user.unwrap_or(own_gid);
        Self {
            is_root: own_uid == 0,
            become_user,
            uid_map: format!("{uid} {uid} 1").into_bytes(),
            gid_map: format!("{gid} {gid} 1").into_bytes(),
        }
    }

    /// Becomes the user of the plan, for good. Does nothing where there is none.
    pub fn drop_user(&self) -> Result<(), Errno> {
        let Some(id) = self.become_user else { return Ok(()) };
        sys::leave_groups()?;
        sys::set_group(id)?;
        sys::set_user(id)?;
        // Changing the user made `/proc/self` root's; the maps are written there.
        sys::set_dumpable()
    }

    /// Writes the maps of the namespace that the process is in.
    pub fn write_maps(&self, own: &OwnedFd) -> Result<(), Errno> {
        sys::write_file_at(own, c"setgroups", b"deny")?;
        sys::write_file_at(own, c"gid_map", &self.gid_map)?;
        sys::write_file_at(own, c"uid_map", &self.uid_map)
    }
}
