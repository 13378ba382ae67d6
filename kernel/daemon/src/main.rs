//! The Pawang kernel daemon.
fn main() {}
