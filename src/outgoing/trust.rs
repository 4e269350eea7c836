//! Trusted certificates: those of the system, and those in `outgoing.ca_file`.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The TLS configuration. It prefers HTTP/2 where the server offers it.
pub(super) fn client_config(ca_file: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if !ca_file.is_empty() {
        let unusable = |why: String| format!("`outgoing.ca_file`: {ca_file} cannot be used: {why}");
        let mut own = 0;
        for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            own += 1;
        }
        if own == 0 {
            return Err(unusable("it contains no PEM certificate".into()));
        }
    } else if added == 0 {
        tracing::warn!(
            "the system has no trusted certificates, so requests to https:// will fail: install them, or set `outgoing.ca_file`"
        );
    }
    // The provider is named here, so that nothing depends on the default that another library has installed.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
