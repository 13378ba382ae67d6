//! Ids of runs and peers, and how a run ends. Small types that several modules share.

use crate::hex;
use core::fmt;
use serde::{Deserialize, Serialize, Serializer};

/// One execution of an automation. Shown as eight hex digits; drawn at random by the daemon, never reused in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RunId(pub u32);

/// One process on the other end of a channel: a place in the relay's table and how often that place was used before.
/// A message is attributed to the peer whose channel it arrived on, never to anything it says (INV-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    /// Place in the table.
    pub slot: u32,
    /// Counts the peers that had this place.
    pub generation: u32,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The program ended by itself; its exit status says how well.
    Done,
    /// The gas was used up.
    OutOfGas,
    /// The wall-clock limit passed.
    TimedOut,
    /// The operator stopped it, or the run it helped is over.
    Stopped,
    /// The contract was revoked or expired while it ran.
    Revoked,
    /// The automation broke the protocol.
    Fault,
    /// It could not be started, or the kernel could not go on with it.
    Failed,
    /// The kernel died while it ran; found at the next start.
    Lost,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:08x}", self.0))
    }
}

impl core::str::FromStr for RunId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let exact = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !exact {
            return Err(format!("{text:?} is not a run id; expected eight hex digits such as 7f3a91c2"));
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|e| e.to_string())
    }
}

impl TryFrom<String> for RunId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Without an allocation: nearly every record of the log holds one.
impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hex::write(&self.0.to_be_bytes(), &mut [0; 8]))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::OutOfGas => "out of gas",
            Self::TimedOut => "timed out",
            Self::Stopped => "stopped",
            Self::Revoked => "revoked",
            Self::Fault => "fault",
            Self::Failed => "failed",
            Self::Lost => "lost",
        })
    }
}
