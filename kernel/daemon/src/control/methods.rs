//! The control methods that are about the daemon: keys, trust, contracts, vault, the end.

use super::{Control, Request, runs};
use crate::kernel::{Kernel, Shared};
use crate::shell::settle;
use pawang_core::control::{ContractDetail, ContractRef, Head, Info, Revoked, SecretRef};
use pawang_core::digest::Digest;
use pawang_core::record::Entry;
use pawang_core::trust::TrustStore;
use pawang_protocol::Failure;
use serde::de::DeserializeOwned;
use std::rc::Rc;

/// Dispatches one call.
pub fn call(shared: &Shared, control: &Rc<Control>, request: &Request) {
    let id = request.id;
    match request.method {
        "ctl.info" => control.answer(id, Ok(info(&mut shared.borrow_mut()))),
        "ctl.run" => runs::start(shared, control, request),
        "ctl.stdin" => runs::stdin(shared, control, request),
        "ctl.ps" => control.answer(id, Ok(runs::list(&shared.borrow()))),
        "ctl.inspect" => control.answer(id, runs::inspect(&shared.borrow(), request)),
        "ctl.stop" => runs::stop(shared, control, request),
        "ctl.logs" => runs::logs(shared, control, request),
        "ctl.timeline" => runs::timeline(shared, control, request),
        "ctl.revoke" => control.answer(id, revoke(shared, request)),
        "ctl.contract" => control.answer(id, contract(&shared.borrow(), request)),
        "ctl.trust-list" => control.answer(id, Ok(shared.borrow().trust.clone())),
        "ctl.trust-set" => control.answer(id, trust_set(shared, request)),
        "ctl.secret-set" => control.answer(id, secret_set(shared, request)),
        "ctl.secret-remove" => control.answer(id, secret_remove(shared, request)),
        "ctl.secret-list" => control.answer(id, secret_list(&shared.borrow())),
        "ctl.vault-unlock" => control.answer(id, unlock(&mut shared.borrow_mut(), request)),
        "ctl.head" => control.answer(id, head(&mut shared.borrow_mut())),
        "ctl.shutdown" => {
            control.answer(id, Ok(()));
            crate::end::begin(shared);
        }
        other => {
            control.answer(id, Err::<(), _>(Failure::new("unknown_method", format!("no method {other}"))))
        }
    }
}

/// Reads the arguments of a call.
pub fn args<T: DeserializeOwned>(request: &Request) -> Result<T, Failure> {
    serde_json::from_slice(request.args)
        .map_err(|error| Failure::new("bad_request", format!("{}: {error}", request.method)))
}

fn info(kernel: &mut Kernel) -> Info {
    Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        key: kernel.signer.id().to_string(),
        prices: Digest(kernel.methods.digest),
        state: kernel.settings.state.to_string_lossy().into_owned(),
        python_sdk: kernel.settings.python.to_string_lossy().into_owned(),
        vault: kernel.secrets.state(),
        log: kernel.log_trouble.clone().unwrap_or_else(|| "ok".to_owned()),
        now: kernel.clock.now().unix_s,
        runs: u32::try_from(kernel.relay.runs().count()).unwrap_or(u32::MAX),
    }
}

/// The contract a prefix of at least eight digits names.
fn digest_of(kernel: &Kernel, request: &Request) -> Result<Digest, Failure> {
    let wanted: ContractRef = args(request)?;
    if wanted.contract.len() < 8 {
        return Err(Failure::new("too_short", "a contract is named by at least eight digits of its digest"));
    }
    let known =
        kernel.relay.accounts().keys().filter(|digest| digest.to_string().starts_with(&wanted.contract));
    let known: Vec<Digest> = known.copied().collect();
    match (known.as_slice(), wanted.contract.parse()) {
        ([digest], _) => Ok(*digest),
        // One that was never presented here can be revoked before it is.
        ([], Ok(digest)) => Ok(digest),
        ([], Err(_)) => Err(Failure::new(
            "no_such_contract",
            format!("no contract {} was presented here", wanted.contract),
        )
        .hint("give the whole digest: pawang contract show FILE")),
        _ => Err(Failure::new("ambiguous", format!("several contracts begin with {}", wanted.contract))),
    }
}

