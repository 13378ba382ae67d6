//! What the machine gives, found by trying it: a namespace counts only where a child could make it *and* use it.
//!
//! A distribution may let anyone make a user namespace and then refuse every capability in it (Ubuntu 24.04 does);
//! asking for a version number would not tell.

use crate::ids;
use crate::sys::{self, Stack};
use pawang_sandbox::plan::Facts;
use pawang_sandbox::walls::{Wall, Walls};

/// Tries everything once.
pub fn find(stack: &mut Stack) -> Facts {
    let ids = ids::Prepared::new(None);
    let user = works(stack, 0, &ids, true);
    let mut namespaces = if user { Walls::NONE.with(Wall::UserNs) } else { Walls::NONE };
    if user || ids.is_root {
        for (wall, flag) in [
            (Wall::PidNs, sys::NEW_PID),
            (Wall::NetNs, sys::NEW_NET),
            (Wall::IpcNs, sys::NEW_IPC),
            (Wall::UtsNs, sys::NEW_UTS),
            (Wall::MountNs, sys::NEW_MOUNTS),
        ] {
            if works(stack, flag, &ids, !ids.is_root) {
                namespaces = namespaces.with(wall);
            }
        }
    }
    Facts {
        landlock_abi: sys::landlock_abi(),
        seccomp: sys::has_seccomp(),
        namespaces: namespaces.bits(),
        uid: sys::user(),
    }
}

/// Whether a child can be made in these namespaces, map itself, and (for a mount namespace) mount.
fn works(stack: &mut Stack, flags: u64, ids: &ids::Prepared, user: bool) -> bool {
    let late = user && ids.is_root;
    let new_user = if user && !late { sys::NEW_USER } else { 0 };
    let mut attempt = || {
        let own = match sys::open_own_process() {
            Ok(own) => own,
            Err(_) => return 1,
        };
        let mapped = match (user, late) {
            (true, true) => sys::unshare_user().and_then(|()| ids.write_maps(&own)),
            (true, false) => ids.write_maps(&own),
            (false, _) => Ok(()),
        };
        let mounted = if flags & sys::NEW_MOUNTS == 0 {
            Ok(())
        } else {
            sys::make_mounts_private().and_then(|()| sys::mount_memory(c"/proc", c"size=4k", sys::NO_SUID))
        };
        i32::from(mapped.and(mounted).is_err())
    };
    match sys::clone(sys::SHARE_AND_WAIT | flags | new_user, stack, &mut attempt) {
        Ok((pid, _pidfd)) => sys::wait_for(pid) == Ok(0),
        Err(_) => false,
    }
}
