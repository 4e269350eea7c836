//! A seal: the heads of all chains as JSON lines, with a header, and at the end a digest of all lines before and its signature.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::key::{PublicKey, Signer};
use crate::contract::json;
use crate::engine::InstanceId;
use crate::store::history::Head;

/// What the header says.
const KIND: &str = "leveret seal";
/// What is signed begins with this, so that no other signature of the key is one of a seal.
const SIGNED: &[u8] = b"leveret seal 1\n";
/// The longest line.
const LINE_MAX: u64 = 4 * 1024;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    kind: String,
    format: u32,
    sealed_at: Timestamp,
}

/// The head of one chain when it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedHead {
    pub(super) instance: InstanceId,
    pub(super) definition: String,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) number: i64,
    pub(super) hash: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Trailer {
    chains: u64,
    digest: String,
    key: String,
    signature: String,
}

/// Writes a seal.
pub(super) struct SealWriter<W> {
    out: W,
    digest: Sha256,
    chains: u64,
}

impl<W: Write> SealWriter<W> {
    pub(super) fn begin(out: W, sealed_at: Timestamp) -> Result<Self> {
        let mut this = SealWriter { out, digest: Sha256::new(), chains: 0 };
        this.line(&Header { kind: KIND.into(), format: 1, sealed_at })?;
        Ok(this)
    }

    pub(super) fn add(&mut self, head: Head) -> Result<()> {
        let Head { instance, definition, ended_at, number, hash } = head;
        self.chains += 1;
        self.line(&SealedHead { instance, definition, ended_at, number, hash: hex::encode(hash) })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.digest.update(&line);
        Ok(self.out.write_all(&line)?)
    }

    /// Signs what was written; returns the output and the number of chains.
    pub(super) fn end(mut self, signer: &Signer) -> Result<(W, u64)> {
        let digest = std::mem::take(&mut self.digest).finalize();
        let trailer = Trailer {
            chains: self.chains,
            digest: hex::encode(digest),
            key: hex::encode(signer.public()),
            signature: hex::encode(signer.sign(&signed(&digest))),
        };
        self.line(&trailer)?;
        self.out.flush()?;
        Ok((self.out, self.chains))
    }
}

fn signed(digest: &[u8]) -> Vec<u8> {
    [SIGNED, digest].concat()
}

/// A seal whose signature was proved.
#[derive(Debug)]
pub(super) struct Seal {
    file: BufReader<File>,
    left: u64,
    pub(super) sealed_at: Timestamp,
}

impl Seal {
    /// Opens a seal, and proves its digest and its signature before anything in it is believed.
    pub(super) fn open(path: &Path, key: &PublicKey) -> Result<Self> {
        let named = || path.display().to_string();
        let file = File::open(path).with_context(|| format!("{} cannot be read", named()))?;
        let mut file = BufReader::new(file);
        let chains = prove(&mut file, key).with_context(|| format!("{} is not a seal that can be trusted", named()))?;
        file.rewind()?;
        let header: Header = parse(&line(&mut file)?)?;
        if header.kind != KIND || header.format != 1 {
            bail!("{} is of another kind or format: use the version of Leveret that wrote it", named());
        }
        Ok(Seal { file, left: chains, sealed_at: header.sealed_at })
    }

    /// The next heads, at most `limit`; none at the end.
    pub(super) fn next(&mut self, limit: usize) -> Result<Vec<SealedHead>> {
        let mut heads = Vec::new();
        while self.left > 0 && heads.len() < limit {
            heads.push(parse(&line(&mut self.file)?)?);
            self.left -= 1;
        }
        Ok(heads)
    }
}

/// Reads to the end; returns the number of chains.
fn prove(file: &mut impl BufRead, key: &PublicKey) -> Result<u64> {
    let mut digest = Sha256::new();
    let (mut last, mut lines) = (line(file)?, 0_u64);
    loop {
        let next = line(file)?;
        if next.is_empty() {
            break;
        }
        digest.update(&last);
        (last, lines) = (next, lines + 1);
    }
    let trailer: Trailer = parse(&last).context("its last line, with the signature, is missing")?;
    let digest = digest.finalize();
    if hex::encode(digest) != trailer.digest || lines != trailer.chains + 1 {
        bail!("its lines are not those whose digest it holds: it was cut, or changed");
    }
    let signature = hex::decode(&trailer.signature).map_err(|_| anyhow!("its signature is not hexadecimal"))?;
    if !key.proves(&signed(&digest), &signature) {
        bail!("its signature is not of this key; it names the key {}", trailer.key);
    }
    Ok(trailer.chains)
}

/// The next line with its end; empty at the end of the file.
fn line(file: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    file.take(LINE_MAX).read_until(b'\n', &mut line)?;
    if !line.is_empty() && !line.ends_with(b"\n") {
        bail!("it has a line without an end, or with more than {LINE_MAX} bytes");
    }
    Ok(line)
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    let value = json::read(line).map_err(|refused| anyhow!("a line {refused}"))?;
    Ok(serde_path_to_error::deserialize(value)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("leveret-seal-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    fn head(number: i64) -> Head {
        let instance = InstanceId(Uuid::from_u128(number.unsigned_abs().into()));
        Head { instance, definition: "order".into(), ended_at: None, number, hash: vec![7; 32] }
    }

    #[test]
    fn a_seal_is_read_as_it_was_written_and_refused_if_it_was_changed() {
        let folder = folder();
        Signer::create(&folder.join("a")).unwrap();
        Signer::create(&folder.join("b")).unwrap();
        let signer = Signer::read(&folder.join("a")).unwrap();
        let key = PublicKey::of(&signer);
        let other = PublicKey::of(&Signer::read(&folder.join("b")).unwrap());
        let mut writer = SealWriter::begin(Vec::new(), Timestamp::UNIX_EPOCH).unwrap();
        (1..=3).for_each(|number| writer.add(head(number)).unwrap());
        let (text, chains) = writer.end(&signer).unwrap();
        assert_eq!(chains, 3);
        let file = folder.join("seal");
        let open = |text: &[u8], key: &PublicKey| {
            std::fs::write(&file, text).unwrap();
            Seal::open(&file, key)
        };
        let mut seal = open(&text, &key).unwrap();
        let heads = [seal.next(2).unwrap(), seal.next(2).unwrap(), seal.next(2).unwrap()];
        assert_eq!(heads.each_ref().map(Vec::len), [2, 1, 0]);
        assert_eq!((heads[1][0].number, heads[1][0].hash.as_str()), (3, "07".repeat(32).as_str()));
        let why = |text: &[u8], key: &PublicKey| format!("{:#}", open(text, key).unwrap_err());
        assert!(why(&text, &other).contains("not of this key"));
        let changed = String::from_utf8(text.clone()).unwrap().replacen("\"number\":2", "\"number\":1", 1);
        assert!(why(changed.as_bytes(), &key).contains("changed"));
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(why(&lines[..4].concat(), &key).contains("missing"));
        assert!(why(&[&lines[..2], &lines[3..]].concat().concat(), &key).contains("cut"));
        assert!(why(&[b'x'; 5_000], &key).contains("more than 4096 bytes"));
        assert!(why(b"", &key).contains("not a seal"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
