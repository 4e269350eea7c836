//! Our program as a process: started, stopped, killed, and read.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::command_line::listens;
use super::output::Output;
use crate::support::{Fresh, SOON};

/// The grace period of a stop, and what publishers and connections may take after it.
const STOP_FOR: Duration = Duration::from_secs(35);

/// `examples/orders`, the program with the handlers of the shop. Killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    output: Output,
}

impl Program {
    /// Starts it against the test's database and prefix. `settings` are further environment variables, as `FAILPOINTS` or
    /// `LEVERET_WORKER__STEPS_PER_DELIVERY_MAX`.
    pub(crate) fn start(fresh: &Fresh, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(executable());
        command.args(arguments);
        command.env_remove("FAILPOINTS").env_remove("LEVERET_DATABASE__URL").env_remove("LEVERET_BROKER__URL");
        command.env("DATABASE_URL", &fresh.database_url).env("AMQP_URL", &fresh.amqp_url);
        // Any free port: many programs run at once.
        command.env("LEVERET_BROKER__PREFIX", &fresh.prefix).env("LEVERET_HTTP__LISTEN", "127.0.0.1:0");
        command.envs(settings.iter().copied());
        let (child, output) = Output::of(command);
        Self { child, output }
    }

    /// Waits until it serves, and says where its HTTP API listens if it has one.
    pub(crate) async fn serves(&self) -> Option<String> {
        self.says("leveret runs", SOON).await;
        self.address()
    }

    /// Waits until it has written these words.
    pub(crate) async fn says(&self, words: &str, limit: Duration) {
        self.output.says(words, limit).await;
    }

    /// SIGKILL, and waits for its end.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM: asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Any signal: SIGSTOP freezes it, SIGCONT wakes it.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it has ended already");
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    /// Waits until a fail point has killed it, and proves that it was this one: a fault that did not fire proves nothing.
    pub(crate) async fn dies_at(&mut self, point: &str, limit: Duration) {
        let status = self.wait_within(limit).await;
        let output = self.output();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}; it said:\n{output}");
        assert!(output.contains("killed at a fail point") && output.contains(point), "not at {point}:\n{output}");
    }

    /// Asks it to end, and proves that it did in order.
    pub(crate) async fn stops_in_order(&mut self) {
        self.terminate();
        let status = self.wait_within(STOP_FOR).await;
        assert_eq!(status.code(), Some(0), "{status}; it said:\n{}", self.output());
    }

    /// Where its HTTP API listens, once it says so.
    pub(crate) fn address(&self) -> Option<String> {
        listens(&self.output())
    }

    /// Waits for its end; fails the test, with its output, if that takes longer.
    pub(crate) async fn wait_within(&mut self, limit: Duration) -> ExitStatus {
        match timeout(limit, self.child.wait()).await {
            Ok(status) => {
                self.output.ends().await;
                status.unwrap()
            }
            Err(_) => panic!("it still runs after {limit:?}; it said:\n{}", self.output()),
        }
    }

    /// The memory it has now, in bytes.
    pub(crate) fn memory_now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory it had since it began, or since this was forgotten.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Begins to measure its memory anew.
    pub(crate) fn forget_memory_peak(&self) {
        std::fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let found = status.lines().find_map(|other| other.strip_prefix(line)).expect("a line of the memory");
        let kibibytes: u64 = found.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id().expect("it has ended already"))
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }
}

/// Next to the directory of the test binary: both were built by the same command.
fn executable() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
    target.join("examples").join("orders")
}
