#!/usr/bin/env python3
"""Makes 1,000 orders, always the same, as JSON lines: what a shop and its payment provider would publish.

One line is one order: `order` (its business key), `kind`, `flaw` (of a malformed one) and `messages`, each with what becomes of
it on the broker (`routing_key`, the properties, `body` as text, for some are no JSON) and `when` to send it: `first` starts the
order, `then` follows soon, `late` comes after the order has given up waiting.

    kind        what happens                                              how it has to end
    paid        started, then paid                                        completed, shipped
    early       paid before it was started: the message is kept           completed, shipped
    twice       started and paid, each message delivered twice            completed, shipped once
    late        paid only after it gave up                                completed, expired
    unpaid      never paid                                                completed, expired
    malformed   not JSON, no message id, unknown definition, wrong types  dead letter with a reason

Usage: orders.py [--seed N] [FILE]     (standard output when FILE is left out; needs nothing but Python 3)
"""

import argparse
import json
import random
import sys

COUNTS = {"paid": 700, "early": 50, "twice": 50, "late": 80, "unpaid": 80, "malformed": 40}
FLAWS = ["not_json", "no_message_id", "unknown_definition", "wrong_types"]
CUSTOMERS = ["ada", "blaise", "carl", "emmy", "grace", "kurt", "leonhard", "sofya"]
ARTICLES = {"lamp": 4900, "chair": 12900, "desk": 39900, "shelf": 8900, "rug": 15900}


def message(when, sender, number, kind, name, body):
    """One message, as it is published."""
    return {
        "when": when,
        "routing_key": f"{kind}.{name}",
        "type": kind,
        "app_id": sender,
        "message_id": f"{sender}-{number:04}",
        "content_type": "application/json",
        "schema": 1,
        "body": json.dumps(body, separators=(",", ":")),
    }


def start(number, key, order):
    return message("first", "shop", number, "start", "order", {"definition": "order", "key": key, "input": order})


def paid(when, number, key, amount):
    data = {"amount": amount, "reference": f"P{number:06}"}
    return message(when, "payments", number, "message", "paid", {"name": "paid", "key": key, "data": data})


def spoil(flaw, number, key, order):
    """A start that cannot be accepted, each for a reason of its own."""
    spoiled = start(number, key, order)
    if flaw == "not_json":
        spoiled["body"] = spoiled["body"][: len(spoiled["body"]) // 2]
    elif flaw == "no_message_id":
        spoiled["message_id"] = None
    elif flaw == "unknown_definition":
        spoiled["routing_key"] = "start.odrer"
        spoiled["body"] = json.dumps({"definition": "odrer", "key": key, "input": order})
    elif flaw == "wrong_types":
        wrong = {**order, "amount": "a lot", "quantity": None}
        spoiled["body"] = json.dumps({"definition": "order", "key": key, "input": wrong})
    return spoiled


def line(chance, number, kind, flaw):
    key = f"order-{number:04}"
    article = chance.choice(sorted(ARTICLES))
    quantity = chance.randint(1, 5)
    amount = ARTICLES[article] * quantity
    order = {"order_id": key, "customer": chance.choice(CUSTOMERS), "article": article, "quantity": quantity, "amount": amount}
    begin = start(number, key, order)
    messages = {
        "paid": lambda: [begin, paid("then", number, key, amount)],
        "early": lambda: [paid("first", number, key, amount), begin],
        "twice": lambda: [begin, begin, paid("then", number, key, amount), paid("then", number, key, amount)],
        "late": lambda: [begin, paid("late", number, key, amount)],
        "unpaid": lambda: [begin],
        "malformed": lambda: [spoil(flaw, number, key, order)],
    }
    return {"order": key, "kind": kind, "flaw": flaw, "messages": messages[kind]()}


def orders(seed):
    chance = random.Random(seed)
    kinds = [kind for kind, count in COUNTS.items() for _ in range(count)]
    chance.shuffle(kinds)
    malformed = 0
    for number, kind in enumerate(kinds, start=1):
        flaw = None
        if kind == "malformed":
            flaw = FLAWS[malformed % len(FLAWS)]
            malformed += 1
        yield line(chance, number, kind, flaw)


def main():
    parser = argparse.ArgumentParser(description="Makes 1,000 orders as JSON lines, always the same.")
    parser.add_argument("file", nargs="?", help="where to write them (standard output)")
    parser.add_argument("--seed", type=int, default=20260101)
    arguments = parser.parse_args()
    text = "".join(json.dumps(order) + "\n" for order in orders(arguments.seed))
    if arguments.file:
        with open(arguments.file, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
