//! The control socket: ten thousand connections, garbage, strangers, and readers that do not read.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pawang_tests::{Control, Daemon, Job, Live, processes, until};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;

const CONNECTIONS: usize = 10_000;

fn answers(daemon: &Daemon) {
    until("the daemon answers a command line", || {
        Control::connect(&daemon.socket()).ok()?.ask("ctl.info", &Value::Null, &[]).ok()
    });
}

#[test]
fn f48_ten_thousand_connections_cost_nobody_anything() {
    let daemon = Daemon::start();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let job = Job::new("works").plain("run.info");
    let script = "import sys
from pawang import run
print('begun', flush=True)
sys.stdin.read()
print(run.info()['name'])
";
    let mut live = daemon.begin(&job, script, &[]);
    live.until_says("begun");
    let held_at_once = usize::try_from(hard / 2).unwrap().min(CONNECTIONS);
    let (mut made, mut held) = (0, Vec::new());
    while made < CONNECTIONS {
        held.push(UnixStream::connect(daemon.socket()).unwrap());
        made += 1;
        if held.len() == held_at_once {
            held.clear();
        }
    }
    // A run that was there goes on while they are held, and after them everything is as before.
    let run = json!({ "run": live.id });
    live.control.call("ctl.stdin", &run, b"").unwrap();
    live.end().expect("begun\nworks\n");
    assert!(processes::descriptors(daemon.pid()) < 400, "{}", processes::descriptors(daemon.pid()));
    drop(held);
    answers(&daemon);
    assert!(
        processes::resident_kib(daemon.pid()) < 96 << 10,
        "{} KiB",
        processes::resident_kib(daemon.pid())
    );
}

#[test]
fn f50_garbage_on_the_control_socket_ends_that_connection_alone() {
    let daemon = Daemon::start();
    let hello = |body: &[u8]| {
        let mut frame = Vec::new();
        let message = pawang_protocol::Message::Hello { version: 1, features: 0, body };
        message.encode_frame(&mut frame).unwrap();
        frame
    };
    let good = hello(br#"{"client":"tests"}"#);
    let cases: &[Vec<u8>] = &[
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 1 << 16],
        vec![0; 64],
        hello(b"{}"),
        hello(br#"{"client":"x","more":1}"#),
        [good.clone(), good.clone()].concat(),
        [good.clone(), vec![4, 0, 0, 0, 9, 9, 9, 9]].concat(),
    ];
    for (at, bytes) in cases.iter().enumerate() {
        let mut stream = UnixStream::connect(daemon.socket()).unwrap();
        stream.set_read_timeout(Some(pawang_tests::wait::PATIENCE)).unwrap();
        // The daemon may hang up before all of it is written.
        let _ = stream.write_all(bytes);
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "case {at}"),
        }
    }
    // Half a frame, held for as long as the test lives, keeps nobody else waiting.
    let mut half = UnixStream::connect(daemon.socket()).unwrap();
    half.write_all(&good[..good.len() / 2]).unwrap();
    answers(&daemon);
    drop(half);
    answers(&daemon);
}

#[test]
fn f48_the_socket_is_the_owners_and_in_a_folder_nobody_else_enters() {
    let daemon = Daemon::start();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&daemon.socket()), 0o600);
    assert_eq!(mode(&daemon.state()), 0o700);
    for name in ["daemon.key", "audit", "runs", "memory"] {
        assert_eq!(mode(&daemon.state().join(name)) & 0o077, 0, "{name}");
    }
}

/// Only root can act as another user. An ordinary user's daemon has the modes alone to show, which the test above holds.
#[test]
fn f48_another_user_is_refused_even_where_the_modes_let_him_in() {
    let daemon = Daemon::start();
    if nix::unistd::geteuid().is_root() {
        refuses_nobody(&daemon);
    }
    answers(&daemon);
}

fn refuses_nobody(daemon: &Daemon) {
    // Let him through every door but the last: the daemon's own question of who it is.
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(daemon.state().parent().unwrap(), 0o755);
    open(&daemon.state(), 0o755);
    open(&daemon.socket(), 0o666);
    let program = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    print(len(s.recv(100)))
except ConnectionResetError:
    print(0)
";
    let socket = daemon.socket();
    let arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", program];
    let output = Command::new("setpriv").args(arguments).arg(&socket).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(daemon.log().contains("connection refused\" uid=65534"), "{}", daemon.log());
}

#[test]
fn a_run_that_fills_its_output_pipe_waits_for_its_reader_and_nobody_else_does() {
    let daemon = Daemon::start();
    let before = processes::resident_kib(daemon.pid());
    let script = "import os\nblock = b'x' * 65536\nfor _ in range(4096):\n    os.write(1, block)\n";
    let flood = daemon.begin(&Job::new("floods").limit("output_kib", 64), script, &[]);
    // Nobody reads its 256 MiB yet; others work on.
    for _ in 0..5 {
        daemon.run(&Job::new("other"), "print('here')", &[]).expect("here\n");
    }
    let grown = processes::resident_kib(daemon.pid()).saturating_sub(before);
    assert!(grown < 16 << 10, "the daemon grew by {grown} KiB");
    let run = flood.id.clone();
    let ran = flood.end();
    assert_eq!((ran.outcome.as_str(), ran.stdout.len()), ("done", 256 << 20));
    // What is kept of it is what the contract says.
    let mut kept = 0;
    let mut control = daemon.control();
    let call = control.call("ctl.logs", &json!({ "run": run }), &[]).unwrap();
    loop {
        let reply = control.read().unwrap();
        assert_eq!(reply.id, call);
        kept += reply.data.len();
        if !reply.more {
            break;
        }
    }
    assert_eq!(kept, 64 << 10);
}

#[test]
fn a_detached_run_outlives_its_command_line_and_a_followed_one_does_not() {
    let daemon = Daemon::start();
    let mut request = daemon.sign(&Job::new("sleeps").uses(2), &["/bin/sleep"]);
    request.args = vec!["600".to_owned()];
    let attached = Live::start(daemon.control(), &request).unwrap();
    let followed = attached.id.clone();
    drop(attached);
    let end = until("the run has ended", || daemon.records_of(&followed, "end").pop());
    assert_eq!(end["outcome"], "stopped");
    request.detach = true;
    let mut control = daemon.control();
    let started = control.ask("ctl.run", &serde_json::to_value(&request).unwrap(), &[]).unwrap();
    let run = started["run"]["run"].as_str().unwrap().to_owned();
    drop(control);
    answers(&daemon);
    assert!(daemon.records_of(&run, "end").is_empty());
    let stopped = daemon.ask("ctl.stop", &json!({ "run": run })).unwrap();
    assert_eq!(stopped["outcome"], "stopped");
}

#[test]
fn two_daemons_do_not_share_a_state_directory() {
    let daemon = Daemon::start();
    let program = pawang_tests::daemon::prefix().join("bin/pawangd");
    let second = Command::new(program).arg("--state").arg(daemon.state()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another pawangd uses"), "{second:?}");
    answers(&daemon);
}
