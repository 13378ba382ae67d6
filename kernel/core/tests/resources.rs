//! Resources have one spelling; everything else is refused, and nothing makes the parser panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

use pawang_core::method::ResourceKind;
use pawang_core::resource::{Resource, ResourceError};
use proptest::prelude::*;
use url::Url;

const KINDS: [ResourceKind; 6] = [
    ResourceKind::Path,
    ResourceKind::PathPair,
    ResourceKind::Http,
    ResourceKind::Argv,
    ResourceKind::Name,
    ResourceKind::None,
];

fn url(text: &str) -> Result<Resource, ResourceError> {
    Resource::parse(ResourceKind::Http, &format!("GET {text}"))
}

#[test]
fn a_canonical_url_is_kept_as_it_is_and_cut_where_it_should_be() {
    for (text, origin, path, query) in [
        ("https://api.example.com/", "https://api.example.com", "/", None),
        ("https://api.example.com/v1/a.b-c_d~e", "https://api.example.com", "/v1/a.b-c_d~e", None),
        ("https://api.example.com/v1/", "https://api.example.com", "/v1/", None),
        ("http://api.example.com:8080/x?y=1&z=%2F", "http://api.example.com:8080", "/x", Some("y=1&z=%2F")),
        ("https://h/?q", "https://h", "/", Some("q")),
        ("https://h/a?x=/b?c", "https://h", "/a", Some("x=/b?c")),
        ("https://h/m:generate@v1,(2)*'!$&+=", "https://h", "/m:generate@v1,(2)*'!$&+=", None),
        ("https://h/caf%C3%A9/100%25", "https://h", "/caf%C3%A9/100%25", None),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example", "/", None),
        ("http://127.0.0.1:81/", "http://127.0.0.1:81", "/", None),
        ("http://[::1]:81/a", "http://[::1]:81", "/a", None),
        ("http://[2001:db8::1]/a", "http://[2001:db8::1]", "/a", None),
        ("https://a_b.example/", "https://a_b.example", "/", None),
    ] {
        let Ok(Resource::Http(request)) = url(text) else { panic!("{text}: {:?}", url(text)) };
        assert_eq!((request.method(), request.url()), ("GET", text));
        assert_eq!((request.origin(), request.path(), request.query()), (origin, path, query), "{text}");
    }
}

