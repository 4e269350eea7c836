//! Our program as a process of its own, to be stopped politely, killed, and looked at.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Fresh, listens};

/// The grace period of a polite stop, with what publishers and connections may take after it.
const STOP_FOR: Duration = Duration::from_secs(35);

/// `examples/orders`, the program with handlers of its own. Killed when it goes out of scope.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it against the test's database and prefix. `settings` are further environment variables, as `FAILPOINTS` or
    /// `LEVERET_WORKER__STRIDE_MAX`.
    pub(crate) fn start(fresh: &Fresh, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let log =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{:08x}.log", fresh.prefix, fastrand::u32(..)));
        let output = File::create(&log).unwrap();
        let mut command = Command::new(executable());
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        command.env_remove("FAILPOINTS").env_remove("LEVERET_DATABASE__URL").env_remove("LEVERET_BROKER__URL");
        command.env("DATABASE_URL", &fresh.database_url).env("AMQP_URL", &fresh.amqp_url);
        // Any free port: many programs run at once.
        command.env("LEVERET_BROKER__PREFIX", &fresh.prefix).env("LEVERET_HTTP__LISTEN", "127.0.0.1:0");
        command.envs(settings.iter().copied()).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", executable().display()));
        Self { child, log }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM: a polite request to end.
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
            Ok(status) => status.unwrap(),
            Err(_) => panic!("it still runs after {limit:?}; it said:\n{}", self.output()),
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Next to the directory of the test binary: both were built by the same command.
fn executable() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
    target.join("examples").join("orders")
}
