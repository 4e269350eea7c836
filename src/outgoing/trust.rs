//! Whose certificates are trusted: those the system trusts, and those of one file of one's own.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How connections are secured. HTTP/2 is taken where the server offers it.
pub(super) fn client_config(ca_file: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if !ca_file.is_empty() {
        let wrong = |why: String| format!("`outgoing.ca_file`: {ca_file} cannot be used: {why}");
        let mut own = 0;
        for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| wrong(error.to_string()))? {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            own += 1;
        }
        if own == 0 {
            return Err(wrong("it contains no certificate in PEM".into()));
        }
    } else if added == 0 {
        tracing::warn!(
            "this system trusts no certificates: requests to https:// will fail; install some, or set `outgoing.ca_file`"
        );
    }
    // One provider, named here: nothing depends on what another library has made the default of the process.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
