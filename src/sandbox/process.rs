//! Server processes that outlive the process that starts them, identified by pid and start time.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::programs::Account;
use super::system::System;

/// The pause between two checks of a process or port.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// The length of the log quoted in an error message, in bytes.
const TAIL_MAX: usize = 2_000;

/// A process. The start time (ticks since boot) distinguishes it from a later process with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) started: u64,
}

/// Returns these processes and their children.
pub(super) fn families(parents: Vec<u32>) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in parentheses: the state, then the parent.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children: Vec<u32> =
        pids.filter(|pid| parent_of(*pid).is_some_and(|parent| parents.contains(&parent))).collect();
    parents.into_iter().chain(children).collect()
}

/// A program with its arguments, environment and user.
pub(super) struct Launch {
    /// Where the program is; its path is one inside.
    pub(super) system: System,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) account: Option<Account>,
    pub(super) directory: PathBuf,
    pub(super) log: PathBuf,
}

impl Launch {
    /// The command: as its own user, with a clean environment, so that no settings of the caller leak in.
    pub(super) fn command(&self) -> Command {
        let mut command = self.system.command(self);
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        match (&self.system, self.account) {
            (System::Host, Some(account)) => {
                command.uid(account.uid).gid(account.gid);
            }
            // The command changes the user itself, after it has entered the root.
            (System::Host, None) | (System::Guest(_), _) => {}
        }
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    /// Starts it detached: output to its log, in its own process group, so that Ctrl-C does not stop it.
    pub(super) fn spawn(&self) -> Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = self.command();
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let pid = i32::try_from(child.id())?;
        Process::find(pid).with_context(|| format!("{} exited at once{}", self.program.display(), tail(&self.log)))
    }

    /// Runs it to its end, with this text as standard input.
    pub(super) fn run(&self, input: &str) -> Result<()> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed ({}): {}", self.program.display(), output.status, errors.trim());
        }
        Ok(())
    }
}

impl Process {
    /// The live process with this pid.
    pub(super) fn find(pid: i32) -> Option<Self> {
        let (state, started) = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        // Reaps it if it is our child; otherwise this fails without effect.
        let _ = waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
        Self::find(self.pid) == Some(self)
    }

    /// Sends a signal.
    pub(super) fn signal(self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid), signal).with_context(|| format!("cannot signal process {}", self.pid))
    }

    /// Sends a signal, after `patience` SIGKILL, and waits for the end.
    pub(super) fn stop(self, signal: Signal, patience: Duration) -> Result<()> {
        for (signal, patience) in [(signal, patience), (Signal::SIGKILL, Duration::from_secs(10))] {
            if !self.is_alive() {
                return Ok(());
            }
            // It may end between the check and the signal.
            let _ = kill(Pid::from_raw(self.pid), signal);
            if wait_until(patience, || !self.is_alive()) {
                return Ok(());
            }
        }
        bail!("process {} did not end after SIGKILL", self.pid)
    }
}

/// State and start time from `/proc/<pid>/stat`. The program's name may contain blanks and brackets: count from its end.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Polls a condition until it holds; false when the time is over.
pub(super) fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            return false;
        }
        thread::sleep(POLL_EVERY);
    }
    true
}

/// The end of a log, to append to an error message.
pub(super) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let end = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_MAX)..]);
    format!("; the end of {}:\n{}", log.display(), end.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_parsed_even_if_the_name_contains_brackets() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        assert_eq!(parse_stat(&format!("7 (a) R (b) S {}", fields.join(" "))), Some(('S', 22)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let me = Process::find(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        assert!(!Process { started: me.started + 1, ..me }.is_alive());
    }

    #[test]
    fn a_stopped_child_is_no_longer_alive() {
        let launch = Launch {
            system: System::Host,
            program: "/bin/sleep".into(),
            arguments: vec!["60".into()],
            environment: vec![],
            account: None,
            directory: std::env::temp_dir(),
            log: "/dev/null".into(),
        };
        let process = launch.spawn().unwrap();
        assert!(process.is_alive());
        process.stop(Signal::SIGTERM, Duration::from_secs(5)).unwrap();
        assert!(!process.is_alive());
    }
}
