"""R1 to R6: a node of three is killed, stopped, frozen, lost for good and replaced."""

import json
import subprocess
import time

import load as sending
from rounds import Setup, Wanted, finish, settle
from servers import wait_for

FROZEN_FOR = 40
HELD = "a frozen node keeps what it has delivered"
ELECTION = "RabbitMQ itself needs 10 s to replace a frozen leader"


def r1(options):
    """The leader of everything is killed, and comes back after 25 s."""
    setup = Setup(options)
    try:
        load = setup.begin()
        leader = setup.cluster.named(setup.cluster.nodes[0].leader_of("leveret.commands"))
        leader.kill()
        time.sleep(4)
        notes = [f"doctor: {setup.doctor()}", f"/readyz: {setup.readyz(0)} {setup.readyz(1)}"]
        time.sleep(15)
        leader.start().await_ready()
        time.sleep(6)
        load.end()
        return finish(setup, "R1 leader killed", Wanted(), notes)
    finally:
        setup.close()


def r2(options):
    """A rolling upgrade: each node in turn is stopped for 6 s."""
    setup = Setup(options)
    try:
        load = setup.begin()
        for node in setup.cluster.nodes:
            node.control("stop_app")
            time.sleep(6)
            node.control("start_app")
            node.control("await_startup")
            time.sleep(3)
        load.end()
        return finish(setup, "R2 rolling stops", Wanted())
    finally:
        setup.close()


def r3(options):
    """The leader of everything is frozen for 40 s. What it had delivered stays with it until it wakes, or until RabbitMQ gives it up after
    net_ticktime (60 s by default)."""
    return frozen(options, "R3 leader frozen for 40 s", Wanted(standstill=15, late=FROZEN_FOR + 5, because=HELD))


def r3t(options):
    """The same with a net_ticktime of 10 s."""
    return frozen(options, "R3t the same, net_ticktime 10 s", Wanted(standstill=15, late=25, because=ELECTION), "net_ticktime = 10\n")


def frozen(options, name, wanted, more=""):
    setup = Setup(options, more=more)
    try:
        load = setup.begin()
        leader = setup.cluster.named(setup.cluster.nodes[1].leader_of("leveret.commands"))
        leader.freeze()
        time.sleep(FROZEN_FOR)
        leader.thaw()
        time.sleep(4)
        load.end()
        return finish(setup, name, wanted)
    finally:
        setup.close()


def r3c(options):
    """A node is frozen on which nothing leads and nobody is connected."""
    setup = Setup(options)
    try:
        setup.workers[1].move(0)
        load = setup.begin()
        leader = setup.cluster.nodes[0].leader_of("leveret.commands")
        idle = next(node for node in reversed(setup.cluster.nodes) if node.name != leader)
        # The publishers stay away from it.
        for publisher in load.publishers:
            publisher.urls = type(publisher.urls)(url for url in publisher.urls if url != idle.url)
        time.sleep(2)
        idle.freeze()
        time.sleep(30)
        notes = [f"doctor: {setup.doctor()}"]
        idle.thaw()
        time.sleep(3)
        load.end()
        return finish(setup, "R3c idle node frozen for 30 s", Wanted(), notes)
    finally:
        setup.close()


def r4(options):
    """A node dies for good, and processes connect after that."""
    setup = Setup(options)
    try:
        load = setup.begin()
        setup.cluster.nodes[0].kill()
        time.sleep(10)
        setup.workers[0].move(2)
        time.sleep(15)
        setup.workers[1].move(1)
        time.sleep(15)
        notes = [f"doctor: {setup.doctor()}", f"/readyz: {setup.readyz(0)} {setup.readyz(1)}"]
        load.end()
        return finish(setup, "R4 node lost, processes restarted", Wanted(), notes)
    finally:
        setup.close()


def r5(options):
    """Commands wait for busy instances while a node is lost."""
    setup = Setup(options)
    try:
        load = setup.begin()
        keys = [f"b-{number}" for number in range(10)]
        for key in keys:
            setup.program("instance", "start", "order", "--key", key, "--input", json.dumps(sending.order(key, "10m")))
        waiting = "SELECT count(*) FROM leveret.bookmarks b JOIN leveret.instances i ON i.id = b.instance_id" \
                  " WHERE i.key LIKE 'b-%' AND b.consumed_at IS NULL AND b.kind = 'message'"
        wait_for("the orders wait", lambda: setup.ask(waiting) == "10", 30)
        holder = subprocess.Popen(["psql", "-XAtq", "-h", "127.0.0.1", "-p", str(setup.primary.port), "-U", "postgres"],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        holder.stdin.write("BEGIN; SELECT 1 FROM leveret.instances WHERE key LIKE 'b-%' FOR UPDATE;\n")
        holder.stdin.flush()
        time.sleep(1)
        extra = sending.Publisher(load.publishers[1].urls, load.orders, load.stop)
        for key in keys:
            body = {"definition": "order", "key": key, "reason": "the trial"}
            extra.send(("cancel", "order", f"cancel {key}", body))
        # Each is tried for about 10 s, then put off for a second or two.
        away, most, until = "SELECT count(*) FROM leveret.outbox WHERE kind = 'cancel'", 0, time.monotonic() + 30
        while most < 10 and time.monotonic() < until:
            most = max(most, int(setup.ask(away)))
            time.sleep(0.1)
        notes = [f"{most} of 10 cancels waited in the database at once"]
        setup.cluster.nodes[0].kill()
        holder.stdin.write("ROLLBACK;\n")
        holder.stdin.close()
        time.sleep(5)
        setup.cluster.nodes[1].control("forget_cluster_node", f"{setup.cluster.nodes[0].name}@localhost", check=False)
        setup.workers[0].move(1)
        time.sleep(10)
        load.end()
        cancelled = "SELECT count(*) FROM leveret.instances WHERE key LIKE 'b-%' AND status = 'cancelled'"
        settle(setup)
        done = setup.ask(cancelled)
        notes.append(f"{done} of 10 cancels were done")
        return finish(setup, "R5 busy commands, node lost", Wanted(), notes) and done == "10"
    finally:
        setup.close()


def r6(options):
    """A node is lost, processes connect soon after, and a new node takes its place."""
    setup = Setup(options)
    try:
        load = setup.begin()
        dead, living = setup.cluster.nodes[0], setup.cluster.nodes[1]
        dead.kill()
        time.sleep(4)
        setup.workers[0].move(2)
        setup.workers[1].move(1)
        time.sleep(8)
        living.control("forget_cluster_node", f"{dead.name}@localhost")
        fresh = setup.cluster.add(4)
        fresh.join(living)
        members = lambda: {line.split("\t")[0]: line.count("@") for line in
                           living.control("list_queues", "name", "members").splitlines() if "leveret." in line}
        before = sorted(set(members().values()))
        living.control("grow", f"{fresh.name}@localhost", "all", tool="rabbitmq-queues")
        after = sorted(set(members().values()))
        time.sleep(8)
        load.end()
        notes = [f"members of the queues before `rabbitmq-queues grow`: {before}, after it: {after}", f"doctor: {setup.doctor()}"]
        return finish(setup, "R6 node replaced", Wanted(), notes) and after == [3]
    finally:
        setup.close()
