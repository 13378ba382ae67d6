//! A server that says exactly what a test tells it to, byte for byte, and remembers what it was asked.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part, and a surprise fails the test"
)]

use pawang_sdk::testkit::{Ask, Plugin};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// What the server does on a connection after it has read a request.
#[derive(Clone)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again until the other side is gone.
    Flood(Vec<u8>),
    /// Sends nothing and waits until the other side is gone.
    Stall,
    /// Reads and answers the next request on the same connection; as a last step.
    KeepAlive,
}

/// A running server. Closing is left to the end of the test process.
pub struct Server {
    pub port: u16,
    /// Head and body of each request, in the order they came.
    pub seen: Receiver<String>,
    /// How many connections came.
    pub connections: Arc<AtomicUsize>,
}

/// Starts a server that answers every request, by its first line, with the steps of `script`.
pub fn server(script: impl Fn(&str) -> Vec<Step> + Send + Sync + Clone + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, seen) = channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let (script, asked) = (script.clone(), asked.clone());
            thread::spawn(move || converse(&mut stream.unwrap(), &script, &asked));
        }
    });
    Server { port, seen, connections }
}

/// A server with one answer.
pub fn saying(answer: impl Into<Vec<u8>>) -> Server {
    let steps = vec![Step::Send(answer.into())];
    server(move |_| steps.clone())
}

/// Speaks with one client until it or the script ends.
pub fn converse<S: Read + Write>(
    stream: &mut S,
    script: &impl Fn(&str) -> Vec<Step>,
    asked: &Sender<String>,
) {
    while let Some(request) = read_request(stream) {
        let steps = script(request.lines().next().unwrap_or_default());
        // The test may have gone on without looking.
        let _ = asked.send(request);
        if !steps.into_iter().fold(false, |_, step| act(stream, step)) {
            return;
        }
    }
}

/// Takes one step and says whether the connection is kept after it.
fn act<S: Read + Write>(stream: &mut S, step: Step) -> bool {
    match step {
        Step::Send(bytes) => drop(stream.write_all(&bytes).and_then(|()| stream.flush())),
        Step::Flood(bytes) => while stream.write_all(&bytes).is_ok() {},
        Step::Stall => drain(stream),
        Step::KeepAlive => return true,
    }
    false
}

fn drain(stream: &mut impl Read) {
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes), Ok(1..)) {}
}

fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0; 1];
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        request.extend_from_slice(&byte);
    }
    let head = String::from_utf8(request).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// The tool, allowed to reach these origins.
pub fn tool(origins: &[String]) -> Plugin {
    tool_with(json!({"origins": origins}))
}

/// The tool with this setup.
pub fn tool_with(setup: Value) -> Plugin {
    let manifest = include_str!("../../plugin.toml");
    Plugin::start(Path::new(env!("CARGO_BIN_EXE_pawang-http")), manifest, &[], setup)
}

/// The tool, allowed to reach one server by its address.
pub fn tool_for(server: &Server) -> Plugin {
    tool(&[server.origin()])
}

impl Server {
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A request of `path`.
    pub fn get(&self, path: &str) -> Ask {
        Ask::new("http.fetch", &format!("GET {}{path}", self.origin()))
    }

    /// The requests that came until now.
    pub fn requests(&self) -> Vec<String> {
        self.seen.try_iter().collect()
    }
}

/// A port on which nobody listens.
pub fn dead_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    port
}
