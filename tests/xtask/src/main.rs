//! Build, demo, test and bench commands of this repository.
fn main() {}