#[test]
fn each_kind_of_odd_url_is_refused_for_its_reason() {
    use ResourceError as E;
    let canonical = |text: &str| E::NotCanonical(Some(text.to_owned()));
    let table: Vec<(&str, ResourceError)> = vec![
        ("https://user@h/", E::UserInfo),
        ("https://user:pw@h/", E::UserInfo),
        ("https://@h/", E::UserInfo),
        ("https://good.example@evil.example/", E::UserInfo),
        ("https://good.example%40evil.example/", E::NotAUrl("invalid international domain name".to_owned())),
        ("https://h/#", E::Fragment),
        ("https://h/#x", E::Fragment),
        ("https://good.example#@evil.example/", E::Fragment),
        ("https:\\\\h/", E::Backslash),
        ("https://h\\a", E::Backslash),
        ("https://good.example\\@evil.example/", E::Backslash),
        ("https://h/a\\..\\b", E::Backslash),
        ("ftp://h/", E::Scheme),
        ("file:///etc/passwd", E::Scheme),
        ("javascript:alert(1)", E::Scheme),
        ("data:text/plain,x", E::Scheme),
        ("HTTPS://h/", E::Scheme),
        ("https:/h/", E::Scheme),
        ("https:h", E::Scheme),
        ("//h/", E::Scheme),
        ("h/", E::Scheme),
        ("", E::Scheme),
        ("https://", E::NotAUrl("empty host".to_owned())),
        ("https:///h/", canonical("https://h/")),
        ("https://h", canonical("https://h/")),
        ("https://H/", canonical("https://h/")),
        ("https://h:443/", canonical("https://h/")),
        ("http://h:80/", canonical("http://h/")),
        ("https://h:/", canonical("https://h/")),
        ("https://h:0443/", canonical("https://h/")),
        ("https://h:0/", E::PortZero),
        ("https://h:65536/", E::NotAUrl("invalid port number".to_owned())),
        ("https://h:99999999999/", E::NotAUrl("invalid port number".to_owned())),
        ("https://h:-1/", E::NotAUrl("invalid port number".to_owned())),
        ("https://h/../a", canonical("https://h/a")),
        ("https://h/v1/../admin", canonical("https://h/admin")),
        ("https://h/./a", canonical("https://h/a")),
        ("https://h/a/..", canonical("https://h/")),
        ("https://h/%2e%2e/a", canonical("https://h/a")),
        ("https://h/%2E%2E/a", canonical("https://h/a")),
        ("https://h/.%2e/a", canonical("https://h/a")),
        ("https://h/%2e/a", canonical("https://h/a")),
        ("https://h/a%2Fb", E::Encoding("%2F".to_owned())),
        ("https://h/v1%2F..%2Fadmin", E::Encoding("%2F".to_owned())),
        ("https://h/a%5Cb", E::Encoding("%5C".to_owned())),
        ("https://h/a%3Bb", E::Encoding("%3B".to_owned())),
        ("https://h/a%00", E::Encoding("%00".to_owned())),
        ("https://h/a%0D%0A", E::Encoding("%0D".to_owned())),
        ("https://h/a%7F", E::Encoding("%7F".to_owned())),
        ("https://h/a%2fb", E::Encoding("a % without two capital hex digits".to_owned())),
        ("https://h/a%c3%a9", E::Encoding("a % without two capital hex digits".to_owned())),
        ("https://h/a%", E::Encoding("a % without two capital hex digits".to_owned())),
        ("https://h/a%4", E::Encoding("a % without two capital hex digits".to_owned())),
        ("https://h/a%zz", E::Encoding("a % without two capital hex digits".to_owned())),
        ("https://h/a%u002F", E::Encoding("a % without two capital hex digits".to_owned())),
        ("https://h/a%C0%AF", E::Encoding("an encoding that is not UTF-8".to_owned())),
        ("https://h/a%E0%80%AF", E::Encoding("an encoding that is not UTF-8".to_owned())),
        ("https://h/a%FF", E::Encoding("an encoding that is not UTF-8".to_owned())),
        ("https://h/a%C2%85", E::Encoding("an encoded control character".to_owned())),
        ("https://h/a%252Fb", E::Encoding("a double encoding (%25 before two hex digits)".to_owned())),
        ("https://h/%252e%252e/a", E::Encoding("a double encoding (%25 before two hex digits)".to_owned())),
        ("https://h/%61", E::NeedlessEncoding('a')),
        ("https://h/a%3Ab", E::NeedlessEncoding(':')),
        ("https://h/a[0]", E::NotEncoded('[')),
        ("https://h/a|b", E::NotEncoded('|')),
        ("https://h//a", E::EmptySegment),
        ("https://h/a//b", E::EmptySegment),
        ("https://h//", E::EmptySegment),
        ("https://h/a//", E::EmptySegment),
        ("https://h/a;x=1/b", E::PathParameter),
        ("https://h/..;/admin", E::PathParameter),
        ("https://h/a?", E::EmptyQuery),
        ("https://h/a?x=%61", E::NeedlessEncoding('a')),
        ("https://h/a?x=%00", E::Encoding("%00".to_owned())),
        ("https://h/a?x[0]=1", E::NotEncoded('[')),
        ("https://h./", E::Host("not labels of letters, digits and hyphens with single dots between")),
        (
            "https://good.example./",
            E::Host("not labels of letters, digits and hyphens with single dots between"),
        ),
        (
            "https://good..example/",
            E::Host("not labels of letters, digits and hyphens with single dots between"),
        ),
        ("https://.h/", E::Host("not labels of letters, digits and hyphens with single dots between")),
        ("https://-h/", E::Host("not labels of letters, digits and hyphens with single dots between")),
        ("https://a!b/", E::Host("not labels of letters, digits and hyphens with single dots between")),
        ("https://[::ffff:127.0.0.1]/", E::Host("an IPv4 address in IPv6 form; write it as IPv4")),
        ("https://[::ffff:7f00:1]/", E::Host("an IPv4 address in IPv6 form; write it as IPv4")),
        ("https://[::127.0.0.1]/", E::Host("an IPv4 address in IPv6 form; write it as IPv4")),
        ("https://[0:0:0:0:0:0:0:1]/", canonical("https://[::1]/")),
        ("https://[::0001]/", canonical("https://[::1]/")),
        ("https://[2001:DB8::1]/", canonical("https://[2001:db8::1]/")),
        ("https://[fe80::1%25eth0]/", E::NotAUrl("invalid IPv6 address".to_owned())),
        ("https://[::1/", E::NotAUrl("invalid IPv6 address".to_owned())),
        ("https://bücher.example/", E::NotAscii),
        ("https://h/é", E::NotAscii),
        ("https://h/a b", E::NotAscii),
        (" https://h/", E::NotAscii),
        ("https://h/\u{202e}", E::NotAscii),
        ("https://ｅxample.com/", E::NotAscii),
        ("https://good.example\0.evil.example/", E::ControlCharacter),
        ("https://h/a\r\nHost: evil", E::ControlCharacter),
    ];
    for (text, expected) in table {
        assert_eq!(url(text), Err(expected), "{text:?}");
    }
}

