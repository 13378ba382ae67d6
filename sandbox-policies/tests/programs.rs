//! Whole programs in their jails: they start, they work, and they are what the report says they are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use pawang_sandbox::plan::Stage;
use pawang_sandbox::{Access, Bind, Jail, LaunchError, Limits, PathRule, Runtime, Wall, Walls};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use support::{full_launcher, jail, launcher, other_user, run, stdio, without_namespaces};
use tempfile::TempDir;

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

/// A folder that the jail's user can enter, in which a test puts what it grants.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("pawang-programs-").tempdir_in("/var/tmp").unwrap();
    for name in ["in", "out"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("in/file"), "content").unwrap();
    if let Some(id) = other_user() {
        for name in ["", "in", "in/file", "out"] {
            chown(folder.path().join(name), Some(id), Some(id)).unwrap();
        }
    }
    folder
}

fn grant(jail: &mut Jail, source: &Path, target: &str, access: Access) {
    jail.paths.push(PathRule { path: source.to_owned(), access });
    jail.binds.push(Bind { source: source.to_owned(), target: target.into(), writable: access.write });
}

/// The script's last line, which must be all that it prints.
fn prints(jail: &Jail, expected: &str) {
    let mut launcher = if jail.walls.has(Wall::UserNs) { full_launcher() } else { launcher() };
    let outcome = run(&mut launcher, jail);
    assert_eq!((outcome.exit, outcome.stdout.trim()), (Some(0), expected), "{outcome:?}");
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
        print(json.dumps({'child': code, 'sum': sum(range(4))}))";
    let outcome = run(&mut full_launcher(), &python("automation", script));
    assert_eq!((outcome.exit, outcome.stdout.trim()), (Some(0), r#"{"child": 3, "sum": 6}"#), "{outcome:?}");
    for wall in [Wall::Landlock, Wall::Seccomp, Wall::UserNs, Wall::PidNs, Wall::NetNs, Wall::MountNs] {
        assert!(outcome.walls.has(wall), "{wall} of {}", outcome.walls);
    }
}

#[test]
fn python_believes_it_runs_from_where_it_was_named() {
    prints(&python("automation", "import sys; print(sys.executable, sys.prefix)"), "/usr/bin/python3 /usr");
}

#[test]
fn python_runs_without_namespaces_too() {
    let script = "import json, ssl, socket, tempfile; print(json.dumps(1))";
    prints(&Jail { walls: without_namespaces(), ..python("automation", script) }, "1");
}

#[test]
fn f27b_nothing_exists_but_the_runtime_and_what_was_bound() {
    let script = "import os; print([p for p in ['/proc', '/sys', '/run', '/home', '/root', '/var', '/etc/passwd',\
        '/usr/bin', '/bin/sh', '/dev/tty', '/dev/shm', '/tmp', '/dev/null'] if os.path.exists(p)])";
    prints(&python("automation", script), "['/tmp', '/dev/null']");
}

#[test]
fn a_bound_folder_is_what_its_grant_says_under_the_name_it_was_given() {
    let folder = folder();
    let script = "import os\n\
        def tried(act):\n\
        \x20try: act(); return 'done'\n\
        \x20except OSError as e: return e.errno\n\
        print(open('/input/file').read(), sorted(os.listdir('/input')),\n\
        \x20tried(lambda: open('/input/file', 'w')), tried(lambda: open('/input/new', 'w')),\n\
        \x20tried(lambda: open('/output/new', 'w')), tried(lambda: os.symlink('/x', '/output/link')),\n\
        \x20tried(lambda: os.chmod('/output/new', 0o4755)), tried(lambda: os.mkdir('/other')))";
    let mut jail = python("automation", script);
    grant(&mut jail, &folder.path().join("in"), "/input", Access::READ);
    grant(&mut jail, &folder.path().join("out"), "/output", Access::WRITE);
    // Read-only file system, twice; done; Landlock; filter; read-only file system.
    prints(&jail, "content ['file'] 30 30 done 13 1 30");
    let made = fs::metadata(folder.path().join("out/new")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o600, "files are made for their owner alone");
}

#[test]
fn f42_a_link_in_the_path_of_a_bind_is_refused() {
    let folder = folder();
    std::os::unix::fs::symlink(folder.path().join("in"), folder.path().join("link")).unwrap();
    let mut jail = python("automation", "print(1)");
    grant(&mut jail, &folder.path().join("link"), "/input", Access::READ);
    let (stdio, _readers, _channel) = stdio();
    let refused = full_launcher().launch(&jail, stdio).unwrap_err();
    let expected = matches!(refused, LaunchError::Refused { stage: Stage::Root, errno: libc::ELOOP });
    assert!(expected, "{refused}");
}

#[test]
fn private_tmp_is_empty_private_and_bounded() {
    let script = "import os\n\
        before, full = os.listdir('/tmp'), None\n\
        try:\n\
        \x20for n in range(100): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))\n\
        except OSError as e: full = e.errno\n\
        try: open('/tmp/0', 'ab').write(bytes(17 << 20))\n\
        except OSError as e: print(before, full, n <= 16, e.errno in (27, 28))";
    prints(&python("automation", script), "[] 28 True True");
}

#[test]
fn no_room_for_files_means_no_tmp_to_write() {
    let script = "try: open('/tmp/x', 'w')\nexcept OSError as e: print(e.errno in (13, 30))";
    let mut jail = python("automation", script);
    jail.limits.file_mib = 0;
    prints(&jail, "True");
}

#[test]
fn memory_runs_out_inside_and_nowhere_else() {
    let script = "try: bytearray(1 << 30)\nexcept MemoryError: print('out of memory')";
    prints(&python("automation", script), "out of memory");
}

#[test]
fn a_fork_bomb_ends_at_the_limit_and_leaves_nothing() {
    let script = "import os, time\ncount = 0\ntry:\n\
        \x20while True:\n\
        \x20\x20if os.fork() == 0: time.sleep(600)\n\
        \x20\x20count += 1\n\
        except BlockingIOError: print(count, flush=True); os._exit(0)";
    prints(&python("automation", script), "15");
}

#[test]
fn a_program_of_the_system_works_on_what_it_is_granted() {
    let folder = folder();
    for walls in [Walls::all(), without_namespaces()] {
        let file = folder.path().join("in/file");
        let program = Path::new("/usr/bin/sort");
        let mut jail = jail("program", program, &["sort", file.to_str().unwrap()]);
        jail.runtime = Runtime::named("system").unwrap().resolve(program).unwrap();
        jail.private_root = true;
        jail.uid = other_user();
        jail.limits = Limits { memory_mib: 128, processes: 4, open_files: 64, file_mib: 1, cpu_s: Some(10) };
        jail.walls = walls;
        grant(&mut jail, &file, file.to_str().unwrap(), Access::READ);
        prints(&jail, "content");
    }
}

#[test]
fn where_the_kernel_is_root_strangers_are_not() {
    let Some(id) = other_user() else {
        // An ordinary kernel cannot give another user, and says so.
        let refused =
            launcher().launch(&Jail { uid: Some(1), ..python("automation", "") }, stdio().0).unwrap_err();
        assert_eq!(refused.to_string(), "another uid can be taken only where the kernel runs as root");
        return;
    };
    prints(
        &python("automation", "import os; print(os.getresuid(), os.getresgid(), os.getgroups())"),
        &format!("{0:?} {0:?} []", (id, id, id)),
    );
    for uid in [None, Some(0)] {
        let refused = launcher().launch(&Jail { uid, ..python("automation", "") }, stdio().0).unwrap_err();
        assert!(refused.to_string().contains("under another uid only"), "{refused}");
    }
}
