//! The http tool against plain servers: what it sends, what it returns, where it refuses to go.

mod kit;

use kit::{Step, dead_port, saying, server, tool, tool_for, tool_with};
use pawang_sdk::protocol::Status;
use pawang_sdk::testkit::{Ask, Event};
use serde_json::{Value, json};
use std::slice::from_ref;
use std::sync::atomic::Ordering;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\nX-A: 2\r\n\r\nhi";

#[test]
fn head_and_body_come_back() {
    let server = saying(OK);
    let answer = tool_for(&server).call(&server.get("/a/b?c=d")).ok();
    let head = json!({
        "status": 200, "version": "HTTP/1.1",
        "headers": [["content-length", "2"], ["x-a", "1"], ["x-a", "2"]],
    });
    assert_eq!((answer.args, answer.data, answer.parts), (vec![head], b"hi".to_vec(), 2));
    let request = server.seen.recv().unwrap();
    assert!(request.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{request}");
    assert!(request.contains("user-agent: pawang-http/"), "{request}");
}

#[test]
fn method_headers_and_body_are_sent_as_given() {
    let server = saying("HTTP/1.1 204 No Content\r\n\r\n");
    let mut tool = tool_for(&server);
    for headers in
        [json!({"x-one": "1", "user-agent": "mine"}), json!([["X-One", "1"], ["user-agent", "mine"]])]
    {
        let ask = Ask::new("http.fetch", &format!("PUT {}/", server.origin()));
        let answer = tool.call(&ask.args(json!({"headers": headers})).data("content")).ok();
        assert_eq!((&answer.args[0]["status"], answer.data.len(), answer.parts), (&json!(204), 0, 1));
        let request = server.seen.recv().unwrap();
        assert!(
            request.starts_with("PUT / HTTP/1.1\r\n") && request.ends_with("\r\n\r\ncontent"),
            "{request}"
        );
        assert!(request.contains("x-one: 1\r\n") && request.contains("user-agent: mine\r\n"), "{request}");
        assert!(request.contains("content-length: 7\r\n"), "{request}");
    }
}

#[test]
fn an_error_status_is_an_answer() {
    let server = saying("HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nno!");
    let answer = tool_for(&server).call(&server.get("/")).ok();
    assert_eq!((&answer.args[0]["status"], answer.data.as_slice()), (&json!(503), b"no!".as_slice()));
}

#[test]
fn f37_redirects_are_returned_and_not_followed() {
    let elsewhere = saying(OK);
    let location = format!("{}/secret", elsewhere.origin());
    for status in [301, 302, 303, 307, 308] {
        let reply = format!("HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let server = saying(reply);
        let mut tool = tool(&[server.origin(), elsewhere.origin()]);
        let answer = tool.call(&server.get("/")).ok();
        assert_eq!(answer.args[0]["status"], status);
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn body_without_length_and_chunked_body_come_back_whole() {
    let cases = [
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello world",
        "HTTP/1.0 200 OK\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx: trailer\r\n\r\n",
        "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
    ];
    for reply in cases {
        let server = saying(reply);
        assert_eq!(tool_for(&server).call(&server.get("/")).text(), "hello world", "{reply:?}");
    }
}

#[test]
fn a_large_body_streams_and_its_limit_is_exact() {
    let size = 3 << 20;
    let mut reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    reply.extend((0..size).map(|i: u32| i.to_le_bytes()[1]));
    let server = saying(reply.clone());
    let mut tool = tool_for(&server);
    let answer = tool.call(&server.get("/").args(json!({"max_bytes": size}))).ok();
    assert!(answer.data == reply[reply.len() - answer.data.len()..] && answer.data.len() == 3 << 20);
    let failure = tool.call(&server.get("/").args(json!({"max_bytes": size - 1}))).failure();
    assert_eq!(failure.code, "too_large");
}

#[test]
fn f38_limits_stop_an_endless_body() {
    let server =
        server(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".into()), Step::Flood(vec![b'x'; 64 << 10])]);
    let answer = tool_for(&server).call(&server.get("/").args(json!({"max_bytes": 1 << 20})));
    assert_eq!(answer.failure().code, "too_large");
    assert!(answer.data.len() <= 1 << 20);
}

#[test]
fn f1_a_limit_of_zero_allows_no_byte() {
    let server = saying(OK);
    let mut tool = tool_for(&server);
    assert_eq!(tool.call(&server.get("/").args(json!({"max_bytes": 0}))).failure().code, "too_large");
    let refused = tool.call(&server.get("/").args(json!({"timeout_ms": 0}))).failure();
    assert_eq!(
        (refused.code.as_str(), refused.message.as_str()),
        ("bad_arguments", "timeout_ms is 0; allowed are 1 to 600000")
    );
}

#[test]
fn arguments_out_of_bounds_are_refused_and_nothing_is_sent() {
    let server = saying(OK);
    let mut tool = tool_for(&server);
    let many: Vec<Value> = (0..101).map(|n| json!([format!("x-{n}"), "v"])).collect();
    let cases = [
        json!({"max_bytes": (1_u64 << 30) + 1}),
        json!({"timeout_ms": 600_001}),
        json!({"timeout": 5}),
        json!({"headers": many}),
        json!({"headers": {"x": "v".repeat(33 << 10)}}),
        json!({"headers": {"x": "a\r\ny: b"}}),
        json!({"headers": {"x": "a\nb"}}),
        json!({"headers": {"x": "a\u{0}b"}}),
        json!({"headers": {"a b": "v"}}),
        json!({"headers": {"": "v"}}),
        json!({"headers": {"x\r\ny": "v"}}),
        json!({"headers": {"x": 1}}),
    ];
    for args in cases {
        let failure = tool.call(&server.get("/").args(args.clone())).failure();
        assert_eq!(failure.code, "bad_arguments", "{args}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn f35_headers_that_frame_the_message_are_refused_also_as_secrets() {
    let server = saying(OK);
    let mut tool = tool_for(&server);
    let own = [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "keep-alive",
        "proxy-authorization",
        "Proxy-Connection",
        "expect",
        "HTTP2-Settings",
    ];
    for name in own {
        let by_args = tool.call(&server.get("/").args(json!({"headers": [[name, "v"]]}))).failure();
        let by_secret = tool.call(&server.get("/").secret(name, "v")).failure();
        assert_eq!(
            (by_args.code.as_str(), by_secret.code.as_str()),
            ("bad_arguments", "bad_arguments"),
            "{name}"
        );
    }
    assert!(server.requests().is_empty());
}

#[test]
fn f44_a_secret_replaces_what_the_caller_gave_and_is_in_no_error() {
    let server = saying(OK);
    let mut tool = tool_for(&server);
    let ask =
        server.get("/").args(json!({"headers": [["Authorization", "mine"], ["authorization", "mine too"]]}));
    tool.call(&ask.secret("authorization", "Bearer canary-7f3a")).ok();
    let request = server.seen.recv().unwrap();
    assert_eq!(request.matches("authorization").count(), 1, "{request}");
    assert!(request.contains("authorization: Bearer canary-7f3a\r\n"), "{request}");
    let failure = tool.call(&server.get("/").secret("authorization", "canary-7f3a\r\n")).failure();
    assert!(failure.code == "bad_arguments" && !failure.to_string().contains("canary"), "{failure}");
}

#[test]
fn f45_an_answer_that_hides_a_secret_in_compression_is_refused() {
    let coded = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x0b";
    let server = saying(coded);
    let mut tool = tool_for(&server);
    let ask = server.get("/").args(json!({"headers": {"accept-encoding": "gzip"}}));
    assert_eq!(tool.call(&ask).ok().data.len(), 2, "without a secret it is the caller's choice");
    assert!(server.seen.recv().unwrap().contains("accept-encoding: gzip\r\n"));
    let failure = tool.call(&ask.secret("authorization", "Bearer canary")).failure();
    assert!(failure.code == "bad_reply" && failure.message.contains("compressed"), "{failure}");
    assert!(server.seen.recv().unwrap().contains("accept-encoding: identity\r\n"));
}

#[test]
fn only_the_origins_of_the_setup_are_reached() {
    let server = saying(OK);
    let other = saying(OK);
    let mut tool = tool_for(&server);
    assert_eq!(tool.call(&other.get("/")).failure().code, "refused");
    let https = Ask::new("http.fetch", &format!("GET https://127.0.0.1:{}/", server.port));
    assert_eq!(tool.call(&https).failure().code, "refused");
    for setup in [json!({}), json!({"origins": []})] {
        assert_eq!(tool_with(setup).call(&server.get("/")).failure().code, "refused");
    }
    assert!(other.requests().is_empty() && server.requests().is_empty());
}

#[test]
fn what_is_no_request_is_refused() {
    let mut tool = tool(&["http://127.0.0.1:1".to_owned()]);
    let cases = [
        "",
        "GET",
        "http://127.0.0.1:1/",
        "CONNECT http://127.0.0.1:1/",
        "TRACE http://127.0.0.1:1/",
        "GET /path",
        "GET ftp://127.0.0.1/",
        "GET http://user@127.0.0.1:1/",
        "GET http://127.0.0.1:0/",
        "GET http://127.0.0.1:99999/",
        "G ET http://127.0.0.1:1/",
        "GET  http://127.0.0.1:1/",
        "GET http://127.0.0.1:1/a b",
        "GET http://127.0.0.1:1/\r\nx: y",
        "GET http:///x",
    ];
    for resource in cases {
        assert_eq!(
            tool.call(&Ask::new("http.fetch", resource)).failure().code,
            "bad_resource",
            "{resource:?}"
        );
    }
}

#[test]
fn f31_a_name_that_leads_to_this_machine_is_refused() {
    let server = saying(OK);
    let origin = format!("http://localhost:{}", server.port);
    let failure = tool(from_ref(&origin)).call(&Ask::new("http.fetch", &format!("GET {origin}/"))).failure();
    assert_eq!(failure.code, "address_refused");
    assert!(
        failure.message.contains("this machine") || failure.message.contains("not an address"),
        "{failure}"
    );
    assert!(server.requests().is_empty());
}

#[test]
fn f32_other_spellings_of_a_private_address_are_not_the_address_itself() {
    for host in ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"] {
        let server = saying(OK);
        let origin = format!("http://{host}:{}", server.port);
        let answer = tool(from_ref(&origin)).call(&Ask::new("http.fetch", &format!("GET {origin}/")));
        // The last is an address spelt out, which a contract may name; the kernel has refused that spelling.
        let is_literal = host.starts_with('[');
        assert_eq!(answer.status == Status::Ok, is_literal, "{host}: {:?}", answer.args);
    }
}

#[test]
fn servers_that_cannot_be_reached_are_named() {
    let origin = format!("http://127.0.0.1:{}", dead_port());
    let failure = tool(from_ref(&origin)).call(&Ask::new("http.fetch", &format!("GET {origin}/"))).failure();
    assert!(failure.code == "connect_failed" && failure.retryable, "{failure}");
    let origin = "http://no-such-name.invalid";
    let failure =
        tool(&[origin.to_owned()]).call(&Ask::new("http.fetch", &format!("GET {origin}/"))).failure();
    assert!(
        failure.code == "name_not_found" && failure.message.contains("no-such-name.invalid"),
        "{failure}"
    );
}

#[test]
fn f51_one_slow_server_does_not_hold_the_others_up() {
    let slow = server(|_| vec![Step::Stall]);
    let quick = saying(OK);
    let mut tool = tool(&[slow.origin(), quick.origin()]);
    let waiting = tool.send(&slow.get("/"));
    for _ in 0..10 {
        assert_eq!(tool.call(&quick.get("/")).text(), "hi");
    }
    tool.cancel(waiting);
    assert_eq!(tool.answer(waiting).status, Status::Cancelled);
}

#[test]
fn cancel_closes_the_connection_in_the_middle_of_a_body() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    let server = server(|_| vec![Step::Send(head.to_vec()), Step::Flood(vec![0; 1 << 16])]);
    let mut tool = tool_for(&server);
    let id = tool.send(&server.get("/").args(json!({"max_bytes": 1 << 30})));
    assert!(matches!(tool.next_event(), Event::Reply(reply) if reply.id == id && reply.more));
    tool.cancel(id);
    assert_eq!(tool.answer(id).status, Status::Cancelled);
}

#[test]
fn an_http1_connection_serves_one_request() {
    let server = server(|_| {
        let reply = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi";
        vec![Step::Send(reply.into()), Step::KeepAlive]
    });
    let mut tool = tool_for(&server);
    for path in ["/1", "/2", "/3"] {
        assert_eq!(tool.call(&server.get(path)).text(), "hi", "{path}");
    }
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.contains("connection: close\r\n")), "{requests:?}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[test]
fn many_calls_at_once_are_each_answered_once() {
    let server = saying(OK);
    let mut tool = tool_for(&server);
    let ids: Vec<u64> = (0..200).map(|_| tool.send(&server.get("/"))).collect();
    let mut ended = Vec::new();
    while ended.len() < ids.len() {
        let Event::Reply(reply) = tool.next_event() else { panic!("only replies are expected") };
        assert_eq!(reply.status, Status::Ok, "{:?}", reply.args);
        if !reply.more {
            ended.push(reply.id);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, ids);
}
