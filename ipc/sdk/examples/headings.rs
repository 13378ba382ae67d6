//! A whole automation: prints the first line of every file in `/input`.
//!
//! All files are asked for before the first answer is read, so the kernel and the fs tool work while this program
//! prints. A file that the contract does not grant is reported and costs the others nothing.

use pawang_sdk::{CallId, Error, Kernel, connect};
use serde::Deserialize;
use std::process::ExitCode;

#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let mut kernel = connect()?;
    let listing = kernel.call("fs.list", "/input").wait()?;
    let entries = serde_json::Deserializer::from_slice(&listing.data).into_iter::<Entry>();
    let mut names: Vec<String> =
        entries.flatten().filter(|entry| entry.kind == "file").map(|entry| entry.name).collect();
    names.sort();
    let calls: Vec<CallId> = names.iter().map(|name| ask(&mut kernel, name)).collect::<Result<_, _>>()?;
    for (name, call) in names.iter().zip(calls) {
        match kernel.wait(call) {
            Ok(answer) => println!("{name}: {}", first_line(&answer.data)),
            Err(Error::Lost(lost)) => return Err(lost.into()),
            Err(error) => println!("{name}: {error}"),
        }
    }
    Ok(())
}

fn ask(kernel: &mut Kernel, name: &str) -> Result<CallId, Error> {
    let path = format!("/input/{name}");
    kernel.call("fs.read", &path).args(&serde_json::json!({"length": 200})).queue()
}

fn first_line(content: &[u8]) -> String {
    String::from_utf8_lossy(content).lines().next().unwrap_or_default().to_owned()
}
