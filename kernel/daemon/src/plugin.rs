//! The tools this daemon has: manifests, images, and the jail of each for one run.
//!
//! A tool is started for one run and sees no other: its jail and its setup are cut from that run's contract. The kernel's
//! decision and the jail are two walls, and the tool's own check of its setup is a third.

use crate::settings::Settings;
use pawang_core::contract::pattern::{Pattern, Reach, Tree};
use pawang_core::contract::{Contract, Rule, Verified};
use pawang_core::method::Methods;
use pawang_protocol::{Failure, MethodName, PluginName};
use pawang_sandbox::{Access, Jail, Limits, PathRule, ResolvedRuntime, SealedImage, Walls};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file the fs tool may write, in MiB. Gas is what bounds it: 2 per KiB.
const FS_FILE_MIB: u32 = 1 << 20;
/// Threads and descriptors of the http tool: one of each per fetch in flight, and room for look-ups.
const HTTP_THREADS: u32 = 300;
const HTTP_FILES: u32 = 900;
/// Memory of the http tool, in MiB: a chunk and a connection per fetch in flight.
const HTTP_MEMORY_MIB: u32 = 512;

/// `plugin.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    plugin: u32,
    /// Its name, which is also the first half of its methods' names.
    pub name: PluginName,
    #[expect(dead_code, reason = "for people")]
    version: String,
    kind: String,
    binary: String,
    profile: String,
    method: Vec<ManifestMethod>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the manifest's schema is closed; the price table has the last word on these")]
struct ManifestMethod {
    name: MethodName,
    resource: String,
    deadline_s: u64,
    summary: String,
}

/// A tool, ready to be started.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// What it says of itself.
    pub manifest: Manifest,
    image: Arc<SealedImage>,
}

/// All tools, by name.
#[derive(Debug, Clone, Default)]
pub struct Plugins(BTreeMap<String, Plugin>);

impl Plugins {
    /// Reads every folder below `libexec/plugins`.
    ///
    /// # Errors
    /// The first manifest or program that cannot be used: a daemon with half its tools would deny what contracts grant.
    pub fn load(dir: &Path, methods: &Methods) -> Result<Self, Failure> {
        let unusable = |path: &Path, what: String| {
            Failure::new("plugin", format!("{}: {what}", path.display()))
                .hint("install it again, or remove its folder")
        };
        let mut plugins = BTreeMap::new();
        let entries = std::fs::read_dir(dir).map_err(|error| unusable(dir, error.to_string()))?;
        for entry in entries.flatten() {
            let path = entry.path().join("plugin.toml");
            let text = std::fs::read_to_string(&path).map_err(|error| unusable(&path, error.to_string()))?;
            let manifest: Manifest =
                toml::from_str(&text).map_err(|error| unusable(&path, error.to_string()))?;
            manifest.check(methods).map_err(|what| unusable(&path, what))?;
            let binary = entry.path().join(&manifest.binary);
            let image = File::open(&binary).and_then(|file| SealedImage::load(&file));
            let image = Arc::new(image.map_err(|error| unusable(&binary, error.to_string()))?);
            plugins.insert(manifest.name.as_str().to_owned(), Plugin { manifest, image });
        }
        Ok(Self(plugins))
    }

    /// The tool with this name.
    pub fn get(&self, name: &str) -> Result<&Plugin, Failure> {
        self.0.get(name).ok_or_else(|| {
            Failure::new("no_such_plugin", format!("the {name} tool is not installed")).hint("pawang doctor")
        })
    }
}

impl Manifest {
    fn check(&self, methods: &Methods) -> Result<(), String> {
        if self.plugin != 1 || self.kind != "tool" {
            return Err("only manifests of version 1 and kind \"tool\" are known".to_owned());
        }
        if self.binary.contains('/') || self.method.is_empty() {
            return Err("`binary` is a plain file name, and at least one method is offered".to_owned());
        }
        match self
            .method
            .iter()
            .find(|m| m.name.plugin() != self.name.as_str() || methods.id(m.name.as_str()).is_none())
        {
            Some(method) => Err(format!("{} is not one of its methods, or has no price", method.name)),
            None => Ok(()),
        }
    }
}

