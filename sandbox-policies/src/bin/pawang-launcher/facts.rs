//! What the machine gives, found by trying it: a namespace counts only where a child could make it *and* use it.
//!
//! A distribution may let anyone make a user namespace and then refuse every capability in it (Ubuntu 24.04 does);
//! asking for a version number would not tell.

use crate::ids;
use crate::sys::{self, Stack};
use pawang_sandbox::plan::Facts;
use pawang_sandbox::walls::{Wall, Walls};

/// Moves into an empty network namespace, for all that will be started here: there is no interface in it, not even a
/// loopback that is up, so sharing it joins nothing. An ordinary user takes a user namespace along, which gives the
/// right to; the namespaces of the processes lie in that one. Whether it worked.
pub fn leave_network() -> bool {
    let ids = ids::Prepared::new(None);
    if ids.is_root {
        return sys::unshare(sys::NEW_NET).is_ok();
    }
    // Only where a child has shown that it can be done: halfway in, there would be no way back.
    let mut stack = Stack::new();
    works(&mut stack, sys::NEW_NET, &ids, true)
        && sys::open_own_process().is_ok_and(|own| {
            sys::unshare(sys::NEW_USER | sys::NEW_NET).and_then(|()| ids.write_maps(&own)).is_ok()
        })
}

/// Tries everything once. `quiet`: the launcher is in an empty network namespace.
pub fn find(stack: &mut Stack, quiet: bool) -> Facts {
    let ids = ids::Prepared::new(None);
    let user = works(stack, 0, &ids, true);
    let mut namespaces = if user { Walls::NONE.with(Wall::UserNs) } else { Walls::NONE };
    if user || ids.is_root {
        for (wall, flag) in [
            (Wall::PidNs, sys::NEW_PID),
            (Wall::IpcNs, sys::NEW_IPC),
            (Wall::UtsNs, sys::NEW_UTS),
            (Wall::MountNs, sys::NEW_MOUNTS),
        ] {
            if works(stack, flag, &ids, !ids.is_root) {
                namespaces = namespaces.with(wall);
            }
        }
    }
    if quiet {
        namespaces = namespaces.with(Wall::NetNs);
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
            (true, true) => sys::unshare(sys::NEW_USER).and_then(|()| ids.write_maps(&own)),
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
