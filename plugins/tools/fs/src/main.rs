//! The fs tool.
fn main() {}