/// f28 to f41: hostile URLs by construction. Every one of them is another spelling of something, or aims elsewhere.
fn hostile() -> Vec<String> {
    let mut all = Vec::new();
    for byte in (0..=0x20_u8).chain([0x7f]) {
        let c = char::from(byte);
        for shape in
            ["https://api{}.example.com/v1", "https://{}api.example.com/v1", "https://api.example.com{}/v1"]
        {
            all.push(shape.replace("{}", &c.to_string()));
        }
        for shape in
            ["https://api.example.com/v1{}/x", "{}https://api.example.com/v1", "ht{}tps://api.example.com/v1"]
        {
            all.push(shape.replace("{}", &c.to_string()));
        }
        if c != ' ' {
            all.push(format!("https://api.example.com/v1%{byte:02X}/x"));
        }
        all.push(format!("https://api%{byte:02X}.example.com/v1"));
    }
    for c in ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("-._~!$&'()*+,=:@".chars()) {
        all.push(format!("https://api.example.com/v1/x%{:02X}", u32::from(c)));
    }
    let loopback = [
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.0.0.01",
        "127.0.0.0x1",
        "127.0.0.1.",
        "0300.0250.1.1",
        "192.168.257",
        "00000127.0.0.1",
        "1.1",
        "0",
        "0x0",
        "08.1.1.1",
        "256.256.256.256",
        "1.2.3.4.5",
        "0xffffffff",
        "4294967296",
        "127.0.0.1.0x",
        "999",
        "１２７.0.0.1",
        "127。0。0。1",
    ];
    all.extend(loopback.map(|host| format!("http://{host}/")));
    let six = [
        "::FFFF:127.0.0.1",
        "::ffff:7f00:1",
        "0::1",
        "::01",
        "::1%25lo",
        "::1%lo",
        "0000::0001",
        "2001:db8:0:0::1",
        "2001:0db8::1",
        "::ffff:0:127.0.0.1",
        "1::1::1",
        "::127.0.0.1",
        ":::",
        "12345::",
        "fe80::1%25",
    ];
    all.extend(six.map(|host| format!("http://[{host}]/")));
    let dots = [
        "..",
        "%2e%2e",
        "%2E%2E",
        "%2e.",
        ".%2E",
        "%252e%252e",
        "..%2f",
        "..%5c",
        "..;",
        "..%3b",
        "%c0%ae%c0%ae",
        "%C0%AE",
        ".",
        "%2e",
        "..%00",
        "..%0A",
        "....//",
        "..\\",
        "%uff0e%uff0e",
        "%EF%BC%8E%",
    ];
    all.extend(dots.map(|dots| format!("https://api.example.com/v1/{dots}/admin")));
    let authorities = [
        "api.example.com@evil.example",
        "api.example.com:x@evil.example",
        "api.example.com:443@evil.example",
        "evil.example\\@api.example.com",
        "evil.example#@api.example.com",
        "evil.example?@api.example.com#",
        "api.example.com%2eevil.example",
        "api.example.com%23.evil.example",
        "api.example.com.",
        "API.example.com",
        "api.example.com:443",
        "api.example.com:00443",
        "api.example.com:0",
        "api.example.com:65979",
        "api.example.com:",
        "api.example.com:443:80",
        "api.example.com:+443",
        "api..example.com",
        "api。example。com",
        "api\u{ad}.example.com",
        "ａpi.example.com",
        "xn--a.example.com",
        "xn--.example.com",
        "xn--api-.example.com",
        "api.example.com\u{200b}",
        "[api.example.com]",
        "api.example.com,evil.example",
        "api.example.com|evil.example",
        "*.example.com",
        "",
    ];
    all.extend(authorities.map(|authority| format!("https://{authority}/v1")));
    all
}

