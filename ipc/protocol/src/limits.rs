//! Every bound of the protocol, with its derivation. A test exists at each limit and at limit + 1.

/// The protocol version spoken by this crate. Offered in `Hello`; a peer that needs another is refused.
pub const VERSION: u16 = 1;
/// The oldest version this crate still speaks.
pub const VERSION_MIN: u16 = 1;

/// Largest frame after its length word, in bytes. One chunk of data, its arguments and its resource, with room to
/// spare; small enough that a thousand peers with one full frame each stay below 1 GiB.
pub const FRAME_MAX: usize = 1 << 20;
/// Smallest frame: a message tag. Anything shorter cannot be a message.
pub const FRAME_MIN: usize = 4;
/// Largest `data` part of one message, in bytes. Longer content is sent as several chunks.
pub const DATA_MAX: usize = 256 << 10;
/// Largest `args` part of one message (JSON by convention), in bytes.
pub const ARGS_MAX: usize = 128 << 10;
/// Largest resource, in bytes: two paths of `PATH_MAX` (4,096), or one URL, or a command line.
pub const RESOURCE_MAX: usize = 32 << 10;
/// Largest body of a `Hello` (the method table is in it), in bytes.
pub const HELLO_BODY_MAX: usize = 256 << 10;
/// Largest launch plan (a filter of 4,096 instructions of 8 bytes, rules, environment), in bytes.
pub const PLAN_MAX: usize = 256 << 10;
/// Most calls one peer may have in flight. The 257th is answered with a denial.
pub const IN_FLIGHT_MAX: usize = 256;
/// How deep calls may nest: automation → provider → tool → kernel leaves one to spare.
pub const CALL_DEPTH_MAX: u8 = 4;
/// Longest method, plugin or secret name, in bytes.
pub const NAME_MAX: usize = 64;
/// The descriptor a process finds its channel on. 0, 1 and 2 are the standard streams; there is no other.
pub const CHANNEL_FD: i32 = 3;
