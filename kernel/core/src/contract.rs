//! The contract: what one program may do, signed by someone this daemon trusts for exactly that much.
//!
//! Reading order: [`schema`] (what a contract holds), [`rule`], [`pattern`], [`http_pattern`] and [`secret`] (its
//! lines), [`bounds`] (its limits), [`envelope`] (how it is signed), [`mod@verify`] (from bytes to a [`Verified`], the
//! only way), [`meaning`] (what is checked beyond its shape), [`mod@subset`] (when one contract is part of another),
//! [`source`] (the author's TOML), [`error`] (every reason for no).
//!
//! Promises: the signature is checked over the exact bytes before one of them is parsed. The payload has one
//! spelling; what would be read differently elsewhere (duplicate keys, floats, unknown fields, other white space) is
//! refused. A field that is absent, empty or zero grants nothing, and nothing can say "unlimited".
//!
//! Does not: decide calls ([`crate::permit`]), count gas or uses ([`crate::ledger`]), read files or clocks.

pub mod bounds;
pub mod envelope;
pub mod error;
pub mod http_pattern;
pub mod meaning;
pub mod pattern;
pub mod rule;
pub mod schema;
pub mod secret;
pub mod source;
pub mod subset;
pub mod verify;

pub use bounds::{Limits, LimitsAsked};
pub use envelope::Envelope;
pub use error::{ContractError, PayloadFault};
pub use rule::{CallPattern, Rule, RuleFault};
pub use schema::{Contract, EachCeiling, FileDigest, GasRules, Program, ProgramDigests, Serial};
pub use secret::{Placement, SecretFault, SecretRule};
pub use subset::{NotSubset, subset};
pub use verify::{Admission, Verified, verify};
