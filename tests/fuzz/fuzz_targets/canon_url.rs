//! Whatever is taken for a canonical request is spelled exactly as a client would dial it, and its parts are the URL
//! standard's parts: what is decided on is what is fetched (f28 to f34).
#![no_main]

use libfuzzer_sys::fuzz_target;
use pawang_core::method::ResourceKind;
use pawang_core::resource::Resource;
use url::Url;

fuzz_target!(|text: &str| {
    let Ok(resource) = Resource::parse(ResourceKind::Http, text) else { return };
    assert_eq!(resource.canonical(), text, "nothing is repaired");
    let Resource::Http(request) = &resource else { panic!("an http resource is a request") };
    assert_eq!(format!("{} {}", request.method(), request.url()), text);
    let url = Url::parse(request.url()).expect("a canonical URL is a URL");
    assert_eq!(url.as_str(), request.url(), "the standard's own spelling");
    assert_eq!(url.origin().ascii_serialization(), request.origin());
    assert_eq!(url.path(), request.path());
    assert_eq!(url.query(), request.query());
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    assert!(!request.path().split('/').any(|segment| segment == "." || segment == ".."));
});
