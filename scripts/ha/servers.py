"""Three RabbitMQ nodes and two PostgreSQL servers from the root of a newer Debian, on loopback only, to be killed, frozen and moved.

Every server is a child of this process, in a mount namespace of its own, and ends with it. Data lives in one folder, which is deleted.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

# Seconds.
START_FOR = 120
STOP_FOR = 60
COMMAND_FOR = 120

ENTER = """
root=$1; work=$2; user=$3; shift 3
mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"; mount --bind "$work" "$root/mnt"
exec chroot --userspec="$user" "$root" "$@"
"""


def die_with_parent():
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what, holds, within, every=0.2):
    until = time.monotonic() + within
    while time.monotonic() < until:
        found = holds()
        if found:
            return found
        time.sleep(every)
    raise SystemExit(f"ha: {what}: not within {within} s")


class Root:
    """The root with the servers, and a folder that they see as /mnt."""

    def __init__(self, path, work):
        self.path, self.work = pathlib.Path(path), pathlib.Path(work)
        self.postgres = next(self.path.glob("usr/lib/postgresql/*/bin/postgres")).parent
        self.postgres = pathlib.Path("/") / self.postgres.relative_to(self.path)
        self.children = []

    def command(self, user, arguments):
        enter = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", ENTER, "sh"]
        return [*enter, str(self.path), str(self.work), user, *map(str, arguments)]

    def spawn(self, name, user, arguments, environment=None):
        log = open(self.work / f"{name}.log", "ab")
        child = subprocess.Popen(
            self.command(user, arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(environment or {})})
        self.children.append(child)
        return child

    def run(self, user, arguments, environment=None, within=COMMAND_FOR, check=True):
        return subprocess.run(
            self.command(user, arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within, check=check,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(environment or {})})

    def folder(self, name, user):
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        passwd = (self.path / "etc/passwd").read_text().splitlines()
        entry = next(line.split(":") for line in passwd if line.startswith(f"{user}:"))
        os.chown(folder, int(entry[2]), int(entry[3]))
        return pathlib.Path("/mnt") / name

    def close(self):
        for child in self.children:
            for pid in [child.pid, *descendants(child.pid)]:
                send(pid, signal.SIGKILL)
        for child in self.children:
            child.wait()


def descendants(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [one for child in map(int, found) for one in (child, *descendants(child))]


def send(pid, what):
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        pass


class Server:
    """A server process that can be killed and frozen."""

    child = None

    def pids(self):
        return [self.child.pid, *descendants(self.child.pid)]

    def signal(self, what):
        for pid in self.pids():
            send(pid, what)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)


class Node(Server):
    """A RabbitMQ node."""

    def __init__(self, root, number, epmd_port):
        self.root, self.name = root, f"ha{number}"
        self.amqp, self.distribution = free_ports(2)
        self.home = root.folder(self.name, "rabbitmq")
        folder = root.work / self.name
        (folder / ".erlang.cookie").write_text("leveret-ha-trial")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.amqp}\ndisk_free_limit.absolute = 50MB\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\nraft.wal_max_size_bytes = 67108864\n" + root.more)
        (folder / "enabled_plugins").write_text("[].\n")
        owner = folder.stat()
        for file in folder.iterdir():
            os.chown(file, owner.st_uid, owner.st_gid)
            file.chmod(0o600)
        home = self.home
        self.environment = {
            "HOME": str(home), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_NODENAME": f"{self.name}@localhost", "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_MNESIA_BASE": f"{home}/data", "RABBITMQ_LOG_BASE": f"{home}/log", "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{home}/pid", "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins", "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/generated",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            "RUNNING_UNDER_SYSTEMD": "true"}

    @property
    def address(self):
        return f"127.0.0.1:{self.amqp}"

    @property
    def url(self):
        return f"amqp://guest:guest@{self.address}/%2f"

    def start(self):
        self.child = self.root.spawn(self.name, "rabbitmq", ["/usr/lib/rabbitmq/bin/rabbitmq-server"], self.environment)
        return self

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.amqp), timeout=2) as peer:
                peer.sendall(b"AMQP\x00\x00\x09\x01")
                return peer.recv(1) == b"\x01"
        except OSError:
            return False

    def await_ready(self):
        wait_for(f"{self.name} answers", self.answers, START_FOR)
        return self

    def control(self, *arguments, tool="rabbitmqctl", check=True, within=COMMAND_FOR):
        done = self.root.run("rabbitmq", [f"/usr/lib/rabbitmq/bin/{tool}", "--quiet", *arguments], self.environment, within, check)
        return done.stdout

    def join(self, other):
        self.control("stop_app")
        self.control("join_cluster", f"{other.name}@localhost")
        self.control("start_app")

    def column_of(self, queue, column):
        lines = self.control("list_queues", "name", column, within=60).splitlines()
        return next((line.split()[1] for line in lines if line.split()[:1] == [queue]), None)

    def leader_of(self, queue):
        return self.column_of(queue, "leader").split("@")[0]

    def messages_of(self, queue):
        return self.column_of(queue, "messages")


class Cluster:
    """Three nodes; the first is where everything leads that the first process declares."""

    def __init__(self, root):
        self.root = root
        [self.epmd_port] = free_ports(1)
        root.spawn("epmd", "rabbitmq", ["/usr/bin/epmd", "-port", self.epmd_port, "-address", "127.0.0.1"])
        time.sleep(0.5)
        self.nodes = [Node(root, number, self.epmd_port).start() for number in (1, 2, 3)]
        for node in self.nodes:
            node.await_ready()
            node.control("await_startup")
        for node in self.nodes[1:]:
            node.join(self.nodes[0])

    def named(self, name):
        return next(node for node in self.nodes if node.name == name)

    def add(self, number):
        node = Node(self.root, number, self.epmd_port).start().await_ready()
        node.control("await_startup")
        self.nodes.append(node)
        return node


class Postgres(Server):
    """A PostgreSQL server."""

    def __init__(self, root, name, like=None, settings=()):
        self.root, self.name = root, name
        [self.port] = free_ports(1)
        self.data = root.folder(name, "postgres") / "data"
        self.settings = [
            "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "shared_buffers=128MB",
            "fsync=off", "hot_standby=on", "wal_keep_size=256MB", *settings]
        if like is None:
            root.run("postgres", [root.postgres / "initdb", "-D", self.data, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        else:
            source = f"host=127.0.0.1 port={like.port} user=postgres application_name={name}"
            root.run("postgres", [root.postgres / "pg_basebackup", "-D", self.data, "-d", source, "-R", "-X", "stream", "--no-sync",
                                  "--checkpoint=fast"])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        arguments = [f"-c{one}" for one in self.settings]
        self.child = self.root.spawn(
            self.name, "postgres", [self.root.postgres / "postgres", "-D", self.data, "-p", self.port, *arguments])
        wait_for(f"{self.name} answers", lambda: self.ask("SELECT 1", check=False) == "1", START_FOR)
        return self

    def ask(self, query, database="postgres", check=True, within=30):
        command = ["psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-c", query]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=within,
                                  env={**os.environ, "PGCONNECT_TIMEOUT": "5"})
        except subprocess.TimeoutExpired:
            if check:
                raise
            return None
        if done.returncode != 0 and check:
            raise SystemExit(f"ha: {self.name}: {done.stderr}")
        return done.stdout.strip()

    def promote(self):
        self.ask("SELECT pg_promote(true, 30)")

    def stop_fast(self):
        send(self.child.pid, signal.SIGINT)
        self.child.wait(STOP_FOR)


def work_folder(parent):
    folder = pathlib.Path(parent)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o711)
    return folder
