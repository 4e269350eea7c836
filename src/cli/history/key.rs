//! The keys of seals: Ed25519, in the PEM files that OpenSSL reads and writes.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// What comes before the 32 bytes of a private key in PKCS #8, version 1.
const PRIVATE: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// What comes before the 32 bytes of a public key in a SubjectPublicKeyInfo.
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// Bytes of a key.
const KEY: usize = 32;
/// The longest file that is read: a key has some hundred bytes.
const FILE_MAX: u64 = 16 * 1024;

/// A key that signs.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    /// Makes a new key. The private one is written to `file`, which must not exist, for its owner alone; the public one to `file`.pub.
    pub(super) fn create(file: &Path) -> Result<PathBuf> {
        let mut secret = [0; KEY];
        let filled = SystemRandom::new().fill(&mut secret);
        filled.map_err(|_| anyhow!("this machine gave no random numbers: try again"))?;
        let key = [PRIVATE.as_slice(), secret.as_slice()].concat();
        let signer = Self::of(&key).context("a new key cannot be used")?;
        let public = public_file(file);
        let write = |path: &Path, mode: u32, text: String| {
            let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            let written = created.and_then(|mut open| open.write_all(text.as_bytes()).and_then(|()| open.sync_all()));
            written.with_context(|| format!("{} cannot be written", path.display()))
        };
        write(file, 0o600, pem("PRIVATE KEY", &key))?;
        write(&public, 0o644, pem("PUBLIC KEY", &[PUBLIC.as_slice(), &signer.public()].concat()))?;
        Ok(public)
    }

    /// Reads a private key.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let key = read(file, "PRIVATE KEY")?;
        Self::of(&key).with_context(|| format!("{} holds no private key of Ed25519", file.display()))
    }

    fn of(key: &[u8]) -> Result<Self> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map(Signer).map_err(|refused| anyhow!("{refused}"))
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(text).as_ref().to_vec()
    }

    /// The public key that belongs to it.
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }
}

/// A key that proves signatures.
#[derive(Debug)]
pub(super) struct PublicKey(Vec<u8>);

impl PublicKey {
    #[cfg(test)]
    pub(super) fn of(signer: &Signer) -> Self {
        PublicKey(signer.public())
    }

    /// Reads a public key.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let info = read(file, "PUBLIC KEY")?;
        match info.strip_prefix(&PUBLIC) {
            Some(key) if key.len() == KEY => Ok(PublicKey(key.to_vec())),
            Some(_) | None => bail!("{} holds no public key of Ed25519", file.display()),
        }
    }

    pub(super) fn proves(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text, signature).is_ok()
    }
}

fn public_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn pem(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(bytes))
}

/// The bytes between the lines that name `label`.
fn read(file: &Path, label: &str) -> Result<Vec<u8>> {
    let cannot = || format!("{} cannot be read", file.display());
    if fs::metadata(file).with_context(cannot)?.len() > FILE_MAX {
        bail!("{} is too long for a key", file.display());
    }
    let text = fs::read_to_string(file).with_context(cannot)?;
    unpacked(&text, label).with_context(|| format!("{} holds no `{label}` in PEM", file.display()))
}

fn unpacked(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_signs_and_its_public_half_proves_it() {
        let folder = std::env::temp_dir().join(format!("leveret-key-{:016x}", fastrand::u64(..)));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("seal.key");
        let public = Signer::create(&file).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert!(Signer::create(&file).is_err(), "a key is never overwritten");
        let signature = Signer::read(&file).unwrap().sign(b"text");
        let key = PublicKey::read(&public).unwrap();
        assert!(key.proves(b"text", &signature) && !key.proves(b"other", &signature));
        assert!(PublicKey::read(&file).is_err() && Signer::read(&public).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn keys_of_openssl_are_read() {
        // openssl genpkey -algorithm ed25519, and openssl pkey -pubout: the first key of RFC 8032.
        let secret = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let public = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
        let text = pem("PRIVATE KEY", &[PRIVATE.as_slice(), &secret].concat());
        let signer = Signer::of(&unpacked(&text, "PRIVATE KEY").unwrap()).unwrap();
        assert_eq!(signer.public(), public);
        assert!(PublicKey(public).proves(b"", &signer.sign(b"")));
    }
}
