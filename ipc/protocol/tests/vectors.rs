//! Holds the Rust codec to the golden vectors. The Python client runs the same file against its own codec; a change of
//! the bytes therefore shows in both, and is a new protocol version.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests: what panics here fails the test")]

use pawang_protocol::{
    DecodeError, Denial, Failure, FrameBuffer, FrameError, KernelHello, Message, PeerHello,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Deserialize)]
struct Vectors {
    version: u16,
    good: Vec<Good>,
    bad: Vec<Bad>,
    bodies: Vec<Body>,
}

#[derive(Deserialize)]
struct Good {
    name: String,
    message: Fields,
    frame: String,
}

#[derive(Deserialize)]
struct Bad {
    name: String,
    error: String,
    frame: Vec<Part>,
}

#[derive(Deserialize)]
struct Body {
    r#type: String,
    json: String,
}

/// A piece of a stream: hex, or hex and how often.
#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Once(String),
    Times(String, usize),
}

/// The content of a byte field: text, or hex where it is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Raw { hex: String },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Fields {
    Hello {
        version: u16,
        features: u64,
        body: Bytes,
    },
    Launch {
        id: u64,
        plan: Bytes,
    },
    Call {
        id: u64,
        parent: u64,
        method: u32,
        deadline_ms: u32,
        gas_max: u64,
        resource: String,
        secrets: Bytes,
        args: Bytes,
        data: Bytes,
    },
    Reply {
        id: u64,
        status: u8,
        more: bool,
        gas: u64,
        args: Bytes,
        data: Bytes,
    },
    Cancel {
        id: u64,
        reason: u8,
    },
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd hex: {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

impl Bytes {
    fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Raw { hex } => unhex(hex),
        }
    }
}

impl Fields {
    /// Writes the message as a frame. The byte fields live only here, so the message does too.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let result = match self {
            Self::Hello { version, features, body } => {
                Message::Hello { version: *version, features: *features, body: &body.to_vec() }
                    .encode_frame(&mut out)
            }
            Self::Launch { id, plan } => {
                Message::Launch { id: *id, plan: &plan.to_vec() }.encode_frame(&mut out)
            }
            Self::Call { id, parent, method, deadline_ms, gas_max, resource, secrets, args, data } => {
                Message::Call {
                    id: *id,
                    parent: *parent,
                    method: *method,
                    deadline_ms: *deadline_ms,
                    gas_max: *gas_max,
                    resource,
                    secrets: &secrets.to_vec(),
                    args: &args.to_vec(),
                    data: &data.to_vec(),
                }
                .encode_frame(&mut out)
            }
            Self::Reply { id, status, more, gas, args, data } => Message::Reply {
                id: *id,
                status: *status,
                more: *more,
                gas: *gas,
                args: &args.to_vec(),
                data: &data.to_vec(),
            }
            .encode_frame(&mut out),
            Self::Cancel { id, reason } => {
                Message::Cancel { id: *id, reason: *reason }.encode_frame(&mut out)
            }
        };
        result.unwrap();
        out
    }
}

/// What a reader of the stream would do: cut a frame, decode it, and look for a torn end.
fn read(stream: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut buffer = FrameBuffer::default();
    buffer.extend(stream);
    let frame = match buffer.next_frame() {
        Ok(Some(frame)) => frame.to_vec(),
        Ok(None) => {
            assert!(matches!(buffer.finish(), Err(FrameError::Torn(_))));
            return Err("torn");
        }
        Err(_) => return Err("length"),
    };
    let error = match Message::decode(&frame) {
        Ok(message) => {
            let mut again = Vec::new();
            message.encode_frame(&mut again).unwrap();
            return Ok(again);
        }
        Err(error) => error,
    };
    Err(match error {
        DecodeError::Malformed(_) => "malformed",
        DecodeError::Trailing(_) => "trailing",
        DecodeError::TooLong { .. } => "too_long",
        DecodeError::Unknown { .. } => "unknown",
    })
}

#[test]
fn every_good_message_has_exactly_its_bytes() {
    let vectors = vectors();
    assert_eq!(vectors.version, pawang_protocol::limits::VERSION);
    for Good { name, message, frame } in vectors.good {
        assert_eq!(message.encode(), unhex(&frame), "encode: {name}");
        assert_eq!(read(&unhex(&frame)), Ok(unhex(&frame)), "decode: {name}");
    }
}

#[test]
fn f50_every_bad_frame_is_refused_with_its_kind_of_error() {
    for Bad { name, error, frame } in vectors().bad {
        let stream: Vec<u8> = frame
            .iter()
            .flat_map(|part| match part {
                Part::Once(hex) => unhex(hex),
                Part::Times(hex, times) => unhex(hex).repeat(*times),
            })
            .collect();
        assert_eq!(read(&stream), Err(error.as_str()), "{name}");
    }
}

fn round_trip<T: Serialize + DeserializeOwned>(json: &str) -> serde_json::Value {
    serde_json::to_value(serde_json::from_str::<T>(json).unwrap()).unwrap()
}

#[test]
fn every_json_body_is_read_and_written_alike() {
    for Body { r#type, json } in vectors().bodies {
        let written = match r#type.as_str() {
            "denial" => round_trip::<Denial>(&json),
            "failure" => round_trip::<Failure>(&json),
            "kernel_hello" => round_trip::<KernelHello>(&json),
            "peer_hello" => round_trip::<PeerHello>(&json),
            other => panic!("no such body: {other}"),
        };
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&json).unwrap(), "{json}");
    }
}
