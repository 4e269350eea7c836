#!/usr/bin/python3
"""Publishes the orders that orders.py made, over plain AMQP: a program that knows nothing of Leveret but its messages.

Each message is persistent, mandatory and confirmed by the broker. Orders go out in the order of the file, in small groups: first
what starts them, then what pays them; late payments at the very end. Prints the counts as one JSON object; exit 0 if the broker
took every message, 1 if it could not be reached or refused one.

Usage: publish.py --url amqp://… [--prefix leveret] [--file orders.jsonl | -] [--late-after SECONDS] [--limit N]
Needs Debian's python3-pika.
"""

import argparse
import collections
import json
import sys
import time

import pika
import pika.exceptions

# So small that a payment follows its order within a fraction of a second.
GROUP = 25
PERSISTENT = 2
# Seconds: how long orders may wait in their queue before late payments are sent anyway, and between two looks.
TAKEN_WITHIN = 60
LOOK_EVERY = 0.5


def properties(message):
    return pika.BasicProperties(
        type=message["type"],
        app_id=message["app_id"],
        message_id=message["message_id"],
        content_type=message["content_type"],
        timestamp=int(time.time()),
        delivery_mode=PERSISTENT,
        headers={"schema": message["schema"]},
    )


class Publisher:
    """A channel with confirms, and what became of the messages."""

    def __init__(self, url, prefix):
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.exchange = f"{prefix}.commands"
        self.counts = collections.Counter()

    def publish(self, message):
        """Returns when the broker has taken it."""
        try:
            body = message["body"].encode("utf-8")
            self.channel.basic_publish(self.exchange, message["routing_key"], body, properties(message), mandatory=True)
            self.counts["confirmed"] += 1
        except pika.exceptions.UnroutableError:
            self.counts["unroutable"] += 1
        except pika.exceptions.NackError:
            self.counts["refused"] += 1

    def publish_all(self, orders, when):
        for order in orders:
            for message in order["messages"]:
                if message["when"] == when:
                    self.publish(message)
                    self.counts[when] += 1

    def wait_until_taken(self):
        """Until the queue of commands is empty, or a minute is over. The broker hears from us meanwhile, or it would take us
        for dead."""
        for _ in range(int(TAKEN_WITHIN / LOOK_EVERY)):
            if self.channel.queue_declare(self.exchange, passive=True).method.message_count == 0:
                return
            self.connection.sleep(LOOK_EVERY)


def read(path, limit):
    with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file][:limit]


def run(arguments):
    orders = read(arguments.file, arguments.limit)
    publisher = Publisher(arguments.url, arguments.prefix)
    began = time.monotonic()
    for at in range(0, len(orders), GROUP):
        group = orders[at : at + GROUP]
        publisher.publish_all(group, "first")
        publisher.publish_all(group, "then")
    took = time.monotonic() - began
    # Late means after the order gave up, and on a slow machine orders begin when their turn comes.
    publisher.wait_until_taken()
    publisher.connection.sleep(arguments.late_after)
    publisher.publish_all(orders, "late")
    publisher.connection.close()
    kinds = collections.Counter(order["kind"] for order in orders)
    print(json.dumps({"orders": kinds, "messages": publisher.counts, "seconds": round(took, 2)}))
    return publisher.counts["unroutable"] == 0 and publisher.counts["refused"] == 0


def main():
    parser = argparse.ArgumentParser(description="Publishes the orders that orders.py made.")
    parser.add_argument("--url", required=True, help="of the broker: amqp://user:password@host:port/%%2f")
    parser.add_argument("--prefix", default="leveret", help="what the names of exchanges begin with (leveret)")
    parser.add_argument("--file", default="-", help="the orders, one JSON object a line (standard input)")
    parser.add_argument("--late-after", type=float, default=5.0, help="seconds until the late payments (5)")
    parser.add_argument("--limit", type=int, default=None, help="only the first N orders")
    arguments = parser.parse_args()
    try:
        sys.exit(0 if run(arguments) else 1)
    except pika.exceptions.AMQPError as error:
        print(f"publish.py: the broker does not take messages: {error!r}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
