//! How processes begin and end: what they get, what they leave, what is left of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use pawang_sandbox::plan::Stage;
use pawang_sandbox::{Access, Jail, LaunchError, Launcher, Limits, PathRule, SealedImage, Wall, Walls};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{
    Outcome, collect, full_launcher, jail, launcher, launcher_path, other_user, probe_path, run, stdio,
    without_namespaces,
};

fn tool(words: &[&str]) -> Jail {
    let mut jail = jail("tool", &probe_path(), &[&["probe"], words].concat());
    jail.uid = other_user();
    jail
}

fn automation(words: &[&str]) -> Jail {
    let mut jail = jail("automation", &probe_path(), &[&["probe"], words].concat());
    jail.limits = Limits { memory_mib: 64, processes: 8, open_files: 64, file_mib: 1, cpu_s: None };
    jail.private_root = true;
    jail.uid = other_user();
    jail
}

fn refusal(launcher: &mut Launcher, jail: &Jail) -> String {
    let (stdio, _readers, _channel) = stdio();
    launcher.launch(jail, stdio).unwrap_err().to_string()
}

fn line<'a>(outcome: &'a Outcome, word: &str) -> &'a str {
    outcome
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(word))
        .unwrap_or_else(|| panic!("{word}: {outcome:?}"))
}

/// Whether the process has ended, now or within ten seconds.
fn ends(pidfd: impl AsFd) -> bool {
    let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap() == 1
}

#[test]
fn f12_a_process_has_exactly_the_four_descriptors() {
    for jail in [tool(&["describe"]), automation(&["describe"])] {
        // Something that a careless launcher would hand on.
        let _leak = File::open("/etc/hostname").unwrap();
        let outcome = run(&mut launcher(), &jail);
        assert_eq!(line(&outcome, "descriptors "), "[0, 1, 2, 3]");
    }
}

#[test]
fn f13_the_environment_is_what_was_given_and_nothing_else() {
    for mut jail in [tool(&["describe"]), automation(&["describe"])] {
        assert_eq!(line(&run(&mut launcher(), &jail), "environment "), "[]");
        jail.env = vec![("A".to_owned(), "b=c".to_owned())];
        assert_eq!(line(&run(&mut launcher(), &jail), "environment "), r#"[("A", "b=c")]"#);
    }
}

#[test]
fn limits_are_those_of_the_jail_and_no_core_is_ever_written() {
    let outcome = run(&mut launcher(), &automation(&["describe"]));
    assert_eq!(line(&outcome, "core "), "1 1");
    assert_eq!(line(&outcome, "files "), "64 64");
    assert_eq!(line(&outcome, "data "), "67108864 67108864");
}

#[test]
fn f3_the_walls_reported_are_the_walls_in_force() {
    let mut launcher = launcher();
    let facts = *launcher.facts();
    for (jail, network) in
        [(tool(&["hello"]), false), (Jail { profile: "tool-http".into(), ..tool(&["hello"]) }, true)]
    {
        let walls = run(&mut launcher, &jail).walls;
        assert!(walls.contains(Walls::FLOOR), "{walls}");
        for wall in [Wall::UserNs, Wall::PidNs, Wall::IpcNs, Wall::UtsNs] {
            assert_eq!(walls.has(wall), Walls::from_bits(facts.namespaces).has(wall), "{wall} of {walls}");
        }
        assert_eq!(walls.has(Wall::NetNs), !network && Walls::from_bits(facts.namespaces).has(Wall::NetNs));
        assert!(!walls.has(Wall::MountNs));
    }
}

#[test]
fn f4_a_jail_without_a_wall_of_the_floor_is_not_started() {
    let mut launcher = launcher();
    for wall in Walls::FLOOR.iter() {
        let jail = Jail { walls: Walls::all().without(wall), ..tool(&["hello"]) };
        let (stdio, _readers, _channel) = stdio();
        let refused = launcher.launch(&jail, stdio);
        assert!(matches!(refused, Err(LaunchError::WallsMissing(_))), "without {wall}: {refused:?}");
    }
}

#[test]
fn f4_no_program_of_ours_asks_for_less_than_the_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<PathBuf> = ["kernel", "ipc", "plugins"].map(|name| root.join(name)).to_vec();
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                read += 1;
                assert!(!fs::read_to_string(&path).unwrap().contains("launch_without"), "{}", path.display());
            }
        }
    }
    assert!(read > 10, "the sources were not found");
}

