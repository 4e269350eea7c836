//! A real PgBouncer in transaction mode: this machine's, or that of the root which `SERVERS_ROOT` names.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use leveret::config::{Config, variable};
use nix::unistd::Uid;

/// It takes connections within this.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Another process may take the port that was free.
const STARTS_MAX: usize = 3;
/// The user of Debian's package.
const USER: &str = "postgres";
/// The first version that keeps prepared statements for each client.
const KEEPS_SINCE: (u32, u32) = (1, 21);

/// What it does with prepared statements: `max_prepared_statements`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// It keeps them for each client.
    Kept,
    /// It does not: the next transaction of a client may have a server that does not know them.
    Lost,
}

/// What it does with the start-up options of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartUp {
    /// Refused, which is its default.
    Refused,
    /// Dropped: `ignore_startup_parameters = options`.
    Ignored,
}

/// How a PgBouncer is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pooling {
    pub(crate) names: Names,
    pub(crate) start_up: StartUp,
    /// Connections to PostgreSQL, for all clients together.
    pub(crate) servers_max: usize,
}

impl Pooling {
    /// What `TEST_POOLER` asks for: `off` or `on` (prepared statements); unset: no pooler.
    pub(crate) fn from_environment() -> Option<Self> {
        let names = match variable("TEST_POOLER")?.as_str() {
            "on" => Names::Kept,
            "off" => Names::Lost,
            other => panic!("TEST_POOLER={other}: write on or off, for prepared statements"),
        };
        Some(Self { names, start_up: StartUp::Refused, servers_max: 20 })
    }
}

/// Listens in front of one database server until it is dropped, or the thread that started it ends.
pub(crate) struct PgBouncer {
    child: Child,
    directory: PathBuf,
}

impl PgBouncer {
    /// Starts one in front of the server of a URL, with the login of the URL; and returns the URL that leads through it.
    pub(crate) fn before(url: &str, pooling: Pooling) -> (Self, String) {
        let is_able = Self::version() >= KEEPS_SINCE;
        assert!(
            is_able || pooling.names == Names::Lost,
            "PgBouncer {:?} keeps no prepared statements",
            Self::version()
        );
        let (login, server) = url.split_once("://").unwrap().1.split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let server = server.split('/').next().unwrap();
        let (host, server_port) = server.split_once(':').unwrap();
        let database = format!("* = host={host} port={server_port} user={user} password={password}");
        for _ in 0..STARTS_MAX {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(started) = Self::start(port, &settings(&database, port, pooling, is_able)) {
                return (started, url.replacen(server, &format!("127.0.0.1:{port}"), 1));
            }
        }
        panic!("PgBouncer did not start");
    }

    /// The version of the program that `before` starts.
    pub(crate) fn version() -> (u32, u32) {
        let output = program().arg("--version").output().expect("PgBouncer: run scripts/install-servers");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.lines().next().and_then(|line| line.strip_prefix("PgBouncer "));
        let mut parts = version.unwrap_or_else(|| panic!("{output:?}")).split('.').map(|part| part.parse().unwrap());
        (parts.next().unwrap(), parts.next().unwrap())
    }

    fn start(port: u16, settings: &str) -> Option<Self> {
        let name = format!("tmp/leveret-pgbouncer-{:016x}", fastrand::u64(..));
        let directory = Config::servers_root().unwrap_or_else(|| "/".into()).join(&name);
        // It has a password in it, of a server that only this test uses: nobody else knows the name.
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).unwrap();
        fs::write(directory.join("pgbouncer.ini"), settings).unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut command = program();
        command.arg(Path::new("/").join(&name).join("pgbouncer.ini"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut this = Self { child: command.spawn().unwrap(), directory };
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(this);
            }
            if this.child.try_wait().unwrap().is_some() {
                eprintln!("PgBouncer ended: {}", fs::read_to_string(this.directory.join("log")).unwrap_or_default());
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The program as its own user. It refuses to run as root, and must not outlive a test that is killed.
fn program() -> Command {
    let mut command = match Config::servers_root() {
        None => Command::new("setpriv"),
        Some(root) => {
            let mut command = Command::new("chroot");
            command.arg(root).arg("setpriv");
            command
        }
    };
    if Uid::effective().is_root() {
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]);
    }
    command.args(["--pdeathsig=KILL", "--", "/usr/sbin/pgbouncer"]);
    command
}

fn settings(database: &str, port: u16, pooling: Pooling, is_able: bool) -> String {
    let mut text = format!(
        "[databases]\n{database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\nmax_client_conn = 300\ndefault_pool_size = {}\n\
         server_login_retry = 1\n",
        pooling.servers_max,
    );
    match (is_able, pooling.names) {
        (true, Names::Kept) => text.push_str("max_prepared_statements = 200\n"),
        (true, Names::Lost) => text.push_str("max_prepared_statements = 0\n"),
        (false, _) => {}
    }
    match pooling.start_up {
        StartUp::Refused => {}
        StartUp::Ignored => text.push_str("ignore_startup_parameters = options\n"),
    }
    text
}
