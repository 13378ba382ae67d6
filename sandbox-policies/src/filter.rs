//! A flattened profile as a seccomp program: architecture first, then a balanced tree over call numbers, then the
//! arguments.
//!
//! The kernel runs the program once per call number when it is installed, so its depth is what a launch pays; a tree
//! over ranges of equal outcome is six or seven steps deep where a chain would be a hundred. Every jump is measured
//! when it is laid; one that does not fit is an error here and never a wrong jump there. A test runs each program in an
//! interpreter of its own over every number, architecture and argument sample, beside a plain reading of the profile.
//!
//! Source: linux/filter.h, linux/seccomp.h, Documentation/userspace-api/seccomp_filter.rst.

use crate::policy::{Condition, PolicyError, Width};
use crate::profile::Outcome;
use crate::syscalls::{NUMBER_MAX, Number};
use std::collections::BTreeMap;

/// Most instructions the kernel takes (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const RETURN_ALLOW: u32 = 0x7fff_0000;

/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// Numbers from here on are the x32 interface, which reaches the same calls by other numbers.
const X32_BIT: u32 = 0x4000_0000;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// One instruction, as `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip where the comparison holds.
    pub yes: u8,
    /// Instructions to skip where it does not.
    pub no: u8,
    /// Operand.
    pub k: u32,
}

/// A seccomp program, ready for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Vec<Instruction>);

/// Numbers from `start` to the next segment share one outcome.
struct Segment<'a> {
    start: u32,
    outcome: &'a Outcome,
}

impl Filter {
    /// Compiles outcomes; every number that has none gets `default`.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] where a jump or the program exceeds what the kernel takes.
    pub fn compile(outcomes: &BTreeMap<Number, Outcome>, default: &Outcome) -> Result<Self, PolicyError> {
        let segments = segments(outcomes, default);
        let mut program = vec![
            load(OFFSET_ARCHITECTURE),
            Instruction { code: IF_EQUAL, yes: 1, no: 0, k: ARCHITECTURE },
            give(RETURN_KILL_PROCESS),
            load(OFFSET_NUMBER),
            Instruction { code: IF_AT_LEAST, yes: 0, no: 1, k: X32_BIT },
            give(RETURN_KILL_PROCESS),
        ];
        program.extend(tree(&segments)?);
        if program.len() > INSTRUCTIONS_MAX {
            return Err(PolicyError::TooLarge(program.len()));
        }
        Ok(Self(program))
    }

    /// The instructions in order.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// The bytes of a `struct sock_filter` array on this machine (x86-64, little-endian), 8 per instruction.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len().saturating_mul(8));
        for instruction in &self.0 {
            bytes.extend_from_slice(&instruction.code.to_le_bytes());
            bytes.extend_from_slice(&[instruction.yes, instruction.no]);
            bytes.extend_from_slice(&instruction.k.to_le_bytes());
        }
        bytes
    }
}

/// Cuts the numbers into ranges of equal outcome. The last reaches to the end of all numbers.
fn segments<'a>(outcomes: &'a BTreeMap<Number, Outcome>, default: &'a Outcome) -> Vec<Segment<'a>> {
    let mut segments: Vec<Segment<'a>> = Vec::new();
    for start in 0..=NUMBER_MAX.saturating_add(1) {
        let outcome = outcomes.get(&Number(start)).unwrap_or(default);
        if segments.last().is_none_or(|last| last.outcome != outcome) {
            segments.push(Segment { start, outcome });
        }
    }
    segments
}

