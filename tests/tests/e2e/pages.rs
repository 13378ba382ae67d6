//! HTTP: what is fetched is what was decided on, at the address that was checked.

use pawang_tests::web::Web;
use pawang_tests::{Daemon, Job};

const FETCH: &str = "import sys
from pawang import run, Denied, Failed
for url in sys.argv[1:]:
    try:
        with run.http.fetch('GET', url) as answer:
            print(answer.status, dict(answer.headers).get('location'), answer.body[:20])
    except Denied as no:
        print(no.denial.code)
    except Failed as no:
        print(no.failure.code)
";

fn gets(urls: &[&str]) -> Job {
    urls.iter().fold(Job::new("fetches"), |job, url| job.allow("http.fetch", "http", &format!("GET {url}")))
}

#[test]
fn hosts_methods_and_paths_that_are_not_granted_are_denied_and_nothing_is_sent() {
    let daemon = Daemon::start();
    let web = Web::start(|_, _| ("200 OK".to_owned(), b"here".to_vec()));
    let url = web.url();
    let port = web.port();
    let job = gets(&[&format!("{url}/v1/**")]);
    let urls = [
        format!("{url}/v1/a"),
        format!("{url}/v2/a"),
        format!("{url}/v1"),
        format!("{url}/v11"),
        format!("{url}/v1/../v2"),
        format!("{url}/v1/%2e%2e/v2"),
        format!("http://localhost:{port}/v1/a"),
        format!("http://127.1:{port}/v1/a"),
        format!("http://2130706433:{port}/v1/a"),
        format!("http://u@127.0.0.1:{port}/v1/a"),
        "https://example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let ran = daemon.run(&job, FETCH, &urls);
    ran.expect(
        "200 None b'here'\nD203\n200 None b'here'\nD203\nD102\nD102\nD203\nD102\nD102\nD102\nD203\nD102\n",
    );
    assert_eq!(web.asked().len(), 2);
    let post = "import sys
from pawang import run, Denied
try:
    run.http.fetch('POST', sys.argv[1])
except Denied as no:
    print(no.denial.code, no.denial.allow.splitlines()[-1])
";
    let ran = daemon.run(&job, post, &[&format!("{url}/v1/a")]);
    ran.expect(&format!("D203 http = \"POST {url}/v1/a\"\n"));
}

#[test]
fn f32_names_that_lead_to_private_addresses_are_not_followed() {
    let daemon = Daemon::start();
    let web = Web::start(|_, _| ("200 OK".to_owned(), b"inside".to_vec()));
    let port = web.port();
    // Each is granted as a name: the decision allows it, the address behind it is what is refused.
    let urls = [format!("http://localhost:{port}/"), format!("http://ip6-localhost:{port}/")];
    let granted: Vec<&str> = urls.iter().map(String::as_str).collect();
    let ran = daemon.run(&gets(&granted), FETCH, &granted);
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert!(ran.text().lines().all(|line| !line.contains("inside")), "{ran:?}");
    assert_eq!(ran.text().lines().next(), Some("address_refused"), "{ran:?}");
    assert!(web.asked().is_empty());
}

#[test]
fn f37_a_redirect_is_an_answer_and_the_next_hop_a_new_decision() {
    let daemon = Daemon::start();
    let away = Web::start(|_, _| ("200 OK".to_owned(), b"away".to_vec()));
    let target = format!("{}/secret", away.url());
    let location = target.clone();
    let web = Web::start(move |_, _| (format!("302 Found\r\nlocation: {location}"), Vec::new()));
    let url = format!("{}/go", web.url());
    let ran = daemon.run(&gets(&[&url]), FETCH, &[&url, &target]);
    ran.expect(&format!("302 {target} b''\nD203\n"));
    assert!(away.asked().is_empty());
}

#[test]
fn f40_the_metadata_address_is_reached_by_nobody_who_does_not_name_it() {
    let daemon = Daemon::start();
    let web =
        Web::start(|_, _| ("302 Found\r\nlocation: http://169.254.169.254/latest/".to_owned(), Vec::new()));
    let url = format!("{}/go", web.url());
    let ran = daemon.run(
        &gets(&[&url]),
        FETCH,
        &[
            &url,
            "http://169.254.169.254/latest/",
            "http://[::ffff:169.254.169.254]/latest/",
            "http://0xa9fea9fe/latest/",
        ],
    );
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "302 http://169.254.169.254/latest/ b''", "{ran:?}");
    assert!(lines[1..].iter().all(|line| ["D102", "D203"].contains(line)), "{ran:?}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn f35_headers_cannot_smuggle_a_second_request_or_another_host() {
    let daemon = Daemon::start();
    let web = Web::start(|head, _| ("200 OK".to_owned(), head.replace("\r\n", "|").into()));
    let url = format!("{}/x", web.url());
    let script = "import sys
from pawang import run, Denied, Failed
for headers in (
    {'x': 'a\\r\\nGET /y HTTP/1.1'}, {'x\\r\\ny': 'a'}, {'host': 'elsewhere'}, {'content-length': '5'},
    {'transfer-encoding': 'chunked'}, {'connection': 'upgrade'}, {'upgrade': 'h2c'}, {'x': 'fine'},
):
    try:
        with run.http.fetch('GET', sys.argv[1], headers=headers) as answer:
            print(answer.status, 'elsewhere' in answer.text(), 'x: fine' in answer.text())
    except (Denied, Failed) as no:
        print(type(no).__name__)
";
    let ran = daemon.run(&gets(&[&url]), script, &[&url]);
    ran.expect(&format!("{}200 False True\n", "Failed\n".repeat(7)));
    assert_eq!(web.asked().len(), 1);
}

#[test]
fn calls_beyond_max_calls_are_denied_and_the_count_outlives_a_restart() {
    let mut daemon = Daemon::start();
    let web = Web::start(|_, _| ("200 OK".to_owned(), Vec::new()));
    let url = format!("{}/x", web.url());
    let job = gets(&[&url]).more("max_calls = 3").uses(2);
    let mut request = daemon.sign(&job, &["python3", &daemon.script(FETCH)]);
    request.args = vec![url.clone(), url.clone()];
    let run = |daemon: &Daemon| pawang_tests::Live::start(daemon.control(), &request).unwrap().end();
    run(&daemon).expect("200 None b''\n200 None b''\n");
    daemon.kill();
    daemon.boot();
    run(&daemon).expect("200 None b''\nD204\n");
    assert_eq!(web.asked().len(), 3);
}
