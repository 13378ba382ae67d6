//! A systemd as process 1 of its own pid, mount, network and other namespaces, with the units of this repository.
//!
//! Nothing of the machine outside is changed: `/run`, `/var/lib`, `/opt` and the units' folder are memory inside the
//! namespaces, `/etc` is covered by a layer in memory. All of it ends with the process that holds the namespaces.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a systemd with one service may take to be up, on a machine that is busy with other tests.
const BOOT_S: u64 = 90;

/// Outside of the new namespaces: goes into a group of its own, so that no two systemds share one. `$PLACE` is unique.
const HOLD: &str = r#"
mkdir "$PLACE/cgroup"
mount -t cgroup2 none "$PLACE/cgroup"
group="$PLACE/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/$(basename "$PLACE")"
mkdir "$group"
echo $$ > "$group/cgroup.procs"
umount "$PLACE/cgroup"
exec unshare --fork --pid --mount --uts --ipc --net --cgroup --mount-proc --kill-child=SIGKILL /bin/sh -euc "$INIT"
"#;

/// Inside: becomes process 1. `$PLACE` holds units and key, `$PREFIX` the staged programs.
const INIT: &str = r#"
mount --make-rprivate /
for folder in /run /var/lib /var/log /opt; do mount -t tmpfs tmpfs "$folder"; done
mkdir -p /run/etc/upper /run/etc/work /opt/pawang /run/sysusers.d /run/home /run/place
# Both may be below a temporary folder, and those are covered next: a service leaves its private ones there.
mount --bind "$PREFIX" /opt/pawang
mount --bind "$PLACE" /run/place
for folder in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$folder"; done
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
mount -t tmpfs tmpfs /etc/systemd/system
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
cp -r /run/place/units/. /etc/systemd/system/
mkdir -p /etc/credstore
install -m 600 /run/place/key /etc/credstore/pawang-vault-key
cp /run/place/sysusers /run/sysusers.d/pawang.conf
systemd-sysusers pawang.conf
# As on a real machine; the credentials of a service are mounted by a process in a namespace of its own.
mount --make-rshared /
export container=unshare NOTIFY_SOCKET=/run/place/notify
exec /lib/systemd/systemd --system --unit=test.target --log-target=null --show-status=no
"#;

/// Once all is gone: removes the groups that systemd made in ours, innermost first, and ours.
const RELEASE: &str = r#"
mount -t cgroup2 none "$PLACE/cgroup"
group="$PLACE/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/$(basename "$PLACE")"
find "$group" -depth -type d -exec rmdir {} +
"#;

/// What a unit needs on a machine where nothing else runs.
const ALONE: &str = "[Unit]\nDefaultDependencies=no\n";

/// The running systemd.
pub struct Machine {
    holder: Child,
    init: String,
    place: TempDir,
}

/// The staged programs.
pub fn prefix() -> PathBuf {
    let prefix = std::env::var_os("PAWANG_PREFIX").map(PathBuf::from);
    prefix.expect("PAWANG_PREFIX names no staged programs; try: cargo xtask test")
}

/// Where the units are.
pub fn service_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel/daemon/service")
}

impl Machine {
    /// Starts it and waits until it says that it is up.
    pub fn boot() -> Self {
        let place = prepare();
        let notify = place.path().join("notify");
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(BOOT_S))).unwrap();
        let holder = privately(&place, HOLD)
            .env("INIT", INIT)
            .env("PREFIX", prefix())
            .stderr(fs::File::create(place.path().join("said")).unwrap())
            .spawn()
            .expect("unshare is missing; try: apt-get install util-linux");
        wait_for_ready(&socket, &place.path().join("said"));
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
        Self { holder, init: children.trim().to_owned(), place }
    }

    /// Runs a command inside and returns what it printed; it must succeed.
    fn inside(&self, words: &[&str], stdin: &str) -> String {
        let mut child = Command::new("nsenter")
            .args(["-t", &self.init, "-m", "-p", "-u", "-i", "-n", "-C", "--"])
            .args(words)
            .env("HOME", "/run/home")
            .env_remove("PAWANG_STATE")
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {told}\n{}", self.told_by_daemon());
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `systemctl` inside.
    pub fn systemctl(&self, words: &[&str]) {
        self.inside(&[&["systemctl"], words].concat(), "");
    }

    /// A property of the service.
    pub fn property(&self, name: &str) -> String {
        self.inside(&["systemctl", "show", "--value", "--property", name, "pawangd.service"], "")
    }

    /// The command line inside, as root.
    pub fn pawang(&self, words: &[&str]) -> String {
        self.pawang_with_stdin(words, "")
    }

    /// The same with something to read.
    pub fn pawang_with_stdin(&self, words: &[&str], stdin: &str) -> String {
        self.inside(&[&["/opt/pawang/bin/pawang"], words].concat(), stdin)
    }

    /// Writes a file inside.
    pub fn write(&self, path: &str, text: &str) {
        self.inside(&["tee", path], text);
    }

    /// The uid that the daemon runs as.
    pub fn uid_of_daemon(&self) -> String {
        let pid = self.property("MainPID");
        self.inside(&["stat", "-c", "%u", &format!("/proc/{pid}")], "")
    }

    /// What is left of the service's processes.
    pub fn processes_of_service(&self) -> String {
        let find = "cat /sys/fs/cgroup/system.slice/pawangd.service/cgroup.procs 2>/dev/null || true";
        self.inside(&["sh", "-c", find], "")
    }

    /// The audit log must be whole.
    pub fn verify_log(&self) {
        self.pawang(&["audit", "verify"]);
    }

    fn told_by_daemon(&self) -> String {
        let file = format!("/proc/{}/root/run/pawangd.log", self.init);
        fs::read_to_string(file).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Process 1 is gone only once everything else in its namespace is; its holder waits for that.
        let _ = Command::new("kill").args(["-KILL", &self.init]).status();
        let _ = self.holder.wait();
        let _ = privately(&self.place, RELEASE).status();
    }
}

/// A script in a mount namespace of its own, so that what it mounts is gone with it.
fn privately(place: &TempDir, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-euc", script]).env("PLACE", place.path()).stdin(Stdio::null());
    command
}

/// Units as they are in the repository but for where the daemon is, and what makes them stand alone.
fn prepare() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let units = place.path().join("units");
    for name in ["pawangd.service", "pawangd.socket"] {
        let unit = fs::read_to_string(service_folder().join("system").join(name)).unwrap();
        let drop_in = units.join(format!("{name}.d"));
        fs::create_dir_all(&drop_in).unwrap();
        fs::write(units.join(name), unit.replace("/usr/bin/pawangd", "/opt/pawang/bin/pawangd")).unwrap();
        let log =
            if name.ends_with("service") { "[Service]\nStandardError=append:/run/pawangd.log\n" } else { "" };
        fs::write(drop_in.join("alone.conf"), format!("{ALONE}{log}")).unwrap();
    }
    fs::write(units.join("test.target"), format!("{ALONE}Wants=pawangd.socket\nAfter=pawangd.socket\n"))
        .unwrap();
    fs::write(place.path().join("key"), [7; 32]).unwrap();
    fs::copy(service_folder().join("system/pawang.sysusers"), place.path().join("sysusers")).unwrap();
    place
}

fn wait_for_ready(socket: &UnixDatagram, said: &Path) {
    let mut message = [0; 4096];
    loop {
        let Ok(length) = socket.recv(&mut message) else {
            panic!("systemd did not come up: {}", fs::read_to_string(said).unwrap());
        };
        if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") {
            return;
        }
    }
}
