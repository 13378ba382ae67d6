//! The memory tool.
fn main() {}
