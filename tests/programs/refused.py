"""Tries, at irregular times, to connect to a port where nobody listens.

usage: refused.py TRUTH ATTEMPTS LOCAL REMOTE PORT
"""

import random
import socket
import sys
import time

from truth import Truth, arguments, family_of


def attempt(truth, local, remote, port):
    with socket.socket(family_of(local), socket.SOCK_STREAM) as tcp:
        # Bound first: the kernel forgets the local port of a refused connection.
        tcp.bind((local, 0))
        here = tcp.getsockname()
        before = time.time_ns()
        try:
            tcp.connect((remote, port))
        except ConnectionRefusedError:
            truth.connection("tcp", before, here, (remote, port), "refused", 0, 0)
            return
    sys.exit("the connection to %s port %d was not refused" % (remote, port))


def main():
    given = arguments("truth", "attempts", "local", "remote", "port")
    truth = Truth(given["truth"])
    draw = random.Random(31)
    for _ in range(int(given["attempts"])):
        attempt(truth, given["local"], given["remote"], int(given["port"]))
        time.sleep(min(7.0, draw.expovariate(1 / 1.3)))
    truth.end()


main()
