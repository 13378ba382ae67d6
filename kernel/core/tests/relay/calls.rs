//! A call's way in: identity, shape, permission, record, relay.

use crate::kit::{self, NOW};
use crate::stage::{Ask, EXEC, READ, REFUSED, SPAWN, Stage, ask, contract};
use pawang_core::record::Entry;
use pawang_core::relay::{Effect, Fault};
use pawang_core::run::PeerId;
use pawang_protocol::limits::IN_FLIGHT_MAX;
use pawang_protocol::{DenialCode, Status};

#[test]
fn inv2_the_record_stands_before_the_tool_starts_and_before_the_call_is_forwarded() {
    let (mut stage, _, automation) = Stage::with(1_000);
    stage.call(automation, READ);
    let order: Vec<&str> = stage
        .out
        .iter()
        .map(|effect| match effect {
            Effect::Record(Entry::Call { .. }) => "record",
            Effect::StartTool { .. } => "start",
            Effect::Forward { .. } => "forward",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["record", "start", "forward"]);
}

#[test]
fn a_tool_is_started_once_and_a_kernel_call_starts_none() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let first = stage.sends(automation, READ);
    let second = stage.sends(automation, READ);
    assert_eq!((first.0, first.1 + 1), second);
    assert!(!stage.out.iter().any(|effect| matches!(effect, Effect::StartTool { .. })));
    stage.call(automation, ask("run.info", ""));
    assert_eq!((stage.served(), stage.forwarded()), (Some(3), None));
}

#[test]
fn f53_ids_must_grow() {
    let (mut stage, _, automation) = Stage::with(1_000);
    for (id, outcome) in [
        (5, Ok(())),
        (5, Err(Fault("call id 5 after 5: ids must grow".to_owned()))),
        (4, Err(Fault("call id 4 after 5: ids must grow".to_owned()))),
        (0, Err(Fault("call id 0 after 5: ids must grow".to_owned()))),
        (6, Ok(())),
        (u64::MAX, Ok(())),
    ] {
        assert_eq!(stage.call_as(automation, id, READ, false), outcome);
        assert_eq!(stage.out.is_empty(), outcome.is_err());
    }
}

#[test]
fn inv10_a_peer_that_fills_the_secrets_field_is_at_fault() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let fault = stage.call_as(automation, 1, READ, true).unwrap_err();
    assert_eq!(fault.0, "a call with its secrets field filled; only the kernel fills it");
    stage.does(|relay, now, out| relay.fault(now, automation, &fault, out));
    let what = Entry::Fault { run, who: "automation".to_owned(), what: fault.0 };
    assert_eq!(stage.out[0], Effect::Record(what));
    assert_eq!(stage.ended(), [(run, pawang_core::run::Outcome::Fault)]);
}

#[test]
fn inv1_a_peer_of_an_older_generation_is_nobody() {
    let (mut stage, run, automation) = Stage::with(1_000);
    let (tool, _) = stage.sends(automation, READ);
    stage.gone(tool);
    let (again, _) = stage.sends(automation, READ);
    assert_eq!(again, PeerId { slot: tool.slot, generation: tool.generation + 1 });
    assert_eq!((stage.relay.whose(tool), stage.relay.whose(again)), (None, Some((run, Some("fs")))));
    assert_eq!(stage.call_as(tool, 1, READ, false), Err(Fault("call from a peer that is gone".to_owned())));
}

#[test]
fn each_refusal_has_its_code() {
    for (ask, code) in [
        (ask("no.such", ""), DenialCode::UnknownMethod),
        (ask("fs.read", "input/a"), DenialCode::MalformedResource),
        (ask("fs.read", "/input/../a"), DenialCode::MalformedResource),
        (Ask { parent: 1, ..READ }, DenialCode::MalformedCall),
        (ask("fs.list", "/input"), DenialCode::MethodNotGranted),
        (REFUSED, DenialCode::ResourceNotGranted),
        (SPAWN, DenialCode::MethodNotGranted),
    ] {
        let (mut stage, run, automation) = Stage::with(1_000);
        stage.call(automation, ask);
        assert_eq!(stage.denial().map(|denial| denial.code), Some(code), "{ask:?}");
        assert_eq!(stage.answer(), Some((automation, 1, Status::Denied, true, 1)));
        assert_eq!((stage.gas(run).2, stage.forwarded(), stage.served()), (1, None, None));
    }
}

#[test]
fn the_257th_call_in_flight_is_denied_and_the_256th_is_not() {
    let (mut stage, _, automation) = Stage::with(1_000_000);
    for _ in 0..IN_FLIGHT_MAX {
        stage.sends(automation, READ);
    }
    stage.call(automation, READ);
    assert_eq!(stage.denial().unwrap().code, DenialCode::TooManyInFlight);
    let tool = stage.relay.whose(PeerId { slot: 1, generation: 0 });
    assert_eq!(tool.and_then(|(_, tool)| tool), Some("fs"));
    stage.reply(PeerId { slot: 1, generation: 0 }, 1, Status::Ok, 0);
    stage.sends(automation, READ);
}

