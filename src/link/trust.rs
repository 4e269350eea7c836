//! TLS by rustls: which certificates of servers are accepted, and which certificate we show.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

/// How far the certificate of a server is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Not at all: nobody can listen, but anybody can pose as the server.
    Nothing,
    /// An authority that we trust has signed it.
    Authority,
    /// The same, and it is for the host that the URL names.
    AuthorityAndName,
}

/// The authorities that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// Those of this machine.
    System,
    /// Those in a PEM file, and no others.
    File(String),
}

/// Our certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// What TLS needs to know about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// How far its certificate is checked.
    pub check: Check,
    /// Who may have signed it.
    pub authorities: Authorities,
    /// What we show of ourselves.
    pub identity: Option<Identity>,
}

/// Whether a connection is encrypted: noted when its server's certificate was accepted.
#[derive(Debug, Clone, Default)]
pub struct Encrypted(Arc<AtomicBool>);

impl Encrypted {
    /// Whether it is.
    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The provider is named here, so that nothing depends on the default that another library has installed.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Trust {
    /// The configuration of one connection. The files are read each time, so that renewed certificates are used.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn client_config(&self, encrypted: &Encrypted) -> Result<ClientConfig, String> {
        let provider = provider();
        let authority = match self.check {
            Check::Nothing => None,
            Check::Authority | Check::AuthorityAndName => {
                let roots = Arc::new(roots(&self.authorities)?);
                let built = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
                Some(built.map_err(|error| error.to_string())?)
            }
        };
        let encrypted = encrypted.clone();
        let verifier = Verifier { check: self.check, authority, provider: provider.clone(), encrypted };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some(Identity { certificate, key }) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
        config.with_client_auth_cert(chain, private).map_err(|error| {
            format!("the certificate in {certificate} and the key in {key} cannot be used together: {error}")
        })
    }
}

fn unusable(file: &str, error: &dyn std::fmt::Display) -> String {
    format!("{file} cannot be used: {error}")
}

/// The certificates of a PEM file.
///
/// # Errors
/// A sentence that names the file, if it cannot be read or holds none.
pub fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| unusable(file, &error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| unusable(file, &error))?;
    match found.is_empty() {
        true => Err(unusable(file, &"it contains no PEM certificate")),
        false => Ok(found),
    }
}

/// The certificates of this machine's authorities.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, String> {
    match authorities {
        Authorities::System => match system_roots() {
            roots if roots.is_empty() => {
                Err("this machine has no trusted certificates: install the package `ca-certificates`, or name the file of the CA".into())
            }
            roots => Ok(roots),
        },
        Authorities::File(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| unusable(file, &error))?;
            }
            Ok(roots)
        }
    }
}

/// Checks the certificate as far as it is wanted. The signature of the handshake is always checked: without it, channel
/// binding would prove nothing.
#[derive(Debug)]
struct Verifier {
    check: Check,
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    encrypted: Encrypted,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = match &self.authority {
            None => Ok(ServerCertVerified::assertion()),
            Some(authority) => authority.verify_server_cert(certificate, intermediates, name, ocsp, now),
        };
        // The name is compared after everything else, so that nothing else can be wrong.
        match (&verified, self.check) {
            (Err(TlsError::InvalidCertificate(error)), Check::Authority) if is_about_the_name(error) => {}
            (Ok(_), _) => {}
            (Err(_), _) => return verified,
        }
        self.encrypted.0.store(true, Ordering::Relaxed);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_about_the_name(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
}

/// The sentence about a failure of TLS, with the next step; none if TLS is not the reason. `section` is that of the settings.
pub fn explain(error: &(dyn StdError + 'static), section: &str) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error hides the one it carries from `source`.
        let carried = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let carried = carried.and_then(|carried| carried.downcast_ref::<TlsError>());
        if let Some(tls) = error.downcast_ref::<TlsError>().or(carried) {
            return Some(sentence(tls, section));
        }
        next = error.source();
    }
    None
}

fn sentence(error: &TlsError, section: &str) -> String {
    use CertificateError as Wrong;
    match error {
        TlsError::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. }) => {
            "the server's certificate has expired: renew it".into()
        }
        TlsError::InvalidCertificate(Wrong::NotValidYet | Wrong::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet: compare the clocks of both machines".into()
        }
        TlsError::InvalidCertificate(Wrong::UnknownIssuer) => format!(
            "the server's certificate is signed by an authority that is not trusted: name the file of its CA in `{section}.ca_file`"
        ),
        TlsError::InvalidCertificate(Wrong::NotValidForNameContext { expected, presented }) => format!(
            "the server's certificate is not for `{}` but for {}: name the host as the certificate does, or renew the certificate",
            expected.to_str(),
            presented.join(", ")
        ),
        TlsError::InvalidCertificate(Wrong::NotValidForName) => {
            "the server's certificate is for another host: name the host as the certificate does, or renew the certificate".into()
        }
        TlsError::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => format!(
            "the server ended the handshake, as it does without a client certificate: set `{section}.cert_file` and `{section}.key_file`"
        ),
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied),
        ) => format!("the server refuses our certificate ({alert:?}): check `{section}.cert_file`, and which CA the server trusts"),
        TlsError::InvalidMessage(_) => {
            format!("the server does not speak TLS on this port ({error}): check the port, or connect without TLS")
        }
        other => format!("TLS failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(error: TlsError) -> String {
        explain(&io::Error::other(error), "database").expect("it is about TLS")
    }

    #[test]
    fn a_failure_of_tls_names_the_next_step() {
        let wrong = |error| explained(TlsError::InvalidCertificate(error));
        assert!(wrong(CertificateError::Expired).contains("has expired: renew it"));
        assert!(wrong(CertificateError::UnknownIssuer).contains("`database.ca_file`"));
        let other = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("db.example.com").unwrap(),
            presented: vec!["other.example.com".into()],
        };
        assert!(wrong(other).contains("not for `db.example.com` but for other.example.com"));
        assert!(explained(TlsError::AlertReceived(AlertDescription::CertificateRequired)).contains("cert_file"));
        assert!(explain(&io::Error::other("no route"), "database").is_none());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let trust = |authorities, identity| Trust { check: Check::AuthorityAndName, authorities, identity };
        let absent = "/nonexistent/ca.pem".to_owned();
        let error = trust(Authorities::File(absent.clone()), None).client_config(&Encrypted::default()).unwrap_err();
        assert!(error.contains("/nonexistent/ca.pem cannot be used"), "{error}");
        let none = trust(Authorities::File("Cargo.toml".into()), None);
        assert!(none.client_config(&Encrypted::default()).unwrap_err().contains("contains no PEM certificate"));
        let unchecked = Trust { check: Check::Nothing, authorities: Authorities::System, identity: None };
        assert!(unchecked.client_config(&Encrypted::default()).is_ok());
    }
}
