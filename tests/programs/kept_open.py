"""Keeps one connection open and calls home inside it at a steady interval with jitter.

usage: kept_open.py TRUTH BEATS INTERVAL_S JITTER ADDRESS
The other end is a thread of its own here; it sends a byte every 100 ms all the time, as a busy server would.
"""

import random
import socket
import threading
import time

from truth import Truth, arguments, family_of

REQUEST = b"k" * 120


def serve(listener, over):
    accepted = listener.accept()[0]
    while not over.wait(0.1):
        accepted.send(b".")
    accepted.close()


def main():
    given = arguments("truth", "beats", "interval_s", "jitter", "address")
    truth = Truth(given["truth"])
    interval_s, jitter = float(given["interval_s"]), float(given["jitter"])
    draw = random.Random(23)
    family = family_of(given["address"])
    listener = socket.create_server((given["address"], 0), family=family)
    over = threading.Event()
    server = threading.Thread(target=serve, args=(listener, over))
    server.start()
    before = time.time_ns()
    with socket.create_connection(listener.getsockname()[:2]) as client:
        here, there = client.getsockname(), client.getpeername()
        received = 0
        for _ in range(int(given["beats"])):
            client.sendall(REQUEST)
            due = time.monotonic() + interval_s * draw.uniform(1 - jitter, 1 + jitter)
            while (left := due - time.monotonic()) > 0:
                client.settimeout(left)
                try:
                    received += len(client.recv(4096))
                except TimeoutError:
                    break
        sent = int(given["beats"]) * len(REQUEST)
        truth.connection("tcp", before, here, there, "connected", sent, received)
    over.set()
    server.join()
    truth.end()


main()
