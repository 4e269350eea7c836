//! Where the programs of the servers come from: this machine, or the root of another Debian that `scripts/newer-servers` has made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use super::process::Launch;
use super::programs::Account;
use crate::config::Config;

/// Enters a root and becomes the program, under the same pid. The mounts are in a namespace of this process alone, so that none is left
/// behind; the data directory has the same path inside.
const ENTER: &str = r#"umask 022; root=$1; data=$2; user=$3; shift 3
mkdir -p "$root$data"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$data" "$root$data"
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env --chdir="$data" "$@""#;
const UNSHARE: &str = "/usr/bin/unshare";
/// The file by which `scripts/newer-servers` says that a root is complete.
const FACTS: &str = "leveret-servers";
/// The next step if there is no such root.
const REMEDY: &str = "make one as root with `scripts/newer-servers forky`, or unset SERVERS_ROOT";

/// A system whose programs are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum System {
    /// This machine.
    Host,
    /// The root of another Debian.
    Guest(PathBuf),
}

impl System {
    /// The system that `SERVERS_ROOT` names; without it this machine.
    pub(super) fn from_environment() -> Result<Self> {
        let Some(root) = Config::servers_root() else { return Ok(Self::Host) };
        if !root.is_absolute() || !root.join(FACTS).is_file() {
            bail!("SERVERS_ROOT={} is not the absolute path of a root with servers: {REMEDY}", root.display());
        }
        if !Uid::effective().is_root() {
            bail!("only root can start the servers of SERVERS_ROOT={}", root.display());
        }
        Ok(Self::Guest(root))
    }

    /// Where a path inside of the system is for us.
    pub(super) fn outside(&self, inside: &Path) -> PathBuf {
        match self {
            Self::Host => inside.to_owned(),
            Self::Guest(root) => root.join(inside.strip_prefix("/").unwrap_or(inside)),
        }
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Host => "this machine".to_owned(),
            Self::Guest(root) => root.display().to_string(),
        }
    }

    /// The user of the root with this name, by its own list of users.
    pub(super) fn account_in(root: &Path, name: &str) -> Result<Account> {
        let list = root.join("etc/passwd");
        let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        parse_account(&text, name).with_context(|| format!("{} has no user `{name}`: {REMEDY}", list.display()))
    }

    /// The command that becomes the program, without its environment.
    pub(super) fn command(&self, launch: &Launch) -> Command {
        match self {
            Self::Host => {
                let mut command = Command::new(&launch.program);
                command.args(&launch.arguments);
                command
            }
            Self::Guest(root) => {
                let Account { uid, gid } = launch.account.unwrap_or(Account { uid: 0, gid: 0 });
                let mut command = Command::new(UNSHARE);
                command.args(["--mount", "--propagation", "private", "--", "/bin/sh", "-ec", ENTER, "sh"]);
                command.arg(root).arg(&launch.directory).arg(format!("{uid}:{gid}"));
                command.arg(&launch.program).args(&launch.arguments);
                command
            }
        }
    }

    /// Deletes the empty mount point that a deleted data directory leaves in a root.
    pub(super) fn forget(&self, data: &Path) {
        match self {
            Self::Host => {}
            // It holds nothing: the data were mounted there.
            Self::Guest(_) => drop(fs::remove_dir(self.outside(data))),
        }
    }
}

fn parse_account(text: &str, name: &str) -> Option<Account> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some(Account { uid: numbers.next()?.ok()?, gid: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_inside_of_a_root_is_found_outside() {
        let guest = System::Guest("/var/cache/leveret/forky".into());
        assert_eq!(guest.outside(Path::new("/usr/bin")), Path::new("/var/cache/leveret/forky/usr/bin"));
        assert_eq!(System::Host.outside(Path::new("/usr/bin")), Path::new("/usr/bin"));
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let text = "postgres2:x:1:2::/:/bin/sh\npostgres:x:101:102:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(parse_account(text, "postgres"), Some(Account { uid: 101, gid: 102 }));
        assert_eq!(parse_account(text, "rabbitmq"), None);
    }
}
