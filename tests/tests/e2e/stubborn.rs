//! Programs that will not end, and programs that take all they can get.

use nix::sys::signal::Signal;
use pawang_tests::{Daemon, Job, processes, until};
use serde_json::json;
use std::time::Instant;

/// Every process of a run's automation: whatever descends from the daemon and is not its launcher.
fn left(daemon: &Daemon) -> Vec<processes::Process> {
    let mut all = processes::descendants(daemon.pid());
    all.retain(|process| !process.name.starts_with("pawang-launch") && process.state != 'Z');
    all
}

#[test]
fn stopping_a_run_ends_trees_that_refuse_to_end() {
    let daemon = Daemon::start();
    for (what, script) in [
        (
            "deaf to signals",
            "import signal\nfor n in range(1, 32):\n    if n not in (9, 19):\n        signal.signal(n, signal.SIG_IGN)",
        ),
        (
            "forked twice",
            "if os.fork() == 0:\n    if os.fork() == 0:\n        time.sleep(3600)\n    os._exit(0)\nos.wait()",
        ),
        (
            "in a session of its own",
            "if os.fork() == 0:\n    try:\n        os.setsid()\n    except OSError:\n        pass\n    time.sleep(3600)",
        ),
        ("stopped", "if os.fork() == 0:\n    import signal\n    os.kill(os.getpid(), signal.SIGSTOP)"),
        ("many", "for _ in range(20):\n    if os.fork() == 0:\n        time.sleep(3600)"),
    ] {
        let job = Job::new("stubborn").limit("processes", 32);
        let text = format!("import os, sys, time\n{script}\nprint('ready', flush=True)\ntime.sleep(3600)\n");
        let mut live = daemon.begin(&job, &text, &[]);
        live.until_says("ready");
        assert!(!left(&daemon).is_empty());
        let stopped = daemon.ask("ctl.stop", &json!({ "run": live.id })).unwrap();
        assert_eq!(stopped["outcome"], "stopped", "{what}");
        // INV-6: the answer comes when nothing of it is left.
        assert_eq!(left(&daemon), [], "{what}");
        live.end().expect_outcome("stopped");
    }
}

#[test]
fn a_program_that_ends_takes_what_it_left_running_with_it() {
    let daemon = Daemon::start();
    let script = "import os, time\nif os.fork() == 0:\n    os.close(1)\n    os.close(2)\n    time.sleep(3600)\nprint('gone')";
    daemon.run(&Job::new("leaves").limit("processes", 4), script, &[]).expect("gone\n");
    assert_eq!(left(&daemon), []);
}

#[test]
fn a_run_that_stops_itself_meets_its_wall_clock_limit() {
    let daemon = Daemon::start();
    let script =
        "import os, signal\nif os.fork() == 0:\n    os.kill(os.getppid(), signal.SIGSTOP)\nsignal.pause()";
    let job = Job::new("frozen").limit("wall_s", 1).limit("processes", 2);
    daemon.run(&job, script, &[]).expect_outcome("timed_out");
    assert_eq!(left(&daemon), []);
}

#[test]
fn f71_an_endless_loop_ends_out_of_gas_wherever_it_loops() {
    let daemon = Daemon::start();
    for (what, script) in [
        ("in the program", "while True:\n    pass"),
        ("in a child", "if os.fork() == 0:\n    while True:\n        pass\nos.wait()"),
        (
            "in an orphan",
            "if os.fork() == 0:\n    if os.fork() == 0:\n        while True:\n            pass\n    os._exit(0)\nos.wait()\ntime.sleep(3600)",
        ),
        ("in a thread", "threading.Thread(target=loop).start()\ntime.sleep(3600)"),
        (
            "in a child of a thread",
            "def forks():\n    if os.fork() == 0:\n        loop()\n    time.sleep(3600)\nthreading.Thread(target=forks).start()\ntime.sleep(3600)",
        ),
        (
            "in ever new children",
            "while True:\n    if os.fork() == 0:\n        end = time.process_time() + 0.05\n        while time.process_time() < end:\n            pass\n        os._exit(0)\n    os.wait()",
        ),
    ] {
        let job = Job::new("loops").gas(500).limit("processes", 8).limit("wall_s", 60);
        let text = format!(
            "import os, sys, time, threading\ndef loop():\n    while True:\n        pass\n{script}\n"
        );
        let ran = daemon.run(&job, &text, &[]);
        assert_eq!(ran.outcome, "out_of_gas", "{what}: {ran:?}");
        assert_eq!(ran.gas(), 500, "{what}");
        assert_eq!(left(&daemon), [], "{what}");
    }
}

