//! What the demo's automation tries behind the kernel's back, against each wall alone.
//!
//! Three walls keep a program: Landlock (files), the filter (system calls), and the namespaces. Here all are taken down but one,
//! and then all: an act that a wall covers is stopped by that wall alone, and one that nothing stops shows that it can succeed.

use pawang_sandbox::{Access, Jail, Launcher, Limits, PathRule, Runtime, SealedImage, Stdio, Wall, Walls};
use pawang_tests::daemon::prefix;
use std::fs::{self, File, Permissions};
use std::io::{PipeReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

/// Each act on a line: its name, and `done` or the number of the error.
const ACTS: &str = "import os, socket, sys
home, port = sys.argv[1], int(sys.argv[2])

def read(path):
    with open(path) as file:
        return file.read()

def append(path):
    with open(path, 'a') as file:
        file.write('echo I was here\\n')

def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.connect(address)

def execute(*words):
    child = os.fork()
    if child == 0:
        try:
            os.execv(words[0], words)
        except OSError as error:
            os._exit(error.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(status, 'ended so')

loader = '/lib64/ld-linux-x86-64.so.2'
for name, act in {
    'read-key': lambda: read(home + '/.ssh/id_ed25519'),
    'list-home': lambda: os.listdir(home),
    'append-profile': lambda: append(home + '/.profile'),
    'make-file': lambda: append(home + '/new'),
    'remove-file': lambda: os.unlink(home + '/.netrc'),
    'connect-tcp': lambda: connect(socket.AF_INET, ('127.0.0.1', port)),
    'send-udp': lambda: connect(socket.AF_INET, ('127.0.0.1', port), socket.SOCK_DGRAM),
    'connect-path': lambda: connect(socket.AF_UNIX, home + '/agent.sock'),
    'execute-shell': lambda: execute('/bin/sh', '-c', 'exit 0'),
    'execute-by-loader': lambda: execute(loader, '/bin/sh', '-c', 'exit 0'),
}.items():
    try:
        act()
        print(name, 'done')
    except OSError as error:
        print(name, error.errno)
";

/// What must be the answer with no wall, with Landlock alone, with the filter alone. The loader's 127 is its own word for a
/// program it cannot open; `?` stands where it depends on the machine (Landlock knows TCP since Linux 6.7).
const EXPECTED: &[(&str, &str, &str, &str)] = &[
    ("read-key", "done", "13", "done"),
    ("list-home", "done", "13", "done"),
    ("append-profile", "done", "13", "done"),
    ("make-file", "done", "13", "done"),
    ("remove-file", "done", "13", "done"),
    ("connect-tcp", "done", "?", "1"),
    ("send-udp", "done", "done", "1"),
    ("connect-path", "done", "done", "1"),
    ("execute-shell", "done", "13", "1"),
    ("execute-by-loader", "done", "127", "1"),
];

/// A home worth stealing, anew for each run, that every user of the machine may use: only walls keep anyone out.
struct Home {
    dir: tempfile::TempDir,
    _agent: UnixListener,
    server: TcpListener,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path(".ssh")).unwrap();
        let agent = UnixListener::bind(path("agent.sock")).unwrap();
        for name in [".ssh/id_ed25519", ".profile", ".netrc"] {
            fs::write(path(name), "mine\n").unwrap();
        }
        fs::write(path("acts.py"), ACTS).unwrap();
        for name in ["", ".ssh", ".ssh/id_ed25519", ".profile", ".netrc", "agent.sock"] {
            fs::set_permissions(path(name), Permissions::from_mode(0o777)).unwrap();
        }
        Self { dir, _agent: agent, server: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// What each act came to behind these walls.
    fn acts(&self, launcher: &mut Launcher, walls: Walls) -> String {
        let (mut out, mut err, stdio, channel) = stdio();
        let launched = launcher.launch_without(&self.jail(walls), stdio).unwrap();
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        let mut errors = String::new();
        err.read_to_string(&mut errors).unwrap();
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(launched.pid), None);
        drop(channel);
        assert!(said.lines().count() == EXPECTED.len(), "{walls}: {said}{errors}");
        said
    }

    fn jail(&self, walls: Walls) -> Jail {
        let python = fs::canonicalize("/usr/bin/python3").unwrap();
        let runtime = Runtime::named("python").unwrap().resolve(&python).unwrap();
        let [script, home] = [self.dir.path().join("acts.py"), self.dir.path().to_owned()];
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut argv = vec![text(&python)];
        argv.extend(runtime.args.iter().cloned());
        argv.extend([text(&script), text(&home), self.server.local_addr().unwrap().port().to_string()]);
        Jail {
            profile: "automation".to_owned(),
            image: Arc::new(SealedImage::load(&File::open(&python).unwrap()).unwrap()),
            argv,
            env: runtime.env.clone(),
            cwd: "/".to_owned(),
            runtime,
            paths: vec![PathRule { path: script, access: Access::READ }],
            binds: Vec::new(),
            private_root: false,
            limits: Limits { memory_mib: 256, processes: 8, open_files: 64, file_mib: 16, cpu_s: None },
            uid: nix::unistd::geteuid().is_root().then_some(65_534),
            walls,
        }
    }
}

fn stdio() -> (PipeReader, PipeReader, Stdio, UnixStream) {
    let ((out, stdout), (err, stderr)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    let (ours, channel) = UnixStream::pair().unwrap();
    let stdin = File::open("/dev/null").unwrap().into();
    (out, err, Stdio { stdin, stdout: stdout.into(), stderr: stderr.into(), channel: channel.into() }, ours)
}

#[test]
fn each_wall_alone_stops_what_it_covers_and_without_any_it_all_succeeds() {
    let mut launcher = Launcher::start(&prefix().join("libexec/pawang/pawang-launcher")).unwrap();
    let base = Walls::NONE.with(Wall::Descriptors).with(Wall::Privileges);
    for (walls, column) in [(base, 0), (base.with(Wall::Landlock), 1), (base.with(Wall::Seccomp), 2)] {
        let said = Home::new().acts(&mut launcher, walls);
        for (line, &(name, none, landlock, filter)) in said.lines().zip(EXPECTED) {
            let expected = [none, landlock, filter][column];
            assert!(expected == "?" || line == format!("{name} {expected}"), "{walls}: {said}");
        }
    }
}

#[test]
fn behind_all_walls_nothing_succeeds() {
    let mut launcher = Launcher::start(&prefix().join("libexec/pawang/pawang-launcher")).unwrap();
    let said = Home::new().acts(&mut launcher, Walls::all());
    assert!(!said.contains("done"), "{said}");
}
