"""B1 to B5: the primary is killed, frozen and promoted away, its sessions end, and its synchronous standby is missing."""

import signal
import time

from rounds import Setup, Wanted, finish
from servers import send, wait_for

# Seconds between the fault and the promotion, as a cluster manager takes them.
PROMOTE_AFTER = 5


def move(setup):
    """The standby becomes the primary."""
    time.sleep(PROMOTE_AFTER)
    setup.standby.promote()
    setup.database = setup.standby


def b1(options):
    """The primary is killed; its synchronous standby is promoted."""
    setup = Setup(options, standby="synchronous")
    try:
        load = setup.begin()
        setup.primary.kill()
        move(setup)
        time.sleep(15)
        load.end()
        wanted = Wanted(standstill=5 + PROMOTE_AFTER, late=2 + PROMOTE_AFTER, because=f"{PROMOTE_AFTER} s of it before the promotion")
        return finish(setup, "B1 synchronous failover", wanted, [f"doctor: {setup.doctor()}"])
    finally:
        setup.close()


def b2(options):
    """The same with an asynchronous standby that is 3 s behind. Everything confirmed is then sent again."""
    setup = Setup(options, standby="asynchronous")
    try:
        load = setup.begin()
        # The process that sends to the standby, which so receives no more.
        send(int(setup.primary.ask("SELECT pid FROM pg_stat_replication")), signal.SIGSTOP)
        time.sleep(3)
        setup.primary.kill()
        move(setup)
        time.sleep(15)
        load.end()
        wait_for("the queue of commands is empty", lambda: setup.cluster.nodes[1].messages_of("leveret.commands") == "0", 60)
        time.sleep(1)
        known = set(setup.ask("SELECT key FROM leveret.instances").splitlines())
        erased = [key for key in {m[3]["key"] for m in load.confirmed() if m[0] == "start"} | set(load.http.answered) if key not in known]
        load.again()
        for key in load.http.answered:
            body = {"definition": "order", "key": key, "input": {"order_id": key, "article": "lamp", "quantity": 1, "amount": 100,
                                                                 "patience": "4s"}}
            load.http.post("/instances", body, f"start {key}")
        wanted = Wanted(standstill=8 + PROMOTE_AFTER, late=8 + PROMOTE_AFTER, because="3 s are erased, 5 s before the promotion")
        notes = [f"{len(erased)} confirmed starts were erased; all were sent again with the same ids"]
        return finish(setup, "B2 asynchronous failover", wanted, notes)
    finally:
        setup.close()


def b3(options):
    """Every session is ended ten times, then the server is restarted."""
    setup = Setup(options)
    try:
        load = setup.begin()
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ended = 0
        for _ in range(10):
            ended += int(setup.ask(end))
            time.sleep(0.7)
        stopped = time.monotonic()
        setup.primary.stop_fast()
        setup.primary.start()
        away = time.monotonic() - stopped
        time.sleep(8)
        load.end()
        # A timer may meet a session that is ended, and the next one as well.
        wanted = Wanted(late=2.7 + away, because=f"sessions last 0.7 s, the restart took {away:.1f} s")
        return finish(setup, "B3 sessions ended, restart", wanted, [f"{ended} sessions were ended"])
    finally:
        setup.close()


def b4(options):
    """The only synchronous standby is away for 15 s: no commit is confirmed."""
    setup = Setup(options, standby="synchronous")
    try:
        load = setup.begin()
        setup.standby.stop_fast()
        time.sleep(4)
        ready = setup.readyz(0)
        took, found = setup.doctor()
        time.sleep(max(0, 11 - took))
        setup.standby.start()
        time.sleep(8)
        load.end()
        told = ready[0] == 503 and "commits hang" in ready[1] and any("commits" in one and "s1" in one for one in found)
        notes = [f"/readyz: {ready}", f"doctor, after {took} s: {found}", "told" if told else "NOT TOLD"]
        wanted = Wanted(standstill=25, late=25, because="no commit is confirmed for 15 s")
        return finish(setup, "B4 synchronous standby away", wanted, notes) and told
    finally:
        setup.close()


def b5(options):
    """The primary is frozen, not killed; its standby is promoted."""
    setup = Setup(options, standby="synchronous")
    try:
        load = setup.begin()
        setup.primary.freeze()
        move(setup)
        time.sleep(30)
        load.end(within=90)
        # Fenced at last: what still waits for it goes on, and is not counted as lost.
        setup.primary.kill()
        wait_for("the new primary answers", lambda: setup.ask("SELECT 1") == "1", 10)
        wanted = Wanted(standstill=5 + PROMOTE_AFTER, late=5 + PROMOTE_AFTER, because=f"{PROMOTE_AFTER} s of it before the promotion")
        return finish(setup, "B5 primary frozen", wanted)
    finally:
        setup.close()