#[test]
fn f73_denials_end_with_the_gas() {
    let daemon = Daemon::start();
    let script = "from pawang import run, Denied
denied = 0
while True:
    try:
        run.fs.read('/etc/shadow')
    except Denied:
        denied += 1
        print(denied, flush=True)
";
    let ran = daemon.run(&Job::new("probes").gas(2_000), script, &[]);
    ran.expect_outcome("out_of_gas");
    assert!(daemon.records_of(&ran.id, "deny").len() <= 2_000);
}

#[test]
fn a_fork_bomb_is_bounded_and_gone_with_its_run() {
    let daemon = Daemon::start();
    let script = "import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(3600)
        made += 1
except OSError as error:
    print(made, error.errno, flush=True)
";
    let ran = daemon.run(&Job::new("bomb").limit("processes", 16), script, &[]);
    ran.expect("15 11\n");
    assert_eq!(left(&daemon), []);
    daemon
        .run(
            &Job::new("next").limit("processes", 2),
            "import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\nprint('ok')",
            &[],
        )
        .expect("ok\n");
}

#[test]
fn memory_beyond_the_limit_is_refused_to_the_program() {
    let daemon = Daemon::start();
    let script =
        "try:\n    x = bytearray(512 << 20)\n    print('got it')\nexcept MemoryError:\n    print('refused')";
    daemon.run(&Job::new("big").limit("memory_mib", 128), script, &[]).expect("refused\n");
}

#[test]
fn a_sub_ceiling_ends_the_calls_under_it_and_nothing_else() {
    let daemon = Daemon::start();
    let dir = daemon.folder("in");
    std::fs::write(format!("{dir}/a"), vec![7; 40 << 10]).unwrap();
    let script = "import sys
from pawang import run, Denied, Failed
said = []
while said[-1:] != ['D302'] and len(said) < 100:
    try:
        said.append(len(run.fs.read(sys.argv[1] + '/a')))
    except Failed as no:
        said.append(no.failure.code)
    except Denied as no:
        said.append(no.denial.code)
print(*dict.fromkeys(said))
print(run.info()['name'])
";
    let job = Job::new("capped").each("fs.read", 60).path("fs.read", &format!("{dir}/**")).plain("run.info");
    let ran = daemon.run(&job, script, &[&dir]);
    // The second read costs 40 of the 20 that are left: nothing of it arrives, and trying again does not go on for ever.
    ran.expect("40960 ceiling_reached D302\ncapped\n");
    let settled = daemon.records_of(&ran.id, "settle");
    let reads = settled.iter().rev().skip(1).map(|record| record["spent"].as_u64().unwrap());
    assert!(reads.clone().all(|spent| spent > 0) && reads.sum::<u64>() <= 60, "{settled:?}");
}

#[test]
fn f71_what_is_not_paid_for_does_not_arrive() {
    let daemon = Daemon::start();
    let dir = daemon.folder("in");
    std::fs::write(format!("{dir}/a"), vec![7; 200 << 10]).unwrap();
    let script = "import sys
from pawang import run
for chunk in run.fs.open_read(sys.argv[1] + '/a'):
    print(len(chunk), flush=True)
";
    let ran = daemon.run(&Job::new("poor").gas(150).path("fs.read", &format!("{dir}/**")), script, &[&dir]);
    ran.expect_outcome("out_of_gas");
    let arrived: usize = ran.text().lines().map(|line| line.parse::<usize>().unwrap()).sum();
    assert!(arrived <= 150 << 10, "{arrived} bytes for 150 gas");
}