#[test]
fn f1_none_of_something_is_refused_and_never_unlimited() {
    let mut launcher = launcher();
    let limits = Limits::TOOL;
    for (limits, words) in [
        (Limits { memory_mib: 0, ..limits }, "no process and no memory"),
        (Limits { processes: 0, ..limits }, "no process and no memory"),
        (Limits { open_files: 3, ..limits }, "open_files is 4 to 1000"),
        (Limits { open_files: 1001, ..limits }, "open_files is 4 to 1000"),
    ] {
        let text = refusal(&mut launcher, &Jail { limits, ..tool(&["hello"]) });
        assert!(text.contains(words), "{limits:?}: {text}");
    }
}

#[test]
fn jails_that_contradict_themselves_are_refused_in_words() {
    let mut launcher = launcher();
    let root = PathRule { path: "/".into(), access: Access::READ };
    let gone = PathRule { path: "/nonexistent/x".into(), access: Access::READ };
    let base = tool(&["hello"]);
    for (jail, words) in [
        (Jail { profile: "foreign".into(), ..base.clone() }, "no profile or runtime is called \"foreign\""),
        (Jail { profile: "nothing".into(), ..base.clone() }, "no profile or runtime is called \"nothing\""),
        (Jail { argv: Vec::new(), ..base.clone() }, "argv is empty"),
        (Jail { argv: vec!["a\0b".into()], ..base.clone() }, "has a NUL in it"),
        (Jail { env: vec![("A=B".into(), "c".into())], ..base.clone() }, "is empty or has '=' in it"),
        (Jail { cwd: "tmp".into(), ..base.clone() }, "the working directory is not absolute"),
        (
            Jail { cwd: "/nonexistent".into(), ..base.clone() },
            "entering the working directory failed: No such file",
        ),
        (Jail { paths: vec![root], ..base.clone() }, "the root directory as a whole cannot be granted"),
        (Jail { paths: vec![gone], ..base.clone() }, "/nonexistent/x: "),
    ] {
        let text = refusal(&mut launcher, &jail);
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(run(&mut launcher, &base).exit, Some(0), "the launcher goes on after refusals");
}

#[test]
fn an_image_that_is_no_program_is_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, "not a program").unwrap();
    let mut launcher = launcher();
    for mut jail in [tool(&[]), automation(&[])] {
        jail.image = Arc::new(SealedImage::load(&File::open(&path).unwrap()).unwrap());
        let (stdio, _readers, _channel) = stdio();
        let refused = launcher.launch(&jail, stdio);
        let expected =
            matches!(refused, Err(LaunchError::Refused { stage: Stage::Exec, errno: libc::ENOEXEC }));
        assert!(expected, "{refused:?}");
    }
}

#[test]
fn ends_are_told_as_they_were() {
    let mut launcher = launcher();
    for (words, exit, signal) in [
        (&["hello"][..], Some(0), None),
        (&["fail", "7"], Some(7), None),
        (&["crash"], None, Some(libc::SIGSEGV)),
    ] {
        let outcome = run(&mut launcher, &tool(words));
        assert_eq!((outcome.exit, outcome.signal), (exit, signal), "tool {words:?}");
        if !Walls::from_bits(launcher.facts().namespaces).has(Wall::PidNs) {
            let outcome = run(&mut launcher, &automation(words));
            assert_eq!((outcome.exit, outcome.signal), (exit, signal), "automation {words:?}");
            continue;
        }
        // The first process of a jail passes on a death by signal n as 128 + n, as a shell does.
        let outcome = run(&mut launcher, &automation(words));
        assert_eq!(
            (outcome.exit, outcome.signal),
            (exit.or(signal.map(|n| 128 + n)), None),
            "automation {words:?}"
        );
    }
}

#[test]
fn cpu_time_ends() {
    for mut jail in [tool(&["spin"]), automation(&["spin"])] {
        jail.limits.cpu_s = Some(1);
        let outcome = run(&mut launcher(), &jail);
        let killed = [libc::SIGXCPU, libc::SIGKILL]
            .iter()
            .any(|n| outcome.signal == Some(*n) || outcome.exit == Some(128 + n));
        assert!(killed, "{outcome:?}");
    }
}

#[test]
fn no_process_outlives_its_program() {
    // The orphan holds the streams open: reading them to the end returns only once it is dead.
    let outcome = run(&mut full_launcher(), &automation(&["leave-orphan"]));
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
}

#[test]
fn killing_what_was_launched_kills_the_whole_tree() {
    for jail in [tool(&["wait"]), automation(&["wait"])] {
        let (stdio, readers, channel) = stdio();
        let launched = launcher().launch(&jail, stdio).unwrap();
        rustix::process::pidfd_send_signal(&launched.pidfd, Signal::KILL).unwrap();
        let outcome = collect(launched, readers);
        assert_eq!(outcome.signal, Some(libc::SIGKILL), "{outcome:?}");
        drop(channel);
    }
}

