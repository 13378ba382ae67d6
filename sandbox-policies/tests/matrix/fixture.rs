//! What the acts aim at: files outside, a granted folder, listeners, a process, a shared memory segment.
//!
//! Files are made anew for each attempt, because an act that succeeds changes them. They lie in `/var/tmp`, which is
//! on disk and can be entered by the user that a jail becomes.

use crate::acts::Act;
use crate::support;
use pawang_sandbox::{Access, Bind, Jail, Limits, PathRule, Runtime};
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What lives as long as the test.
pub struct World {
    folder: TempDir,
    abstract_name: String,
    tcp: TcpListener,
    udp: UdpSocket,
    victim: Child,
    key: u32,
    base: Vec<(String, Jail)>,
    _listeners: (UnixListener, UnixListener, UnixDatagram),
}

/// What lives for one attempt.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub fn new(arguments: &[&str]) -> Self {
        let folder = folder();
        let granted = folder.path().join("granted");
        fs::create_dir(&granted).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(granted.join("own"), "own").unwrap();
        symlink("../secret", granted.join("link")).unwrap();
        if arguments.contains(&"@program") {
            fs::copy(support::probe_path(), granted.join("program")).unwrap();
        }
        for name in ["", "secret", "granted", "granted/own", "granted/program"] {
            give_away(&folder.path().join(name));
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl World {
    pub fn new() -> Self {
        let folder = folder();
        let abstract_name = folder.path().to_str().unwrap().replace('/', "-");
        let address = SocketAddr::from_abstract_name(abstract_name.as_bytes()).unwrap();
        let listeners = (
            UnixListener::bind(folder.path().join("stream")).unwrap(),
            UnixListener::bind_addr(&address).unwrap(),
            UnixDatagram::bind(folder.path().join("datagram")).unwrap(),
        );
        for name in ["", "stream", "datagram"] {
            give_away(&folder.path().join(name));
        }
        let key = u32::from_le_bytes(*abstract_name.as_bytes().last_chunk().unwrap()) & 0x7fff_ffff;
        outside("shared-memory-make", key);
        Self {
            folder,
            abstract_name,
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            victim: victim(),
            key,
            base: pawang_sandbox::Profile::names()
                .iter()
                .map(|name| ((*name).to_owned(), base(name)))
                .collect(),
            _listeners: listeners,
        }
    }

    /// The jail in which an act is tried: one granted folder, and everything it needs to run at all.
    pub fn jail(&self, profile: &str, fixture: &Fixture, act: &Act) -> Jail {
        let (_, base) = self.base.iter().find(|(name, _)| name == profile).unwrap();
        let granted = fixture.path("granted");
        let mut jail = base.clone();
        jail.argv = vec!["probe".to_owned(), act.name.to_owned()];
        jail.argv.extend(act.arguments.iter().map(|word| self.fill(word, fixture)));
        jail.paths = vec![PathRule { path: granted.clone(), access: Access::WRITE }];
        jail.binds = vec![Bind { source: granted.clone(), target: granted, writable: true }];
        jail
    }

    fn fill(&self, word: &str, fixture: &Fixture) -> String {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        match word {
            "@secret" => path(fixture.path("secret")),
            "@granted-own" => path(fixture.path("granted/own")),
            "@granted-link" => path(fixture.path("granted/link")),
            "@granted-dotdot" => path(fixture.path("granted/../secret")),
            "@program" => path(fixture.path("granted/program")),
            "@stream" => path(self.folder.path().join("stream")),
            "@datagram" => path(self.folder.path().join("datagram")),
            "@abstract" => self.abstract_name.clone(),
            "@tcp" => self.tcp.local_addr().unwrap().port().to_string(),
            "@udp" => self.udp.local_addr().unwrap().port().to_string(),
            "@victim" => self.victim.id().to_string(),
            "@key" => self.key.to_string(),
            plain => plain.to_owned(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        outside("shared-memory-remove", self.key);
        self.victim.kill().unwrap();
        self.victim.wait().unwrap();
    }
}

fn base(profile: &str) -> Jail {
    let mut jail = support::jail(profile, &support::probe_path(), &["probe"]);
    let foreign = ["automation", "program"].contains(&profile);
    let threads = foreign || profile == "tool-http";
    jail.limits = Limits {
        memory_mib: 64,
        processes: if threads { 16 } else { 1 },
        open_files: 64,
        file_mib: 8,
        cpu_s: None,
    };
    jail.private_root = foreign;
    jail.uid = support::other_user();
    if foreign {
        jail.runtime = Runtime::named("python").unwrap().resolve(Path::new("/usr/bin/python3")).unwrap();
    }
    jail
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("pawang-matrix-").tempdir_in("/var/tmp").unwrap()
}

/// To the user that jails become, where that is another.
fn give_away(path: &Path) {
    let (Some(id), Ok(data)) = (support::other_user(), fs::symlink_metadata(path)) else { return };
    std::os::unix::fs::chown(path, Some(id), Some(id)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(data.permissions().mode() | 0o700)).unwrap();
}

/// A process of the jails' user that does nothing.
fn victim() -> Child {
    let mut command = Command::new("/bin/sleep");
    command.arg("600").stdin(Stdio::null()).stdout(File::create("/dev/null").unwrap());
    if let Some(id) = support::other_user() {
        command.uid(id).gid(id);
    }
    command.spawn().unwrap()
}

/// An act of the probe without any jail, as the rest of the machine would do it.
fn outside(act: &str, key: u32) {
    let output = Command::new(support::probe_path()).args([act, &key.to_string()]).output().unwrap();
    assert!(output.status.success(), "{act} {key}: {output:?}");
}
