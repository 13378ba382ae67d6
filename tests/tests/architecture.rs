//! Who may depend on whom, read from `cargo metadata`. A crate that is not in the table fails the first test: whoever
//! adds one has to say where it stands.
//!
//! Only what is compiled into programs counts; tests may depend on anything. What the source text must hold is in
//! `sources.rs`.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test ends there")]

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// For each crate of the workspace, the crates of the workspace it may use.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("pawang-protocol", &[]),
    ("pawang-sdk", &["pawang-protocol"]),
    ("pawang-core", &["pawang-protocol"]),
    ("pawang-sandbox", &["pawang-protocol"]),
    ("pawangd", &["pawang-core", "pawang-protocol", "pawang-sandbox"]),
    ("pawang", &["pawang-core", "pawang-protocol", "pawang-sandbox"]),
    ("pawang-exec", &["pawang-protocol", "pawang-sdk"]),
    ("pawang-fs", &["pawang-protocol", "pawang-sdk"]),
    ("pawang-http", &["pawang-protocol", "pawang-sdk"]),
    ("pawang-memory", &["pawang-protocol", "pawang-sdk"]),
    ("pawang-tests", &["pawang-core", "pawang-protocol", "pawang-sandbox", "pawang-sdk"]),
    ("pawang-bench", &["pawang-core", "pawang-protocol", "pawang-sandbox", "pawang-sdk"]),
    ("xtask", &[]),
];

/// The trusted base: what must be right for anything to be safe.
const TRUSTED: &[&str] = &["pawang-protocol", "pawang-core", "pawang-sandbox", "pawangd", "pawang"];

/// What has no place in the trusted base: it parses what strangers send, compiles code, or loads it.
const NOT_TRUSTED: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "axum",
    "cranelift-codegen",
    "h2",
    "hickory-resolver",
    "http",
    "httparse",
    "hyper",
    "libloading",
    "native-tls",
    "openssl",
    "openssl-sys",
    "reqwest",
    "ring",
    "rustls",
    "tungstenite",
    "ureq",
    "wasmi",
    "wasmtime",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `null` is a normal one; `dev` and `build` are the others.
    kind: Option<String>,
}

/// The graph of what is compiled into programs, by id.
struct Graph {
    names: BTreeMap<String, String>,
    members: BTreeSet<String>,
    uses: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
            .arg("x86_64-unknown-linux-gnu")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
        let is_compiled_in = |d: &&Dependency| d.dep_kinds.iter().any(|k| k.kind.is_none());
        let used = |node: &Node| node.deps.iter().filter(is_compiled_in).map(|d| d.pkg.clone()).collect();
        Self {
            uses: metadata.resolve.nodes.iter().map(|node| (node.id.clone(), used(node))).collect(),
            names: metadata.packages.into_iter().map(|p| (p.id, p.name)).collect(),
            members: metadata.workspace_members,
        }
    }

    /// The names of everything that is compiled into this member, with one crate that brings it in.
    fn everything_in(&self, member: &str) -> BTreeMap<&str, &str> {
        let start = self.members.iter().find(|id| self.names[*id] == member).unwrap();
        let (mut found, mut todo) = (BTreeMap::new(), vec![start]);
        while let Some(id) = todo.pop() {
            for used in &self.uses[id] {
                if found.insert(self.names[used].as_str(), self.names[id].as_str()).is_none() {
                    todo.push(used);
                }
            }
        }
        found
    }
}

#[test]
fn crates_of_the_workspace_depend_in_the_stated_directions_only() {
    let graph = Graph::read();
    let allowed: BTreeMap<&str, &[&str]> = DIRECTIONS.iter().copied().collect();
    for id in &graph.members {
        let name = graph.names[id].as_str();
        let may_use = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the table of this test"));
        for used in graph.uses[id].iter().filter(|used| graph.members.contains(*used)) {
            let used = graph.names[used].as_str();
            assert!(may_use.contains(&used), "{name} uses {used}");
        }
    }
}

#[test]
fn the_trusted_base_holds_no_http_no_tls_and_no_code_loader() {
    let graph = Graph::read();
    for member in TRUSTED {
        let found = graph.everything_in(member);
        for unwanted in NOT_TRUSTED {
            if let Some(because) = found.get(unwanted) {
                panic!("{member} contains {unwanted}, brought in by {because}");
            }
        }
    }
}

#[test]
fn the_decisions_are_made_without_a_runtime_or_an_operating_system() {
    let graph = Graph::read();
    for member in ["pawang-protocol", "pawang-core"] {
        let found = graph.everything_in(member);
        for unwanted in ["getrandom", "interprocess", "landlock", "mio", "nix", "rustix", "socket2", "tokio"]
        {
            if let Some(because) = found.get(unwanted) {
                panic!("{member} contains {unwanted}, brought in by {because}");
            }
        }
    }
}