#[test]
fn processes_outlive_the_launcher_and_die_with_the_thread_that_started_it() {
    for jail in [tool(&["wait"]), automation(&["wait"])] {
        let (stdio, readers, channel) = stdio();
        let launched = std::thread::spawn(move || {
            let mut launcher = launcher();
            let launched = launcher.launch(&jail, stdio).unwrap();
            drop(launcher);
            let alive = rustix::process::test_kill_process(launched.process().unwrap());
            assert_eq!(alive, Ok(()), "it outlives the launcher");
            launched
        })
        .join()
        .unwrap();
        assert!(ends(&launched.pidfd), "it dies with the thread");
        assert_eq!(collect(launched, readers).signal, Some(libc::SIGKILL));
        drop(channel);
    }
}

#[test]
fn launches_leave_no_descriptor_behind() {
    let mut launcher = launcher();
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    run(&mut launcher, &tool(&["hello"]));
    let before = count();
    for _ in 0..50 {
        run(&mut launcher, &tool(&["hello"]));
        run(&mut launcher, &automation(&["hello"]));
    }
    // Other tests of this process come and go meanwhile; a leak of one per launch would be a hundred.
    assert!(count() < before + 50, "{before} grew to {}", count());
}

#[test]
fn a_tool_of_a_kernel_that_is_root_needs_no_other_user_and_has_no_capability() {
    for act in [&["hello"][..], &["describe"]] {
        let outcome = run(&mut launcher(), &Jail { uid: None, ..tool(act) });
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        assert!(!outcome.walls.has(Wall::Uid) && outcome.walls.has(Wall::Privileges));
    }
}

#[test]
fn f63_what_was_hashed_is_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    fs::copy(probe_path(), &path).unwrap();
    let mut jail = tool(&["fail", "3"]);
    jail.image = Arc::new(SealedImage::load(&File::open(&path).unwrap()).unwrap());
    fs::remove_file(&path).unwrap();
    fs::copy("/bin/true", &path).unwrap();
    assert_eq!(run(&mut launcher(), &jail).exit, Some(3));
}

#[test]
fn without_namespaces_there_is_one_process_and_the_floor() {
    let walls = without_namespaces();
    let mut launcher = launcher();
    for act in ["fork", "thread"] {
        let outcome = run(&mut launcher, &Jail { walls, ..automation(&[act]) });
        assert!(outcome.walls.contains(Walls::FLOOR));
        // A C library may say EAGAIN for whatever keeps a thread from starting.
        let refused = ["refused 1\n", "refused 11\n"].contains(&outcome.stdout.as_str());
        assert!(outcome.exit == Some(10) && refused, "{act}: {outcome:?}");
    }
    // It is the process itself that was launched, so its end comes through as it is.
    assert_eq!(run(&mut launcher, &Jail { walls, ..automation(&["crash"]) }).signal, Some(libc::SIGSEGV));
}

#[test]
fn a_launcher_that_is_none_is_an_error_in_words() {
    let missing = Launcher::start("/nonexistent/launcher".as_ref()).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/launcher cannot be started"), "{missing}");
    let mute = Launcher::start("/bin/true".as_ref()).unwrap_err().to_string();
    assert!(mute.contains("it has ended"), "{mute}");
}

#[test]
fn f15_a_terminal_on_stdin_cannot_be_taken() {
    let mut launcher = launcher();
    for act in ["take-terminal", "take-terminal-high-bits"] {
        for (walls, outcome) in
            [(Walls::all(), (Some(10), "refused 1")), (Walls::all().without(Wall::Seccomp), (Some(0), ""))]
        {
            for jail in [tool(&[act]), automation(&[act])] {
                let (mut stdio, readers, channel) = stdio();
                let (ours, terminal) = terminal();
                stdio.stdin = terminal;
                let launched = launcher.launch_without(&Jail { walls, ..jail }, stdio).unwrap();
                let found = collect(launched, readers);
                assert_eq!((found.exit, found.stdout.trim()), outcome, "{act}: {found:?}");
                drop((ours, channel));
            }
        }
    }
}

/// A pseudo-terminal: the test's end, and the end that a program takes for a terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs =
        rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (ours, theirs)
}

#[test]
fn f14_no_binary_of_ours_is_setuid() {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(launcher_path()).unwrap().permissions().mode() & 0o6000, 0);
}

#[test]
fn the_launcher_ends_when_its_socket_is_not_the_kernels() {
    // Descriptor 0 is no socket: it says so and ends, instead of doing anything.
    let output = Command::new(launcher_path()).stdin(File::open("/dev/null").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("pawang-launcher: "));
}
