//! The location of the servers' data: in the requested directory, unless the servers' users cannot enter it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
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
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o400))?;
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
    use super::*;

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
