//! One file of an export: written line by line, read back, and described by its manifest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_compression::tokio::write::ZstdEncoder;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::Error;
use crate::app::App;
use crate::contract::json as writer;
use crate::engine::InstanceId;
use crate::store::exports::{self, Claim, File};
use crate::store::{self, history};

/// Rows of history that are read at once: the details of one may have a MiB.
const ROWS_MAX: i64 = 200;
/// Bytes that are sent at once: a smaller file is sent whole.
const PART: usize = 8 * 1024 * 1024;
/// Bytes that are read back at once.
const READ_MAX: u64 = 4 * 1024 * 1024;

/// The name of the file of an export, below the month in which it was made.
fn name(claim: &Claim) -> String {
    let made = claim.id.get_timestamp().and_then(|at| {
        let (seconds, _) = at.to_unix();
        jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
    });
    let month = made.unwrap_or_default().strftime("%Y-%m");
    format!("history/{month}/{}", claim.id)
}

/// Writes the file. None if another process has taken the export over meanwhile.
pub(super) async fn write(
    app: &App,
    place: &Arc<dyn ObjectStore>,
    claim: &Claim,
    hold_for: Duration,
) -> Result<Option<File>, Error> {
    let name = format!("{}.jsonl.zst", name(claim));
    let upload = BufWriter::with_capacity(place.clone(), Path::from(name.as_str()), PART);
    let mut out = ZstdEncoder::new(Hashed { out: upload, digest: Sha256::new(), bytes: 0 });
    let rows = match lines(app, &mut out, claim, hold_for).await {
        Ok(Some(rows)) => rows,
        stopped => {
            // What was sent of it is thrown away.
            if let Err(error) = out.get_mut().out.abort().await {
                tracing::debug!(%error, "an export that was given up could not be removed");
            }
            return stopped.map(|_| None);
        }
    };
    out.shutdown().await?;
    let Hashed { digest, bytes, .. } = out.into_inner();
    Ok(Some(File { name, rows, bytes, sha256: digest.finalize().into() }))
}

/// Writes the lines of all instances; returns the number of rows. None if the export was taken over.
async fn lines(
    app: &App,
    out: &mut (impl AsyncWrite + Unpin),
    claim: &Claim,
    hold_for: Duration,
) -> Result<Option<u64>, Error> {
    let (mut rows, mut held_at) = (0, Instant::now());
    for id in &claim.instances {
        if held_at.elapsed() > hold_for / 3 {
            held_at = Instant::now();
            if !exports::hold(&mut *app.store.background().await?, claim.id, hold_for).await? {
                return Ok(None);
            }
        }
        rows += instance(app, out, *id).await?;
    }
    Ok(Some(rows))
}

async fn instance(app: &App, out: &mut (impl AsyncWrite + Unpin), id: InstanceId) -> Result<u64, Error> {
    let mut conn = app.store.background().await?;
    let Some(head) = exports::instance(&mut conn, id).await? else { return Ok(0) };
    drop(conn);
    line(out, &head).await?;
    let (mut rows, mut after) = (0, 0);
    loop {
        let mut conn = app.store.background().await?;
        let page = history::list(&mut conn, id, after, ROWS_MAX).await?;
        drop(conn);
        for row in &page {
            after = row.number;
            rows += 1;
            line(out, &exports::line(id, row)).await?;
        }
        if page.len() < ROWS_MAX as usize {
            return Ok(rows);
        }
    }
}

async fn line(out: &mut (impl AsyncWrite + Unpin), value: &Value) -> Result<(), Error> {
    let mut bytes =
        writer::bytes(value).map_err(|error| store::Error::Bug(format!("a line cannot be written: {error}")))?;
    bytes.push(b'\n');
    Ok(out.write_all(&bytes).await?)
}

/// Reads the file back, in parts, and compares it.
pub(super) async fn verify(place: &Arc<dyn ObjectStore>, file: &File) -> Result<(), Error> {
    let path = Path::from(file.name.as_str());
    let size = place.head(&path).await?.size;
    let mut digest = Sha256::new();
    let mut at = 0;
    while at < size.min(file.bytes) {
        let end = size.min(at + READ_MAX);
        digest.update(place.get_range(&path, at..end).await?);
        at = end;
    }
    if size != file.bytes || digest.finalize().as_slice() != file.sha256 {
        return Err(Error::Place(format!("`{}` is not as it was written", file.name)));
    }
    Ok(())
}

/// Describes the file. A file without a manifest was not finished, and counts for nothing.
pub(super) async fn write_manifest(place: &Arc<dyn ObjectStore>, claim: &Claim, file: &File) -> Result<(), Error> {
    let manifest = json!({
        "kind": "leveret history", "format": 1, "export": claim.id, "file": file.name, "compression": "zstd",
        "instances": claim.instances.len(), "rows": file.rows, "bytes": file.bytes, "sha256": hex::encode(file.sha256),
        "first_instance": claim.instances.first(), "last_instance": claim.instances.last(),
    });
    let path = Path::from(format!("{}.manifest.json", name(claim)));
    let text = format!("{manifest}\n");
    place.put(&path, text.into_bytes().into()).await?;
    Ok(())
}

/// Counts and hashes what passes through.
struct Hashed {
    out: BufWriter,
    digest: Sha256,
    bytes: u64,
}

impl AsyncWrite for Hashed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.out).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.digest.update(&bytes[..*count]);
            self.bytes += *count as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.out).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.out).poll_shutdown(context)
    }
}
