"""Connects as a person does who reads: several connections at once, then a pause of any length.

usage: browsing.py TRUTH BURSTS LOCAL REMOTE PORT
"""

import random
import socket
import time

from truth import Truth, arguments, family_of


def fetch(truth, draw, local, remote, port):
    request = b"g" * draw.randint(20, 400) + b"\n"
    before = time.time_ns()
    with socket.socket(family_of(local), socket.SOCK_STREAM) as tcp:
        tcp.bind((local, 0))
        tcp.connect((remote, port))
        here, there = tcp.getsockname(), tcp.getpeername()
        tcp.sendall(request)
        received = 0
        while received < 600:
            part = tcp.recv(4096)
            if not part:
                break
            received += len(part)
    truth.connection("tcp", before, here, there, "connected", len(request), received)


def main():
    given = arguments("truth", "bursts", "local", "remote", "port")
    truth = Truth(given["truth"])
    draw = random.Random(23)
    for _ in range(int(given["bursts"])):
        for _ in range(draw.randint(1, 7)):
            fetch(truth, draw, given["local"], given["remote"], int(given["port"]))
            time.sleep(draw.expovariate(1 / 0.08))
        time.sleep(min(9.0, draw.lognormvariate(0.7, 0.9)))
    truth.end()


main()
