//! The private RabbitMQ: with its own node name, cookie, name server and ports, isolated from other nodes on the machine.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::place;
use super::process::{Launch, Process, tail, wait_until};
use super::programs::{Account, epmd, rabbitmq_server};
use super::state::State;

/// The user of the broker.
pub(super) const NAME: &str = "leveret";
/// The user of the Debian package.
pub(super) const USER: &str = "rabbitmq";
/// The time limit for a start: Erlang boots slowly on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// The protocol header a client sends first; a ready broker answers with a method frame, whose first byte is 1.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Files with what a test adds to the settings and to the plugins.
pub(super) const MORE_SETTINGS: &str = "more.conf";
pub(super) const MORE_PLUGINS: &str = "more.plugins";

/// Two schedulers without busy waiting, distribution on loopback, and no name server, because the sandbox starts one.
const ERLANG: &str = "+S 2:2 +sbwt none +A 16 -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false";

pub(super) fn home(state: &State) -> PathBuf {
    state.root.join("rabbitmq")
}

fn data(state: &State) -> PathBuf {
    home(state).join("data")
}

fn log(state: &State) -> PathBuf {
    state.root.join("rabbitmq.log")
}

/// The broker and its name server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    pub(super) epmd: Process,
    pub(super) server: Process,
}

/// Starts the node without waiting until it is ready.
pub(super) fn launch(state: &State) -> Result<Started> {
    tracing::info!(port = state.ports.amqp, "starting RabbitMQ");
    let account = Account::for_server(&state.system, USER)?;
    let server = rabbitmq_server(&state.system)?;
    write_settings(state, account)?;
    let name_server = Launch {
        system: state.system.clone(),
        program: epmd(&state.system)?,
        arguments: ["-port", &state.ports.epmd.to_string(), "-address", "127.0.0.1"].map(str::to_owned).to_vec(),
        environment: Vec::new(),
        account,
        directory: state.root.clone(),
        log: state.root.join("epmd.log"),
    };
    let epmd = match state.epmd.filter(|process| process.is_alive()) {
        Some(running) => running,
        None => name_server.spawn()?,
    };
    let node = Launch {
        system: state.system.clone(),
        program: server,
        arguments: Vec::new(),
        environment: environment(state),
        account,
        directory: state.root.clone(),
        log: log(state),
    };
    match node.spawn() {
        Ok(server) => Ok(Started { epmd, server }),
        Err(error) => {
            epmd.stop(Signal::SIGTERM, STOP_WITHIN)?;
            Err(error)
        }
    }
}

/// Waits until the broker is ready.
pub(super) fn await_ready(state: &State, server: Process) -> Result<()> {
    let ready = wait_until(READY_WITHIN, || answers(state.ports.amqp) || !server.is_alive());
    if !ready || !server.is_alive() {
        stop(server)?;
        bail!("RabbitMQ did not start{}", tail(&log(state)));
    }
    Ok(())
}

/// Whether a broker answers on this port.
fn answers(port: u16) -> bool {
    let mut first = [0; 1];
    let mut greet = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(GREETING)?;
        stream.read_exact(&mut first)
    };
    greet().is_ok() && first == [1]
}

/// Stops the node or its name server.
pub(super) fn stop(process: Process) -> Result<()> {
    process.stop(Signal::SIGTERM, STOP_WITHIN)
}

/// Stops the node as a crash would.
pub(super) fn kill(server: Process) -> Result<()> {
    server.stop(Signal::SIGKILL, STOP_WITHIN)
}

/// Runs `rabbitmqctl` on the node.
pub(super) fn control(state: &State, arguments: &[&str]) -> Result<()> {
    let tool = Launch {
        system: state.system.clone(),
        program: rabbitmq_server(&state.system)?.with_file_name("rabbitmqctl"),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: environment(state),
        account: Account::for_server(&state.system, USER)?,
        directory: state.root.clone(),
        log: log(state),
    };
    tool.run("")
}

/// Deletes every queue, message and user.
pub(super) fn wipe(state: &State) -> Result<()> {
    let data = data(state);
    fs::remove_dir_all(&data).with_context(|| format!("cannot delete {}", data.display()))
}

fn write_settings(state: &State, account: Option<Account>) -> Result<()> {
    let home = home(state);
    place::create_for(&home, account)?;
    place::create_for(&data(state), account)?;
    // The Raft log is held in memory up to this size; the default of 512 MB is too much for tests.
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\ndefault_user = {NAME}\ndefault_pass = {}\n\
         log.console = true\nlog.console.level = warning\nlog.file = false\n\
         raft.wal_max_size_bytes = 67108864\ndisk_free_limit.absolute = 50MB\n",
        state.ports.amqp, state.password,
    );
    // What a test has added.
    let more = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
    let (settings, plugins) = (settings + &more(MORE_SETTINGS), more(MORE_PLUGINS));
    place::write_for(&home.join("rabbitmq.conf"), &settings, account)?;
    place::write_for(&home.join("enabled_plugins"), &format!("[{plugins}].\n"), account)?;
    place::write_for(&home.join("rabbitmq-env.conf"), "", account)?;
    place::write_for(&home.join(".erlang.cookie"), &state.password, account)
}

/// Overrides every path and name that RabbitMQ would take from the machine.
fn environment(state: &State) -> Vec<(&'static str, String)> {
    let home = home(state);
    let path = |name: &str| home.join(name).display().to_string();
    vec![
        ("HOME", home.display().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("ERL_EPMD_PORT", state.ports.epmd.to_string()),
        ("RABBITMQ_NODENAME", node_name(&state.root)),
        ("RABBITMQ_DIST_PORT", state.ports.distribution.to_string()),
        ("RABBITMQ_MNESIA_BASE", data(state).display().to_string()),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_LOGS", "-".into()),
        ("RABBITMQ_PID_FILE", path("pid")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
        ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG.into()),
        // Without this the script stays the parent of the node, and the pid would be that of the script.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
    ]
}

fn node_name(root: &Path) -> String {
    format!("leveret-{}@localhost", place::fingerprint(root))
}
