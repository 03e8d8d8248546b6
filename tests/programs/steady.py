"""Connects again and again until it is told to stop (SIGTERM), and keeps one connection open all the while.

usage: steady.py TRUTH PAUSE_S LOCAL REMOTE PORT
An attempt that finds no way to the other end is noted as `unreachable`.
"""

import errno
import signal
import socket
import time

from truth import Truth, arguments, family_of

ANSWER = 600
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH)


class Connection:
    def __init__(self, truth, local, remote, port):
        self._truth = truth
        self._tcp = socket.socket(family_of(local), socket.SOCK_STREAM)
        # Bound first: an attempt that fails has a port, too.
        self._tcp.bind((local, 0))
        self._here, self._there = self._tcp.getsockname(), (remote, port)
        self._before = time.time_ns()
        self._sent = self._received = 0

    def exchange(self, request):
        self._tcp.connect(self._there)
        self._tcp.sendall(request)
        self._sent += len(request)
        while self._received < ANSWER:
            part = self._tcp.recv(4096)
            if not part:
                break
            self._received += len(part)

    def close(self, outcome):
        self._tcp.close()
        self._truth.connection(
            "tcp", self._before, self._here, self._there, outcome, self._sent, self._received
        )


def main():
    given = arguments("truth", "pause_s", "local", "remote", "port")
    truth = Truth(given["truth"])
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    ends = (given["local"], given["remote"], int(given["port"]))
    kept = Connection(truth, *ends)
    kept.exchange(b"k" * 40 + b"\n")
    count = 0
    while not stopping:
        count += 1
        connection = Connection(truth, *ends)
        try:
            connection.exchange(b"s" * (count % 300 + 1) + b"\n")
        except OSError as error:
            if error.errno not in NO_WAY:
                raise
            connection.close("unreachable")
        else:
            connection.close("connected")
        time.sleep(float(given["pause_s"]))
    kept.close("connected")
    truth.end()


main()
