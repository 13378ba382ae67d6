//! What a pattern stands for: no wider than it looks, and compared by its parts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod kit;

use kit::{policy, rules, source, verdict};
use pawang_core::contract::pattern::Pattern;
use pawang_core::contract::source::SourceFault;
use pawang_core::contract::source::check;
use pawang_core::contract::{ContractError, Rule, RuleFault};
use pawang_core::method::ResourceKind;
use pawang_core::resource::Resource;
use pawang_protocol::DenialCode;

/// What is wrong with one rule line, as the author's compiler says it.
fn rule_fault(line: &str) -> Option<RuleFault> {
    match check(&source(&rules(line)), &kit::methods()).map_err(|error| error.fault) {
        Ok(_) => None,
        Err(SourceFault::Contract(ContractError::Rule { fault, .. })) => Some(fault),
        Err(other) => panic!("{line}: {other}"),
    }
}

#[test]
fn f08_no_host_pattern_is_wider_than_one_host() {
    let refused = [
        "*",
        "*.com",
        "*.example.com",
        "**.example.com",
        "api.*.com",
        "api.*",
        "api*.example.com",
        "*api.example.com",
        "a?i.example.com",
        "[a-z].example.com",
        "{a,b}.example.com",
        ".example.com",
        "api.example.com.",
        "API.example.com",
        "",
        "**",
        "~example.com",
        "^api",
        "api.example.com$",
        "example.com,evil.com",
        "api.example.com evil.com",
        "user@api.example.com",
        "127.1",
        "0x7f.1",
        "2130706433",
        "*:443",
        "api.example.com:*",
        "api.example.com:443",
        "api.example.com:0",
        "[::ffff:1.2.3.4]",
        "[*]",
        "bücher.example",
        "%61pi.example.com",
        "api.example.com\\",
        "api.example.com#",
        "-api.example.com",
    ];
    for host in refused {
        let fault = rule_fault(&format!("allow http.fetch http=GET https://{host}/**"));
        assert!(fault.is_some(), "{host:?} was accepted");
    }
    let granted = policy("allow http.fetch http=GET https://example.com/**");
    let others = [
        "example.com.evil.com",
        "evil-example.com",
        "evilexample.com",
        "api.example.com",
        "example.co",
        "xample.com",
        "example.com:8443",
        "example.org",
        "com",
        "www.example.com",
        "example.comm",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "xn--exampl-gva.com",
        "example.com-",
        "a.example.com.b",
        "eexample.com",
        "example-com",
        "example.com.com",
        "example.com:80",
        "example_com",
        "metadata.google.internal",
        "169.254.169.254",
    ];
    assert!(refused.len() + others.len() >= 60);
    for host in others {
        let request = format!("GET https://{host}/");
        // A host that is no host never gets as far as the decision.
        if Resource::parse(ResourceKind::Http, &request).is_ok() {
            assert_eq!(
                verdict(&granted, "http.fetch", &request),
                Some(DenialCode::ResourceNotGranted),
                "{host}"
            );
        }
    }
    assert_eq!(verdict(&granted, "http.fetch", "GET https://example.com/"), None);
}

#[test]
fn a_request_is_compared_by_method_scheme_host_port_segments_and_query() {
    let granted = policy(
        "allow http.fetch http=GET,HEAD https://h/v1/**
         allow http.fetch http=POST https://h:8443/exact
         allow http.fetch http=PUT https://h/q?a=1",
    );
    for (request, allowed) in [
        ("GET https://h/v1", true),
        ("GET https://h/v1/", true),
        ("HEAD https://h/v1/a/b?x=1", true),
        ("POST https://h/v1/a", false),
        ("GET https://h/v10", false),
        ("GET https://h/v", false),
        ("GET https://h/", false),
        ("GET http://h/v1/a", false),
        ("GET https://h:8443/v1/a", false),
        ("POST https://h:8443/exact", true),
        ("POST https://h:8443/exact?any=1", true),
        ("POST https://h:8443/exact/", false),
        ("POST https://h:8443/exact/more", false),
        ("PUT https://h/q?a=1", true),
        ("PUT https://h/q?a=2", false),
        ("PUT https://h/q", false),
        ("PUT https://h/q?a=1&b=2", false),
    ] {
        assert_eq!(verdict(&granted, "http.fetch", request).is_none(), allowed, "{request}");
    }
}

#[test]
fn f33_below_a_path_means_whole_segments_and_itself() {
    let granted = policy("allow fs.read path=/input/**\nallow fs.read path=/exact");
    for (path, allowed) in [
        ("/input", true),
        ("/input/a/b", true),
        ("/inputs", false),
        ("/inpu", false),
        ("/", false),
        ("/exact", true),
        ("/exact/more", false),
        ("/INPUT/a", false),
    ] {
        assert_eq!(verdict(&granted, "fs.read", path).is_none(), allowed, "{path}");
    }
}

