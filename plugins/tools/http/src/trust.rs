//! Which certificate authorities are trusted: those of the system, and those the kernel names.
//!
//! Read when the first https request needs them. The files are fixed here, so that the sandbox can grant exactly
//! them, and because an environment variable is nothing a tool should trust.

use pawang_sdk::Failure;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Where systems keep the bundle of their authorities; the first that is there is taken.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // Alpine
];

/// A TLS configuration: TLS 1.2 and 1.3, HTTP/2 offered before HTTP/1.1.
///
/// # Errors
/// `tls_failed` where no authority can be read.
pub fn client_config(extra_pem: Option<&str>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = BUNDLES.iter().find_map(|path| std::fs::read(path).ok()) {
        // Bundles hold odd certificates now and then; those that cannot be read are trusted by nobody.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bundle).flatten());
    }
    if let Some(pem) = extra_pem {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|e| bad_extra(&e.to_string()))?;
            roots.add(certificate).map_err(|e| bad_extra(&e.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(Failure::new("tls_failed", "no certificate authority is known on this machine")
            .hint("install the package ca-certificates"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::new("tls_failed", format!("TLS does not start: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn bad_extra(why: &str) -> Failure {
    Failure::new("bad_setup", format!("an extra certificate authority cannot be read: {why}"))
}