/// A decision tree over the segments. Depth is the logarithm of their number, so recursion here is at most 10 deep.
fn tree(segments: &[Segment<'_>]) -> Result<Vec<Instruction>, PolicyError> {
    let (left, right) = segments.split_at(segments.len() / 2);
    let (Some(pivot), false) = (right.first(), left.is_empty()) else {
        return segments.first().map_or(Ok(vec![give(RETURN_KILL_PROCESS)]), |only| leaf(only.outcome));
    };
    let (k, left, right) = (pivot.start, tree(left)?, tree(right)?);
    let mut code = match u8::try_from(left.len()) {
        Ok(skip) => vec![Instruction { code: IF_AT_LEAST, yes: skip, no: 0, k }],
        // The left half is longer than a conditional jump reaches: step over it with an unconditional one.
        Err(_) => vec![Instruction { code: IF_AT_LEAST, yes: 0, no: 1, k }, jump(left.len())?],
    };
    code.extend(left);
    code.extend(right);
    Ok(code)
}

fn leaf(outcome: &Outcome) -> Result<Vec<Instruction>, PolicyError> {
    Ok(match outcome {
        Outcome::Kill => vec![give(RETURN_KILL_PROCESS)],
        Outcome::Errno(errno) => vec![give(RETURN_ERRNO | u32::from(*errno))],
        Outcome::Allow => vec![give(RETURN_ALLOW)],
        Outcome::Check { alternatives, otherwise } => {
            let mut code = Vec::new();
            for conditions in alternatives {
                code.extend(alternative(conditions)?);
            }
            code.extend(leaf(otherwise)?);
            code
        }
    })
}

/// Returns "allow" where all conditions hold, and runs on past its own end where one does not.
fn alternative(conditions: &[Condition]) -> Result<Vec<Instruction>, PolicyError> {
    let mut code = Vec::new();
    let mut exits = Vec::new();
    for condition in conditions {
        compare(condition, &mut code, &mut exits)?;
    }
    code.push(give(RETURN_ALLOW));
    let end = code.len();
    for exit in exits {
        if let Some(instruction) = code.get_mut(exit) {
            instruction.no = distance(exit, end)?;
        }
    }
    Ok(code)
}

/// Lays one comparison; `exits` collects the instructions whose "no" leads out of the alternative.
fn compare(
    condition: &Condition,
    code: &mut Vec<Instruction>,
    exits: &mut Vec<usize>,
) -> Result<(), PolicyError> {
    let (mask_high, mask_low) = halves(condition.mask());
    let low = OFFSET_ARGUMENTS.saturating_add(u32::from(condition.arg).saturating_mul(8));
    if condition.width == Width::Long {
        for value in &condition.is {
            fetch(code, low.saturating_add(4), mask_high);
            exits.push(code.len());
            code.push(Instruction { code: IF_EQUAL, yes: 0, no: 0, k: halves(*value).0 });
        }
    }
    fetch(code, low, mask_low);
    let count = condition.is.len();
    for (index, value) in condition.is.iter().enumerate() {
        let last = index.saturating_add(1) == count;
        if last {
            exits.push(code.len());
        }
        let yes = u8::try_from(count.saturating_sub(index).saturating_sub(1));
        let yes = yes.map_err(|_| PolicyError::TooLarge(count))?;
        code.push(Instruction { code: IF_EQUAL, yes, no: 0, k: halves(*value).1 });
    }
    Ok(())
}

fn fetch(code: &mut Vec<Instruction>, offset: u32, mask: u32) {
    code.push(load(offset));
    if mask != u32::MAX {
        code.push(Instruction { code: AND, yes: 0, no: 0, k: mask });
    }
}

fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

fn distance(from: usize, to: usize) -> Result<u8, PolicyError> {
    let skip = to.saturating_sub(from).saturating_sub(1);
    u8::try_from(skip).map_err(|_| PolicyError::TooLarge(skip))
}

const fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, yes: 0, no: 0, k: offset }
}

const fn give(answer: u32) -> Instruction {
    Instruction { code: RETURN, yes: 0, no: 0, k: answer }
}

fn jump(skip: usize) -> Result<Instruction, PolicyError> {
    let k = u32::try_from(skip).map_err(|_| PolicyError::TooLarge(skip))?;
    Ok(Instruction { code: JUMP, yes: 0, no: 0, k })
}
