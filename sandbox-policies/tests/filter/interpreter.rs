//! A second reading of classic BPF, written from the kernel's description and not from our compiler: six operations,
//! everything else and every way out of the program is a panic.

use pawang_sandbox::filter::Filter;

pub const X86_64: u32 = 0xc000_003e;
pub const KILL: u32 = 0x8000_0000;
pub const ERRNO: u32 = 0x0005_0000;
pub const ALLOW: u32 = 0x7fff_0000;

/// What the kernel shows a filter: `struct seccomp_data`.
#[derive(Debug)]
pub struct Call {
    pub nr: u32,
    pub arch: u32,
    pub arguments: [u64; 6],
}

/// The program's answer to a call.
pub fn run(filter: &Filter, call: &Call) -> u32 {
    execute(filter, call).0
}

/// The most instructions that any call number takes, as the kernel counts them when a filter is installed.
pub fn longest(filter: &Filter, number_max: u32) -> usize {
    (0..=number_max)
        .map(|nr| execute(filter, &Call { nr, arch: X86_64, arguments: [0; 6] }).1)
        .max()
        .unwrap_or(0)
}

fn execute(filter: &Filter, call: &Call) -> (u32, usize) {
    let program = filter.instructions();
    let (mut at, mut steps, mut accumulator) = (0usize, 0usize, 0u32);
    loop {
        let one = program.get(at).unwrap_or_else(|| panic!("ran out of the program at {at}"));
        at += 1;
        steps += 1;
        assert!(steps <= program.len(), "classic BPF has no way back");
        let branch = |holds: bool| usize::from(if holds { one.yes } else { one.no });
        match one.code {
            0x20 => accumulator = word(call, one.k),
            0x54 => accumulator &= one.k,
            0x05 => at += one.k as usize,
            0x15 => at += branch(accumulator == one.k),
            0x35 => at += branch(accumulator >= one.k),
            0x06 => return (one.k, steps),
            other => panic!("operation {other:#x}"),
        }
    }
}

/// One aligned 32-bit word of the call as it lies in memory, little-endian.
fn word(call: &Call, offset: u32) -> u32 {
    assert!(offset.is_multiple_of(4) && offset < 64, "offset {offset}");
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&call.nr.to_le_bytes());
    bytes.extend_from_slice(&call.arch.to_le_bytes());
    bytes.extend_from_slice(&0u64.to_le_bytes());
    call.arguments.iter().for_each(|argument| bytes.extend_from_slice(&argument.to_le_bytes()));
    let at = offset as usize;
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