#[test]
fn a_command_line_is_compared_word_by_word() {
    let granted = policy("allow exec.run argv=git status\nallow exec.run argv=ls -l **");
    for (argv, allowed) in [
        ("git\0status", true),
        ("git\0status\0-v", false),
        ("git", false),
        ("git status", false),
        ("ls\0-l", true),
        ("ls\0-l\0/x\0", true),
        ("ls\0-la", false),
        ("/bin/ls\0-l", false),
    ] {
        assert_eq!(verdict(&granted, "exec.run", argv).is_none(), allowed, "{argv:?}");
    }
}

#[test]
fn a_name_is_compared_by_its_parts() {
    let granted = policy("allow memory.read name=notes/**\nallow memory.read name=state");
    for (name, allowed) in [
        ("notes", true),
        ("notes/a", true),
        ("notes-b", false),
        ("state", true),
        ("state/a", false),
        ("x", false),
    ] {
        assert_eq!(verdict(&granted, "memory.read", name).is_none(), allowed, "{name}");
    }
}

#[test]
fn f02_a_rule_that_cannot_be_enforced_is_an_error() {
    let misfit = |call: &str, needs| RuleFault::Misfit { call: call.to_owned(), needs };
    for (line, fault) in [
        ("allow fs.format path=/a", RuleFault::UnknownMethod("fs.format".to_owned())),
        ("allow ftp.* path=/a", RuleFault::UnknownMethod("ftp.*".to_owned())),
        ("allow fs path=/a", RuleFault::Call("fs".to_owned())),
        ("allow *.* path=/a", RuleFault::Call("*.*".to_owned())),
        ("allow fs.re* path=/a", RuleFault::Call("fs.re*".to_owned())),
        ("allow fs.read", misfit("fs.read", "path")),
        ("allow fs.read name=a", misfit("fs.read", "path")),
        ("allow http.fetch path=/a", misfit("http.fetch", "http")),
        ("allow exec.run name=ls", misfit("exec.run", "argv")),
        ("allow run.info name=x", misfit("run.info", "")),
        ("allow run.* name=x", misfit("run.info", "")),
        ("allow fs.read path=/a/*/b", RuleFault::Star),
        ("allow fs.read path=/a/**/b", RuleFault::Star),
        ("allow fs.read path=/a*", RuleFault::Star),
        ("allow fs.read path=/a/***", RuleFault::Star),
        ("allow memory.read name=a/*", RuleFault::Star),
        ("allow exec.run argv=ls ** -l", RuleFault::Star),
        ("allow exec.run argv=ls *", RuleFault::Star),
        ("allow exec.run argv=**", RuleFault::OnlyInCeilings),
        ("allow http.fetch http=GET https://**", RuleFault::OnlyInCeilings),
        ("allow http.fetch http=* https://h/**", RuleFault::AnyVerb),
        ("deny http.fetch http=* https://**", RuleFault::OnlyInCeilings),
        ("allow http.fetch http=GET,GET https://h/", RuleFault::Verbs),
        ("allow http.fetch http=GET https://h/a?b=1/**", RuleFault::Star),
        ("allow fs.read path=/a max=0", RuleFault::NoCalls),
        ("allow fs.read path=/a\ndeny fs.read path=/a max=3", RuleFault::CountedDeny),
        ("allow fs.read path=/a\nallow fs.read path=/a max=3", RuleFault::Twice),
        ("deny fs.read path=/a", RuleFault::NoEffect),
        ("allow fs.read path=/b/**\ndeny fs.read path=/a", RuleFault::NoEffect),
        ("allow fs.read path=/a/**\ndeny fs.write path=/a/**", RuleFault::NoEffect),
        (
            "allow http.fetch http=GET https://h/**\ndeny http.fetch http=POST https://h/**",
            RuleFault::NoEffect,
        ),
        ("allow fs.read path=/**", RuleFault::Protected("/proc".to_owned())),
        ("allow fs.read path=/proc/self/root/etc", RuleFault::Protected("/proc".to_owned())),
    ] {
        assert_eq!(rule_fault(line), Some(fault), "{line}");
    }
}

#[test]
fn a_deny_of_reading_meets_a_grant_of_moving() {
    assert_eq!(rule_fault("allow fs.move path=/a/**\ndeny fs.read path=/a/b"), None);
}

#[test]
fn a_rule_reads_back_as_it_is_written() {
    for line in [
        "allow fs.read path=/a",
        "allow fs.* path=/a/**",
        "allow http.fetch http=GET,POST https://h:1/a/**",
        "allow http.fetch http=GET https://h/a?b=c",
        "allow exec.run argv=git log **",
        "allow memory.* name=**",
        "allow run.info",
        "allow fs.read path=/ö \" x max=7",
    ] {
        let rule = kit::contract(&rules(line)).allow.remove(0);
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule, "{json}");
        let again = kit::contract(&rule.to_toml("allow")).allow.remove(0);
        assert_eq!(again, rule, "{line}");
    }
    let any = Pattern::name("**").unwrap();
    assert!(any.covers(&Pattern::name("a/b").unwrap()));
}