fn revoke(shared: &Shared, request: &Request) -> Result<Revoked, Failure> {
    let contract = digest_of(&shared.borrow(), request)?;
    let stopped = shared.borrow_mut().event(|relay, out| relay.revoke(contract, out));
    settle(shared);
    Ok(Revoked { contract, stopped })
}

fn contract(kernel: &Kernel, request: &Request) -> Result<ContractDetail, Failure> {
    let contract = digest_of(kernel, request)?;
    let unknown =
        || Failure::new("no_such_contract", "it was not presented here since its account was last forgotten");
    let account = kernel.relay.account(&contract).ok_or_else(unknown)?;
    let payload = crate::records::payload_of(&kernel.settings.audit, contract).unwrap_or_default();
    Ok(ContractDetail {
        contract,
        payload,
        revoked: kernel.relay.revoked().contains(&contract),
        gas: (account.granted(), account.spent(), account.reserved()),
        uses_left: account.uses_left(),
    })
}

fn trust_set(shared: &Shared, request: &Request) -> Result<(), Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::new("bad_trust_store", error.to_string());
    let text = std::str::from_utf8(request.args).map_err(|error| bad(&error))?;
    let trust = TrustStore::parse(text, &shared.borrow().methods).map_err(|error| bad(&error))?;
    let json = serde_json::to_value(&trust).map_err(|error| bad(&error))?;
    let mut kernel = shared.borrow_mut();
    kernel.record(Entry::Trust { trust: json });
    kernel.trust = trust;
    drop(kernel);
    settle(shared);
    Ok(())
}

fn secret_set(shared: &Shared, request: &Request) -> Result<(), Failure> {
    let wanted: SecretRef = args(request)?;
    change_secret(shared, &wanted.name, "set", |kernel| {
        kernel.secrets.set(&wanted.name, request.data.to_vec())
    })
}

fn secret_remove(shared: &Shared, request: &Request) -> Result<(), Failure> {
    let wanted: SecretRef = args(request)?;
    change_secret(shared, &wanted.name, "removed", |kernel| match kernel.secrets.remove(&wanted.name)? {
        true => Ok(()),
        false => Err(Failure::new("no_such_secret", format!("no secret {} is stored", wanted.name))),
    })
}

fn change_secret(
    shared: &Shared,
    name: &str,
    act: &str,
    change: impl FnOnce(&mut Kernel) -> Result<(), Failure>,
) -> Result<(), Failure> {
    {
        let mut kernel = shared.borrow_mut();
        change(&mut kernel)?;
        let names = kernel.secrets.names();
        kernel.relay.set_secrets(names);
        kernel.record(Entry::Secret { name: name.to_owned(), act: act.to_owned() });
    }
    settle(shared);
    Ok(())
}

fn secret_list(kernel: &Kernel) -> Result<Vec<String>, Failure> {
    match kernel.secrets.state() {
        pawang_core::control::VaultState::Locked => {
            Err(Failure::new("vault_locked", "the vault is locked").hint("pawang secret unlock"))
        }
        _ => Ok(kernel.secrets.names().into_iter().collect()),
    }
}

fn unlock(kernel: &mut Kernel, request: &Request) -> Result<(), Failure> {
    kernel.secrets.unlock(request.data)?;
    let names = kernel.secrets.names();
    kernel.relay.set_secrets(names);
    Ok(())
}

fn head(kernel: &mut Kernel) -> Result<Head, Failure> {
    let failed = |error: std::io::Error| Failure::new("log_unwritable", error.to_string()).retryable();
    let now_ms = kernel.clock.unix_ms();
    kernel.log.push_head(now_ms).map_err(failed)?;
    let tip = kernel.log.flush().map_err(failed)?;
    Ok(Head { n: tip.n, digest: tip.digest })
}
