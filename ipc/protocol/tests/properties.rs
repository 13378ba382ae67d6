//! What holds of every message and every stream of bytes, not only of the golden ones. Seeds of failures are kept by
//! proptest beside this file and belong into a named test.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests: what panics here fails the test")]

use pawang_protocol::limits::{ARGS_MAX, DATA_MAX, FRAME_MAX, HELLO_BODY_MAX, PLAN_MAX, RESOURCE_MAX};
use pawang_protocol::{DecodeError, FrameBuffer, Gas, Message, MethodName, PluginName};
use proptest::prelude::*;

/// A message that owns its content, because proptest must hold it while the message borrows.
#[derive(Debug, Clone)]
struct Owned {
    tag: u8,
    numbers: [u64; 3],
    words: [u32; 2],
    small: u8,
    flag: bool,
    text: String,
    bytes: [Vec<u8>; 3],
}

impl Owned {
    fn message(&self) -> Message<'_> {
        let [id, parent, gas] = self.numbers;
        let [method, deadline_ms] = self.words;
        let [secrets, args, data] = &self.bytes;
        match self.tag {
            0 => Message::Hello { version: u16::from(self.small), features: parent, body: data },
            1 => Message::Launch { id, plan: data },
            2 => Message::Call {
                id,
                parent,
                method,
                deadline_ms,
                gas_max: gas,
                resource: &self.text,
                secrets,
                args,
                data,
            },
            3 => Message::Reply { id, status: self.small % 4, more: self.flag, gas, args, data },
            _ => Message::Cancel { id, reason: self.small % 5 },
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

fn owned() -> impl Strategy<Value = Owned> {
    let numbers = (any::<[u64; 3]>(), any::<[u32; 2]>(), any::<u8>(), any::<bool>());
    (0_u8..5, numbers, ".{0,60}", [bytes(), bytes(), bytes()]).prop_map(
        |(tag, (numbers, words, small, flag), text, bytes)| Owned {
            tag,
            numbers,
            words,
            small,
            flag,
            text,
            bytes,
        },
    )
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode_frame(&mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(owned in owned()) {
        let frame = encode(&owned.message());
        prop_assert_eq!(Message::decode(&frame[4..]), Ok(owned.message()));
    }

    #[test]
    fn f50_any_bytes_are_a_message_or_an_error_and_only_one_spelling_decodes(frame in proptest::collection::vec(any::<u8>(), 0..600), tag in 0_u8..7) {
        let mut frame = frame;
        if let Some(word) = frame.get_mut(..4) {
            word.copy_from_slice(&u32::from(tag).to_le_bytes());
        }
        if let Ok(message) = Message::decode(&frame) {
            prop_assert_eq!(&encode(&message)[4..], &frame[..]);
        }
    }

    #[test]
    fn f50_a_message_cut_or_stretched_is_refused(owned in owned(), cut in any::<prop::sample::Index>(), extra in 1_usize..9) {
        let frame = &encode(&owned.message())[4..];
        prop_assert!(matches!(Message::decode(&frame[..cut.index(frame.len())]), Err(DecodeError::Malformed(_))));
        let longer = [frame, &vec![0; extra]].concat();
        prop_assert_eq!(Message::decode(&longer), Err(DecodeError::Trailing(extra)));
    }

    #[test]
    fn f50_a_flipped_bit_gives_another_message_or_an_error(owned in owned(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut frame = encode(&owned.message())[4..].to_vec();
        let at = at.index(frame.len());
        frame[at] ^= 1 << bit;
        if let Ok(message) = Message::decode(&frame) {
            prop_assert_ne!(message, owned.message());
        }
    }

    #[test]
    fn frames_survive_any_cutting_of_the_stream(all in proptest::collection::vec(owned(), 1..6), cuts in proptest::collection::vec(1_usize..90, 1..40)) {
        let stream: Vec<u8> = all.iter().flat_map(|owned| encode(&owned.message())).collect();
        let (mut buffer, mut rest, mut taken) = (FrameBuffer::default(), stream.as_slice(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (part, later) = rest.split_at((*cut).min(rest.len()));
            buffer.extend(part);
            while let Some(frame) = buffer.next_frame().unwrap() {
                taken.push(frame.to_vec());
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(buffer.finish(), Ok(()));
        let sent: Vec<Vec<u8>> = all.iter().map(|owned| encode(&owned.message())[4..].to_vec()).collect();
        prop_assert_eq!(taken, sent);
    }

    #[test]
    fn f50_any_stream_gives_bounded_frames_or_an_error(stream in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut buffer = FrameBuffer::default();
        buffer.extend(&stream);
        while let Ok(Some(frame)) = buffer.next_frame() {
            prop_assert!(frame.len() <= FRAME_MAX);
        }
    }

    #[test]
    fn names_are_read_as_written(text in ".{0,70}") {
        if let Ok(name) = MethodName::new(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(PluginName::new(name.plugin()).is_ok());
        }
    }

    #[test]
    fn gas_never_wraps(a in any::<u64>(), b in any::<u64>()) {
        let exact = u128::from(a) + u128::from(b);
        prop_assert_eq!(Gas(a).checked_add(Gas(b)).map(|sum| u128::from(sum.0)), (exact <= u128::from(u64::MAX)).then_some(exact));
        prop_assert_eq!(Gas(a).checked_sub(Gas(b)).is_some(), a >= b);
        prop_assert!(Gas(a).saturating_add(Gas(b)) >= Gas(a).max(Gas(b)));
    }
}

const EMPTY: Message<'_> = Message::Call {
    id: 1,
    parent: 0,
    method: 0,
    deadline_ms: 0,
    gas_max: 0,
    resource: "",
    secrets: &[],
    args: &[],
    data: &[],
};

/// Encodes with a field at its limit, then checks that one byte more is refused and leaves the output alone.
fn at_the_limit<'a>(field: &'static str, max: usize, with: impl Fn(usize) -> Message<'a>) {
    let frame = encode(&with(max));
    assert_eq!(Message::decode(&frame[4..]), Ok(with(max)), "{field} at its limit");
    let mut out = vec![7];
    let refusal = DecodeError::TooLong { field, len: max + 1, max };
    assert_eq!(with(max + 1).encode_frame(&mut out), Err(refusal), "{field} beyond its limit");
    assert_eq!(out, [7], "{field}: a refused message leaves no byte behind");
}

#[test]
fn f50_every_field_is_accepted_at_its_limit_and_refused_one_byte_later() {
    let text = "x".repeat(RESOURCE_MAX + 1);
    let blank = vec![b'x'; HELLO_BODY_MAX.max(PLAN_MAX).max(DATA_MAX).max(ARGS_MAX) + 1];
    at_the_limit("body", HELLO_BODY_MAX, |n| Message::Hello { version: 1, features: 0, body: &blank[..n] });
    at_the_limit("plan", PLAN_MAX, |n| Message::Launch { id: 1, plan: &blank[..n] });
    at_the_limit("args", ARGS_MAX, |n| Message::Reply {
        id: 1,
        status: 0,
        more: false,
        gas: 0,
        args: &blank[..n],
        data: &[],
    });
    at_the_limit("data", DATA_MAX, |n| Message::Reply {
        id: 1,
        status: 0,
        more: true,
        gas: 0,
        args: &[],
        data: &blank[..n],
    });
    for (field, max) in
        [("resource", RESOURCE_MAX), ("secrets", ARGS_MAX), ("args", ARGS_MAX), ("data", DATA_MAX)]
    {
        at_the_limit(field, max, |n| call_with(field, &text, &blank, n));
    }
}

fn call_with<'a>(field: &str, text: &'a str, blank: &'a [u8], len: usize) -> Message<'a> {
    let mut message = EMPTY;
    if let Message::Call { resource, secrets, args, data, .. } = &mut message {
        match field {
            "resource" => *resource = &text[..len],
            "secrets" => *secrets = &blank[..len],
            "args" => *args = &blank[..len],
            _ => *data = &blank[..len],
        }
    }
    message
}

#[test]
fn the_largest_message_of_all_fits_a_frame() {
    let (text, args, data) = ("x".repeat(RESOURCE_MAX), vec![b'x'; ARGS_MAX], vec![b'x'; DATA_MAX]);
    let message = Message::Call {
        id: u64::MAX,
        parent: u64::MAX,
        method: u32::MAX,
        deadline_ms: u32::MAX,
        gas_max: u64::MAX,
        resource: &text,
        secrets: &args,
        args: &args,
        data: &data,
    };
    let frame = encode(&message);
    assert!(frame.len() - 4 <= FRAME_MAX);
    assert_eq!(Message::decode(&frame[4..]), Ok(message));
}
