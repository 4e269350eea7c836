//! Trusted certificates: those of the system, and those in `outgoing.ca_file`.

use tokio_rustls::rustls::ClientConfig;

use crate::link::trust::{certificates, provider, system_roots};

/// The TLS configuration. It prefers HTTP/2 where the server offers it.
pub(super) fn client_config(ca_file: &str) -> Result<ClientConfig, String> {
    let mut roots = system_roots();
    if !ca_file.is_empty() {
        let unusable = |why: String| format!("`outgoing.ca_file`: {why}");
        for certificate in certificates(ca_file).map_err(unusable)? {
            roots.add(certificate).map_err(|error| unusable(format!("{ca_file} cannot be used: {error}")))?;
        }
    } else if roots.is_empty() {
        tracing::warn!(
            "the system has no trusted certificates, so requests to https:// will fail: install them, or set `outgoing.ca_file`"
        );
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
