//! A contract in words: who, which program, which rights, how much, until when.
//!
//! Rules are shown as the lines an author writes, so that what is read can be copied.

use crate::clean::clean;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Column, Table};
use crate::units;
use pawang_core::contract::{Contract, FileDigest};
use pawang_core::digest::Digest;

/// Everything.
#[must_use]
pub fn whole(contract: &Contract, digest: &Digest, paint: Paint) -> String {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left)]);
    let mut row = |name: &str, text: String| table.row([Cell::toned(Tone::Dim, name), text.into()]);
    row("contract", format!("{}  {digest}", contract.name));
    row("signed by", contract.issuer.to_string());
    row("for daemon", contract.audience.to_string());
    row("program", file(&contract.program.executable));
    if let Some(script) = &contract.program.script {
        row("script", file(script));
    }
    for further in &contract.program.files {
        row("file", file(further));
    }
    row("runtime", contract.runtime.to_string());
    row("valid", format!("{} to {}", units::utc(contract.not_before), units::utc(contract.not_after)));
    row("uses", contract.uses.to_string());
    if let Some(parent) = &contract.parent {
        row("cut from", parent.to_string());
    }
    if let Some(delegate) = &contract.delegate {
        row("may be cut by", delegate.to_string());
    }
    format!("{}{}", table.render(paint, None), rights(contract, paint))
}

/// What it may do, and how much.
#[must_use]
pub fn rights(contract: &Contract, paint: Paint) -> String {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left)]);
    for rule in &contract.allow {
        table.row([Cell::toned(Tone::Good, "allow"), rule.to_string().into()]);
    }
    if contract.allow.is_empty() {
        table.row([Cell::toned(Tone::Good, "allow"), "nothing".into()]);
    }
    for rule in &contract.deny {
        table.row([Cell::toned(Tone::Bad, "deny"), rule.to_string().into()]);
    }
    for secret in &contract.secrets {
        let text = format!("{} to {} as {}", secret.name, secret.to, secret.placement);
        table.row([Cell::toned(Tone::Warn, "secret"), text.into()]);
    }
    table.row([Cell::toned(Tone::Dim, "gas"), gas(contract).into()]);
    table.row([Cell::toned(Tone::Dim, "limits"), limits(contract).into()]);
    table.render(paint, None)
}

fn gas(contract: &Contract) -> String {
    let each: Vec<String> = contract
        .gas
        .each
        .iter()
        .map(|ceiling| format!("{} at most {}", ceiling.call, ceiling.limit))
        .collect();
    let all = contract.gas.limit;
    if each.is_empty() { all.to_string() } else { format!("{all}, of it {}", each.join(", ")) }
}

fn limits(contract: &Contract) -> String {
    let limits: Vec<String> =
        contract.limits.named().iter().map(|(name, value)| format!("{name} = {value}")).collect();
    limits.join("  ")
}

fn file(file: &FileDigest) -> String {
    format!("{}  sha256 {}", clean(&file.path), file.sha256)
}
