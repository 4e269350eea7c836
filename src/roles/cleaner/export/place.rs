//! The folder or the bucket that history goes to.

use std::path::Path;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use super::Error;
use super::requests::Requests;
use crate::app::App;
use crate::config::{Export, ExportPlace};
use crate::link::secret;

/// Repetitions of a request to a bucket; a pass that fails is repeated too.
const RETRIES_MAX: usize = 3;

/// The place, if history is exported.
///
/// # Errors
/// `Place` if it cannot be used.
pub fn open(app: &App) -> Result<Option<Arc<dyn ObjectStore>>, Error> {
    let export = &app.config.export;
    Ok(match export.place() {
        ExportPlace::None => None,
        ExportPlace::Folder(folder) => Some(Arc::new(self::folder(Path::new(folder))?)),
        ExportPlace::Bucket { name, prefix } => Some(bucket(app, export, name, prefix)?),
    })
}

/// It must exist: a folder that is made where a disk is not mounted would look like an export.
fn folder(path: &Path) -> Result<LocalFileSystem, Error> {
    if !path.is_dir() {
        return Err(Error::Place(format!("{} is not a folder: create it, or mount it", path.display())));
    }
    Ok(LocalFileSystem::new_with_prefix(path)?.with_fsync(true))
}

fn bucket(app: &App, export: &Export, name: &str, prefix: &str) -> Result<Arc<dyn ObjectStore>, Error> {
    let secret = secret::read(Path::new(&export.secret_key_file)).map_err(Error::Place)?;
    let requests = Requests::new(&app.config.outgoing, app.clock.clone()).map_err(Error::Place)?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&export.region)
        .with_access_key_id(&export.access_key_id)
        .with_secret_access_key(secret)
        .with_retry(RetryConfig { max_retries: RETRIES_MAX, ..RetryConfig::default() })
        .with_http_connector(requests);
    if !export.endpoint.is_empty() {
        builder = builder.with_endpoint(&export.endpoint).with_allow_http(export.endpoint.starts_with("http://"));
    }
    let store = builder.build()?;
    Ok(if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}
