"""A supplier that is often overloaded and sometimes down, for examples/supplier.yaml. Needs nothing but Python.

    python3 examples/data/supplier.py [port]
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEGAN = time.monotonic()
# Of every CYCLE seconds the last OUTAGE are an outage.
CYCLE, OUTAGE = 37, 10  # not 30, the pause of a breaker: its probes would meet the outage again and again
count = 0


class Supplier(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global count
        count += 1
        part = self.path.rsplit("/", 1)[-1]
        if (time.monotonic() - BEGAN) % CYCLE > CYCLE - OUTAGE:
            self.answer(503, {"error": "down"})
        elif count % 3 == 0:
            self.answer(429, {"error": "too much at once"}, {"Retry-After": "1"})
        elif part == "unobtainium":
            self.answer(404, {"error": "no such part"})
        else:
            self.answer(200, {"part": part, "price": 10 * len(part)})

    def answer(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8085
    print(f"supplier on http://127.0.0.1:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Supplier).serve_forever()