impl Plugin {
    /// Its jail for one run.
    pub fn jail(&self, settings: &Settings, verified: &Verified) -> Jail {
        let contract = &verified.contract;
        let (paths, limits) = match self.manifest.name.as_str() {
            "fs" => (fs_paths(contract), Limits { file_mib: FS_FILE_MIB, ..Limits::TOOL }),
            "memory" => (
                vec![PathRule { path: store(settings, verified), access: Access::WRITE }],
                Limits {
                    file_mib: contract.limits.memory_store_kib.div_ceil(1024).saturating_add(1),
                    ..Limits::TOOL
                },
            ),
            "http" => (
                http_paths(),
                Limits {
                    processes: HTTP_THREADS,
                    open_files: HTTP_FILES,
                    memory_mib: HTTP_MEMORY_MIB,
                    ..Limits::TOOL
                },
            ),
            _ => (Vec::new(), Limits::TOOL),
        };
        Jail {
            profile: self.manifest.profile.clone(),
            image: Arc::clone(&self.image),
            argv: vec![self.manifest.binary.clone()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            runtime: ResolvedRuntime::default(),
            paths,
            binds: Vec::new(),
            private_root: false,
            limits,
            uid: None,
            walls: Walls::all(),
        }
    }

    /// What it is told in its `Hello`.
    pub fn setup(&self, settings: &Settings, verified: &Verified) -> Value {
        let contract = &verified.contract;
        match self.manifest.name.as_str() {
            "fs" => json!({ "roots": fs_roots(contract), "deny": fs_denies(contract) }),
            "memory" => {
                json!({ "dir": store(settings, verified), "quota_kib": contract.limits.memory_store_kib })
            }
            "http" => json!({ "origins": origins(contract) }),
            _ => Value::Null,
        }
    }
}

/// What the http tool reads of the machine: how names are looked up, and whom the system trusts. In the order of the
/// distributions that have them; the last four only where the tool is not built static.
const HTTP_FILES_READ: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
];

fn http_paths() -> Vec<PathRule> {
    // A resolv.conf is often a link into a manager's folder: what is granted is the file it stands for.
    let files = HTTP_FILES_READ.iter().filter_map(|path| Path::new(path).canonicalize().ok());
    files.map(|path| PathRule { path, access: Access { read: true, ..Access::NONE } }).collect()
}

/// Where the `memory.*` store of an automation lies: one folder per issuer and name, so that the next contract of the
/// same automation finds what the last one kept, and no other does.
///
/// A helper keeps what its outermost parent keeps: its own name was chosen by a program nobody trusts.
pub fn store(settings: &Settings, verified: &Verified) -> PathBuf {
    let verified = verified.parents.last().map_or(verified, |outermost| outermost);
    let issuer = pawang_core::digest::Digest::of(verified.issuer.bytes()).short();
    settings.memory.join(format!("{}-{issuer}", verified.contract.name.as_str()))
}

/// The path a pattern starts at.
pub fn root_of(tree: &Tree) -> String {
    format!("/{}", tree.segments.join("/"))
}

/// What each path rule grants, method by method.
fn grants(contract: &Contract) -> impl Iterator<Item = (&Tree, Vec<&'static str>)> {
    const METHODS: [&str; 8] =
        ["fs.read", "fs.list", "fs.stat", "fs.write", "fs.append", "fs.mkdir", "fs.remove", "fs.move"];
    contract.allow.iter().filter_map(|rule| {
        let Pattern::Path(tree) = &rule.pattern else { return None };
        let named = METHODS
            .into_iter()
            .filter(|name| MethodName::new(name).is_ok_and(|name| rule.call.matches(&name)));
        Some((tree, named.collect()))
    })
}

