"""The rounds: R1 to R6 break the broker, B1 to B5 the database. Each prints what was lost, what was done twice, the longest standstill and
how late timers were, and fails above what is wanted."""

import dataclasses
import json
import os
import statistics
import subprocess
import time

from load import Load
from servers import Cluster, Postgres, Root, die_with_parent, free_ports, wait_for, work_folder

# Another program with the handlers of the example may be named.
PROGRAM = os.environ.get("HA_PROGRAM", "target/debug/examples/orders")
# Seconds.
SETTLE_FOR = 90
LOAD_FOR = 30
SERVE_FOR = 60


@dataclasses.dataclass
class Wanted:
    """The most that is allowed, in seconds."""

    standstill: float = 5
    late: float = 2
    # A reason, if something else than Leveret needs longer.
    because: str = ""


class Setup:
    """Servers, two processes, and what is measured."""

    def __init__(self, options, standby=None, more=""):
        self.options = options
        self.root = Root(options.root, work_folder(options.work))
        # Further lines of rabbitmq.conf.
        self.root.more = more
        self.cluster = Cluster(self.root)
        self.primary = Postgres(self.root, "pg1").start()
        self.standby = None
        if standby:
            self.standby = Postgres(self.root, "s1", like=self.primary).start()
            if standby == "synchronous":
                self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = 's1'")
                self.primary.ask("SELECT pg_reload_conf()")
            wait_for("the standby follows", lambda: self.primary.ask("SELECT count(*) FROM pg_stat_replication") == "1", 30)
        self.database, self.workers = self.primary, []
        self.program("migrate")
        self.workers = [Worker(self, number) for number in (0, 1)]
        for worker in self.workers:
            worker.start()
        self.program("definition", "apply", "examples/order.yaml")
        self.load = None

    def database_url(self):
        hosts = [one.address for one in (self.primary, self.standby) if one]
        more = "?target_session_attrs=read-write&connect_timeout=2" if len(hosts) > 1 else ""
        return f"postgres://postgres@{','.join(hosts)}/postgres{more}"

    def amqp_url(self, first):
        nodes = self.cluster.nodes[first:3] + self.cluster.nodes[:first]
        hosts = [node.address for node in nodes[: 1 if self.options.one_host else 3]]
        return f"amqp://guest:guest@{','.join(hosts)}/%2f"

    def environment(self, first=0):
        return {**os.environ, "DATABASE_URL": self.database_url(), "AMQP_URL": self.amqp_url(first), "LEVERET_LOG__FORMAT": "pretty"}

    def program(self, *arguments, check=True, within=60):
        done = subprocess.run([PROGRAM, *arguments], env=self.environment(self.workers[-1].first if self.workers else 0), capture_output=True, text=True, timeout=within)
        if check and done.returncode != 0:
            raise SystemExit(f"ha: {arguments}: {done.stdout}{done.stderr}")
        return done

    def begin(self):
        self.load = Load(self.cluster, lambda: [worker.address for worker in self.workers]).begin()
        time.sleep(8)
        return self.load

    def ask(self, query):
        return self.database.ask(query)

    def doctor(self):
        began = time.monotonic()
        done = self.program("doctor", "-o", "json", check=False)
        try:
            findings = [f"{one['what']}: {one['says'][:200]}" for one in json.loads(done.stdout) if not one["good"]]
        except ValueError:
            findings = [done.stdout[-200:] + done.stderr[-200:]]
        return round(time.monotonic() - began, 1), findings

    def readyz(self, number):
        return self.workers[number].readyz()

    def close(self):
        for worker in self.workers:
            worker.kill()
        self.root.close()


class Worker:
    """A process of Leveret with every role."""

    def __init__(self, setup, number):
        self.setup, self.number, self.first, self.child = setup, number, number, None
        [port] = free_ports(1)
        self.address = f"127.0.0.1:{port}"

    def start(self, await_ready=True):
        log = open(self.setup.root.work / f"w{self.number}.log", "ab")
        environment = {**self.setup.environment(self.first), "LEVERET_HTTP__LISTEN": self.address}
        self.child = subprocess.Popen([PROGRAM, "serve"], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                      preexec_fn=die_with_parent)
        if await_ready:
            wait_for(f"w{self.number} is ready", lambda: self.readyz()[0] == 200, SERVE_FOR)

    def readyz(self):
        done = subprocess.run(["curl", "-s", "-m", "5", "-w", "\n%{http_code}", f"http://{self.address}/readyz"],
                              capture_output=True, text=True).stdout.rsplit("\n", 1)
        return int(done[1]), done[0]

    def kill(self):
        if self.child:
            self.child.kill()
            self.child.wait()

    def move(self, first):
        """The same process, started again with another node first."""
        self.kill()
        self.first = first
        self.start(await_ready=False)


