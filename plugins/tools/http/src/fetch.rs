//! Sends a request and streams the answer, every wait bounded and given up when the caller gives up.

use crate::connect::Connector;
use crate::explain::{answer_failure, bad_reply, request_failure};
use crate::origin::Origin;
use crate::request::Fetch;
use crate::stream::Answered;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pawang_sdk::protocol::limits::DATA_MAX;
use pawang_sdk::{Call, Detached, Done, Failure, Outcome, Unfinished};
use serde::Serialize;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Requests under way at once; more wait. Each may hold a connection and its buffers.
const FETCHES_MAX: usize = 64;
/// Largest head of an answer: its size in bytes and its number of headers (f52).
const HEAD_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 200;
/// HTTP/2 connections kept open for the next request to the same origin, and for how long.
const IDLE_MAX: usize = 4;
const IDLE_TIME: Duration = Duration::from_secs(20);
/// What one HTTP/2 stream, and one connection, may send ahead of being read, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Sends requests to the origins it was made for.
pub struct Fetcher {
    client: Client<Connector, Full<Bytes>>,
    origins: Vec<Origin>,
    slots: Semaphore,
}

/// What the caller is told of the head.
#[derive(Serialize)]
struct Head {
    status: u16,
    /// `HTTP/1.1` or `HTTP/2.0`.
    version: String,
    /// Names in lower case, in the order they came. A byte that is not ASCII shows as the character of that number.
    headers: Vec<(String, String)>,
}

impl Fetcher {
    /// # Errors
    /// `bad_setup` where an origin cannot be read.
    pub fn new(origins: &[String], extra_roots_pem: Option<String>) -> Result<Self, Failure> {
        let origins = origins.iter().map(|text| Origin::parse(text)).collect::<Result<_, _>>()?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(HEAD_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build(Connector::new(extra_roots_pem));
        Ok(Self { client, origins, slots: Semaphore::new(FETCHES_MAX) })
    }

    /// Serves one call.
    ///
    /// # Errors
    /// `bad_arguments`, `refused`, `address_refused`, `name_not_found`, `connect_failed`, `tls_failed`, `timed_out`,
    /// `bad_reply`, `connection_lost`, `too_large`; [`Unfinished::Cancelled`].
    pub async fn fetch(&self, call: &mut Call, replies: &mut Detached) -> Outcome {
        let Fetch { request, origin, timeout, body_max, has_secrets } = Fetch::read(call)?;
        if !self.origins.contains(&origin) {
            let message =
                format!("{} port {} is no origin this tool was started for", origin.host(), origin.port());
            return Err(Failure::new("refused", message).into());
        }
        let _slot = self.slots.acquire().await;
        let response = wanted(replies, timeout, "a complete head", self.client.request(request)).await?;
        let response = response.map_err(|e| request_failure(&e))?;
        if let Some(answered) = response.extensions().get::<Answered>() {
            answered.set();
        }
        check_head(&response, body_max)?;
        if has_secrets && is_coded(&response) {
            return Err(bad_reply("it is compressed, though that was declined to protect a secret").into());
        }
        stream(response, body_max, timeout, replies).await
    }
}

/// Refuses heads that two readers could understand differently, or that end HTTP.
fn check_head(response: &Response<Incoming>, body_max: u64) -> Result<(), Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(bad_reply("it switches to another protocol, which nobody asked for"));
    }
    let headers = response.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(bad_reply("it gives both a length and a transfer encoding"));
    }
    let announced = response.body().size_hint().lower();
    if announced > body_max { Err(too_large(body_max)) } else { Ok(()) }
}

/// Whether the body is not the plain bytes: compressed, most likely.
fn is_coded(response: &Response<Incoming>) -> bool {
    let mut codings = response.headers().get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn stream(
    response: Response<Incoming>,
    body_max: u64,
    timeout: Duration,
    replies: &mut Detached,
) -> Outcome {
    let head = Done::json(&Head::of(&response))?;
    let mut body = response.into_body();
    if body.is_end_stream() {
        return Ok(head);
    }
    replies.done_part(head)?;
    let mut left = body_max;
    while let Some(frame) = wanted(replies, timeout, "more of the body", body.frame()).await? {
        let frame = frame.map_err(|e| answer_failure(&e))?;
        // Trailers are dropped: nobody may take them for headers.
        let Ok(data) = frame.into_data() else { continue };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(length).ok_or_else(|| too_large(body_max))?;
        if body.is_end_stream() && data.len() <= DATA_MAX {
            return Ok(Done::data(data));
        }
        replies.data(&data)?;
    }
    Ok(Done::empty())
}

/// Waits for `work`, at most `limit`, and no longer than the caller wants it.
async fn wanted<T>(
    replies: &Detached,
    limit: Duration,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T, Unfinished> {
    let (mut work, mut timer) = (pin!(work), pin!(sleep(limit)));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if replies.poll_cancelled(cx).is_ready() {
            return Poll::Ready(Err(Unfinished::Cancelled));
        }
        timer.as_mut().poll(cx).map(|()| Err(timed_out(what, limit).into()))
    })
    .await
}

fn timed_out(what: &str, limit: Duration) -> Failure {
    Failure::new("timed_out", format!("the server did not send {what} within {} ms", limit.as_millis()))
        .hint("raise timeout_ms")
        .retryable()
}

fn too_large(body_max: u64) -> Failure {
    Failure::new("too_large", format!("the answer's body is larger than {body_max} bytes"))
        .hint("raise max_bytes, or ask for less")
}

impl Head {
    fn of(response: &Response<Incoming>) -> Self {
        let latin1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        let headers = response.headers().iter();
        Self {
            status: response.status().as_u16(),
            version: format!("{:?}", response.version()),
            headers: headers.map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect(),
        }
    }
}
