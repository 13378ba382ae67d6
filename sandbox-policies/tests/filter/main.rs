//! The filters, as programs: each is run in an interpreter of its own over every call number, other architectures and
//! samples of every argument, beside a plain reading of the profile it was compiled from (F16, F17, F18, F19, F20).
//!
//! Also the ratchets: the flattened profiles are golden (`PAWANG_GOLDEN=write` writes them anew), and the number of calls
//! that a process can reach may only fall without someone looking.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod interpreter;

use interpreter::{ALLOW, Call, ERRNO, KILL, X86_64, run};
use pawang_sandbox::filter::{Filter, INSTRUCTIONS_MAX};
use pawang_sandbox::never::NEVER;
use pawang_sandbox::policy::{Condition, Policy, PolicyError, Width};
use pawang_sandbox::profile::Outcome;
use pawang_sandbox::syscalls::{NUMBER_MAX, Number, PROOF_ERRNO, PROOF_NUMBER, name, number};
use pawang_sandbox::{FilterOptions, Profile};
use std::collections::BTreeMap;
use std::path::Path;

const OPTIONS: [FilterOptions; 4] = [
    FilterOptions { tasks: false, signals: false },
    FilterOptions { tasks: false, signals: true },
    FilterOptions { tasks: true, signals: false },
    FilterOptions { tasks: true, signals: true },
];

/// The profiles that processes run under, and the launcher's own.
fn profiles() -> impl Iterator<Item = (Profile, FilterOptions)> {
    let names = Profile::names().iter().copied().chain(["init"]);
    names.flat_map(|name| OPTIONS.map(|options| (Profile::named(name).unwrap(), options)))
}

/// What the profile says about a call, read plainly.
fn meaning(outcome: &Outcome, arguments: [u64; 6]) -> u32 {
    match outcome {
        Outcome::Kill => KILL,
        Outcome::Errno(errno) => ERRNO | u32::from(*errno),
        Outcome::Allow => ALLOW,
        Outcome::Check { alternatives, otherwise } => {
            let holds = |condition: &Condition| {
                let argument = arguments[usize::from(condition.arg)];
                let seen = match condition.width {
                    Width::Int => argument & 0xffff_ffff,
                    Width::Long => argument,
                };
                condition.is.contains(&(seen & condition.mask()))
            };
            let allowed = alternatives.iter().any(|conditions| conditions.iter().all(holds));
            if allowed { ALLOW } else { meaning(otherwise, arguments) }
        }
    }
}

/// Values around everything that the conditions speak of, and each of them with its upper half set.
fn samples(outcome: &Outcome) -> Vec<u64> {
    let mut values = vec![0, 1, 2, u64::from(u32::MAX), u64::MAX, 1 << 31, 1 << 32];
    if let Outcome::Check { alternatives, .. } = outcome {
        for condition in alternatives.iter().flatten() {
            for value in &condition.is {
                values.extend([
                    *value,
                    value.wrapping_add(1),
                    value.wrapping_sub(1),
                    value | !condition.mask(),
                ]);
                values.extend((0..32).map(|bit| value ^ (1 << bit)));
            }
        }
    }
    let high: Vec<_> = values.iter().map(|value| value | 0xdead_0000_0000).collect();
    values.extend(high);
    values.sort_unstable();
    values.dedup();
    values
}

/// Argument vectors: every sample at every place that a condition looks at, the others held at a value that passes,
/// and at one that does not.
fn vectors(outcome: &Outcome) -> Vec<[u64; 6]> {
    let Outcome::Check { alternatives, .. } = outcome else { return vec![[0; 6], [u64::MAX; 6]] };
    let mut vectors = vec![[0; 6], [u64::MAX; 6]];
    for conditions in alternatives {
        let mut passing = [0u64; 6];
        for condition in conditions {
            passing[usize::from(condition.arg)] |= condition.is[0];
        }
        for place in 0..6 {
            for value in samples(outcome) {
                for mut vector in [passing, [0; 6], [u64::MAX; 6]] {
                    vector[place] = value;
                    vectors.push(vector);
                }
            }
        }
    }
    vectors
}

#[test]
fn f20_every_filter_does_what_its_profile_says() {
    for (profile, options) in profiles() {
        let (outcomes, filter) = (profile.outcomes(options), profile.filter(options).unwrap());
        for nr in 0..=NUMBER_MAX + 1 {
            let outcome = outcomes.get(&Number(nr)).cloned().unwrap_or_else(|| profile.default_outcome());
            for arguments in vectors(&outcome) {
                let call = Call { nr, arch: X86_64, arguments };
                let (expected, found) = (meaning(&outcome, arguments), run(&filter, &call));
                assert_eq!(
                    found,
                    expected,
                    "{} {options:?} {call:x?} {:?}",
                    profile.name(),
                    name(Number(nr))
                );
            }
        }
    }
}

