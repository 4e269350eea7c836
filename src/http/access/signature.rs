//! Signatures of tokens, checked by ring: `jsonwebtoken` reads tokens and leaves the cryptography to a provider. Its own providers would
//! bring a second library for what ring does for TLS already.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error as Mismatch, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// Algorithms with a public key. Without a signature, or with a secret that is shared, a token proves nothing here.
pub(super) const ALLOWED: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes this process check signatures with ring.
pub(super) fn install() {
    // Another program around this library may have installed its own, which checks them as well.
    let _installed = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let how = How::of(*algorithm).ok_or(ErrorKind::UnsupportedAlgorithm)?;
    Ok(Box::new(Checked { algorithm: *algorithm, how, key: key.clone() }))
}

/// How ring checks.
#[derive(Clone, Copy)]
enum How {
    Rsa(&'static RsaParameters),
    Plain(&'static dyn VerificationAlgorithm),
}

impl How {
    fn of(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::RS256 => How::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => How::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => How::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => How::Rsa(&RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => How::Rsa(&RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => How::Rsa(&RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => How::Plain(&ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => How::Plain(&ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => How::Plain(&ED25519),
            _ => return None,
        })
    }
}

struct Checked {
    algorithm: Algorithm,
    how: How,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Checked {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Mismatch> {
        let checked = match (self.how, self.key.kind()) {
            (How::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                // Some issuers write a zero before a modulus whose first bit is set.
                let n = n.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &n[first..]);
                RsaPublicKeyComponents { n, e: e.as_slice() }.verify(parameters, message, signature)
            }
            (How::Plain(algorithm), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            // A key of another kind than the algorithm says.
            (How::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (How::Plain(_), DecodingKeyKind::RsaModulusExponent { .. }) => Err(::ring::error::Unspecified),
        };
        checked.map_err(|_| Mismatch::new())
    }
}

impl JwtVerifier for Checked {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
