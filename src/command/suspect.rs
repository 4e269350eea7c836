//! Commands that may have ended the process that executed them. Each is counted before it is begun again, and forgotten when it ends:
//! so one that ends its process every time is counted every time, whatever its kind.

use sha2::{Digest, Sha256};

use crate::app::App;
use crate::store;
use crate::store::suspects::{self, Suspect};

/// SHA-256 of what makes a command the same command; each part with its length, so that they cannot run into each other.
pub fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Counts a command that is begun again, in a transaction of its own; returns how often it was. None if it was committed before: then the
/// crashes of the steps that follow are counted on the instance.
///
/// # Errors
/// Those of the database.
pub async fn suspect(app: &App, suspect: &Suspect) -> Result<Option<u32>, store::Error> {
    let mut conn = app.store.background().await?;
    suspects::count(&mut conn, suspect).await
}

/// Forgets a command that has ended. If that fails, a repetition begins with its count, and the cleaner forgets it.
pub async fn acquit(app: &App, id: &[u8; 32]) {
    let forgotten = async {
        let mut conn = app.store.background().await?;
        suspects::delete(&mut conn, id).await
    };
    if let Err(error) = forgotten.await {
        tracing::debug!(%error, "a command that has ended is still counted as a suspect");
    }
}

/// Why a command is given up that was begun so often.
pub fn verdict(what: &str, crashes: u32) -> String {
    format!("{crashes} workers ended while they executed {what}; it is not executed again (`worker.crash_max`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_eq!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"ab", b"c"]));
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_ne!(fingerprint(&[b"ab"]), fingerprint(&[b"ab", b""]));
    }
}
