//! The exec tool.
fn main() {}
