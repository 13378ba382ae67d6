//! From a contract to the jail of the code it is for: the automation itself, and programs that `exec` starts.

use crate::kernel::Kernel;
use crate::plugin::uncounted_paths;
use crate::program::Program;
use pawang_core::contract::{Contract, Verified};
use pawang_protocol::Failure;
use pawang_sandbox::{
    Access, Bind, Jail, Limits, PathRule, ResolvedRuntime, Runtime, SealedImage, Wall, Walls,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a run finds its own files and the SDK in its private file tree.
const PROGRAM: &str = "/program";
const SDK: &str = "/pawang/python";
/// First and last of the user ids a daemon that runs as root gives to foreign programs: systemd's range for such users.
pub const UIDS: std::ops::RangeInclusive<u32> = 61_184..=65_519;
/// Environment names that change how a program is loaded or run; nobody may set them (f13).
const ENV_REFUSED: &[&str] =
    &["LD_", "GLIBC_", "MALLOC_", "PYTHON", "NODE_OPTIONS", "GIT_", "BASH_ENV", "ENV", "IFS", "PATH", "HOME"];

/// The jail of an automation.
pub fn automation(
    kernel: &Kernel,
    verified: &Verified,
    program: &Program,
    args: &[String],
) -> Result<Jail, Failure> {
    let contract = &verified.contract;
    let runtime = runtime(contract.runtime.as_str(), &program.path)?;
    let mut tree = Tree::new(kernel);
    let dir = tree.place(&program.dir, PROGRAM);
    let mut env = runtime.env.clone();
    if kernel.settings.python.is_dir() && contract.runtime.as_str() == "python" {
        env.push(("PYTHONPATH".to_owned(), tree.place(&kernel.settings.python, SDK)));
    }
    let mut argv = vec![program.path.to_string_lossy().into_owned()];
    argv.extend(runtime.args.iter().cloned());
    argv.extend(program.script.iter().map(|script| format!("{dir}/{script}")));
    argv.extend(args.iter().cloned());
    Ok(Jail {
        profile: "automation".to_owned(),
        image: Arc::clone(&program.image),
        argv,
        env,
        cwd: dir,
        runtime,
        paths: tree.paths,
        binds: tree.binds,
        private_root: tree.is_private,
        limits: limits(contract),
        uid: kernel.foreign_uid(),
        walls: Walls::all(),
    })
}

/// What a caller of `exec.run` asks for besides the command line.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramRequest {
    /// Working directory; one that the contract grants, or `/tmp`.
    #[serde(default)]
    cwd: Option<String>,
    /// Environment, on top of the preset's.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// How long it may take, in ms. Held by the call's own deadline.
    #[serde(default)]
    #[expect(dead_code, reason = "part of the message; the deadline of the call is what holds it")]
    timeout_ms: Option<u64>,
}

/// The jail of a program that `exec` starts: its own, with the files the contract grants and no channel to the kernel.
pub fn program(
    kernel: &Kernel,
    verified: &Verified,
    argv: &[String],
    request: &ProgramRequest,
) -> Result<Jail, Failure> {
    let contract = &verified.contract;
    let path = find(argv.first().map_or("", String::as_str))?;
    let image = kernel.images.load_program(&path)?;
    let runtime = runtime("system", &path)?;
    let mut tree = Tree::new(kernel);
    tree.grants(contract);
    let cwd = request.cwd.clone().unwrap_or_else(|| "/tmp".to_owned());
    if cwd != "/tmp" && !tree.reaches(&cwd) {
        return Err(Failure::new("bad_cwd", format!("{cwd} is in no folder that the contract grants")));
    }
    let mut env: BTreeMap<String, String> = runtime.env.iter().cloned().collect();
    for (name, value) in &request.env {
        if ENV_REFUSED.iter().any(|refused| name.starts_with(refused))
            || value.contains('\0')
            || name.contains(['=', '\0'])
        {
            return Err(Failure::new("bad_env", format!("the environment variable {name:?} may not be set")));
        }
        env.insert(name.clone(), value.clone());
    }
    Ok(Jail {
        profile: "program".to_owned(),
        image,
        argv: argv.to_vec(),
        env: env.into_iter().collect(),
        cwd,
        runtime,
        paths: tree.paths,
        binds: tree.binds,
        private_root: tree.is_private,
        limits: limits(contract),
        uid: kernel.foreign_uid(),
        walls: Walls::all(),
    })
}

/// What exists for a process, and what it may do there.
struct Tree {
    is_private: bool,
    paths: Vec<PathRule>,
    binds: Vec<Bind>,
}

impl Tree {
    fn new(kernel: &Kernel) -> Self {
        let is_private = kernel.spawner.walls().has(Wall::MountNs);
        Self { is_private, paths: Vec::new(), binds: Vec::new() }
    }

    fn add(&mut self, path: PathBuf, access: Access) {
        let writable = access.write || access.make || access.remove;
        self.paths.push(PathRule { path: path.clone(), access });
        self.binds.push(Bind { source: path.clone(), target: path, writable });
    }

    /// A folder to read, under a name of its own where the file tree is private. Returns the name it has inside.
    fn place(&mut self, source: &Path, target: &str) -> String {
        self.paths.push(PathRule { path: source.to_owned(), access: Access::READ });
        if !self.is_private {
            return source.to_string_lossy().into_owned();
        }
        self.binds.push(Bind { source: source.to_owned(), target: PathBuf::from(target), writable: false });
        target.to_owned()
    }

    /// The files a contract grants through `fs.*`, right by right, for a program that opens them itself.
    fn grants(&mut self, contract: &Contract) {
        for rule in uncounted_paths(contract) {
            self.add(rule.path, rule.access);
        }
    }

    fn reaches(&self, path: &str) -> bool {
        let path = Path::new(path);
        self.binds.iter().any(|bind| path.starts_with(&bind.target))
    }
}

fn limits(contract: &Contract) -> Limits {
    let limits = &contract.limits;
    Limits {
        memory_mib: limits.memory_mib,
        processes: limits.processes,
        open_files: limits.open_files,
        file_mib: limits.file_mib.min(limits.tmp_mib),
        cpu_s: None,
    }
}

fn runtime(name: &str, program: &Path) -> Result<ResolvedRuntime, Failure> {
    let resolved = Runtime::named(name).and_then(|runtime| runtime.resolve(program));
    resolved.map_err(|error| {
        Failure::new("runtime", format!("runtime {name:?}: {error}"))
            .hint(format!("there are: {}", Runtime::names().join(", ")))
    })
}

/// Where a command is: as named, or in the system's folders. Never in a folder that the environment names.
fn find(command: &str) -> Result<PathBuf, Failure> {
    let candidates = if command.starts_with('/') {
        vec![PathBuf::from(command)]
    } else {
        ["/usr/local/bin", "/usr/bin", "/bin"].map(|dir| Path::new(dir).join(command)).to_vec()
    };
    let found =
        candidates.into_iter().find_map(|path| path.canonicalize().ok().filter(|path| path.is_file()));
    found.ok_or_else(|| Failure::new("no_such_program", format!("{command} is not on this machine")))
}

/// Whether an executable is one the system runs without an interpreter.
pub fn is_elf(image: &SealedImage) -> bool {
    let mut magic = [0; 4];
    rustix::io::pread(image, &mut magic, 0).is_ok_and(|_| magic == *b"\x7fELF")
}
