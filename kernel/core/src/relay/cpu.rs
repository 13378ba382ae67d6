//! CPU time: gas set aside for it beforehand, charged as it is used.
//!
//! A lease is a slice of the free gas for CPU time to come. It is recorded, so that a kernel that is killed cannot make
//! it free, and it says how long the clock may go unread: until all processors together could have used it up.

use super::effect::Effect;
use super::{Relay, RunId};
use crate::ledger::Reservation;
use crate::record::Entry;
use crate::run::Outcome;
use pawang_protocol::Gas;

/// Share of the free gas that is set aside for CPU time at once, and its bounds in gas.
const LEASE_SHARE: u64 = 8;
const LEASE_MIN: Gas = Gas(16);
const LEASE_MAX: Gas = Gas(4_000);
/// The CPU clock is read at least this often once a run is nearly out of gas, in ms; and no more often.
pub(super) const CPU_CHECK_MIN_MS: u64 = 4;
/// How long a run that burns nothing may go unread while it has little left, in ms.
const CPU_IDLE_MS: u64 = 64;

impl Relay {
    /// The run's CPU clock says `total_ms` so far, on `cpus` processors. Returns when to look again, in ms.
    pub fn cpu(&mut self, id: RunId, total_ms: u64, cpus: u64, out: &mut Vec<Effect>) -> Option<u64> {
        let run = self.runs.get_mut(&id).filter(|run| run.ending.is_none())?;
        if total_ms <= run.cpu_ms {
            let held = run.lease.as_ref().map_or(Gas::ZERO, Reservation::amount);
            let calm = (held.0 / cpus.max(1)).max(CPU_IDLE_MS);
            run.cpu_wait_ms = run.cpu_wait_ms.saturating_mul(2).clamp(CPU_CHECK_MIN_MS, calm);
            return Some(run.cpu_wait_ms);
        }
        if !self.charge_cpu(id, total_ms, out) {
            self.end(id, Outcome::OutOfGas, out);
            return None;
        }
        self.warn(id, out);
        let lease = self.renew_lease(id, out);
        let wait = (lease.0 / cpus.max(1)).max(CPU_CHECK_MIN_MS);
        if let Some(run) = self.runs.get_mut(&id) {
            run.cpu_wait_ms = wait;
        }
        Some(wait)
    }

    /// Charges CPU time up to `total_ms`, out of the lease first, and ends the lease. Whether it was all paid and the gas
    /// is not out: what calls in flight have set aside may yet come back.
    pub(super) fn charge_cpu(&mut self, id: RunId, total_ms: u64, out: &mut Vec<Effect>) -> bool {
        let price = self.methods.cpu_ms;
        let Some(run) = self.runs.get_mut(&id) else { return false };
        let Some(account) = self.accounts.get_mut(&run.verified.digest) else { return false };
        let ms = total_ms.saturating_sub(run.cpu_ms);
        run.cpu_ms = run.cpu_ms.max(total_ms);
        let due = Gas(price.0.saturating_mul(ms));
        let leased = run.lease.take().map_or(Gas::ZERO, |lease| account.settle(lease, due));
        let spent = leased.saturating_add(account.spend(due.saturating_sub(leased)));
        let left = account.free();
        out.push(Effect::Record(Entry::Cpu { run: id, ms, spent, left }));
        spent == due && (left > Gas::ZERO || account.reserved() > Gas::ZERO)
    }

    /// Sets gas aside for CPU time to come, and says how much.
    pub(super) fn renew_lease(&mut self, id: RunId, out: &mut Vec<Effect>) -> Gas {
        let Some(run) = self.runs.get_mut(&id) else { return Gas::ZERO };
        let Some(account) = self.accounts.get_mut(&run.verified.digest) else { return Gas::ZERO };
        let free = account.free();
        let share = Gas(free.0 / LEASE_SHARE).clamp(LEASE_MIN, LEASE_MAX).min(free);
        if share == Gas::ZERO {
            return Gas::ZERO;
        }
        let Ok(lease) = account.reserve(share, Vec::new()) else { return Gas::ZERO };
        run.lease = Some(lease);
        out.push(Effect::Record(Entry::Lease { run: id, reserved: share }));
        share
    }

    /// Gives the lease back to a run that needs gas now; its CPU clock is then read soon. `false`: it has none.
    pub(super) fn reclaim_lease(&mut self, id: RunId, out: &mut Vec<Effect>) -> bool {
        let Some(run) = self.runs.get_mut(&id) else { return false };
        let Some(account) = self.accounts.get_mut(&run.verified.digest) else { return false };
        let Some(lease) = run.lease.take() else { return false };
        account.settle(lease, Gas::ZERO);
        let left = account.free();
        out.push(Effect::Record(Entry::Cpu { run: id, ms: 0, spent: Gas::ZERO, left }));
        out.push(Effect::CheckCpu { run: id, within_ms: CPU_CHECK_MIN_MS });
        true
    }

    /// Writes the 80 % warning once.
    pub(super) fn warn(&mut self, id: RunId, out: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| !run.is_warned) else { return };
        let Some(account) = self.accounts.get(&run.verified.digest) else { return };
        let (spent, granted) = (account.spent(), account.granted());
        if u128::from(spent.0) * 5 >= u128::from(granted.0) * 4 {
            run.is_warned = true;
            out.push(Effect::Record(Entry::Warn { run: id, spent, granted }));
        }
    }
}
