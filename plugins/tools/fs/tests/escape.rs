//! Ways out of a granted folder: each is tried for real, and each must end in a refusal.
//!
//! Here the tool stands alone, without kernel, Landlock or filter: the walk itself has to hold. So that the attempts
//! prove something, each race also counts how often it met the path in either state.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a surprise fails the test")]

use pawang_sdk::protocol::Status;
use pawang_sdk::testkit::{Ask, Plugin};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

/// How often a race is tried.
const TRIES: usize = 20_000;

struct Site {
    tool: Plugin,
    dir: TempDir,
}

impl Site {
    /// `in` is granted; `out` beside it is not, and holds `secret`.
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(more: serde_json::Value) -> Self {
        let dir = TempDir::new().unwrap();
        for sub in ["in", "out", "in/sub", "out/sub"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("in/sub/file"), "inside").unwrap();
        for secret in ["out/file", "out/secret", "out/sub/file"] {
            fs::write(dir.path().join(secret), "secret").unwrap();
        }
        let mut setup = more;
        setup["roots"] = json!([{"path": dir.path().join("in"), "read": true, "list": true, "write": true}]);
        let binary = Path::new(env!("CARGO_BIN_EXE_pawang-fs"));
        let tool = Plugin::start(binary, include_str!("../plugin.toml"), &[], setup);
        Self { tool, dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(method, self.path(path).to_str().unwrap()).data("overwritten")
    }

    fn code(&mut self, method: &str, path: &str) -> String {
        let ask = self.ask(method, path);
        self.tool.call(&ask).failure().code
    }
}

/// Threads that do something over and over until they are dropped.
struct Racers(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Racers {
    fn start(count: usize, act: impl Fn() + Clone + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let racer = |_| {
            let (stop, act) = (Arc::clone(&stop), act.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    act()
                }
            })
        };
        let threads = (0..count).map(racer).collect();
        Self(stop, threads)
    }
}

impl Drop for Racers {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for racer in self.1.drain(..) {
            let _ = racer.join();
        }
    }
}

fn exchange(one: &Path, other: &Path) {
    // Another racer may have it under the other name just now.
    let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
}

#[test]
fn f42_symlinks_are_refused_at_the_end_and_on_the_way() {
    let mut site = Site::new();
    let links = [
        ("file", "../out/secret"),
        ("dir", "../out"),
        ("self", "self"),
        ("inner", "sub/file"),
        ("absolute", "/etc/passwd"),
        ("up", ".."),
        ("dangling", "../out/new"),
    ];
    for (name, target) in links {
        symlink(target, site.path("in").join(name)).unwrap();
        for method in ["fs.read", "fs.write", "fs.append"] {
            assert_eq!(site.code(method, &format!("in/{name}")), "symlink_refused", "{method} {name}");
        }
        for method in ["fs.read", "fs.write", "fs.append", "fs.mkdir", "fs.remove", "fs.stat", "fs.list"] {
            let code = site.code(method, &format!("in/{name}/secret"));
            assert_eq!(code, "symlink_refused", "{method} {name}/secret");
        }
        assert_eq!(site.code("fs.remove", &format!("in/{name}")), "symlink_refused", "remove {name}");
        let listing = site.code("fs.list", &format!("in/{name}"));
        assert!(["symlink_refused", "not_a_directory"].contains(&listing.as_str()), "list {name}: {listing}");
    }
    assert_eq!(fs::read_to_string(site.path("out/secret")).unwrap(), "secret");
    assert!(!site.path("out/new").exists());
}

#[test]
fn f42_a_root_that_is_a_symlink_is_not_entered() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/file"), "x").unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let setup = json!({"roots": [{"path": dir.path().join("link"), "read": true}]});
    let binary = Path::new(env!("CARGO_BIN_EXE_pawang-fs"));
    let mut tool = Plugin::start(binary, include_str!("../plugin.toml"), &[], setup);
    let ask = Ask::new("fs.read", dir.path().join("link/file").to_str().unwrap());
    assert_eq!(tool.call(&ask).failure().code, "symlink_refused");
}

