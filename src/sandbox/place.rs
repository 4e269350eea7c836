//! The location of the servers' data: in the requested directory, unless the servers' users cannot enter it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use sha2::{Digest, Sha256};

use super::programs::Account;

/// The prefix of data directories elsewhere; nothing else is ever deleted outside the requested directory.
const ELSEWHERE: &str = "leveret-";

/// A short, stable name for a path.
pub(super) fn fingerprint(path: &Path) -> String {
    hex::encode(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..6])
}

/// Chooses the data directory of servers that run as these users.
pub(super) fn choose_root(directory: &Path, accounts: &[Account]) -> Result<PathBuf> {
    if accounts.iter().all(|account| can_enter(directory, *account)) {
        return Ok(directory.to_owned());
    }
    let name = format!("{ELSEWHERE}{}", fingerprint(directory));
    let root = [PathBuf::from("/var/lib"), std::env::temp_dir()]
        .into_iter()
        .find(|parent| accounts.iter().all(|account| can_enter(parent, *account)))
        .with_context(|| {
            format!("the servers' users cannot enter {}, /var/lib or the temporary directory", directory.display())
        })?
        .join(name);
    create_for(&root, None)?;
    tracing::info!(directory = %directory.display(), root = %root.display(), "using another data directory: the servers' users cannot enter this one");
    Ok(root)
}

/// Whether a user may pass through every directory up to and including this one.
fn can_enter(directory: &Path, account: Account) -> bool {
    directory.ancestors().all(|ancestor| {
        fs::metadata(ancestor).is_ok_and(|found| {
            let bit = match (found.uid() == account.uid, found.gid() == account.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            found.mode() & bit != 0
        })
    })
}

/// Creates a directory, unless it exists, that only the server's user owns.
pub(super) fn create_for(directory: &Path, account: Option<Account>) -> Result<()> {
    let mode = if account.is_some() { 0o700 } else { 0o755 };
    match fs::DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {}", directory.display()));
        }
        Ok(()) | Err(_) => {}
    }
    // In a world-writable directory another user may have created it first.
    let owner = fs::symlink_metadata(directory)?.uid();
    if owner != Uid::effective().as_raw() && account.is_none_or(|account| account.uid != owner) {
        bail!("{} belongs to another user", directory.display());
    }
    give_to(directory, account)
}

/// Writes a small file that only the server's user may read.
pub(super) fn write_for(path: &Path, text: &str, account: Option<Account>) -> Result<()> {
    // A cookie is read-only and may exist already.
    let _ = fs::remove_file(path);
    // Created with its mode, and only if nothing is there: nobody else can open it in between, or have put a link in its place.
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    give_to(path, account)
}

fn give_to(path: &Path, account: Option<Account>) -> Result<()> {
    if let Some(Account { uid, gid }) = account {
        chown(path, Some(uid), Some(gid)).with_context(|| format!("cannot change the owner of {}", path.display()))?;
    }
    Ok(())
}

/// Deletes the data and the directory.
pub(super) fn remove(directory: &Path, root: &Path) -> Result<()> {
    let is_elsewhere = root != directory;
    let is_named = root.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(ELSEWHERE));
    for (path, wanted) in [(root, is_elsewhere && is_named), (directory, true)] {
        if wanted && path.exists() {
            fs::remove_dir_all(path).with_context(|| format!("cannot delete {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A second thread opens the file as soon as it exists: what it can open it could read.
    #[test]
    fn a_secret_file_never_has_another_mode_than_its_own() {
        let directory = std::env::temp_dir().join(format!("leveret-place-{:016x}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("cookie");
        let done = std::sync::atomic::AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut seen = std::collections::BTreeSet::new();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    seen.extend(fs::metadata(&path).ok().map(|found| found.mode() & 0o777));
                }
                seen
            });
            for round in 0..2_000 {
                write_for(&path, &format!("secret {round}"), None).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            watching.join().unwrap()
        });
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0o400]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret 1999");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_directory_inside_a_closed_one_cannot_be_entered() {
        let parent = std::env::temp_dir().join(format!("leveret-place-{:016x}", fastrand::u64(..)));
        let inside = parent.join("inside");
        fs::create_dir_all(&inside).unwrap();
        let other = Account { uid: 4_000_000, gid: 4_000_000 };
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(can_enter(&inside, other));
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!can_enter(&inside, other));
        fs::remove_dir_all(&parent).unwrap();
    }
}
