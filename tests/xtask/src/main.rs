//! `cargo xtask …`: everything one does with this repository that cargo alone does not.
//!
//! It stages the programs into one folder as they would be installed, runs the demo, all tests, the benchmarks and
//! the fuzzers. Plain Rust and no shell scripts, so that it works the same everywhere; few dependencies, because it
//! is the first thing built on a clean clone. What a machine lacks it says in one line, before it begins.
//!
//! It installs nothing but the rustup target that plugins are built for, and needs no network but cargo's registry.
#![forbid(unsafe_code)]

mod artifacts;
mod bench;
mod demo;
mod fuzz;
mod machine;
mod stage;
mod summary;
mod target;
mod test;
mod tree;
mod trouble;

use stage::Flavour;
use std::process::ExitCode;
use tree::Tree;
use trouble::Trouble;

const USAGE: &str = "\
cargo xtask COMMAND

  build           stage all programs into target/pawang (--debug: into target/pawang-debug, unoptimised)
  demo            run a real automation under a signed contract, in a temporary folder that is removed again
  test [--long]   all tests; --long adds a minute of each fuzzer and more cases for the property tests
  bench [SECTION] measure, against rivals in the same run; all sections, or some of: calls pure records memory gas spawns
  fuzz [SECONDS]  run each fuzzer for so long (600)

exit status: 0 all well, 1 something failed, 2 usage, 3 this machine lacks something, 4 the build failed,
130 interrupted";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            if !matches!(trouble, Trouble::Told(_)) {
                eprintln!("{trouble}");
            }
            trouble.exit_code()
        }
    }
}

fn run(words: &[&str]) -> Result<(), Trouble> {
    match words {
        ["build"] => build(Flavour::Release),
        ["build", "--debug"] => build(Flavour::Debug),
        ["test"] => test::all(&Tree::find()?, test::Length::Short),
        ["test", "--long"] => test::all(&Tree::find()?, test::Length::Long),
        ["demo"] => demo::show(&Tree::find()?),
        ["bench", ..] => bench::all(&Tree::find()?, words.get(1..).unwrap_or_default()),
        ["fuzz"] => fuzz::each(&Tree::find()?, 600),
        ["fuzz", seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::each(&Tree::find()?, seconds),
            Err(_) => Err(Trouble::Usage(format!("not a number of seconds: {seconds}"))),
        },
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Trouble::Usage(format!("unknown: cargo xtask {}\n\n{USAGE}", words.join(" ")))),
    }
}

fn build(flavour: Flavour) -> Result<(), Trouble> {
    let staged = stage::stage(&Tree::find()?, flavour)?;
    println!("{}", staged.prefix.display());
    Ok(())
}
