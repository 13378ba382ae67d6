//! Automations that speak the protocol wrongly: stopped, named in the record, and of no consequence to anyone else.

use pawang_tests::{Daemon, Job, Ran};

/// A peer with the bytes of the channel in its own hands.
fn peer(daemon: &Daemon, job: &Job, script: &str) -> Ran {
    daemon.run(job, &format!("{}\n{script}", include_str!("../../src/peer.py")), &[])
}

fn job() -> Job {
    Job::new("peer").plain("run.info").path("fs.read", "/etc/**")
}

/// Whoever does this is stopped as at fault, and the record says so in these words.
fn faults(cases: &[(&str, &str)]) {
    let daemon = Daemon::start();
    for (script, what) in cases {
        let ran = peer(&daemon, &job(), &format!("{script}\nlinger()"));
        ran.expect_outcome("fault");
        let records = daemon.records_of(&ran.id, "fault");
        let said = records.first().and_then(|record| record["what"].as_str()).unwrap_or_default();
        assert!(said.contains(what), "{script}: {said:?}");
        assert_eq!(records.len(), 1, "{script}");
        assert_eq!(records[0]["who"], "automation", "{script}");
    }
    daemon.run(&job(), "from pawang import run\nprint(run.info()['name'])", &[]).expect("peer\n");
    daemon.expect_whole_log();
}

#[test]
fn f50_bytes_that_are_no_frame_are_a_fault() {
    faults(&[
        ("hello(); send(b'\\xff' * 64)", "frame length 4294967295"),
        ("hello(); send(b'\\0' * 8)", "frame length 0"),
        ("hello(); send(struct.pack('<I', w.FRAME_MAX + 1))", "frame length 1048577"),
        ("hello(); send(framed(b'abc'))", "frame length 3"),
        ("send(b'GET / HTTP/1.1\\r\\n\\r\\n')", "frame length"),
        ("hello(); send(framed(struct.pack('<I', 9) + bytes(40)))", "not a message"),
        ("hello(); send(framed(call(1)[4:] + b'x'))", "1 bytes left over"),
        ("hello(); send(framed(call(1)[4:-1]))", "not a message"),
        ("hello(); send(framed(call(1)[4:36] + b'\\xff' * 32))", "not a message"),
        ("hello(); send(raw_call(1, 'fs.read', b'/etc/\\xff'))", "not a message"),
        ("hello(); send(raw_call(1, 'fs.read', b'/' * (w.RESOURCE_MAX + 1)))", "resource of 32769 bytes"),
    ]);
}

#[test]
fn f49_messages_that_are_not_an_automations_to_send_are_a_fault() {
    faults(&[
        ("METHODS['run.info'] = 0; send(call(1))", "before its Hello"),
        ("hello(); hello()", "a second Hello"),
        ("hello(version=2)", "version 2"),
        ("hello(features=1)", "features 0x1"),
        ("hello(body=b'{}')", "its Hello is malformed"),
        ("hello(body=b'{\"client\":\"x\",\"plugin\":\"fs\"}')", "it calls itself Some(\"fs\")"),
        ("hello(); send(w.encode(w.Launch(1, b'{}')))", "only the kernel sends Launch"),
        ("hello(); send(w.encode(w.Reply(1, 0, False, 0, b'', b'')))", "reply to call 1"),
        ("hello(); send(call(1, secrets=b'[]'))", "secrets"),
        ("hello(); send(call(5)); send(call(5))", "id"),
        ("hello(); send(call(5)); send(call(4))", "id"),
        ("hello(); send(call(0))", "id"),
    ]);
}

#[test]
fn f79_a_channel_that_ends_inside_a_frame_is_a_fault() {
    let daemon = Daemon::start();
    let ran = peer(&daemon, &job(), "hello(); send(call(1)[:10]); os.close(3); time.sleep(3600)");
    ran.expect_outcome("fault");
    assert!(
        daemon.records_of(&ran.id, "fault")[0]["what"].as_str().unwrap().contains("10 bytes into a frame")
    );
}

