//! The private PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::process::{Launch, Process, tail, wait_until};
use super::programs::{Account, postgres_directory};
use super::state::State;
use super::{Profile, place};

/// The superuser and the first database.
pub(super) const NAME: &str = "leveret";
/// The user of the Debian package.
pub(super) const USER: &str = "postgres";
/// The time limit for a start, including crash recovery.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The time limit for a stop, which writes a checkpoint.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Settings of both profiles: modest memory, loopback and no socket file (its path may be too long), enough connections for many
/// test processes at once.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=400",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "logging_collector=off",
];
/// For tests: without the guarantees that only a power cut would break. `synchronous_commit` stays on, because without it an
/// immediate stop loses acknowledged commits.
const TEST_SETTINGS: [&str; 2] = ["fsync=off", "full_page_writes=off"];

pub(super) fn data(state: &State) -> PathBuf {
    state.root.join("postgres")
}

fn log(state: &State) -> PathBuf {
    state.root.join("postgres.log")
}

/// Creates the data directory with its first database, unless it exists; atomically, by a rename.
pub(super) fn initialize(state: &State) -> Result<()> {
    let data = data(state);
    if data.exists() {
        return Ok(());
    }
    tracing::info!(data = %data.display(), "creating a PostgreSQL data directory");
    let account = Account::for_server_never_root(&state.system, USER)?;
    let draft = data.with_extension("draft");
    if draft.exists() {
        // Left by a process that was killed in between.
        fs::remove_dir_all(&draft)?;
    }
    place::create_for(&draft, account)?;
    let password = state.root.join("postgres.password");
    place::write_for(&password, &state.password, account)?;
    launch_of("initdb", initdb_arguments(state, &draft, &password), state, account)?.run("")?;
    fs::remove_file(&password)?;
    let single = ["--single", "-D", &draft.display().to_string(), "postgres"].map(str::to_owned).to_vec();
    launch_of("postgres", single, state, account)?.run(&format!("CREATE DATABASE {NAME}\n"))?;
    fs::rename(&draft, &data).with_context(|| format!("cannot create {}", data.display()))
}

fn initdb_arguments(state: &State, data: &Path, password: &Path) -> Vec<String> {
    let mut arguments = vec![
        format!("--pgdata={}", data.display()),
        format!("--username={NAME}"),
        format!("--pwfile={}", password.display()),
        "--auth=password".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C".to_owned(),
    ];
    match state.profile {
        Profile::Durable => {}
        Profile::Test => arguments.push("--no-sync".to_owned()),
    }
    arguments
}

/// Starts the server without waiting until it is ready.
pub(super) fn launch(state: &State) -> Result<Process> {
    let account = Account::for_server_never_root(&state.system, USER)?;
    let mut arguments = vec!["-D".to_owned(), data(state).display().to_string()];
    let port = format!("port={}", state.ports.postgres);
    let profile_settings: &[&str] = match state.profile {
        Profile::Durable => &[],
        Profile::Test => &TEST_SETTINGS,
    };
    for setting in SETTINGS.iter().chain(profile_settings).copied().chain([port.as_str()]) {
        arguments.extend(["-c".to_owned(), setting.to_owned()]);
    }
    tracing::info!(port = state.ports.postgres, "starting PostgreSQL");
    launch_of("postgres", arguments, state, account)?.spawn()
}

/// Waits until the server is ready, including crash recovery.
pub(super) fn await_ready(state: &State, process: Process) -> Result<()> {
    let ready = wait_until(READY_WITHIN, || is_ready(state, process) || !process.is_alive());
    if !ready || !process.is_alive() {
        process.stop(Signal::SIGQUIT, STOP_WITHIN)?;
        bail!("PostgreSQL did not start{}", tail(&log(state)));
    }
    Ok(())
}

/// Reads the readiness from the pid file, so that no connection is needed.
fn is_ready(state: &State, process: Process) -> bool {
    let text = fs::read_to_string(data(state).join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first().is_some_and(|pid| *pid == process.pid.to_string())
        && lines.get(7).is_some_and(|line| *line == "ready")
}

/// Stops the server fast: open connections are closed, commits are kept.
pub(super) fn stop(process: Process) -> Result<()> {
    process.stop(Signal::SIGINT, STOP_WITHIN)
}

/// Stops the server as a crash would; the next start recovers.
pub(super) fn stop_immediate(process: Process) -> Result<()> {
    process.stop(Signal::SIGQUIT, STOP_WITHIN)
}

fn launch_of(program: &str, arguments: Vec<String>, state: &State, account: Option<Account>) -> Result<Launch> {
    Ok(Launch {
        system: state.system.clone(),
        program: postgres_directory(&state.system)?.join(program),
        arguments,
        environment: Vec::new(),
        account,
        directory: state.root.clone(),
        log: log(state),
    })
}
