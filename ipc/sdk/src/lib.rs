//! Write a Pawang tool or automation in Rust.
