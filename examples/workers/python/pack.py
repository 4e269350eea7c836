#!/usr/bin/python3
"""An external worker for Leveret in Python: packs parcels, and uses nothing of Leveret but its messages.

    call: { name: pack, input: { parcel: "A-17", items: 2 }, heartbeat: 30s }

The work runs in a thread while the main thread keeps the connection alive. A request is acknowledged when the broker has confirmed
the reply. Results are kept in a journal by idempotency key, so that a request that arrives again is answered without doing the work
again. On SIGTERM it finishes the current request; it reconnects when the connection is lost or the broker cancels the subscription.

Usage: pack.py [--url amqp://…] [--prefix leveret] [--name pack] [--journal pack.jsonl]     (AMQP_URL is the default of --url)
Several hosts in the URL, or several URLs, with commas, are tried in turn. Needs pika (Debian: python3-pika).
"""

import argparse
import concurrent.futures
import datetime
import hashlib
import json
import os
import queue
import random
import re
import signal
import sys
import threading
import time
import uuid

import pika
import pika.exceptions

APP_ID = "packer-python"
SCHEMA = 1
# Seconds: the first pause before a reconnect, the longest one, and the interval at which the connection is serviced.
RETRY_AFTER, RETRY_MAX, POLL_EVERY = 0.5, 30, 0.1


class Cancelled(Exception):
    """The broker has cancelled the subscription: the queue was deleted, or the work exceeded the consumer timeout (RabbitMQ 4.3)."""


