//! The http tool.
fn main() {}
