//! What a helper's contract takes from the one above it, besides gas: room under sub-ceilings, and counted calls.
//!
//! Without it every further helper would come with the parent's whole sub-ceiling and all its counted calls again, and
//! a run could have more of both than was signed by starting one helper after the other (f68). So they are carved out
//! like gas: taken in full when the helper's account is opened, and what it left unused given back when it is closed.

use super::{Account, Reservation, Short};
use pawang_protocol::Gas;
use serde::{Deserialize, Serialize};

/// Room and calls that go to a helper. Positions are those of the two contracts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Room under sub-ceilings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<ShareEach>,
    /// Counted calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ShareCalls>,
}

/// Room under one sub-ceiling of the giver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareEach {
    /// The giver's sub-ceiling.
    pub from: usize,
    /// The helper's sub-ceiling that holds it to the amount; none where all that the helper spends counts.
    pub to: Option<usize>,
    /// How much.
    pub amount: Gas,
}

/// Calls of one counted grant of the giver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareCalls {
    /// The giver's grant.
    pub from: usize,
    /// How many calls that grant allows.
    pub max: u32,
    /// The helper's grant.
    pub to: usize,
    /// How many calls go to it.
    pub calls: u32,
}

impl Share {
    /// Whether nothing but gas goes to the helper.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each.is_empty() && self.calls.is_empty()
    }
}

impl Account {
    /// Sets `gas` aside for a helper, and takes its share of room and calls.
    ///
    /// # Errors
    /// [`Short`]; nothing has then moved.
    pub fn give(&mut self, gas: Gas, share: &Share) -> Result<Reservation, Short> {
        let mut after = self.clone();
        let reservation = after.reserve(gas, Vec::new())?;
        for part in &share.each {
            let left = after.each.get(part.from).map_or(Gas::ZERO, super::Ceiling::left);
            let short = Short::Ceiling { index: part.from, needed: part.amount, left };
            let ceiling = after.each.get_mut(part.from).filter(|_| part.amount <= left).ok_or(short)?;
            ceiling.used = ceiling.used.saturating_add(part.amount);
        }
        for part in &share.calls {
            let left = part.max.saturating_sub(after.calls.get(part.from).copied().unwrap_or(part.max));
            let short = Short::Calls { grant: part.from, needed: part.calls, left };
            let used = after.calls.get_mut(part.from).filter(|_| part.calls <= left).ok_or(short)?;
            *used = used.saturating_add(part.calls);
        }
        *self = after;
        Ok(reservation)
    }

    /// Ends what [`Account::give`] began: what the helper spent is spent here too, the rest is free again, and so are
    /// room and calls it did not use. Returns what was spent.
    pub fn take_back(&mut self, reservation: Reservation, share: &Share, helper: &Self) -> Gas {
        for part in &share.each {
            let used = match part.to {
                Some(to) => helper.each.get(to).map_or(part.amount, |ceiling| ceiling.used),
                None => helper.spent,
            };
            if let Some(ceiling) = self.each.get_mut(part.from) {
                ceiling.used = ceiling.used.saturating_sub(part.amount.saturating_sub(used));
            }
        }
        for part in &share.calls {
            let made = helper.calls.get(part.to).copied().unwrap_or(part.calls);
            if let Some(used) = self.calls.get_mut(part.from) {
                *used = used.saturating_sub(part.calls.saturating_sub(made));
            }
        }
        self.settle(reservation, helper.spent)
    }
}
