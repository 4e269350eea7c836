#!/usr/bin/python3
"""An inventory over HTTP, for examples/workers/shipping.yaml: POST /reservations, DELETE /reservations/{id}, GET /stock.

A request that is repeated with the same `Idempotency-Key` gets the same answer and reserves nothing more. Usage: inventory.py [port]
"""

import http.server
import json
import sys

STOCK = {"lamp": 100, "desk": 1}
RESERVED = {}  # by id
KNOWN = {}  # answers by Idempotency-Key


class Inventory(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200, STOCK)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = self.headers.get("idempotency-key")
        if key not in KNOWN:
            KNOWN[key] = self.reserve(asked)
        self.answer(*KNOWN[key])

    def reserve(self, asked):
        if STOCK.get(asked["sku"], 0) < asked["quantity"]:
            return 409, {"error": "sold out"}
        STOCK[asked["sku"]] -= asked["quantity"]
        number = f"R-{len(KNOWN) + 1}"
        RESERVED[number] = asked
        return 201, {"id": number}

    def do_DELETE(self):
        reserved = RESERVED.pop(self.path.rsplit("/", 1)[1], None)
        if reserved:
            STOCK[reserved["sku"]] += reserved["quantity"]
        self.answer(200, {"released": bool(reserved)})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8086), Inventory)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