#[test]
fn a_hundred_runs_leave_no_zombie_no_descriptor_and_no_memory() {
    let daemon = Daemon::start();
    let request = daemon.sign(&Job::new("brief").uses(121), &["/bin/true"]);
    let run = || pawang_tests::Live::start(daemon.control(), &request).unwrap().end().expect("");
    (0..20).for_each(|_| run());
    let settled = || {
        until("descriptors come to rest", || {
            let first = processes::descriptors(daemon.pid());
            let zombies = processes::descendants(daemon.pid()).iter().filter(|p| p.state == 'Z').count();
            (zombies == 0).then_some(first)
        })
    };
    let (descriptors, resident) = (settled(), processes::resident_kib(daemon.pid()));
    (0..100).for_each(|_| run());
    let after = until("what the runs held is given back", || {
        let now = settled();
        (now <= descriptors + 2).then_some(now)
    });
    assert!(after <= descriptors + 2, "f12: {descriptors} descriptors before, {after} after");
    let grown = processes::resident_kib(daemon.pid()).saturating_sub(resident);
    assert!(grown < 8 << 10, "{grown} KiB");
    assert_eq!(left(&daemon), []);
    // f11: the daemon itself is as free as before.
    daemon.expect_whole_log();
}

#[test]
fn stop_is_quick() {
    let daemon = Daemon::start();
    let mut live =
        daemon.begin(&Job::new("sleeps"), "import time\nprint('up', flush=True)\ntime.sleep(3600)", &[]);
    live.until_says("up");
    let began = Instant::now();
    daemon.ask("ctl.stop", &json!({ "run": live.id })).unwrap();
    // A generous bound: it is about waiting for nothing, not about speed.
    assert!(began.elapsed().as_secs() < 20);
    live.end().expect_outcome("stopped");
}

#[test]
fn f12_a_program_has_four_descriptors_and_knows_no_other_process() {
    let daemon = Daemon::start();
    let script = "import os
held = sorted(int(n) for n in os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else None
if held is None:
    held = []
    for fd in range(64):
        try:
            os.fstat(fd)
            held.append(fd)
        except OSError:
            pass
print([fd for fd in held if fd < 4], len([fd for fd in held if fd >= 4]) <= 1)
print(sorted(os.environ))
try:
    os.kill(int(__import__('sys').argv[1]), 0)
    print('saw it')
except OSError:
    print('no such process')
";
    let pid = daemon.pid().to_string();
    let ran = daemon.run(&Job::new("looks"), script, &[&pid]);
    let text = ran.text();
    assert!(text.starts_with("[0, 1, 2, 3] True\n") && text.ends_with("no such process\n"), "{ran:?}");
    let environment = text.lines().nth(1).unwrap();
    for name in ["PAWANG", "LD_", "SSH", "TOKEN", "USER"] {
        assert!(!environment.contains(name), "f13: {environment}");
    }
}

#[test]
fn a_launcher_that_dies_is_started_again() {
    let daemon = Daemon::start();
    let launcher = |daemon: &Daemon| {
        let all = processes::descendants(daemon.pid());
        all.into_iter().find(|process| process.name.starts_with("pawang-launch")).map(|process| process.pid)
    };
    let before = launcher(&daemon).unwrap();
    processes::signal(before, Signal::SIGKILL);
    let job = Job::new("after").uses(9);
    let request = daemon.sign(&job, &["/bin/true"]);
    // The launch that finds it dead may fail, and says so; the next has a new one.
    until("a launch succeeds", || {
        pawang_tests::Live::start(daemon.control(), &request).ok().map(|live| live.end().expect(""))
    });
    assert_ne!(launcher(&daemon), Some(before));
}
