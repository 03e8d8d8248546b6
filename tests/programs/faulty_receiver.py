#!/usr/bin/env python3
"""Receives documents by POST and misbehaves as real servers do.

usage: faulty_receiver.py ADDRESS_FILE DOCUMENTS FAULTS SEED

Of each request one line goes to DOCUMENTS, on disk before the answer: {"id", "body"}. With a probability of FAULTS
a request is answered 429 or 503 and not taken; reset before it is taken; taken and reset before the answer
(so it must come again, under the same id); or taken and answered late. Its address goes to ADDRESS_FILE.
"""

import http.server
import json
import os
import random
import socket
import struct
import sys
import threading
import time

LATE_S = 0.3


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, documents, faults, seed):
        super().__init__(("127.0.0.1", 0), Handler)
        self.documents = open(documents, "a", encoding="utf-8")
        self.faults, self.random, self.lock = faults, random.Random(seed), threading.Lock()

    def fault(self):
        with self.lock:
            if self.random.random() >= self.faults:
                return None
            return self.random.choice(["busy", "unavailable", "reset", "taken_and_reset", "late"])

    def take(self, identity, body):
        with self.lock:
            self.documents.write(json.dumps({"id": identity, "body": body}) + "\n")
            self.documents.flush()
            os.fsync(self.documents.fileno())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        fault = self.server.fault()
        if fault in ("busy", "unavailable"):
            return self.answer(429 if fault == "busy" else 503)
        if fault == "reset":
            return self.reset()
        self.server.take(self.headers["webhook-id"], body)
        if fault == "taken_and_reset":
            return self.reset()
        if fault == "late":
            time.sleep(LATE_S)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def reset(self):
        """Closes with a RST, not a FIN."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        pass


def main():
    address_file, documents, faults, seed = sys.argv[1:5]
    server = Server(documents, float(faults), int(seed))
    with open(address_file + ".new", "w", encoding="utf-8") as file:
        file.write(f"127.0.0.1:{server.server_address[1]}")
    os.rename(address_file + ".new", address_file)
    server.serve_forever()


main()
