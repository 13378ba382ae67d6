//! Whole programs in their jails: they start, they work, and they are what the report says they are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use pawang_sandbox::{Jail, Limits, Runtime, Wall};
use std::path::Path;
use support::{jail, launcher, other_user, run};

const PYTHON: &str = "/usr/bin/python3";

/// Python under a profile, with a script handed over as an argument of `-c`.
fn python(profile: &str, script: &str) -> Jail {
    let runtime = Runtime::named("python").unwrap().resolve(Path::new(PYTHON)).unwrap();
    let mut argv = vec![PYTHON];
    argv.extend(runtime.args.iter().map(String::as_str));
    argv.extend(["-c", script]);
    let mut jail = jail(profile, Path::new(PYTHON), &argv);
    jail.env = runtime.env.clone();
    jail.runtime = runtime;
    jail.private_root = true;
    jail.limits = Limits { memory_mib: 512, processes: 16, open_files: 256, file_mib: 16, cpu_s: Some(30) };
    jail.uid = other_user();
    jail
}

#[test]
fn python_runs_its_standard_library() {
    let script = "import json, socket, subprocess, ssl, asyncio, threading, os, tempfile\n\
        t = threading.Thread(target=lambda: None); t.start(); t.join()\n\
        asyncio.run(asyncio.sleep(0))\n\
        pid = os.fork()\n\
        if pid == 0: os._exit(3)\n\
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n\
        with tempfile.TemporaryFile() as f: f.write(b'x')\n\
        print(json.dumps({'child': code, 'fds': os.listdir('/') if False else 'ok'}))";
    let outcome = run(&mut launcher(), &python("automation", script));
    assert_eq!(
        (outcome.exit, outcome.stdout.trim()),
        (Some(0), r#"{"child": 3, "fds": "ok"}"#),
        "{outcome:?}"
    );
    for wall in [Wall::Landlock, Wall::Seccomp, Wall::UserNs, Wall::PidNs, Wall::NetNs, Wall::MountNs] {
        assert!(outcome.walls.has(wall), "{wall} of {}", outcome.walls);
    }
}
