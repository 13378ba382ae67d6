//! Any stream of bytes, cut anywhere, is frames and messages or an error; never a panic, never more memory than one frame.
//!
//! The first byte says where the stream is cut, so that the fuzzer also explores partial frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pawang_protocol::limits::FRAME_MAX;
use pawang_protocol::{FrameBuffer, Message};

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else { return };
    let (first, second) = stream.split_at(usize::from(*cut).min(stream.len()));
    let mut buffer = FrameBuffer::default();
    for part in [first, second] {
        buffer.extend(part);
        while let Ok(Some(frame)) = buffer.next_frame() {
            assert!(frame.len() <= FRAME_MAX);
            check(frame);
        }
    }
});

/// What decodes has one spelling: encoding it gives the same bytes.
fn check(frame: &[u8]) {
    let Ok(message) = Message::decode(frame) else { return };
    let mut again = Vec::new();
    message.encode_frame(&mut again).expect("what was within the limits still is");
    assert_eq!(again.get(4..), Some(frame));
    let _ = format!("{message:?}");
}
