//! Whatever is taken for a canonical path, pair, command line or name is used as it was written, and a path has no
//! way up, to the side or through an empty name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pawang_core::method::ResourceKind;
use pawang_core::resource::Resource;
use std::path::{Component, Path};

const KINDS: [ResourceKind; 5] =
    [ResourceKind::Path, ResourceKind::PathPair, ResourceKind::Argv, ResourceKind::Name, ResourceKind::None];

fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    let Some(kind) = KINDS.get(usize::from(kind) % KINDS.len()) else { return };
    let Ok(resource) = Resource::parse(*kind, text) else { return };
    assert_eq!(resource.canonical(), text, "nothing is repaired");
    let _ = resource.to_string();
    match &resource {
        Resource::Path(path) => check_path(path.as_str()),
        Resource::PathPair(pair) => {
            check_path(pair.from());
            check_path(pair.to());
            assert_eq!(format!("{}\0{}", pair.from(), pair.to()), text);
        }
        Resource::Argv(argv) => {
            assert!(argv.words().next().is_some_and(|program| !program.is_empty()));
            assert_eq!(argv.words().collect::<Vec<_>>().join("\0"), text);
        }
        Resource::Name(name) => assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic())),
        Resource::Http(_) => panic!("not asked for"),
        Resource::None => assert!(text.is_empty()),
    }
});

/// The system reads it as the kernel did: a root and plain names, nothing to normalise.
fn check_path(path: &str) {
    assert!(!path.contains('\0'));
    let mut components = Path::new(path).components();
    assert_eq!(components.next(), Some(Component::RootDir));
    let names: Vec<&str> = components
        .map(|component| match component {
            Component::Normal(name) => name.to_str().expect("it came from text"),
            other => panic!("{other:?} in a canonical path"),
        })
        .collect();
    assert_eq!(format!("/{}", names.join("/")), path);
}