LATENESS = """SELECT coalesce(json_agg(extract(epoch FROM t.at - (o.details->>'timeout_at')::timestamptz) ORDER BY 1), '[]')
  FROM leveret.history t JOIN LATERAL (SELECT details FROM leveret.history o WHERE o.instance_id = t.instance_id
       AND o.kind = 'WaitOpened' AND o.activity = t.activity ORDER BY number DESC LIMIT 1) o ON true
 WHERE t.kind = 'WaitTimedOut'"""


def standstill(setup, kinds):
    """The longest time between two rows of the history while there was load."""
    load = setup.load
    times = json.loads(setup.ask(
        f"SELECT coalesce(json_agg(extract(epoch FROM at) ORDER BY at), '[]') FROM leveret.history WHERE kind IN ({kinds})"))
    times = [load.began_at, *[at for at in times if load.began_at <= at <= load.ended_at], load.ended_at]
    return max(after - before for before, after in zip(times, times[1:]))


def outcome(setup):
    """What is lost and what was done twice, by what was confirmed."""
    load = setup.load
    ended = dict(line.split("|") for line in setup.ask(
        "SELECT key, coalesce(output->>'outcome', status) FROM leveret.instances WHERE ended_at IS NOT NULL").splitlines())
    started = {message[3]["key"] for message in load.confirmed() if message[0] == "start"}
    paid = {message[3]["key"] for message in load.confirmed() if message[0] == "message"}
    lost = [key for key in started | set(load.http.answered) if key not in ended]
    lost += [key for key in paid if key in ended and ended[key] != "shipped"]
    lost += [key for key in started - paid if ended.get(key) not in (None, "expired")]
    twice = int(setup.ask("SELECT (SELECT count(*) FROM (SELECT 1 FROM shop.shipments GROUP BY order_key HAVING count(*) > 1) s)"
                          " + (SELECT count(*) FROM (SELECT 1 FROM leveret.instances GROUP BY key HAVING count(*) > 1) i)"))
    return len(started) + len(load.http.answered), lost, twice


def settle(setup, within=SETTLE_FOR):
    """Until everything that was confirmed has ended; returns how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        open_ones = setup.ask("SELECT count(*) FROM leveret.instances WHERE ended_at IS NULL")
        if open_ones == "0" and not outcome(setup)[1]:
            break
        time.sleep(0.5)
    return time.monotonic() - began


def finish(setup, name, wanted, notes=()):
    """Waits, measures, prints, and says whether it is as wanted."""
    if not setup.load.stop.is_set():
        setup.load.end()
    took = settle(setup)
    total, lost, twice = outcome(setup)
    late = json.loads(setup.ask(LATENESS)) or [0]
    still = standstill(setup, "'InstanceStarted'")
    attempts = int(setup.ask("SELECT count(*) FROM leveret.history WHERE kind IN ('ActivityRetryScheduled', 'IncidentOpened')"))
    dead = int(setup.ask("SELECT count(*) FROM leveret.dead_letters"))
    faults = []
    if lost:
        faults.append(f"lost {len(lost)}: {', '.join(sorted(lost)[:5])}")
    if twice:
        faults.append(f"{twice} twice")
    if still > wanted.standstill:
        faults.append(f"a standstill above {wanted.standstill} s")
    if max(late) > wanted.late:
        faults.append(f"timers later than {wanted.late:.1f} s")
    if attempts or dead:
        faults.append(f"{attempts} attempts spent, {dead} dead letters")
    verdict = "as wanted" if not faults else "NOT AS WANTED: " + "; ".join(faults)
    print(f"{name}: {total} started, {len(lost)} lost, {twice} twice; longest standstill {still:.1f} s; timers late: median"
          f" {statistics.median(late):.2f} s, max {max(late):.2f} s of {len(late)}; settled {took:.1f} s after the load; {verdict}"
          + (f" ({wanted.because})" if wanted.because else ""), flush=True)
    for note in notes:
        print(f"    {note}", flush=True)
    return not faults
