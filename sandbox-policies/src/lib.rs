//! Policies as data, and the launcher that confines a process under them.
//!
//! In reading order: [`policy`] (one file of `profiles/`), [`mod@never`], [`profile`] (flattened), [`filter`] (compiled),
//! [`runtime`] (what an interpreter needs), [`image`] (what is executed), [`jail`] (one process, as data), [`walls`],
//! [`ruleset`] (Landlock), `lower` (jail to plan), [`plan`] (the bytes), [`launcher`] (the client), `link` (its socket),
//! [`machine`] (what `pawang doctor` shows). The other side of the socket is `src/bin/pawang-launcher`, which holds the only
//! unsafe code.
//!
//! Deliberately absent: contracts and decisions. This crate puts up what it is told to put up, whole or not at all.
#![forbid(unsafe_code)]

pub mod filter;
pub mod image;
pub mod jail;
pub mod launcher;
mod link;
mod lower;
pub mod machine;
pub mod never;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod ruleset;
pub mod runtime;
pub mod syscalls;
pub mod walls;

pub use image::SealedImage;
pub use jail::{Access, Bind, Jail, Limits, PathRule, Stdio};
pub use launcher::{LaunchError, Launched, Launcher};
pub use machine::{Finding, Machine, probe_machine};
pub use policy::PolicyError;
pub use profile::{FilterOptions, Profile};
pub use runtime::{ResolvedRuntime, Runtime};
pub use walls::{Wall, Walls};
