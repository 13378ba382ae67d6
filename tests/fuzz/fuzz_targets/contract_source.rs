//! What an author writes is compiled or refused, and a refusal points at a place that is in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pawang_core::contract::source;
use pawang_core::method::Methods;
use std::sync::LazyLock;

static METHODS: LazyLock<Methods> =
    LazyLock::new(|| Methods::builtin().expect("the compiled-in table is sound"));

fuzz_target!(|toml: &str| {
    let Err(error) = source::check(toml, &METHODS) else { return };
    assert!(!error.to_string().is_empty());
    let lines = toml.split('\n').count();
    assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
    let line = toml.split('\n').nth(error.line - 1).unwrap_or_default();
    assert!(error.column <= line.chars().count() + 1, "column {} of line {line:?}", error.column);
});
