//! The http tool against servers that break HTTP: every one ends in a clean failure, and the tool goes on.

mod kit;

use kit::{Server, Step, saying, server, tool, tool_for};
use serde_json::json;

/// The failure a reply ends in, after making sure that the tool still serves.
fn failure_of(hostile: &Server) -> (String, String) {
    let healthy = saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let mut tool = tool(&[hostile.origin(), healthy.origin()]);
    let failure = tool.call(&hostile.get("/")).failure();
    assert_eq!(tool.call(&healthy.get("/")).text(), "hi", "after {failure}");
    (failure.code, failure.message)
}

#[test]
fn broken_replies_are_failures() {
    let cases: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("binary", &[0, 159, 146, 150, 255, 0, 13, 10]),
        ("half a head", b"HTTP/1.1 200 OK\r\nx: 1\r\n"),
        ("bad version", b"HTTP/9.9 200 OK\r\n\r\n"),
        ("bad status", b"HTTP/1.1 2x0 OK\r\n\r\n"),
        ("space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi"),
        ("folded header", b"HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\ncontent-length: 2\r\n\r\nhi"),
        ("NUL in a header", b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nhi"),
        ("bare CR", b"HTTP/1.1 200 OK\r\nx: a\rb: c\r\ncontent-length: 2\r\n\r\nhi"),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!"),
        ("negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi"),
        ("signed length", b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi"),
        ("endless length", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhi"),
        (
            "length and chunks",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        ("early end by length", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi"),
        ("early end in chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe"),
        ("chunks without end", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"),
        (
            "chunk size no number",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "chunk size overflows",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi",
        ),
        (
            "chunk longer than said",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.0 with chunks",
            b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "switches protocol",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        ),
        ("only early hints", b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 103 Early\r\n\r\n"),
    ];
    for (what, reply) in cases {
        let (code, message) = failure_of(&saying(*reply));
        assert_eq!(code, "bad_reply", "{what}: {message}");
    }
}

#[test]
fn f52_headers_beyond_the_limit_are_a_failure_and_no_crash() {
    for headers in [201, 32_769] {
        let mut reply = "HTTP/1.1 200 OK\r\n".to_owned();
        (0..headers).for_each(|n| reply.push_str(&format!("h{n}: v\r\n")));
        reply.push_str("content-length: 0\r\n\r\n");
        let (code, message) = failure_of(&saying(reply));
        assert_eq!(code, "bad_reply", "{headers}: {message}");
    }
    let headers: String = (0..199).map(|n| format!("h{n}: v\r\n")).collect();
    let server = saying(format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n"));
    let answer = tool_for(&server).call(&server.get("/")).ok();
    assert_eq!(answer.args[0]["headers"].as_array().unwrap().len(), 200);
}

#[test]
fn f38_an_endless_head_is_cut_off() {
    let endless_value = vec![Step::Send(b"HTTP/1.1 200 OK\r\nx: ".into()), Step::Flood(vec![b'v'; 4_096])];
    let endless_headers =
        vec![Step::Send(b"HTTP/1.1 200 OK\r\n".into()), Step::Flood(b"x: y\r\n".repeat(100))];
    let endless_reason = vec![Step::Send(b"HTTP/1.1 200 ".into()), Step::Flood(vec![b'a'; 4_096])];
    for steps in [endless_value, endless_headers, endless_reason] {
        let (code, message) = failure_of(&server(move |_| steps.clone()));
        assert_eq!(code, "bad_reply", "{message}");
    }
}

#[test]
fn f38_endless_early_hints_are_cut_off() {
    let server = server(|_| vec![Step::Flood(b"HTTP/1.1 103 Early\r\n\r\n".repeat(100))]);
    let (code, message) = failure_of(&server);
    assert!(code == "bad_reply" && message.contains("no answer among them"), "{code}: {message}");
}

#[test]
fn endless_trailers_and_chunk_extensions_are_cut_off() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let floods: [(&[u8], &[u8]); 2] = [(b"0\r\n", b"x: y\r\n"), (b"2;", b"extension=value;")];
    for (begin, flood) in floods {
        let steps = vec![Step::Send([head, begin].concat()), Step::Flood(flood.repeat(500))];
        let (code, message) = failure_of(&server(move |_| steps.clone()));
        assert_eq!(code, "bad_reply", "{message}");
    }
}

#[test]
fn a_server_that_falls_silent_runs_into_the_timeout_at_every_stage() {
    let stages: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 200 OK\r\nx: ",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
    ];
    for begin in stages {
        let steps = vec![Step::Send(begin.to_vec()), Step::Stall];
        let server = server(move |_| steps.clone());
        let failure = tool_for(&server).call(&server.get("/").args(json!({"timeout_ms": 200}))).failure();
        assert!(failure.code == "timed_out" && failure.retryable, "{begin:?}: {failure}");
    }
}

#[test]
fn f35_bytes_after_an_answer_do_not_answer_the_next_request() {
    let smuggled =
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let server = server(move |_| vec![Step::Send(smuggled.into()), Step::KeepAlive]);
    let mut tool = tool_for(&server);
    for _ in 0..5 {
        assert_eq!(tool.call(&server.get("/")).text(), "hi");
    }
}
