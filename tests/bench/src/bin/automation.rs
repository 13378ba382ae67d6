//! The automation that is measured. It runs under a real contract, in a real jail, and prints one line of figures.
//!
//! `ping N`: N calls one after the other. `pipe N DEPTH`: N calls, DEPTH in flight. `idle S`: one call, then nothing
//! for S seconds. `drain`: calls until its gas is used up; each line is the time before a call. `spin`: the same with
//! CPU time; each line is the CPU time used so far.
#![forbid(unsafe_code)]
#![allow(clippy::as_conversions, reason = "a time in ns fits into 64 bits for 500 years")]

use pawang_bench::{Figures, PAYLOAD, WARM_UP};
use pawang_sdk::{CallId, Error, Kernel};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What it asks for. The contract allows it.
const METHOD: &str = "memory.read";
const KEY: &str = "bench/key";
/// Time for whoever looks on to find this process.
const TO_BE_FOUND: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().unwrap_or(0_usize);
    let mut kernel = match pawang_sdk::connect() {
        Ok(kernel) => kernel,
        Err(lost) => return failed(&lost),
    };
    let done = match words[..] {
        ["ping", calls] => ping(&mut kernel, number(calls)).map(|figures| println!("{figures}")),
        ["pipe", calls, depth] => {
            pipe(&mut kernel, number(calls), number(depth)).map(|figures| println!("{figures}"))
        }
        ["idle", seconds] => idle(&mut kernel, number(seconds)),
        ["drain"] => drain(&mut kernel),
        ["spin"] => spin(),
        _ => return failed(&"ping N | pipe N DEPTH | idle S | drain | spin"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(why: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

fn ping(kernel: &mut Kernel, calls: usize) -> Result<Figures, Error> {
    let data = [7; PAYLOAD];
    for _ in 0..WARM_UP {
        kernel.call(METHOD, KEY).data(&data).wait()?;
    }
    let mut samples = Vec::with_capacity(calls);
    let begun = Instant::now();
    for _ in 0..calls {
        let before = Instant::now();
        kernel.call(METHOD, KEY).data(&data).wait()?;
        samples.push(before.elapsed().as_nanos() as u64);
    }
    Ok(Figures::of(samples, begun.elapsed()))
}

/// Waits for the oldest call, and makes one new call for each that has ended; new ones leave with the next wait.
fn pipe(kernel: &mut Kernel, calls: usize, depth: usize) -> Result<Figures, Error> {
    let data = [7; PAYLOAD];
    let mut open: VecDeque<(CallId, Instant)> = VecDeque::with_capacity(depth);
    let mut samples = Vec::with_capacity(calls);
    let begun = Instant::now();
    for _ in 0..calls {
        if open.len() == depth {
            samples.extend(end_oldest(kernel, &mut open)?);
        }
        open.push_back((kernel.call(METHOD, KEY).data(&data).queue()?, Instant::now()));
    }
    while let Some(sample) = end_oldest(kernel, &mut open)? {
        samples.push(sample);
    }
    Ok(Figures::of(samples, begun.elapsed()))
}

fn end_oldest(kernel: &mut Kernel, open: &mut VecDeque<(CallId, Instant)>) -> Result<Option<u64>, Error> {
    let Some((call, begun)) = open.pop_front() else { return Ok(None) };
    kernel.wait(call)?;
    Ok(Some(begun.elapsed().as_nanos() as u64))
}

fn idle(kernel: &mut Kernel, seconds: usize) -> Result<(), Error> {
    kernel.call(METHOD, KEY).wait()?;
    println!("ready");
    std::thread::sleep(Duration::from_secs(seconds as u64));
    Ok(())
}

fn drain(kernel: &mut Kernel) -> Result<(), Error> {
    std::thread::sleep(TO_BE_FOUND);
    loop {
        tell(ClockId::Monotonic);
        kernel.call(METHOD, KEY).wait()?;
    }
}

fn spin() -> Result<(), Error> {
    loop {
        tell(ClockId::ProcessCPUTime);
        let until = Instant::now() + Duration::from_micros(100);
        while Instant::now() < until {}
    }
}

/// One line with the time on a clock, in ns.
fn tell(clock: ClockId) {
    let now = clock_gettime(clock);
    // Whoever reads may be gone; the gas ends this program all the same.
    let _ = writeln!(std::io::stdout(), "{}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
}