#[test]
fn f16_other_architectures_and_x32_are_killed_whatever_they_call() {
    const I386: u32 = 0x4000_0003;
    const AARCH64: u32 = 0xc000_00b7;
    for (profile, options) in profiles() {
        let filter = profile.filter(options).unwrap();
        for nr in (0..=NUMBER_MAX).chain([u32::MAX]) {
            for (arch, nr) in [(I386, nr), (AARCH64, nr), (0, nr), (X86_64, nr | 0x4000_0000)] {
                let call = Call { nr, arch, arguments: [0; 6] };
                assert_eq!(run(&filter, &call), KILL, "{} {call:x?}", profile.name());
            }
        }
    }
}

#[test]
fn f20_a_number_that_is_no_call_gets_the_default() {
    for (profile, options) in profiles() {
        let filter = profile.filter(options).unwrap();
        let default = meaning(&profile.default_outcome(), [0; 6]);
        for nr in [470, 600, 1022, 1024, 5000, 0x3fff_ffff] {
            let call = Call { nr, arch: X86_64, arguments: [0; 6] };
            assert_eq!(run(&filter, &call), default, "{} {nr}", profile.name());
        }
    }
}

#[test]
fn every_filter_answers_the_proof() {
    for (profile, options) in profiles() {
        let call = Call { nr: PROOF_NUMBER.0, arch: X86_64, arguments: [0; 6] };
        assert_eq!(run(&profile.filter(options).unwrap(), &call), ERRNO | u32::from(PROOF_ERRNO));
    }
}

#[test]
fn f17_a_condition_on_an_int_ignores_the_upper_half_and_one_on_a_pointer_does_not() {
    let condition = |width, is| Condition { arg: 1, width, mask: None, is: vec![is] };
    let outcome = |condition| Outcome::Check {
        alternatives: vec![vec![condition]],
        otherwise: Box::new(Outcome::Kill),
    };
    let filter = |condition| {
        Filter::compile(&BTreeMap::from([(Number(7), outcome(condition))]), &Outcome::Kill).unwrap()
    };
    let answer = |filter: &Filter, value| {
        run(filter, &Call { nr: 7, arch: X86_64, arguments: [0, value, 0, 0, 0, 0] })
    };
    let int = filter(condition(Width::Int, 5));
    assert_eq!([5, 6, 0xdead_0000_0005].map(|value| answer(&int, value)), [ALLOW, KILL, ALLOW]);
    let long = filter(condition(Width::Long, 5));
    assert_eq!([5, 6, 0xdead_0000_0005].map(|value| answer(&long, value)), [ALLOW, KILL, KILL]);
}

#[test]
fn f18_f19_what_no_profile_may_allow_no_filter_lets_through() {
    for (profile, options) in profiles() {
        let (outcomes, filter) = (profile.outcomes(options), profile.filter(options).unwrap());
        for call in NEVER {
            let nr = number(call).unwrap();
            let outcome = outcomes.get(&nr).cloned().unwrap_or_else(|| profile.default_outcome());
            for arguments in [[0; 6], [u64::MAX; 6]] {
                let answer = run(&filter, &Call { nr: nr.0, arch: X86_64, arguments });
                assert_ne!(answer, ALLOW, "{} {call}", profile.name());
                assert_eq!(answer, meaning(&outcome, arguments));
            }
        }
    }
}

/// Every third number checks an argument, so that no two neighbours share an outcome: the widest tree there can be.
fn widest(step: u32, conditions: usize) -> BTreeMap<Number, Outcome> {
    let check = |nr: u32| {
        let condition =
            |value: usize| Condition { arg: 0, width: Width::Int, mask: None, is: vec![value as u64] };
        let alternatives = (0..conditions).map(|value| vec![condition(value + nr as usize)]).collect();
        Outcome::Check { alternatives, otherwise: Box::new(Outcome::Errno(1)) }
    };
    (0..NUMBER_MAX).step_by(step as usize).map(|nr| (Number(nr), check(nr))).collect()
}

#[test]
fn f20_jumps_longer_than_a_byte_lead_where_they_should() {
    let outcomes = widest(4, 3);
    let filter = Filter::compile(&outcomes, &Outcome::Kill).unwrap();
    assert!(filter.instructions().len() > 2000);
    for nr in 0..=NUMBER_MAX + 1 {
        let outcome = outcomes.get(&Number(nr)).unwrap_or(&Outcome::Kill);
        for value in [0, u64::from(nr), u64::from(nr) + 2, u64::from(nr) + 3] {
            let arguments = [value, 0, 0, 0, 0, 0];
            assert_eq!(
                run(&filter, &Call { nr, arch: X86_64, arguments }),
                meaning(outcome, arguments),
                "{nr}"
            );
        }
    }
}

#[test]
fn f20_a_program_longer_than_the_kernel_takes_is_an_error() {
    let refused = Filter::compile(&widest(1, 4), &Outcome::Kill).unwrap_err();
    assert!(matches!(refused, PolicyError::TooLarge(len) if len > INSTRUCTIONS_MAX), "{refused}");
}