class WorkError(Exception):
    """Fails the call: `worker.<code>` in the definition."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code, self.data = code, data


# --- the work itself -------------------------------------------------------------------------------------------------------


def pack(request, progress):
    """Returns the same result for the same idempotency key."""
    parcel, items = request["input"]["parcel"], request["input"]["items"]
    if items < 1:
        raise WorkError("nothing_to_pack", f"parcel {parcel} has no items", {"parcel": parcel})
    for item in range(1, items + 1):
        time.sleep(request["input"].get("seconds_per_item", 0))
        if item < items:  # the reply reports the last one: a report just before it might be handled after it
            progress({"packed": item, "of": items})
    label = hashlib.sha256(request["idempotency_key"].encode()).hexdigest()[:8].upper()
    return {"parcel": parcel, "label": label, "packed_by": APP_ID}


# --- what every worker needs -----------------------------------------------------------------------------------------------


class Journal:
    """Results by idempotency key. A worker with a database writes this in the transaction of its work."""

    def __init__(self, path):
        self.done = {}
        self.file = open(path, "a+", encoding="utf-8")
        self.file.seek(0)
        for line in self.file:
            if line.endswith("\n"):
                entry = json.loads(line)
                self.done[entry["key"]] = entry["result"]

    def keep(self, key, result):
        self.file.write(json.dumps({"key": key, "result": result}) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.done[key] = result


class Worker:
    """Handles requests one by one."""

    def __init__(self, options):
        self.options = options
        self.queue = f"{options.prefix}.work.{options.name}"
        self.journal = Journal(options.journal)
        self.threads = concurrent.futures.ThreadPoolExecutor(1)
        self.stopping = threading.Event()
        self.cancelled = False

    def run(self):
        """Handles requests until it is asked to stop, and reconnects as necessary."""
        wait = RETRY_AFTER
        while not self.stopping.is_set():
            try:
                with pika.BlockingConnection(nodes(self.options.url)) as connection:
                    channel = self.subscribe(connection)
                    wait = RETRY_AFTER
                    print(f"consuming {self.queue}", flush=True)
                    self.consume(connection, channel)
            except (pika.exceptions.AMQPError, OSError, Cancelled) as error:
                if not self.stopping.is_set():
                    print(f"not consuming: {error!r}", file=sys.stderr, flush=True)
                    self.stopping.wait(wait * random.uniform(0.5, 1))
                    wait = min(wait * 2, RETRY_MAX)
        self.threads.shutdown()

    def subscribe(self, connection):
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=1)
        # The same declaration as in Leveret, so that either may declare it first.
        arguments = {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": f"{self.options.prefix}.dead",
            "x-delivery-limit": 50,
        }
        channel.queue_declare(self.queue, durable=True, arguments=arguments)
        # Without this the consumer would wait for ever for a queue that has forgotten it.
        self.cancelled = False
        channel.add_on_cancel_callback(self.on_cancel)
        return channel

    def on_cancel(self, _):
        self.cancelled = True

    def consume(self, connection, channel):
        deliveries = queue.SimpleQueue()
        tag = channel.basic_consume(self.queue, lambda _, method, properties, body: deliveries.put((method, properties, body)))
        while not self.stopping.is_set() and not self.cancelled:
            connection.process_data_events(POLL_EVERY)
            if not deliveries.empty():
                self.handle(connection, channel, *deliveries.get())
        if self.cancelled:
            # A new connection, because the old consumer is there until its channel is closed (RabbitMQ 4.3), and gets requests.
            raise Cancelled(f"the broker has cancelled the subscription of {self.queue}")
        channel.basic_cancel(tag)

    def handle(self, connection, channel, method, properties, body):
        try:
            request = json.loads(body)
            if request["schema"] != SCHEMA:
                raise ValueError(f"schema {request['schema']}")
            deadline = request["deadline"] and datetime.datetime.fromisoformat(request["deadline"][:19] + "+00:00")
            every = request["heartbeat_for"] and seconds(request["heartbeat_for"]) / 3
        except (ValueError, KeyError, TypeError) as error:
            print(f"rejecting a message that is not a request: {error!r}", file=sys.stderr, flush=True)
            return channel.basic_nack(method.delivery_tag, requeue=False)  # to Leveret's dead letters
        if deadline and deadline < datetime.datetime.now(datetime.timezone.utc):
            return channel.basic_ack(method.delivery_tag)  # too late
        reply = Reply(channel, properties, request)
        reports = queue.SimpleQueue()
        working = self.threads.submit(self.outcome, request, reports.put)
        # The first one at once: from then on a missing heartbeat counts.
        next_heartbeat = time.monotonic() if every else float("inf")
        while not working.done():
            connection.process_data_events(POLL_EVERY)
            while not reports.empty():
                reply.send("call.progress", {"progress": reports.get()})
            if time.monotonic() >= next_heartbeat:
                reply.send("call.heartbeat", {})
                next_heartbeat = time.monotonic() + every
        while not reports.empty():
            reply.send("call.progress", {"progress": reports.get()})
        reply.send("call.complete", working.result())
        # After the confirm: if the worker dies before, the request is redelivered, and the journal has the answer. After a cancel the
        # request is no longer ours: if it arrives again, the same reply is sent again.
        if not self.cancelled:
            channel.basic_ack(method.delivery_tag)

    def outcome(self, request, progress):
        """The outcome. Runs in another thread, which never touches the connection."""
        key = request["idempotency_key"]
        try:
            if key not in self.journal.done:
                self.journal.keep(key, pack(request, progress))
            return {"result": self.journal.done[key]}
        except WorkError as error:
            return {"error": {"code": error.code, "message": str(error), "data": error.data}}
        except Exception as error:  # a bug is reported as well, so that the call does not wait for its deadline
            return {"error": {"code": "unexpected", "message": repr(error)}}


class Reply:
    """Sends the replies about one attempt."""

    def __init__(self, channel, properties, request):
        self.channel, self.request = channel, request
        self.exchange = properties.reply_to
        self.headers = {"schema": SCHEMA}
        if "traceparent" in (properties.headers or {}):
            self.headers["traceparent"] = properties.headers["traceparent"]

    def send(self, kind, body):
        """Returns when the broker has confirmed the message."""
        token = self.request["token"]
        # The id of an outcome is derived from the token, so that it counts once; each heartbeat has a new id.
        is_outcome = kind == "call.complete"
        message_id = hashlib.sha256(token.encode()).hexdigest() if is_outcome else str(uuid.uuid4())
        properties = pika.BasicProperties(
            type=kind, app_id=APP_ID, message_id=message_id, correlation_id=self.request["call"],
            content_type="application/json", delivery_mode=2, timestamp=int(time.time()), headers=self.headers)
        body = json.dumps({"call": self.request["call"], "token": token, **body})
        self.channel.basic_publish(self.exchange, f"{kind}.{self.request['name']}", body, properties, mandatory=True)


def nodes(url):
    """The nodes of the broker in the order in which to try them: at random, so that workers spread."""
    urls = []
    for one in re.split(r",(?=amqps?://)", url):
        before, hosts, after = re.match(r"(amqps?://(?:[^/?]*@)?)([^/?]*)(.*)", one).groups()
        urls += [pika.URLParameters(before + host + after) for host in hosts.split(",")]
    return random.sample(urls, len(urls))


def seconds(text):
    """Parses a duration of Leveret: 30s, 1m30s, 250ms."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    total, number, unit = 0, "", ""
    for character in text + "0":
        if character.isdigit() and unit:
            total, number, unit = total + int(number) * units[unit], "", ""
        if character.isdigit():
            number += character
        else:
            unit += character
    return total


def main():
    parser = argparse.ArgumentParser(description="Packs parcels for Leveret.")
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672/%2f"))
    parser.add_argument("--prefix", default="leveret")
    parser.add_argument("--name", default="pack")
    parser.add_argument("--journal", default="pack.jsonl")
    worker = Worker(parser.parse_args())

    def stop(*_):
        worker.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    worker.run()
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