#[test]
fn calls_that_are_well_formed_and_make_no_sense_are_denied() {
    let daemon = Daemon::start();
    let script = "hello()
send(call(1, method=9999)); print(code(1))
send(call(2, parent=7)); print(code(2))
send(call(3, 'fs.read', b'/etc/../etc/passwd')); print(code(3))
send(call(4, 'fs.read', b'etc/passwd')); print(code(4))
send(call(5, 'fs.read', b'')); print(code(5))
send(call(6, 'fs.read', b'/root/x')); print(code(6))
send(call(7, 'http.fetch', b'GET http://127.1/')); print(code(7))
send(call(8, 'kernel.spawn', b'/bin/sh')); print(code(8))
send(call(9, 'run.info', gas=1)); print(answer(9)[0])
send(call(10, 'fs.read', b'/etc/passwd', data=bytes(9000), gas=1)); print(code(10))
";
    let ran = peer(&daemon, &job(), script);
    ran.expect("D101\nD103\nD102\nD102\nD102\nD203\nD102\nD201\n0\nD304\n");
    let denied = daemon.records_of(&ran.id, "deny");
    assert_eq!(denied.len(), 9);
    assert!(denied.iter().all(|record| record["spent"] == 1), "f73: probing is free: {denied:?}");
}

#[test]
fn the_257th_call_in_flight_is_denied_and_the_others_are_answered() {
    let libexec = pawang_tests::puppet::libexec("pawang-fs");
    let daemon =
        Daemon::with(pawang_tests::Start { libexec: Some(libexec.path().into()), ..Default::default() });
    let script = "hello()
send(b''.join(call(n, 'fs.read', b'/etc/never') for n in range(1, 258)))
print(code(257))
send(w.encode(w.Cancel(3, 0)))
send(w.encode(w.Cancel(3, 0)))
send(w.encode(w.Cancel(99999, 0)))
";
    peer(&daemon, &job(), script).expect("D303\n");
}

#[test]
fn a_frame_that_trickles_in_byte_by_byte_is_a_frame() {
    let daemon = Daemon::start();
    let script = "hello()
for byte in call(1) + call(2):
    send(bytes([byte]))
print(answer(1)[0], answer(2)[0])
";
    peer(&daemon, &job(), script).expect("0 0\n");
}

#[test]
fn f51_a_peer_that_never_reads_costs_a_bound_and_nobody_else_anything() {
    let daemon = Daemon::start();
    let dir = daemon.folder("big");
    std::fs::File::create(format!("{dir}/zeros")).unwrap().set_len(512 << 20).unwrap();
    let before = pawang_tests::processes::resident_kib(daemon.pid());
    let script = format!(
        "{}\nhello()\nfor n in range(1, 5):\n    send(call(n, 'fs.read', b'{dir}/zeros'))\nprint('asked', flush=True)\ntime.sleep(3600)",
        include_str!("../../src/peer.py")
    );
    let job = Job::new("deaf").gas(1 << 40).path("fs.read", &format!("{dir}/**"));
    let mut deaf = daemon.begin(&job, &script, &[]);
    deaf.until_says("asked");
    for _ in 0..10 {
        daemon.run(&self::job(), "from pawang import run\nprint(run.info()['name'])", &[]).expect("peer\n");
    }
    let grown = pawang_tests::processes::resident_kib(daemon.pid()).saturating_sub(before);
    assert!(grown < 16 << 10, "the daemon grew by {grown} KiB for one peer that does not read");
    deaf.cancel();
    deaf.end().expect_outcome("stopped");
}

#[test]
fn a_run_without_its_channel_goes_on_alone() {
    let daemon = Daemon::start();
    let ran = peer(&daemon, &job(), "os.close(3)\nprint(sum(range(10)))");
    ran.expect("45\n");
}

#[test]
fn calls_in_flight_when_the_program_exits_are_settled_and_nothing_stays_set_aside() {
    let daemon = Daemon::start();
    let script = "hello()
send(b''.join(call(n, 'fs.read', b'/etc/passwd') for n in range(1, 101)))
os._exit(3)
";
    let ran = peer(&daemon, &job(), script);
    assert_eq!((ran.outcome.as_str(), ran.exit), ("done", Some(3)), "{ran:?}");
    assert_eq!(ran.summary["gas_reserved"], 0);
    let [calls, settled] = ["call", "settle"].map(|kind| daemon.records_of(&ran.id, kind).len());
    assert_eq!(calls, settled);
}
