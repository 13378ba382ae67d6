//! Opens a connection: look the name up, check every address, dial one of them, encrypt.
//!
//! The only place in this tool that opens a socket. hyper calls it with nothing but the origin.

use crate::STACK;
use crate::address::refusal;
use crate::explain::{ConnectError, dial_failure, tls_failure};
use crate::origin::Origin;
use crate::stream::Stream;
use crate::trust::client_config;
use http::Uri;
use hyper_util::rt::TokioIo;
use pawang_sdk::Failure;
use rustls::pki_types::ServerName;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest wait for one address to answer, and for a TLS handshake.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Most addresses of a name that are tried. More than four are rare, and each may cost [`STEP_MAX`].
const ADDRESSES_MAX: usize = 8;
/// Name look-ups at once; each holds a thread, for up to 10 s where no server answers.
static LOOKUPS: Semaphore = Semaphore::const_new(8);

/// Opens connections for hyper. Clones share the TLS configuration.
#[derive(Clone)]
pub struct Connector(Arc<Dialer>);

struct Dialer {
    tls: OnceLock<Result<TlsConnector, Failure>>,
    extra_roots_pem: Option<String>,
}

impl Connector {
    pub fn new(extra_roots_pem: Option<String>) -> Self {
        Self(Arc::new(Dialer { tls: OnceLock::new(), extra_roots_pem }))
    }
}

impl Dialer {
    async fn connect(&self, uri: Uri) -> Result<Stream, Failure> {
        let origin = Origin::of(&uri).map_err(|why| Failure::new("internal", why))?;
        let addresses = look_up(&origin).await?;
        let tcp = dial(&origin, &addresses).await?;
        if origin.is_https() {
            self.encrypt(&origin, tcp).await
        } else {
            Ok(Stream::new(Box::new(tcp), false))
        }
    }

    async fn encrypt(&self, origin: &Origin, tcp: TcpStream) -> Result<Stream, Failure> {
        let config = || client_config(self.extra_roots_pem.as_deref()).map(TlsConnector::from);
        let tls = self.tls.get_or_init(config).as_ref().map_err(Failure::clone)?;
        let name = ServerName::try_from(origin.host().to_owned()).map_err(|_| {
            Failure::new("tls_failed", format!("{}: no certificate can bear this name", origin.host()))
        })?;
        let stream = timeout(STEP_MAX, tls.connect(name, tcp))
            .await
            .map_err(|_| slow(origin, "did not finish the TLS handshake"))?
            .map_err(|e| tls_failure(origin.host(), &e))?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        Ok(Stream::new(Box::new(stream), is_h2))
    }
}

/// The addresses that may be dialled for an origin: the one it spells out, or those of its name, all checked.
///
/// One bad address spoils the name: a zone that mixes public and private addresses is how rebinding looks.
async fn look_up(origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = (origin.host(), origin.port());
    if let Ok(spelt_out) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(spelt_out, port)]);
    }
    let addresses = resolve(host.to_owned(), port).await?;
    for address in &addresses {
        if let Some(what) = refusal(address.ip()) {
            let message = format!("{host} leads to {}, which is {what}", address.ip());
            return Err(Failure::new("address_refused", message)
                .hint("if that is meant, name the address itself in the contract and the request"));
        }
    }
    Ok(addresses)
}

/// Asks the system's resolver, on a thread of its own: it waits, and cannot be told to stop.
async fn resolve(host: String, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let failed = |host: &str, e: &dyn fmt::Display| {
        Failure::new("name_not_found", format!("{host} cannot be looked up: {e}"))
            .hint("check the name, and that this machine can reach its name server")
            .retryable()
    };
    let name = host.clone();
    let slot = LOOKUPS.acquire().await.map_err(|e| failed(&host, &e))?;
    let (send, found) = oneshot::channel();
    let look_up = move || {
        let _slot = slot;
        // The request may have been given up meanwhile.
        let _ =
            send.send((name.as_str(), port).to_socket_addrs().map(|all| all.take(ADDRESSES_MAX).collect()));
    };
    thread::Builder::new().stack_size(STACK).spawn(look_up).map_err(|e| failed(&host, &e))?;
    found.await.map_err(|e| failed(&host, &e))?.map_err(|e: io::Error| failed(&host, &e))
}

async fn dial(origin: &Origin, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut last = Failure::new("name_not_found", format!("{} has no address", origin.host()));
    for address in addresses {
        match timeout(STEP_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only costs latency where it is refused.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(e)) => last = dial_failure(origin.host(), *address, &e),
            Err(_) => last = slow(origin, "did not answer"),
        }
    }
    Err(last)
}

fn slow(origin: &Origin, what: &str) -> Failure {
    let message = format!("{} {what} within {} s", origin.host(), STEP_MAX.as_secs());
    Failure::new("timed_out", message).retryable()
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = Arc::clone(&self.0);
        Box::pin(async move { dialer.connect(uri).await.map(TokioIo::new).map_err(ConnectError) })
    }
}