#[test]
fn f42_symlink_swapped_during_open() {
    let mut site = Site::new();
    let (folder, link) = (site.path("in/sub"), site.path("in/swap"));
    symlink(site.path("out"), &link).unwrap();
    let _racers = Racers::start(4, move || exchange(&folder, &link));
    let (mut inside, mut refused, mut unguarded) = (0, 0, 0);
    for _ in 0..TRIES {
        // What the race does to a program that opens by path alone.
        unguarded +=
            usize::from(fs::read(site.path("in/sub/file")).is_ok_and(|content| content == b"secret"));
        let ask = site.ask("fs.read", "in/sub/file");
        let answer = site.tool.call(&ask);
        match answer.status {
            Status::Ok => {
                assert_eq!(answer.data, b"inside", "read through the link");
                inside += 1;
            }
            _ => refused += usize::from(answer.failure().code == "symlink_refused"),
        }
    }
    assert!(inside > 0 && refused > 0, "the race met one state only: {inside} inside, {refused} refused");
    assert!(unguarded > 0, "without the guard the race never got through, so it proves nothing");
}

#[test]
fn f42_symlink_swapped_during_write_and_remove() {
    let mut site = Site::new();
    let (folder, link) = (site.path("in/sub"), site.path("in/swap"));
    symlink(site.path("out"), &link).unwrap();
    let _racers = Racers::start(2, move || exchange(&folder, &link));
    for round in 0..TRIES / 4 {
        let method = ["fs.write", "fs.append", "fs.remove", "fs.mkdir"][round % 4];
        let name = if method == "fs.mkdir" { "in/sub/made" } else { "in/sub/file" };
        let ask = site.ask(method, name);
        site.tool.call(&ask);
    }
    assert_eq!(fs::read_to_string(site.path("out/file")).unwrap(), "secret");
    assert!(!site.path("out/made").exists());
}

#[test]
fn f42_file_swapped_for_a_symlink_between_look_and_open() {
    let mut site = Site::new();
    let (file, link) = (site.path("in/sub/file"), site.path("in/sub/link"));
    symlink(site.path("out/secret"), &link).unwrap();
    let _racers = Racers::start(4, move || exchange(&file, &link));
    for _ in 0..TRIES {
        let ask = site.ask("fs.read", "in/sub/file");
        let answer = site.tool.call(&ask);
        assert!(answer.status != Status::Ok || answer.data == b"inside", "read through the link");
    }
}

#[test]
fn f42_a_root_renamed_away_stays_the_folder_that_was_granted() {
    let mut site = Site::new();
    fs::rename(site.path("in"), site.path("elsewhere")).unwrap();
    symlink(site.path("out"), site.path("in")).unwrap();
    let ask = site.ask("fs.read", "in/sub/file");
    assert_eq!(site.tool.call(&ask).text(), "inside");
    assert_eq!(site.code("fs.read", "in/secret"), "not_found");
}

#[test]
fn f42_folder_moved_out_during_the_walk() {
    let mut site = Site::new();
    let (inside, outside) = (site.path("in/sub"), site.path("out/sub"));
    let _racers = Racers::start(2, move || exchange(&inside, &outside));
    // The folder under that name changes, and both have a file; what must not happen is leaving `in`.
    for _ in 0..TRIES / 4 {
        let ask = site.ask("fs.read", "in/sub/../../out/secret");
        assert_eq!(site.tool.call(&ask).failure().code, "refused");
        let ask = site.ask("fs.list", "in/sub");
        let answer = site.tool.call(&ask);
        match answer.status {
            Status::Ok => assert!(!answer.text().contains("secret")),
            // The folder left while it was walked.
            _ => assert_eq!(answer.failure().code, "other_filesystem"),
        }
    }
}

#[test]
fn f42_hard_link_to_a_file_outside_is_refused() {
    let mut site = Site::new();
    fs::hard_link(site.path("out/secret"), site.path("in/innocent")).unwrap();
    for method in ["fs.read", "fs.write", "fs.append"] {
        assert_eq!(site.code(method, "in/innocent"), "hard_link_refused", "{method}");
    }
    assert_eq!(fs::read_to_string(site.path("out/secret")).unwrap(), "secret");
    fs::remove_file(site.path("out/secret")).unwrap();
    let ask = site.ask("fs.read", "in/innocent");
    assert_eq!(site.tool.call(&ask).text(), "secret", "with one name left it is a plain file of this folder");
}

