//! A small HTTP server on loopback that remembers what it was asked and answers by path.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server. It ends with the test's process.
pub struct Web {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// Starts one; `answer` gets the request's head and body, and returns status with further header lines, and the body.
    #[must_use]
    pub fn start(answer: impl Fn(&str, &str) -> (String, Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client that goes away in the middle is a client's right.
                std::thread::spawn(move || converse(stream, &log, &*answer).ok());
            }
        });
        Self { address, asked }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The head of each request so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// From method and path to status line and body.
type Answer = dyn Fn(&str, &str) -> (String, Vec<u8>);

fn converse(stream: TcpStream, log: &Mutex<Vec<String>>, answer: &Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    log.lock().unwrap().push(head.clone());
    let (first, content) = answer(&head, &String::from_utf8_lossy(&body));
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {first}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len())?;
    stream.write_all(&content)
}
