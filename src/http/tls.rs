//! TLS of the API. The files are read again now and then, so that a renewed certificate needs no restart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::config::Http;
use crate::link::identity::server_config;
use crate::link::trust::Identity;

/// How long a certificate is used before its file is read again.
const READ_EVERY: Duration = Duration::from_secs(60);
/// The time limit of a handshake.
const HANDSHAKE_FOR: Duration = Duration::from_secs(10);

/// The certificate of the API.
pub(super) struct Tls {
    identity: Identity,
    used: Mutex<Used>,
}

struct Used {
    config: Arc<ServerConfig>,
    read_at: Instant,
}

impl Tls {
    /// The certificate that the settings name; none if there is none.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(super) fn read(settings: &Http) -> Result<Option<Arc<Self>>, String> {
        if settings.cert_file.is_empty() {
            return Ok(None);
        }
        let identity = Identity { certificate: settings.cert_file.clone(), key: settings.key_file.clone() };
        let config = Arc::new(server_config(&identity)?);
        Ok(Some(Arc::new(Self { identity, used: Mutex::new(Used { config, read_at: Instant::now() }) })))
    }

    /// The handshake with a client, in its time.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<TlsStream<S>> {
        let accepted = TlsAcceptor::from(self.config()).accept(stream);
        timeout(HANDSHAKE_FOR, accepted).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// The newest certificate that could be read.
    fn config(&self) -> Arc<ServerConfig> {
        let mut used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if used.read_at.elapsed() >= READ_EVERY {
            used.read_at = Instant::now();
            match server_config(&self.identity) {
                Ok(config) => used.config = Arc::new(config),
                Err(why) => {
                    tracing::warn!(%why, "the certificate of the API cannot be read again; the one from before is used")
                }
            }
        }
        used.config.clone()
    }
}