#[test]
fn f28_to_f41_hostile_urls_are_refused_every_one() {
    let all = hostile();
    assert!(all.len() >= 300, "{}", all.len());
    for text in &all {
        assert!(url(text).is_err(), "{text:?} was accepted");
    }
}

#[test]
fn what_is_suggested_is_accepted_and_is_what_a_client_would_dial() {
    let mut suggested = 0;
    for text in hostile() {
        let Err(ResourceError::NotCanonical(Some(canonical))) = url(&text) else { continue };
        suggested += 1;
        assert!(url(&canonical).is_ok(), "{text:?} → {canonical}");
        assert_eq!(Url::parse(&text).unwrap().as_str(), canonical);
    }
    assert!(suggested > 20, "{suggested}");
}

#[test]
fn methods_are_tokens_in_capitals_and_none_opens_a_tunnel() {
    for good in ["GET", "POST", "PROPFIND", "M"] {
        assert!(Resource::parse(ResourceKind::Http, &format!("{good} https://h/")).is_ok(), "{good}");
    }
    let long = "A".repeat(17);
    for bad in [
        "", "get", "Get", "CONNECT", "TRACE", "TRACK", "PRI", "GET ", "GE T", "G3T", "GET\t", "*", "A,B",
        &long,
    ] {
        let found = Resource::parse(ResourceKind::Http, &format!("{bad} https://h/"));
        assert!(found.is_err(), "{bad:?}");
    }
    assert_eq!(Resource::parse(ResourceKind::Http, "https://h/"), Err(ResourceError::HttpMethod));
}

#[test]
fn lengths_are_bounded_at_the_limit() {
    let url_of = |len: usize| format!("https://h/{}", "a".repeat(len - 10));
    assert!(url(&url_of(8_192)).is_ok());
    assert_eq!(url(&url_of(8_193)), Err(ResourceError::TooLong { len: 8_193, max: 8_192 }));
    let label = |len: usize| format!("https://{}.example/", "a".repeat(len));
    assert!(url(&label(63)).is_ok());
    assert!(url(&label(64)).is_err());
}

#[test]
fn a_method_about_nothing_takes_nothing() {
    assert_eq!(Resource::parse(ResourceKind::None, ""), Ok(Resource::None));
    assert_eq!(Resource::parse(ResourceKind::None, "x"), Err(ResourceError::NotEmpty));
}

/// Text that often comes near a resource.
fn near() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("\0".to_owned()),
        Just("GET ".to_owned()),
        Just("https://".to_owned()),
        Just("http://[::1]".to_owned()),
        Just("%2e".to_owned()),
        Just("%2F".to_owned()),
        Just("%C3%A9".to_owned()),
        Just(":443".to_owned()),
        Just("?".to_owned()),
        Just("#".to_owned()),
        Just("@".to_owned()),
        Just("xn--".to_owned()),
        Just("**".to_owned()),
        "[a-z0-9.-]{1,6}",
        "\\PC{1,3}",
        "[\\x00-\\x7f]{1,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn f50_any_text_is_read_or_refused_and_canonical_is_a_fixed_point(text in near()) {
        for kind in KINDS {
            if let Ok(resource) = Resource::parse(kind, &text) {
                prop_assert_eq!(resource.canonical(), text.as_str());
                prop_assert_eq!(Resource::parse(kind, resource.canonical()), Ok(resource));
            }
        }
    }

    #[test]
    fn f34_an_accepted_url_reaches_the_origin_it_is_decided_on(text in near()) {
        let text = format!("GET https://{text}");
        if let Ok(Resource::Http(request)) = Resource::parse(ResourceKind::Http, &text) {
            let dialled = Url::parse(request.url()).unwrap();
            prop_assert_eq!(dialled.origin().ascii_serialization(), request.origin());
            prop_assert_eq!(dialled.path(), request.path());
            prop_assert_eq!(dialled.query(), request.query());
        }
    }
}
