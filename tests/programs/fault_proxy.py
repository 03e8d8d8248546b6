#!/usr/bin/env python3
"""Stands between an HTTP client and its server and misbehaves as networks and servers do.

usage: fault_proxy.py ADDRESS_FILE SERVER FAULTS SEED

With a probability of FAULTS a request meets one of: connection reset in the middle of the request; answered 429
(Retry-After: 1) or 503 and not passed on; passed on and reset before the answer, so that it must come again; passed
on and answered late. The address goes to ADDRESS_FILE; on SIGTERM the counts of all faults go to ADDRESS_FILE.faults.
"""

import collections
import http.client
import http.server
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

LATE_S = 0.3
FAULTS = ["cut", "busy", "unavailable", "answer_lost", "late"]


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, server, faults, seed):
        super().__init__(("127.0.0.1", 0), Handler)
        self.server, self.faults, self.random = server, faults, random.Random(seed)
        self.lock, self.counts = threading.Lock(), collections.Counter()

    def fault(self):
        with self.lock:
            fault = None
            if self.random.random() < self.faults:
                fault = self.random.choice(FAULTS)
            self.counts[fault or "none"] += 1
            return fault


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        fault = self.server.fault()
        length = int(self.headers["content-length"])
        if fault == "cut":
            self.rfile.read(length // 2)
            return self.reset()
        body = self.rfile.read(length)
        if fault == "busy":
            return self.answer(429, b"slow down", {"retry-after": "1"})
        if fault == "unavailable":
            return self.answer(503, b"away", {})
        status, answer, content_type = self.pass_on(body)
        if fault == "answer_lost":
            return self.reset()
        if fault == "late":
            time.sleep(LATE_S)
        return self.answer(status, answer, {"content-type": content_type})

    def pass_on(self, body):
        connection = http.client.HTTPConnection(self.server.server, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request("POST", self.path, body, headers)
        answer = connection.getresponse()
        whole = answer.status, answer.read(), answer.getheader("content-type", "text/plain")
        connection.close()
        return whole

    def answer(self, status, body, headers):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reset(self):
        """Closes with a RST, not a FIN."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        pass


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def main():
    address_file, server, faults, seed = sys.argv[1:5]
    proxy = Proxy(server, float(faults), int(seed))

    def end(*_):
        write(address_file + ".faults", json.dumps(proxy.counts))
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    write(address_file, f"127.0.0.1:{proxy.server_address[1]}")
    proxy.serve_forever()


main()
