#!/usr/bin/env python3
"""Receives webhooks and verifies them as Standard Webhooks 1.0 say, with nothing but the standard library.

usage: webhook_receiver.py ADDRESS_FILE DOCUMENTS SECRET_FILE REFUSED

A request whose signature, time or id does not fit is answered 401 and noted as {"problem"}. A document whose source
is the address REFUSED is answered 422. Of every other one a line goes to DOCUMENTS: {"id", "body", "authorization"}.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading
import time

TOLERANCE_S = 300


def problem(headers, body, key):
    """What is wrong with a request; none when it is genuine."""
    identity, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not identity or not timestamp:
        return "no id or no time"
    if abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return f"time {timestamp} is too far away"
    content = f"{identity}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    for signature in headers["webhook-signature"].split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value, expected):
            return None
    return f"no signature of {headers['webhook-signature']} is {expected}"


class Receiver(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, documents, key, refused):
        super().__init__(("127.0.0.1", 0), Handler)
        self.documents = open(documents, "a", encoding="utf-8")
        self.key, self.refused, self.lock = key, refused, threading.Lock()

    def note(self, line):
        with self.lock:
            self.documents.write(json.dumps(line) + "\n")
            self.documents.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        wrong = problem(self.headers, body, self.server.key)
        if wrong:
            self.server.note({"problem": wrong})
            return self.answer(401)
        document = json.loads(body)
        if document.get("from") == self.server.refused:
            return self.answer(422)
        authorization = self.headers["authorization"]
        identity = self.headers["webhook-id"]
        self.server.note({"id": identity, "body": document, "authorization": authorization})
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    address_file, documents, secret_file, refused = sys.argv[1:5]
    with open(secret_file, encoding="utf-8") as file:
        key = base64.b64decode(file.read().strip().removeprefix("whsec_"))
    server = Receiver(documents, key, refused)
    with open(address_file + ".new", "w", encoding="utf-8") as file:
        file.write(f"127.0.0.1:{server.server_address[1]}")
    os.rename(address_file + ".new", address_file)
    server.serve_forever()


main()
