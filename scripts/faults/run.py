#!/usr/bin/python3
"""Runs every test that has a row in docs/reliability.md, several times; then puts bugs in, one by one; and writes both tables.

Usage: run.py [--rounds N] [--only WORDS] [--without-seeded | --only-seeded] [--keep]

--rounds N          runs of each test; with less than 100 samples p99 is the longest
--only WORDS        tests whose names contain one of these words, with commas; the tables are not written
--add               the runs are added to those of the last time, as after a mend, and the table is written with all of them
--without-seeded    no seeded bugs, and their table stays as it is
--only-seeded       nothing but seeded bugs: the table of faults stays as it is
--keep              print the tables, and write nothing

A row is a test with `Fault::new` (tests/it/support/fault.rs). It fails if its fault did not fire. The bugs are in src/seeded.rs.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
os.chdir(ROOT)

FEATURES = "failpoints,seeded-bugs"
PAGE = pathlib.Path("docs/reliability.md")
REPORT = pathlib.Path("target/faults.jsonl")
# How often each test was begun.
BEGUN = pathlib.Path("target/faults-begun.json")
# No run takes longer, in seconds: all rounds, and one seeded bug.
ROUNDS_MAX, SEEDED_MAX = 2700, 600

# Which rows have to find a bug, by their tests.
CATCHERS = {
    "ack-before-commit": ["crash::worker::killed_before_any_commit_of_an_order"],
    "delete-before-confirm": ["crash::answers::killed_between_publish_and_confirm"],
    "outbox-in-memory-only": ["crash::worker::killed_after_any_commit_of_an_order"],
    "revision-not-compared": ["store::commits::a_lost_race_writes_nothing"],
    "sweep-without-claim": ["reliability::relays::two_relays_that_sweep_at_once_never_claim_the_same_row"],
    "retry-without-attempt-count": ["calls::crash::attempts_of_killed_callers_count_and_never_exceed_the_policy"],
    "isolation-left-to-the-database": ["sessions::defaults::no_message_misses_its_wait_if_the_database_defaults_to_repeatable_read"],
    "inbox-not-asked": ["crash::duplicates::the_same_start_and_the_same_payment_three_times_to_two_workers_at_once"],
    "bookmark-not-consumed": ["crash::timers::killed_with_due_timers_claimed_they_fire_once"],
    "late-outcome-recorded": ["calls::work::an_attempt_of_a_hanging_worker_expires_and_its_late_reply_is_refused"],
    "history-left-out": ["crash::worker::after_a_kill_between_two_steps_another_worker_continues_from_the_last_commit"],
    "cleaner-deletes-the-living": ["retention::passes_side_by_side_delete_each_instance_once_and_pass_over_those_that_live"],
    "timer-fires-early": ["races::timers::an_early_wake_up_fires_nothing"],
}

# The parts of the table, by the first number in the catalogue.
PARTS = [(1, "Workers"), (16, "Relays and the outbox"), (25, "Calls"), (31, "Timers, waits and the cleaner"), (43, "The broker"),
         (52, "The database"), (60, "The network")]

ROW = re.compile(r'Fault::new\(\s*"((?:[^"\\]|\\.)*)",\s*"([^"]*)",\s*"([^"]*)",?\s*\)')


def rows():
    """Every row of the sources, by the name of its fault."""
    found = {}
    for path in sorted(pathlib.Path("tests/it").rglob("*.rs")):
        text = path.read_text()
        for match in ROW.finditer(text):
            tests = re.findall(r"^async fn (\w+)\(", text[:match.start()], re.MULTILINE)
            name, catalogue, invariants = match.groups()
            module = "::".join(path.relative_to("tests/it").with_suffix("").parts)
            if name in found:
                sys.exit(f"faults: two rows are called `{name}`")
            found[name] = {"test": f"{module}::{tests[-1]}", "catalogue": catalogue, "invariants": invariants}
    return found


def nextest(tests, arguments, environment, limit):
    expression = "binary(it) & (" + " | ".join(f"test(={test})" for test in tests) + ")"
    threads = str((os.cpu_count() or 1) + 1)
    command = ["cargo", "nextest", "run", "--features", FEATURES, "--test", "it", "--test-threads", threads, "--no-fail-fast", *arguments, "-E", expression]
    clean = {key: value for key, value in os.environ.items() if key not in ("SEEDED_BUG", "FAULTS_REPORT", "FAILPOINTS")}
    return subprocess.run(command, env=clean | environment, capture_output=bool(environment.get("SEEDED_BUG")), text=True, timeout=limit)


def span(milliseconds):
    if milliseconds is None:
        return "–"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def part(values, of_hundred):
    """By nearest rank."""
    values = sorted(values)
    return values[max(0, -(-len(values) * of_hundred // 100) - 1)] if values else None


def number(catalogue):
    return int(catalogue.split()[0][1:])


def table(known, measured, begun):
    lines = []
    for at, (first, title) in enumerate(PARTS):
        last = PARTS[at + 1][0] if at + 1 < len(PARTS) else 1000
        of_part = [(name, row) for name, row in known.items() if first <= number(row["catalogue"]) < last]
        lines += ["", f"### {title}", "", "| Fault | Kind | Runs | Fired | Under way | Checked | p50 | p99 | Test |", "|---|---|---|---|---|---|---|---|---|"]
        for name, row in sorted(of_part, key=lambda one: (number(one[1]["catalogue"]), one[0])):
            runs = measured.get(name, [])
            took = [one for run in runs for one in run["took_ms"]]
            times = begun.get(row["test"], 0)
            held = str(len(runs)) if len(runs) == times else f"{len(runs)} of {times}"
            fired, under_way = sum(run["fired"] for run in runs), sum(run["under_way"] for run in runs)
            cells = [name, row["catalogue"], held, f"{fired:,}", f"{under_way:,}", row["invariants"], span(part(took, 50)), span(part(took, 99)), f"`{row['test']}`"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).strip()


def versions():
    root = os.environ.get("SERVERS_ROOT", "")
    broker = [path.name.rsplit("-", 1)[1] for path in sorted(pathlib.Path(f"{root}/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))]
    database = []
    for path in sorted(pathlib.Path(f"{root}/usr/lib/postgresql").glob("*/bin/postgres")):
        said = "" if root else subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        database.append(said.split()[2] if said else path.parts[-3])
    return f"PostgreSQL {'/'.join(database) or 'unknown'}, RabbitMQ {'/'.join(broker) or 'unknown'}"


def replaced(text, name, by):
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin)
    return before + begin + "\n" + by + "\n" + end + rest.split(end)[1]


def run_rows(known, options):
    tests = sorted({row["test"] for row in known.values()})
    if options.only:
        words = options.only.split(",")
        tests = [test for test in tests if any(word in test for word in words)]
    REPORT.parent.mkdir(exist_ok=True)
    before = json.loads(BEGUN.read_text()) if options.add and BEGUN.exists() else {"tests": {}, "minutes": 0}
    if not options.add:
        REPORT.unlink(missing_ok=True)
    began = time.monotonic()
    # None of them: the table is written anew from the runs there are.
    ran = nextest(tests, ["--stress-count", str(options.rounds)], {"FAULTS_REPORT": str(ROOT / REPORT)}, ROUNDS_MAX) if tests else None
    measured = {}
    for line in REPORT.read_text().splitlines() if REPORT.exists() else []:
        run = json.loads(line)
        measured.setdefault(run["fault"], []).append(run)
    minutes = before["minutes"] + (time.monotonic() - began) / 60
    begun = before["tests"]
    for test in tests:
        begun[test] = begun.get(test, 0) + options.rounds
    BEGUN.write_text(json.dumps({"tests": begun, "minutes": minutes}))
    chosen = {name: row for name, row in known.items() if options.add or row["test"] in tests}
    written = table(chosen, measured, begun)
    missing = [name for name, row in chosen.items() if len(measured.get(name, [])) < begun.get(row["test"], 0)]
    command = "`make faults` in several runs" if options.add else f"`make faults ROUNDS={options.rounds}`"
    head = (f"{len(chosen)} kinds, {sum(len(runs) for runs in measured.values()):,} runs, {sum(run['fired'] for runs in measured.values() for run in runs):,} faults fired; "
            f"{command}, {minutes:.0f} minutes, {datetime.date.today()}, debug build, {os.cpu_count()} cores for servers, processes and load; {versions()}.")
    if missing:
        head += f" **Not held in every run:** {'; '.join(missing)}."
    print(head, written, sep="\n\n")
    return (ran is None or ran.returncode == 0) and not missing, head + "\n\n" + written


def purposes():
    """What each bug does, as its comment says."""
    text = pathlib.Path("src/seeded.rs").read_text()
    found = re.findall(r"    /// (.+)\n    ([A-Z]\w+),\n", text)
    return {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): what for what, name in found}


def run_seeded(known):
    what = purposes()
    if set(what) != set(CATCHERS):
        sys.exit(f"faults: src/seeded.rs and CATCHERS differ: {set(what) ^ set(CATCHERS)}")
    by_test = {row["test"]: name for name, row in known.items()}
    lines = ["| Bug | What it does | Caught by the row | Which says |", "|---|---|---|---|"]
    missed = []
    for bug, tests in CATCHERS.items():
        ran = nextest(tests, [], {"SEEDED_BUG": bug}, SEEDED_MAX)
        # An assertion of the test or of what it is built on, and neither a build nor a server that failed.
        said = re.findall(r"panicked at tests/it/\S+\n(.+(?:\n +left: .+\n +right: .+)?)", ran.stdout + ran.stderr)
        if ran.returncode != 100 or not said:
            missed.append(bug)
            print((ran.stdout + ran.stderr)[-4000:], file=sys.stderr)
        words = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", said[0] if said else "**nothing**")
        words = re.sub(r"\s+", " ", words).replace("|", "/").replace("assertion `left == right` failed: ", "").replace("assertion `left == right` failed ", "").strip()
        row = "; ".join(by_test[test] for test in tests)
        lines.append(f"| `{bug}` | {what[bug]} | {row} | {words[:140]} |")
        print(lines[-1], flush=True)
    if missed:
        print(f"not caught: {', '.join(missed)}", file=sys.stderr)
    return not missed, "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--without-seeded", action="store_true")
    parser.add_argument("--only-seeded", action="store_true")
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    known, good, tables = rows(), True, {}
    # The program that the tests start; they would not build it themselves when only they are run.
    subprocess.run(["cargo", "build", "--examples", "--features", FEATURES], check=True)
    if not options.only_seeded:
        held, tables["faults"] = run_rows(known, options)
        good &= held
    if not options.without_seeded and not options.only:
        caught, tables["seeded"] = run_seeded(known)
        good &= caught
    if not options.keep and (options.add or not options.only):
        text = PAGE.read_text()
        for name, by in tables.items():
            text = replaced(text, name, by)
        PAGE.write_text(text)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
