//! What is remembered about running servers, so that later processes find them and `make clean` can stop them.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Profile;
use super::process::{Process, wait_until};

/// How long somebody else may hold the directory: the time of a cold start on a slow machine, several times over.
const LOCK_FOR: Duration = Duration::from_secs(240);
/// Ports are taken from here: below the range from which systems give ports to outgoing connections, so that a server
/// which is stopped and started finds its port free.
const PORTS: std::ops::Range<u16> = 21_000..31_000;
/// Tries to find a free one.
const PORT_TRIES_MAX: usize = 200;

/// The remembered facts. Written as `key=value` lines, which `scripts/stop-servers` reads as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) profile: Profile,
    /// Where the data lies.
    pub(super) root: PathBuf,
    /// Of both servers' user `leveret`: they listen on loopback, but a machine may have other users.
    pub(super) password: String,
    pub(super) ports: Ports,
    pub(super) postgres: Option<Process>,
    pub(super) rabbitmq: Option<Process>,
    pub(super) epmd: Option<Process>,
    /// The broker was started and nobody has seen it answer yet.
    pub(super) is_booting: bool,
}

/// Loopback ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) postgres: u16,
    pub(super) amqp: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

impl Ports {
    /// Ports that are free now.
    pub(super) fn choose() -> Result<Self> {
        let mut found: Vec<u16> = Vec::new();
        for _ in 0..PORT_TRIES_MAX {
            let port = fastrand::u16(PORTS);
            if !found.contains(&port) && is_free(port) {
                found.push(port);
            }
            if let [postgres, amqp, distribution, epmd] = found[..] {
                return Ok(Self { postgres, amqp, distribution, epmd });
            }
        }
        bail!("no free loopback ports between {} and {}", PORTS.start, PORTS.end)
    }

    /// Whether nobody has taken one of them since.
    pub(super) fn are_free(self) -> bool {
        [self.postgres, self.amqp, self.distribution, self.epmd].into_iter().all(is_free)
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

impl State {
    fn path(directory: &Path) -> PathBuf {
        directory.join("servers.state")
    }

    /// Reads it; none if nothing was ever started here.
    pub(super) fn load(directory: &Path) -> Result<Option<Self>> {
        let path = Self::path(directory);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let state = Self::parse(&text).with_context(|| format!("{} is damaged: delete it", path.display()))?;
        Ok(Some(state))
    }

    /// Writes it, whole or not at all.
    pub(super) fn save(&self, directory: &Path) -> Result<()> {
        let path = Self::path(directory);
        let draft = path.with_extension("draft");
        let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(self.render().as_bytes())?;
        fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn render(&self) -> String {
        let Ports { postgres, amqp, distribution, epmd } = self.ports;
        let mut text = format!(
            "profile={}\nroot={}\npassword={}\npostgres_port={postgres}\namqp_port={amqp}\n\
             distribution_port={distribution}\nepmd_port={epmd}\n",
            self.profile.name(),
            self.root.display(),
            self.password,
        );
        for (name, process) in [("postgres", self.postgres), ("rabbitmq", self.rabbitmq), ("epmd", self.epmd)] {
            if let Some(Process { pid, started }) = process {
                text += &format!("{name}_pid={pid}\n{name}_started={started}\n");
            }
        }
        if self.is_booting {
            text += "booting=yes\n";
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let facts: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let port = |name: &str| facts.get(name)?.parse().ok();
        let process = |pid: &str, started: &str| {
            Some(Process { pid: facts.get(pid)?.parse().ok()?, started: facts.get(started)?.parse().ok()? })
        };
        Some(Self {
            profile: Profile::named(facts.get("profile")?)?,
            root: PathBuf::from(facts.get("root")?),
            password: (*facts.get("password")?).to_owned(),
            ports: Ports {
                postgres: port("postgres_port")?,
                amqp: port("amqp_port")?,
                distribution: port("distribution_port")?,
                epmd: port("epmd_port")?,
            },
            postgres: process("postgres_pid", "postgres_started"),
            rabbitmq: process("rabbitmq_pid", "rabbitmq_started"),
            epmd: process("epmd_pid", "epmd_started"),
            is_booting: facts.contains_key("booting"),
        })
    }
}

/// Takes the directory for us alone until the file is dropped: of many processes that race, one starts the servers.
pub(super) fn lock(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let mut failure = None;
    let done = wait_until(LOCK_FOR, || match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            failure = Some(error);
            true
        }
    });
    match failure {
        Some(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        None if done => Ok(file),
        None => bail!("somebody holds {} for more than {LOCK_FOR:?}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let state = State {
            profile: Profile::Test,
            root: "/var/lib/leveret a=b".into(),
            password: "geheim".into(),
            ports: Ports { postgres: 1, amqp: 2, distribution: 3, epmd: 4 },
            postgres: Some(Process { pid: 5, started: 6 }),
            rabbitmq: None,
            epmd: Some(Process { pid: 7, started: 8 }),
            is_booting: true,
        };
        assert_eq!(State::parse(&state.render()), Some(state));
        assert_eq!(State::parse("profile=test"), None);
    }

    #[test]
    fn chosen_ports_are_four_different_ones() {
        let Ports { postgres, amqp, distribution, epmd } = Ports::choose().unwrap();
        let distinct: std::collections::BTreeSet<u16> = [postgres, amqp, distribution, epmd].into();
        assert_eq!(distinct.len(), 4);
    }
}
