//! Cuts a byte stream into frames: a `u32` length, little-endian, then that many bytes.
//!
//! One buffer per connection, reused for ever. A length is checked before anything is made room for, and the
//! buffer never holds more than one largest frame plus what one read brought.

use crate::limits::{FRAME_MAX, FRAME_MIN};
use core::fmt;

/// Bytes received and not yet taken as frames.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
}

/// The stream cannot be followed any further. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A length word above [`FRAME_MAX`] or below [`FRAME_MIN`]; carries it.
    Length(u32),
    /// The stream ended inside a frame; carries the bytes that were there.
    Torn(usize),
}

/// The content of one frame, and the bytes that follow it.
pub type Cut<'a> = (&'a [u8], &'a [u8]);

/// Cuts the first frame off `stream`: its content and what follows it, or `None` where it is not all there yet.
///
/// # Errors
/// [`FrameError::Length`]; the stream is then unusable.
pub fn split(stream: &[u8]) -> Result<Option<Cut<'_>>, FrameError> {
    let Some((word, rest)) = stream.split_first_chunk::<4>() else { return Ok(None) };
    let word = u32::from_le_bytes(*word);
    match usize::try_from(word) {
        Ok(length) if (FRAME_MIN..=FRAME_MAX).contains(&length) => Ok(rest.split_at_checked(length)),
        _ => Err(FrameError::Length(word)),
    }
}

impl FrameBuffer {
    /// Whether nothing is left of what was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Gives memory back that a large frame left behind. For buffers of connections that fall silent.
    pub fn shrink(&mut self) {
        self.make_room();
        self.bytes.shrink_to(4096);
    }

    /// Appends what a read brought.
    pub fn extend(&mut self, received: &[u8]) {
        self.make_room();
        self.bytes.extend_from_slice(received);
    }

    /// The underlying vector, for readers that append to it in place. Call before a read, not between frames.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        self.make_room();
        &mut self.bytes
    }

    /// The next whole frame without its length word, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError::Length`]; the stream is then unusable.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let stream = self.bytes.get(self.start..).unwrap_or_default();
        let Some((frame, _)) = split(stream)? else { return Ok(None) };
        self.start = self.start.saturating_add(4).saturating_add(frame.len());
        Ok(Some(frame))
    }

    /// To be asked at the end of the stream.
    ///
    /// # Errors
    /// [`FrameError::Torn`] where it ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.bytes.len().saturating_sub(self.start) {
            0 => Ok(()),
            left => Err(FrameError::Torn(left)),
        }
    }

    /// Drops frames already taken, so that the buffer does not creep. Moves at most one partial frame.
    fn make_room(&mut self) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
        } else if self.start > 0 {
            self.bytes.drain(..self.start);
        }
        self.start = 0;
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "frame length {length}; allowed are {FRAME_MIN} to {FRAME_MAX} bytes")
            }
            Self::Torn(left) => write!(f, "the stream ended {left} bytes into a frame"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::{FrameBuffer, FrameError};
    use crate::limits::{FRAME_MAX, FRAME_MIN};

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(length).unwrap().to_le_bytes().to_vec();
        bytes.resize(4 + length, 7);
        bytes
    }

    #[test]
    fn frames_come_out_whole_whatever_the_cuts() {
        let mut stream = frame(4);
        stream.extend(frame(9));
        for cut in 0..stream.len() {
            let mut buffer = FrameBuffer::default();
            let mut lengths = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend(part);
                while let Some(frame) = buffer.next_frame().unwrap() {
                    lengths.push(frame.len());
                }
            }
            assert_eq!(lengths, [4, 9], "cut at {cut}");
            assert_eq!(buffer.finish(), Ok(()));
        }
    }

    #[test]
    fn length_is_refused_beyond_its_limits_before_any_byte_of_it_arrives() {
        for (length, ok) in
            [(FRAME_MIN, true), (FRAME_MIN - 1, false), (FRAME_MAX, true), (FRAME_MAX + 1, false)]
        {
            let mut buffer = FrameBuffer::default();
            buffer.extend(&u32::try_from(length).unwrap().to_le_bytes());
            assert_eq!(buffer.next_frame().is_ok(), ok, "{length}");
        }
    }

    #[test]
    fn end_inside_a_frame_is_torn() {
        let mut buffer = FrameBuffer::default();
        buffer.extend(&frame(8)[..6]);
        assert_eq!(buffer.next_frame(), Ok(None));
        assert_eq!(buffer.finish(), Err(FrameError::Torn(6)));
    }
}
