//! The state file of running servers, with which later processes find them and `make clean` stops them.

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
use super::system::System;

/// How long another process may hold the lock: several times a cold start on a slow machine.
const LOCK_FOR: Duration = Duration::from_secs(240);
/// Ports of the servers: below the ephemeral range of outgoing connections, so that a restarted server finds its port free.
const PORTS: std::ops::Range<u16> = 21_000..31_000;
/// The most attempts to find free ports.
const PORT_TRIES_MAX: usize = 200;

/// The content of the state file: `key=value` lines, which `scripts/stop-servers` also reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) profile: Profile,
    /// Where their programs come from.
    pub(super) system: System,
    /// The data directory.
    pub(super) root: PathBuf,
    /// The password of the user `leveret` of both servers: they listen on loopback, but the machine may have other users.
    pub(super) password: String,
    pub(super) ports: Ports,
    pub(super) postgres: Option<Process>,
    pub(super) rabbitmq: Option<Process>,
    pub(super) epmd: Option<Process>,
    /// The broker was started and is not known to be ready.
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
    /// Chooses free ports.
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

    /// Whether all of them are still free.
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

    /// Reads the state file; none if it does not exist.
    pub(super) fn load(directory: &Path) -> Result<Option<Self>> {
        let path = Self::path(directory);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let state = Self::parse(&text)
            .with_context(|| format!("{} is damaged: stop the servers and delete it", path.display()))?;
        Ok(Some(state))
    }

    /// Writes the state file atomically.
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
        if let System::Guest(root) = &self.system {
            text += &format!("servers_root={}\n", root.display());
        }
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
            profile: Profile::parse(facts.get("profile")?)?,
            system: facts.get("servers_root").map_or(System::Host, |root| System::Guest(PathBuf::from(root))),
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

/// Locks the directory until the file is dropped: of many processes, one starts the servers.
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
        None => bail!("another process has locked {} for more than {LOCK_FOR:?}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_writing_and_reading() {
        let state = State {
            profile: Profile::Test,
            system: System::Guest("/var/cache/leveret/forky".into()),
            root: "/var/lib/leveret a=b".into(),
            password: "secret".into(),
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
    fn chosen_ports_are_distinct() {
        let Ports { postgres, amqp, distribution, epmd } = Ports::choose().unwrap();
        let distinct: std::collections::BTreeSet<u16> = [postgres, amqp, distribution, epmd].into();
        assert_eq!(distinct.len(), 4);
    }
}
