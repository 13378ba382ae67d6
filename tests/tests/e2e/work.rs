//! What a well-meaning automation does all day.

use pawang_tests::web::Web;
use pawang_tests::{Daemon, Job};
use serde_json::json;
use std::fs;

#[test]
fn every_file_method_does_what_it_says() {
    let daemon = Daemon::start();
    let dir = daemon.folder("files");
    fs::write(format!("{dir}/a.txt"), "hello\n").unwrap();
    let script = "import sys
from pawang import run
d = sys.argv[1]
print(run.fs.read_text(d + '/a.txt').strip())
run.fs.write(d + '/b.txt', 'one\\n')
run.fs.append(d + '/b.txt', 'two\\n')
run.fs.mkdir(d + '/sub')
run.fs.move(d + '/b.txt', d + '/sub/c.txt')
print([e.name for e in run.fs.list(d)], run.fs.stat(d + '/sub/c.txt').size)
run.fs.remove(d + '/a.txt')
";
    let ran = daemon.run(&Job::new("files").path("fs.*", &format!("{dir}/**")), script, &[&dir]);
    ran.expect("hello\n['a.txt', 'sub'] 8\n");
    assert_eq!(fs::read_to_string(format!("{dir}/sub/c.txt")).unwrap(), "one\ntwo\n");
    assert!(!fs::exists(format!("{dir}/a.txt")).unwrap());
    assert_eq!(daemon.records_of(&ran.id, "call").len(), 8);
    daemon.expect_whole_log();
}

#[test]
fn a_page_is_fetched_and_a_body_sent() {
    let daemon = Daemon::start();
    let web = Web::start(|head, body| {
        ("200 OK\r\nx-seen: yes".to_owned(), format!("{}:{body}", head.split(' ').next().unwrap()).into())
    });
    let script = "import sys
from pawang import run
for method, body in (('GET', b''), ('POST', b'tea')):
    with run.http.fetch(method, sys.argv[1] + '/x', body=body) as answer:
        print(answer.status, dict(answer.headers)['x-seen'], answer.body)
";
    let url = web.url();
    let job = Job::new("pages").allow("http.fetch", "http", &format!("GET {url}/**")).allow(
        "http.fetch",
        "http",
        &format!("POST {url}/x"),
    );
    daemon.run(&job, script, &[&url]).expect("200 yes b'GET:'\n200 yes b'POST:tea'\n");
    assert_eq!(web.asked().len(), 2);
}

#[test]
fn a_program_is_started_without_a_shell_and_its_output_streamed() {
    let daemon = Daemon::start();
    let dir = daemon.folder("in");
    fs::write(format!("{dir}/a"), "b\na\n").unwrap();
    let script = "import sys
from pawang import run, Denied
done = run.exec(['/usr/bin/sort', sys.argv[1] + '/a'])
print(done.exit, done.stdout)
print(run.exec(['/usr/bin/wc', '-c'], stdin=b'12345').stdout)
try:
    run.exec(['/usr/bin/sort', '-o', sys.argv[1] + '/b', sys.argv[1] + '/a'])
except Denied as no:
    print(no.denial.code)
";
    let job = Job::new("sorts")
        .path("fs.read", &format!("{dir}/**"))
        .exec(&["/usr/bin/sort", &format!("{dir}/a")])
        .exec(&["/usr/bin/wc", "-c"])
        .limit("processes", 4);
    daemon.run(&job, script, &[&dir]).expect("0 b'a\\nb\\n'\nb'5\\n'\nD203\n");
}

#[test]
fn memory_outlives_the_run_and_belongs_to_one_name() {
    let daemon = Daemon::start();
    let script = "from pawang import run
print(run.memory.get('seen/last'))
run.memory.set('seen/last', b'tuesday')
print([key.name for key in run.memory.list('seen')])
";
    let job = |name: &str| Job::new(name).allow("memory.*", "name", "seen/**").limit("memory_store_kib", 64);
    daemon.run(&job("diary"), script, &[]).expect("None\n['seen/last']\n");
    daemon.run(&job("diary"), script, &[]).expect("b'tuesday'\n['seen/last']\n");
    daemon.run(&job("other"), script, &[]).expect("None\n['seen/last']\n");
}

#[test]
fn two_runs_of_one_automation_work_side_by_side() {
    let daemon = Daemon::start();
    let dir = daemon.folder("meet");
    // Each writes its own file and goes on when it sees the other's: neither can end before both have begun.
    let script = "import sys
from pawang import run, Failed
me, other, d = sys.argv[1:4]
run.fs.write(f'{d}/{me}', me)
while True:
    try:
        print(run.fs.read_text(f'{d}/{other}'))
        break
    except Failed as gone:
        assert gone.failure.code == 'not_found', gone
";
    let job = Job::new("twins").uses(2).path("fs.*", &format!("{dir}/**"));
    let request = daemon.sign(&job, &["python3", &daemon.script(script)]);
    let [one, two] = [["one", "two"], ["two", "one"]].map(|[me, other]| {
        let args = [me, other, &dir].map(str::to_owned).into();
        pawang_tests::Live::start(
            daemon.control(),
            &pawang_core::control::RunRequest { args, ..request.clone() },
        )
        .unwrap()
    });
    one.end().expect("two\n");
    two.end().expect("one\n");
}

#[test]
fn a_file_of_200_mib_streams_in_both_directions_unchanged() {
    let daemon = Daemon::start();
    let dir = daemon.folder("big");
    let block: Vec<u8> =
        (0..1_u32 << 20).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let mut file = fs::File::create(format!("{dir}/in")).unwrap();
    for _ in 0..200 {
        std::io::Write::write_all(&mut file, &block).unwrap();
    }
    let script = "import sys, hashlib
from pawang import run
d, digest, kept = sys.argv[1], hashlib.sha256(), []
for chunk in run.fs.open_read(d + '/in'):
    digest.update(chunk)
    if len(kept) < 80:
        kept.append(chunk)
run.fs.write(d + '/out', b''.join(kept))
print(digest.hexdigest(), sum(map(len, kept)))
";
    let job = Job::new("streams").gas(10_000_000).path("fs.*", &format!("{dir}/**"));
    let ran = daemon.run(&job, script, &[&dir]);
    let text = ran.text();
    let (digest, sent) = text.trim().split_once(' ').unwrap_or_else(|| panic!("{ran:?}"));
    let whole = fs::read(format!("{dir}/in")).unwrap();
    assert_eq!(digest, pawang_core::digest::Digest::of(&whole).to_string());
    let out = fs::read(format!("{dir}/out")).unwrap();
    assert_eq!(out.len(), sent.parse::<usize>().unwrap());
    assert!(out == whole[..out.len()], "what was written is not what was read");
    let spent =
        daemon.records_of(&ran.id, "settle").iter().map(|r| r["spent"].as_u64().unwrap()).sum::<u64>();
    assert!(spent >= 200 * 1024 + 2 * u64::try_from(out.len() / 1024).unwrap(), "{spent}");
}

#[test]
fn stdin_reaches_the_program_and_ends() {
    let daemon = Daemon::start();
    let request = daemon.sign(&Job::new("cat"), &["/bin/cat"]);
    let mut live = pawang_tests::Live::start(daemon.control(), &request).unwrap();
    let run = json!({ "run": live.id });
    live.control.call("ctl.stdin", &run, b"tea\n").unwrap();
    live.control.call("ctl.stdin", &run, b"").unwrap();
    live.end().expect("tea\n");
}
