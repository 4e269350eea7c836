"""Orders over AMQP and HTTP, while servers fail: each message is sent until it is confirmed, and noted."""

import collections
import json
import random
import threading
import time
import urllib.request

import pika
import pika.exceptions

PERSISTENT = 2
# Seconds: a publisher moves to the next node if its own does not confirm within this time.
CONFIRM_FOR = 15
HTTP_FOR = 10


def order(key, patience):
    return {"order_id": key, "article": "lamp", "quantity": 1, "amount": 100, "patience": patience}


def start(key, patience):
    body = {"definition": "order", "key": key, "input": order(key, patience)}
    return ("start", "order", f"start {key}", body)


def paid(key):
    return ("message", "paid", f"paid {key}", {"name": "paid", "key": key, "data": {"amount": 100}})


class Publisher(threading.Thread):
    """Publishes with confirms, on one node at a time."""

    def __init__(self, urls, orders, stop):
        super().__init__(daemon=True)
        self.urls, self.orders, self.stop = collections.deque(urls), orders, stop
        self.channel, self.connection, self.due, self.sent = None, None, [], []

    def connect(self):
        while True:
            url = self.urls[0]
            try:
                parameters = pika.URLParameters(url)
                parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = CONFIRM_FOR
                parameters.heartbeat = 6
                self.connection = pika.BlockingConnection(parameters)
                self.channel = self.connection.channel()
                self.channel.confirm_delivery()
                return
            except Exception:
                self.urls.rotate(-1)
                time.sleep(0.1)

    def send(self, message):
        kind, name, message_id, body = message
        properties = pika.BasicProperties(type=kind, app_id="ha", message_id=message_id, delivery_mode=PERSISTENT)
        while True:
            try:
                if self.channel is None:
                    self.connect()
                self.channel.basic_publish("leveret.commands", f"{kind}.{name}", json.dumps(body), properties, mandatory=True)
                self.sent.append(message)
                return
            except Exception:
                self.drop()

    def drop(self):
        connection, self.channel, self.connection = self.connection, None, None
        self.urls.rotate(-1)
        try:
            if connection is not None:
                connection._impl._transport.abort()
        except Exception:
            pass
        time.sleep(0.05)

    def run(self):
        while not self.stop.is_set() or self.due:
            now = time.monotonic()
            for when, message in [one for one in self.due if one[0] <= now]:
                self.due.remove((when, message))
                self.send(message)
            made = None if self.stop.is_set() else self.orders.take()
            if made is None:
                time.sleep(0.02)
                if self.connection is not None:
                    try:
                        self.connection.process_data_events(0)
                    except Exception:
                        self.drop()
                continue
            first, later = made
            for message in first:
                self.send(message)
            self.due += [(time.monotonic() + 2, message) for message in later]


class Orders:
    """What is ordered, at a steady rate: most are paid at once or after 2 s, a tenth never."""

    def __init__(self, rate):
        self.rate, self.chance, self.lock = rate, random.Random(11), threading.Lock()
        self.began, self.number, self.paid, self.unpaid = time.monotonic(), 0, [], []

    def take(self):
        with self.lock:
            if self.number >= (time.monotonic() - self.began) * self.rate:
                return None
            self.number += 1
            key = f"a-{self.number:06}"
            if self.chance.random() < 0.1:
                self.unpaid.append(key)
                return [start(key, "4s")], []
            self.paid.append(key)
            payment = [paid(key)] * (2 if self.chance.random() < 0.2 else 1)
            at_once = self.chance.random() < 0.5
            begin = [start(key, "10m")]
            return (begin + payment, []) if at_once else (begin, payment)


class Http(threading.Thread):
    """Starts over HTTP, each with its idempotency key until it is answered with 2xx."""

    def __init__(self, addresses, rate, stop):
        super().__init__(daemon=True)
        self.addresses, self.rate, self.stop, self.answered = addresses, rate, stop, []

    def post(self, path, body, key):
        for address in self.addresses():
            request = urllib.request.Request(f"http://{address}/api/v1{path}", json.dumps(body).encode(), {"Idempotency-Key": key})
            try:
                with urllib.request.urlopen(request, timeout=HTTP_FOR) as answer:
                    return answer.status
            except Exception:
                continue
        return None

    def run(self):
        number = 0
        while not self.stop.is_set():
            number += 1
            key = f"h-{number:06}"
            body = {"definition": "order", "key": key, "input": order(key, "4s")}
            while not self.stop.is_set():
                if self.post("/instances", body, f"start {key}") in (200, 201):
                    self.answered.append(key)
                    break
                time.sleep(0.2)
            time.sleep(1 / self.rate)


class Load:
    """Everything that is sent in one round."""

    def __init__(self, cluster, addresses, rate=12, http_rate=1):
        self.stop = threading.Event()
        self.orders = Orders(rate)
        urls = [node.url for node in cluster.nodes[:3]]
        self.publishers = [Publisher(urls[at:] + urls[:at], self.orders, self.stop) for at in range(3)]
        self.http = Http(addresses, http_rate, self.stop)

    def begin(self):
        self.began_at = time.time()
        for thread in [*self.publishers, self.http]:
            thread.start()
        return self

    def end(self, within=60):
        self.stop.set()
        for thread in [*self.publishers, self.http]:
            thread.join(within)
        self.ended_at = time.time()

    def confirmed(self):
        return [message for publisher in self.publishers for message in publisher.sent]

    def again(self):
        """Everything that was confirmed, with the same ids."""
        publisher = self.publishers[0]
        publisher.drop()
        for message in list(self.confirmed()):
            publisher.send(message)
        publisher.sent = list({message[2]: message for message in publisher.sent}.values())
