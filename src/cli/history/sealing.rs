//! `leveret history seal`: writes a seal to a file, or to an address outside.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::key::Signer;
use super::seal::SealWriter;
use super::{CHAINS_MAX, Progress};
use crate::app::App;
use crate::cli::output::{self, Output};
use crate::outgoing::{Client, Request};
use crate::store::history;

/// The largest seal that is sent to an address, in bytes: about 300,000 chains.
const SENT_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a response that are read: only its status counts.
const RESPONSE_MAX: usize = 1_024;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Make a new key and end: the private one in this file, which must not exist, and the public one beside it, with the ending .pub.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "key"], required_unless_present = "to")]
    new_key: Option<PathBuf>,
    /// Where the seal goes: a file that does not exist, or an address that takes it with PUT.
    #[arg(long, value_name = "FILE|URL", requires = "key")]
    to: Option<String>,
    /// The file with the private key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Makes a new key, if that is asked for: it needs no database.
pub(super) fn new_key(arguments: &Arguments, output: Output) -> Result<Option<ExitCode>> {
    if let Some(file) = &arguments.new_key {
        let public = Signer::create(file)?;
        match output {
            Output::Json => output::json(&json!({ "key": file, "public": public }))?,
            Output::Table => output::line(format!(
                "{} signs and must stay secret; {} proves the seals: keep it where nobody who may change the database can change it",
                file.display(),
                public.display()
            )),
        }
        return Ok(Some(ExitCode::SUCCESS));
    }
    Ok(None)
}

pub(super) async fn run(app: &App, arguments: Arguments, output: Output) -> Result<ExitCode> {
    let Arguments { to, key, .. } = arguments;
    let (Some(to), Some(key)) = (to, key) else { bail!("say where the seal goes with --to, and sign it with --key") };
    let signer = Signer::read(&key)?;
    let chains = match to.starts_with("https://") || to.starts_with("http://") {
        true => {
            let (text, chains) = write(app, &signer, Bounded(Vec::new())).await?;
            send(app, &to, text.0).await?;
            chains
        }
        false => to_file(app, &signer, Path::new(&to)).await?,
    };
    match output {
        Output::Json => output::json(&json!({ "chains": chains, "to": shown(&to) }))?,
        Output::Table => output::line(format!("sealed {chains} chains to {}", shown(&to))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a seal went. The path and the query of an address may hold its secret.
fn shown(to: &str) -> String {
    crate::outgoing::target(to).unwrap_or_else(|| to.to_owned())
}

/// Writes the heads of all chains.
async fn write<W: Write>(app: &App, signer: &Signer, out: W) -> Result<(W, u64)> {
    let mut conn = app.store.background().await?;
    let now = app.store.probe().await?.now;
    let mut writer = SealWriter::begin(out, now)?;
    let (mut after, mut chains, mut progress) = (Uuid::nil(), 0_usize, Progress::new());
    loop {
        let heads = history::heads(&mut conn, after, CHAINS_MAX).await?;
        let full = heads.len() as i64 == CHAINS_MAX;
        chains += heads.len();
        for head in heads {
            after = head.instance.0;
            writer.add(head)?;
        }
        if !full {
            break;
        }
        progress.show(|| format!("sealed {chains} chains"));
    }
    writer.end(signer)
}

/// The file appears under its name when it is whole.
async fn to_file(app: &App, signer: &Signer, to: &Path) -> Result<u64> {
    let cannot = || format!("{} cannot be written", to.display());
    if to.exists() {
        bail!("{} exists: a seal is never overwritten", to.display());
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let out = BufWriter::new(File::create(&part).with_context(cannot)?);
    let (out, chains) = write(app, signer, out).await?;
    out.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all()).with_context(cannot)?;
    fs::rename(&part, to).with_context(cannot)?;
    Ok(chains)
}

/// What is sent at once is held in memory.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > SENT_MAX {
            let why = format!("the seal has more than {SENT_MAX} bytes: write it to a file, and bring that outside");
            return Err(std::io::Error::other(why));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn send(app: &App, url: &str, body: Vec<u8>) -> Result<()> {
    let mut settings = app.config.outgoing.clone();
    settings.request_max = SENT_MAX;
    let client = Client::new(&settings, app.clock.clone()).map_err(anyhow::Error::msg)?;
    let request = Request {
        method: "PUT".into(),
        url: url.into(),
        headers: vec![("content-type".into(), "application/x-ndjson".into())],
        body: Some(body),
        timeout: None,
        response_max: RESPONSE_MAX,
    };
    match client.send(request).await {
        Ok(response) if (200..300).contains(&response.status) => Ok(()),
        Ok(response) => bail!("{} answered with status {}: the seal is not there", shown(url), response.status),
        Err(error) => bail!("the seal was not sent: {error:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_has_a_limit_and_its_address_is_not_shown_whole() {
        let mut out = Bounded(Vec::new());
        out.write_all(&vec![0; SENT_MAX]).unwrap();
        assert!(out.write_all(b"x").unwrap_err().to_string().contains("write it to a file"));
        assert_eq!(shown("https://seals.example.org/put?signature=abc"), "https://seals.example.org:443");
        assert_eq!(shown("seal.jsonl"), "seal.jsonl");
    }
}
