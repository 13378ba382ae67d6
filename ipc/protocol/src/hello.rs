//! The JSON bodies of `Hello`, and of the secrets field of a call.

use crate::name::{MethodName, PluginName};
use serde::{Deserialize, Serialize};

/// What a process is to the kernel. Told by the kernel, never by the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A program that runs under a contract and makes calls.
    Automation,
    /// A plugin that answers calls.
    Tool,
    /// The command line, over the control socket.
    Control,
}

/// First message on a channel, from the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelHello {
    /// The oldest version the kernel still speaks; the newest is in the message itself.
    pub version_min: u16,
    /// What the receiver is.
    pub role: Role,
    /// Id of the run this process belongs to; empty on the control socket.
    pub run: String,
    /// Automation: every method there is. Tool: those it serves and those it may call. Control: the control methods.
    pub methods: Vec<MethodEntry>,
    /// What a tool is told about its confinement, as its manifest's kind defines; `null` otherwise.
    #[serde(default)]
    pub setup: serde_json::Value,
}

/// A method and its number on this channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodEntry {
    /// The number used in `Call`.
    pub id: u32,
    /// Its name.
    pub name: MethodName,
}

/// The peer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerHello {
    /// Library and version, for the log only: `pawang-sdk 0.1.0`.
    pub client: String,
    /// Name of the plugin as its own manifest has it; the kernel compares. Absent for automations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
}

/// One secret on its way to a tool. It never travels towards an automation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutIn {
    /// Where it goes: the name of a request header, lower case.
    pub header: String,
    /// The whole header value, secret included.
    pub value: String,
}

impl core::fmt::Debug for PutIn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PutIn").field("header", &self.header).field("value", &"[redacted]").finish()
    }
}
