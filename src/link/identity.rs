//! TLS of a server of our own: which certificate it shows.

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::trust::{Identity, certificates, provider};

/// The protocol that is spoken on the connection.
const HTTP_1: &[u8] = b"http/1.1";

/// The configuration of a server with this certificate: TLS 1.2 or 1.3, without certificates of clients.
///
/// # Errors
/// A sentence that names the file.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, String> {
    let Identity { certificate, key } = identity;
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key} cannot be used: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            format!("the certificate in {certificate} and the key in {key} cannot be used together: {error}")
        })?;
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    Ok(config)
}