#[test]
fn hard_links_are_used_where_the_kernel_says_so() {
    let mut site = Site::with(json!({"hard_links": true}));
    fs::hard_link(site.path("in/sub/file"), site.path("in/second")).unwrap();
    let ask = site.ask("fs.read", "in/second");
    assert_eq!(site.tool.call(&ask).text(), "inside");
}

#[test]
fn pipes_sockets_and_devices_are_refused_without_waiting() {
    let mut site = Site::new();
    mknodat(CWD, site.path("in/pipe"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    let _listener = UnixListener::bind(site.path("in/socket")).unwrap();
    for (name, what) in [("pipe", "a pipe"), ("socket", "a socket")] {
        for method in ["fs.read", "fs.write", "fs.append", "fs.remove"] {
            let ask = site.ask(method, &format!("in/{name}"));
            let failure = site.tool.call(&ask).failure();
            assert!(
                failure.code == "not_a_file" && failure.message.contains(what),
                "{method} {name}: {failure}"
            );
        }
        assert_eq!(site.code("fs.list", &format!("in/{name}")), "not_a_directory");
    }
}

#[test]
fn a_device_is_refused() {
    let setup = json!({"roots": [{"path": "/dev", "read": true, "write": true}]});
    let binary = Path::new(env!("CARGO_BIN_EXE_pawang-fs"));
    let mut tool = Plugin::start(binary, include_str!("../plugin.toml"), &[], setup);
    for path in ["/dev/null", "/dev/zero", "/dev/tty"] {
        for method in ["fs.read", "fs.write"] {
            let failure = tool.call(&Ask::new(method, path)).failure();
            assert!(failure.message.contains("a device"), "{method} {path}: {failure}");
        }
    }
}

#[test]
fn f42_magic_links_of_proc_lead_nowhere() {
    let setup = json!({"roots": [{"path": "/proc", "read": true, "list": true, "write": true}]});
    let binary = Path::new(env!("CARGO_BIN_EXE_pawang-fs"));
    let mut tool = Plugin::start(binary, include_str!("../plugin.toml"), &[], setup);
    let pid = tool.pid();
    for path in ["self/fd/0", "self/root/etc/passwd", "self/cwd/etc/passwd", "self/exe", "thread-self/fd/3"] {
        let failure = tool.call(&Ask::new("fs.read", &format!("/proc/{path}"))).failure();
        assert_eq!(failure.code, "symlink_refused", "{path}");
    }
    for path in ["fd/0", "root/etc/passwd", "exe", "fd/3"] {
        let failure = tool.call(&Ask::new("fs.read", &format!("/proc/{pid}/{path}"))).failure();
        assert_eq!(failure.code, "symlink_refused", "{path}");
    }
}

#[test]
fn f42_another_file_system_below_a_root_is_refused() {
    let setup = json!({"roots": [{"path": "/", "read": true, "list": true}]});
    let binary = Path::new(env!("CARGO_BIN_EXE_pawang-fs"));
    let mut tool = Plugin::start(binary, include_str!("../plugin.toml"), &[], setup);
    for (method, path) in [("fs.read", "/proc/version"), ("fs.list", "/proc"), ("fs.stat", "/proc/version")] {
        assert_eq!(tool.call(&Ask::new(method, path)).failure().code, "other_filesystem", "{method} {path}");
    }
}

#[test]
fn moving_a_symlink_or_a_pipe_is_refused() {
    let mut site = Site::new();
    symlink("../out", site.path("in/link")).unwrap();
    mknodat(CWD, site.path("in/pipe"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    for (name, code) in [("link", "symlink_refused"), ("pipe", "not_a_file")] {
        let pair =
            format!("{}\0{}", site.path(&format!("in/{name}")).display(), site.path("in/new").display());
        assert_eq!(site.tool.call(&Ask::new("fs.move", &pair)).failure().code, code);
    }
    let out = format!("{}\0{}", site.path("in/sub/file").display(), site.path("out/moved").display());
    assert_eq!(site.tool.call(&Ask::new("fs.move", &out)).failure().code, "refused");
    let through = format!("{}\0{}", site.path("in/sub/file").display(), site.path("in/link/moved").display());
    assert_eq!(site.tool.call(&Ask::new("fs.move", &through)).failure().code, "symlink_refused");
    assert!(site.path("in/sub/file").exists());
}