#[test]
fn filters_are_small_and_shallow() {
    for (profile, options) in profiles() {
        let filter = profile.filter(options).unwrap();
        let (length, steps) = (filter.instructions().len(), interpreter::longest(&filter, NUMBER_MAX));
        assert!(length <= 400 && steps <= 48, "{}: {length} instructions, {steps} steps", profile.name());
    }
}

#[test]
fn profiles_are_golden() {
    let mut found = String::new();
    for (profile, options) in
        profiles().filter(|(_, options)| *options == OPTIONS[0] || *options == OPTIONS[3])
    {
        let word = if options.tasks { "with processes and signals" } else { "alone" };
        found.push_str(&format!("== {} {word}\n{}\n", profile.name(), profile.listing(options)));
    }
    golden("profiles.txt", &found);
}

#[test]
fn census_of_reachable_calls() {
    let mut found = String::new();
    for (profile, options) in
        profiles().filter(|(_, options)| *options == OPTIONS[0] || *options == OPTIONS[3])
    {
        let outcomes = profile.outcomes(options);
        let open = outcomes.values().filter(|outcome| **outcome == Outcome::Allow).count();
        let checked = outcomes.values().filter(|outcome| matches!(outcome, Outcome::Check { .. })).count();
        let word = if options.tasks { "processes" } else { "alone" };
        found.push_str(&format!("{} {word}: {open} open, {checked} with conditions\n", profile.name()));
    }
    golden("census.txt", &found);
}

#[test]
fn a_rule_that_allows_what_is_allowed_already_is_an_error() {
    let base = "profile = \"base\"\nwhy = \"w\"\ndefault = \"kill\"\n\
        [[allow]]\ncalls = [\"read\"]\nwhy = \"w\"\n\
        [[allow]]\ncalls = [\"fcntl\"]\nargs = [{ arg = 1, is = [1, 2] }]\nwhy = \"w\"\n";
    let child = |rule: &str| format!("profile = \"child\"\nextends = \"base\"\nwhy = \"w\"\n{rule}");
    let allow = |call: &str, args: &str| format!("[[allow]]\ncalls = [\"{call}\"]\nwhy = \"w\"\n{args}");
    let one = "args = [{ arg = 1, is = [1, 2] }]";
    let narrower = "args = [{ arg = 1, is = [1, 2] }, { arg = 2, is = [0] }]";
    for (rule, redundant) in [
        (allow("read", ""), true),
        (allow("read", one), true),
        (allow("fcntl", one), true),
        (allow("fcntl", narrower), true),
        (allow("fcntl", "when = \"tasks\"\nargs = [{ arg = 1, is = [1, 2] }]"), true),
        (allow("fcntl", "args = [{ arg = 1, is = [3] }]"), false),
        (allow("write", ""), false),
    ] {
        let flattened = Profile::from_files("child", &[("base", base), ("child", &child(&rule))]);
        assert_eq!(matches!(flattened, Err(PolicyError::Redundant(_))), redundant, "{rule}: {flattened:?}");
    }
}

#[test]
fn extending_only_adds_and_the_default_stands_once() {
    let base = "profile = \"base\"\nwhy = \"w\"\ndefault = \"kill\"\n";
    for (child, error) in [
        ("profile = \"child\"\nextends = \"base\"\nwhy = \"w\"\ndefault = \"errno\"", "the default stands"),
        ("profile = \"child\"\nwhy = \"w\"", "the default stands"),
        ("profile = \"child\"\nextends = \"gone\"\nwhy = \"w\"", "no profile or runtime is called \"gone\""),
        ("profile = \"child\"\nextends = \"child\"\nwhy = \"w\"", "extends more than 4 deep"),
        ("profile = \"other\"\nwhy = \"w\"", "calls itself \"other\""),
    ] {
        let refused =
            Profile::from_files("child", &[("base", base), ("child", child)]).unwrap_err().to_string();
        assert!(refused.contains(error), "{refused}");
    }
}

#[test]
fn every_profile_file_is_compiled_in_and_allows_at_least_what_its_base_does() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")).unwrap() {
        let path = entry.unwrap().path();
        let policy = Policy::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let profile = Profile::named(&policy.profile).unwrap();
        let Some(base) = policy.extends else { continue };
        let (wider, narrower) =
            (profile.outcomes(OPTIONS[3]), Profile::named(&base).unwrap().outcomes(OPTIONS[3]));
        for (call, _) in narrower.iter().filter(|(_, outcome)| **outcome == Outcome::Allow) {
            assert_eq!(wider.get(call), Some(&Outcome::Allow), "{} {:?}", policy.profile, name(*call));
        }
    }
}

fn golden(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var("PAWANG_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differ = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert_eq!(differ, None, "tests/golden/{file}: found, expected");
    assert_eq!(found.lines().count(), expected.lines().count(), "tests/golden/{file}");
}
