#!/usr/bin/python3
"""Breaks three RabbitMQ nodes and two PostgreSQL servers under load, and measures what Leveret makes of it: `make test-ha`.

Usage: run.py [--only R1,B4] [--root DIR] [--work DIR] [--one-host]       as root; half an hour for all rounds
Needs a root with the servers of a newer Debian (scripts/newer-servers forky; SERVERS_ROOT), python3-pika, psql, curl, and
target/debug/examples/orders. docs/high-availability.md explains the rounds.
"""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True
os.chdir(pathlib.Path(__file__).resolve().parents[2])
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import broker_rounds  # noqa: E402
import database_rounds  # noqa: E402

ROUNDS = {
    "R1": broker_rounds.r1, "R2": broker_rounds.r2, "R3": broker_rounds.r3, "R3t": broker_rounds.r3t, "R3c": broker_rounds.r3c, "R4": broker_rounds.r4,
    "R5": broker_rounds.r5, "R6": broker_rounds.r6,
    "B1": database_rounds.b1, "B2": database_rounds.b2, "B3": database_rounds.b3, "B4": database_rounds.b4, "B5": database_rounds.b5,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ROUNDS), help="rounds, with commas")
    parser.add_argument("--root", default=os.environ.get("SERVERS_ROOT", "/var/cache/leveret/forky"), help="where the servers are")
    parser.add_argument("--work", default="/tmp/leveret-ha", help="a folder for their data, deleted at the end if all went well")
    parser.add_argument("--one-host", action="store_true", help="one node in each AMQP_URL, as behind no balancer")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("ha: this needs root, to run servers from another root directory")
    if not pathlib.Path(options.root, "usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        sys.exit(f"ha: there are no servers in {options.root}: run `scripts/newer-servers forky`, or set SERVERS_ROOT")
    # So that `finally` ends the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began, bad = time.monotonic(), []
    for name in options.only.split(","):
        try:
            if not ROUNDS[name](options):
                bad.append(name)
        except (Exception, SystemExit) as error:
            print(f"{name}: the round itself failed: {error!r}", flush=True)
            bad.append(name)
    print(f"{time.monotonic() - began:.0f} s; " + (f"not as wanted: {', '.join(bad)}" if bad else "every round is as wanted"))
    if not bad:
        shutil.rmtree(options.work, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
