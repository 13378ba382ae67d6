//! The http tool over TLS, HTTP/1.1 and HTTP/2: whom it trusts and what it says when it does not.

#![allow(clippy::unwrap_used, reason = "a surprise fails the test")]

mod kit;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kit::{Step, converse, saying, tool_with};
use pawang_sdk::testkit::{Answer, Ask};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

/// A certificate authority of the test's own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's configuration with a certificate for `name`, changed by `change`.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap()
    }
}

/// Serves one answer over TLS and HTTP/1.1; returns the port.
fn serve(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let script =
                |_: &str| vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec())];
            converse(&mut StreamOwned::new(tls, tcp.unwrap()), &script, &channel().0);
        }
    });
    port
}

fn fetch(port: u16, roots_pem: &str) -> Answer {
    let origin = format!("https://127.0.0.1:{port}");
    let mut tool = tool_with(json!({"origins": [origin], "extra_roots_pem": roots_pem}));
    tool.call(&Ask::new("http.fetch", &format!("GET {origin}/")))
}

#[test]
fn a_certificate_of_a_trusted_authority_is_accepted() {
    let authority = Authority::new("trusted");
    let port = serve(authority.server("127.0.0.1", |_| {}));
    let answer = fetch(port, &authority.pem()).ok();
    assert_eq!((answer.data.as_slice(), &answer.args[0]["version"]), (b"hi".as_slice(), &json!("HTTP/1.1")));
}

#[test]
fn certificates_that_prove_nothing_are_refused_with_the_reason() {
    let trusted = Authority::new("trusted");
    let (stranger, impostor) = (Authority::new("stranger"), Authority::new("trusted"));
    let cases = [
        (stranger.server("127.0.0.1", |_| {}), "signed by nobody this machine trusts"),
        (impostor.server("127.0.0.1", |_| {}), "signed by nobody this machine trusts"),
        (trusted.server("localhost", |_| {}), "for another name"),
        (trusted.server("127.0.0.2", |_| {}), "for another name"),
        (trusted.server("127.0.0.1", |params| params.not_after = date_time_ymd(2001, 1, 1)), "has expired"),
        (
            trusted.server("127.0.0.1", |params| params.not_before = date_time_ymd(4000, 1, 1)),
            "not valid yet",
        ),
    ];
    for (config, why) in cases {
        let failure = fetch(serve(config), &trusted.pem()).failure();
        assert!(failure.code == "tls_failed" && failure.message.contains(why), "expected {why}: {failure}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_named() {
    let plain = saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    // Its answer comes only after a whole request line, so it must be brought to speak first.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = tcp.read(&mut [0; 4_096]);
    });
    let failure = fetch(port, &Authority::new("trusted").pem()).failure();
    assert!(failure.code == "tls_failed" && failure.message.contains("not TLS"), "{failure}");
    assert!(plain.requests().is_empty());
}

#[test]
fn f4_an_extra_authority_that_cannot_be_read_stops_https_and_does_not_weaken_it() {
    let authority = Authority::new("trusted");
    let port = serve(authority.server("127.0.0.1", |_| {}));
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(fetch(port, bad).failure().code, "bad_setup");
}

#[test]
fn http2_is_spoken_where_it_is_offered() {
    let authority = Authority::new("trusted");
    let mut config = authority.server("127.0.0.1", |_| {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    let port = serve_h2(config);
    let origin = format!("https://127.0.0.1:{port}");
    let mut tool = tool_with(json!({"origins": [origin], "extra_roots_pem": authority.pem()}));
    let ask = Ask::new("http.fetch", &format!("POST {origin}/echo")).data("content");
    for _ in 0..3 {
        let answer = tool.call(&ask.clone().secret("authorization", "key")).ok();
        assert_eq!(answer.args[0]["version"], "HTTP/2.0");
        assert_eq!(String::from_utf8(answer.data).unwrap(), "POST /echo key");
    }
}

/// Serves HTTP/2 over TLS: says method, path and authorization.
fn serve_h2(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let tls = acceptor.accept(tcp).await.unwrap();
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(tls), service_fn(echo)));
            }
        });
    });
    port
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let key = request.headers().get("authorization").map(|value| value.to_str().unwrap());
    let text = format!("{} {} {}", request.method(), request.uri().path(), key.unwrap_or("none"));
    Ok(Response::new(Full::new(Bytes::from(text))))
}
