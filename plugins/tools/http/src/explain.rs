//! What went wrong on the network, as failures with a stable code, a sentence and what to try.
//!
//! Nothing here quotes what a server sent or a header held.

use hyper_util::client::legacy;
use pawang_sdk::Failure;
use rustls::CertificateError;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// A failure on its way through hyper.
#[derive(Debug)]
pub struct ConnectError(pub Failure);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ConnectError {}

/// An address that could not be dialled.
pub fn dial_failure(host: &str, address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new("connect_failed", format!("{host} at {address} cannot be reached: {error}")).retryable()
}

/// A handshake that failed.
pub fn tls_failure(host: &str, error: &io::Error) -> Failure {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (why, hint) = match cause {
        Some(rustls::Error::InvalidCertificate(e)) => certificate(e),
        Some(rustls::Error::PeerIncompatible(_)) => ("it offers no TLS this tool accepts (1.2, 1.3)", ""),
        Some(rustls::Error::InvalidMessage(_)) => {
            ("what it speaks is not TLS", "check the port, or use http")
        }
        _ => ("the handshake failed", ""),
    };
    let detail = cause.map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new("tls_failed", format!("{host}: {why}: {detail}")).hint(hint)
}

fn certificate(error: &CertificateError) -> (&'static str, &'static str) {
    match error {
        // A bad signature is that of an authority which only bears a trusted one's name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ("its certificate is signed by nobody this machine trusts", "add the authority to the system's")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("its certificate is for another name", "check the host")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("its certificate has expired", "check this machine's clock, or tell whoever runs the server")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("its certificate is not valid yet", "check this machine's clock")
        }
        _ => ("its certificate is not acceptable", ""),
    }
}

/// A request that got no answer.
pub fn request_failure(error: &legacy::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(ConnectError(failure)) = e.downcast_ref() {
            return failure.clone();
        }
        if let Some(e) = e.downcast_ref::<hyper::Error>() {
            return answer_failure(e);
        }
        cause = e.source();
    }
    Failure::new("connection_lost", format!("the request could not be sent: {error}")).retryable()
}

/// An answer that is broken.
pub fn answer_failure(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        // hyper names the kind of mistake and quotes nothing.
        return bad_reply(&error.to_string());
    }
    if error.is_incomplete_message() {
        return bad_reply("it closed the connection before the answer was complete");
    }
    match error.source() {
        Some(e) => bad_reply(&format!("the connection broke: {e}")),
        None => bad_reply("the connection broke"),
    }
}

/// The server's answer cannot be used; `why` completes "the server's answer is broken: …".
pub fn bad_reply(why: &str) -> Failure {
    Failure::new("bad_reply", format!("the server's answer is broken: {why}"))
}
