//! The Pawang command line.
fn main() {}