/// What the file system must allow for these methods.
fn access_of(methods: &[&str]) -> Access {
    methods.iter().fold(Access::NONE, |access, method| match *method {
        "fs.read" => Access { read: true, ..access },
        "fs.list" => Access { list: true, ..access },
        "fs.write" | "fs.append" => Access { write: true, make: true, ..access },
        "fs.mkdir" => Access { make: true, ..access },
        "fs.remove" => Access { remove: true, ..access },
        "fs.move" => Access { make: true, remove: true, write: true, ..access },
        _ => access,
    })
}

/// Landlock rights of the fs tool: a folder for `/**`, the file itself for an exact path, its folder where the file is
/// yet to be made. What does not exist at all cannot be granted; calls on it fail.
fn fs_paths(contract: &Contract) -> Vec<PathRule> {
    let mut rules = Vec::new();
    for (tree, methods) in grants(contract) {
        let access = access_of(&methods);
        let path = PathBuf::from(root_of(tree));
        let is_new = tree.reach == Reach::Exact && !path.exists();
        let needs_parent = tree.reach == Reach::Exact && (access.make && is_new || access.remove);
        let parent = path.parent().map(Path::to_owned).filter(|_| needs_parent);
        rules.extend(
            [Some(path), parent]
                .into_iter()
                .flatten()
                // What is reached through a link is not what was named; the tool refuses it too.
                .filter(|path| path.canonicalize().is_ok_and(|real| real == *path))
                .map(|path| PathRule { path, access }),
        );
    }
    rules.retain(|rule| !rule.access.is_none());
    rules
}

/// Paths for a program that opens them itself. Nobody counts its calls, so a grant that counts them is not for it; nor is one
/// that a deny cuts into, which Landlock cannot hold.
pub fn uncounted_paths(contract: &Contract) -> Vec<PathRule> {
    let mut open = contract.clone();
    open.allow.retain(|rule| {
        rule.max_calls.is_none() && !contract.deny.iter().any(|deny| rule.pattern.overlaps(&deny.pattern))
    });
    let mut rules = fs_paths(&open);
    rules.retain(|rule| open.allow.iter().any(|allow| is_at(allow, &rule.path)));
    rules
}

/// Whether a rule names this very path; the folder of a file that is yet to be made is not named by it.
fn is_at(rule: &Rule, path: &Path) -> bool {
    matches!(&rule.pattern, Pattern::Path(tree) if Path::new(&root_of(tree)) == path)
}

fn fs_roots(contract: &Contract) -> Vec<Value> {
    let roots = grants(contract).map(|(tree, methods)| {
        let has = |wanted: &[&str]| methods.iter().any(|method| wanted.contains(method));
        json!({
            "path": root_of(tree),
            "read": has(&["fs.read", "fs.stat"]),
            "list": has(&["fs.list", "fs.stat"]),
            "write": has(&["fs.write", "fs.append", "fs.mkdir", "fs.remove", "fs.move"]),
        })
    });
    roots.collect()
}

/// Denies that hold for every fs method are held by the tool too; one that is narrower is held by the kernel alone.
fn fs_denies(contract: &Contract) -> Vec<String> {
    let whole = contract.deny.iter().filter(|rule| rule.call.to_string() == "fs.*");
    let paths = whole.filter_map(|rule| match &rule.pattern {
        Pattern::Path(tree) if tree.reach == Reach::Below => {
            Some(format!("{}/**", root_of(tree).trim_end_matches('/')))
        }
        Pattern::Path(tree) => Some(root_of(tree)),
        _ => None,
    });
    paths.collect()
}

fn origins(contract: &Contract) -> Vec<String> {
    let origins = contract.allow.iter().filter_map(|rule| match &rule.pattern {
        Pattern::Http(pattern) => pattern.target().origin().map(str::to_owned),
        _ => None,
    });
    origins.collect()
}