#[test]
fn f60_a_contract_is_over_at_the_second_it_says() {
    for (unix_s, code) in [(NOW + 3_599, None), (NOW + 3_600, Some(DenialCode::Expired))] {
        let (mut stage, _, automation) = Stage::with(1_000);
        stage.now.unix_s = unix_s;
        stage.call(automation, READ);
        assert_eq!(stage.denial().map(|denial| denial.code), code);
    }
}

#[test]
fn f60_a_nested_call_is_over_with_its_contract_too() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let (exec, parent) = stage.sends(automation, EXEC);
    stage.now.unix_s = NOW + 3_600;
    stage.call(exec, Ask { parent, ..SPAWN });
    assert_eq!(stage.denial().unwrap().code, DenialCode::Expired);
}

#[test]
fn a_nested_call_is_for_a_call_its_tool_serves_and_on_the_same_resource() {
    let (mut stage, _, automation) = Stage::with(10_000);
    let (fs, read) = stage.sends(automation, READ);
    let (exec, run) = stage.sends(automation, EXEC);
    let (_, cancelled) = stage.sends(automation, EXEC);
    stage.does(|relay, now, out| relay.cancel(now, automation, 3, out));
    for (from, ask, code) in [
        (exec, Ask { parent: run, ..SPAWN }, None),
        (exec, Ask { parent: 0, ..SPAWN }, Some(DenialCode::MalformedCall)),
        (exec, Ask { parent: read, ..SPAWN }, Some(DenialCode::MalformedCall)),
        (exec, Ask { parent: 99, ..SPAWN }, Some(DenialCode::MalformedCall)),
        (exec, Ask { parent: cancelled, ..SPAWN }, Some(DenialCode::MalformedCall)),
        (fs, Ask { parent: run, ..SPAWN }, Some(DenialCode::MalformedCall)),
        (fs, Ask { parent: read, ..SPAWN }, Some(DenialCode::MethodNotGranted)),
        (exec, Ask { parent: run, ..EXEC }, Some(DenialCode::MethodNotGranted)),
        (
            exec,
            Ask { parent: run, resource: "/usr/bin/git\0push", ..SPAWN },
            Some(DenialCode::ResourceNotGranted),
        ),
    ] {
        stage.call(from, ask);
        assert_eq!(stage.denial().map(|denial| denial.code), code, "{ask:?}");
        assert_eq!(stage.served().is_some(), code.is_none());
    }
}

#[test]
fn a_secret_goes_out_as_its_position_and_only_its_name_is_written_down() {
    let secret = "[[secret]]\nname = \"K\"\nto = \"https://h/v1/**\"\nas = \"header:x-k={}\"\n";
    let verified = contract(1_000, |contract| {
        *contract = kit::contract(&(kit::rules(crate::stage::GRANTS) + secret));
    });
    let mut stage = Stage::new();
    let (_, automation) = stage.begin(&verified);
    let fetch = ask("http.fetch", "GET https://h/v1/x?token=hush");
    stage.call(automation, fetch);
    assert_eq!(stage.denial().unwrap().code, DenialCode::SecretRefused);
    stage.relay.set_secrets(["K".to_owned()].into());
    stage.call(automation, fetch);
    for effect in &stage.out {
        match effect {
            Effect::Record(Entry::Call { secrets, resource, .. }) => {
                assert_eq!(
                    (secrets.as_slice(), resource.as_str()),
                    (&["K".to_owned()][..], "GET https://h/v1/x?(10 bytes)")
                );
            }
            Effect::Forward { secrets, resource, .. } => {
                assert_eq!(
                    (secrets.as_slice(), resource.as_str()),
                    (&[0][..], "GET https://h/v1/x?token=hush")
                );
            }
            Effect::StartTool { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn f80_no_record_holds_a_query_or_a_user_name_not_even_of_a_malformed_url() {
    for resource in [
        "GET https://h/v1/x?hush",
        "GET https://evil/x?hush",
        "GET HTTPS://h/x?hush",
        "GET https://ann:hush@h/x",
        "GET https://h/a/../b?hush",
        "GET https://H/?hush",
        "https://h/?hush",
    ] {
        let (mut stage, _, automation) = Stage::with(1_000);
        stage.call(automation, Ask { resource, ..ask("http.fetch", "") });
        let records = stage.out.iter().filter(|effect| matches!(effect, Effect::Record(_)));
        let records: String = records.map(|record| format!("{record:?}")).collect();
        assert!(records.contains("http"), "{records}");
        assert!(!records.contains("hush"), "{resource}: {records}");
    }
}

#[test]
fn f81_what_is_no_resource_is_recorded_in_part() {
    let (mut stage, _, automation) = Stage::with(1_000);
    let long: &'static str = Box::leak("\u{1b}é".repeat(600).into_boxed_str());
    stage.call(automation, Ask { resource: long, ..READ });
    assert_eq!(stage.denial().unwrap().resource.chars().count(), 256 + "… (1800 bytes)".chars().count());
}
