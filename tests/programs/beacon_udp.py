"""Sends a datagram at a steady interval with jitter from one socket, and waits for the answer.

usage: beacon_udp.py TRUTH BEATS INTERVAL_S JITTER LOCAL REMOTE PORT
"""

import random
import socket
import time

from truth import Truth, arguments, family_of

REQUEST = b"u" * 80


def main():
    given = arguments("truth", "beats", "interval_s", "jitter", "local", "remote", "port")
    truth = Truth(given["truth"])
    interval_s, jitter = float(given["interval_s"]), float(given["jitter"])
    draw = random.Random(17)
    with socket.socket(family_of(given["local"]), socket.SOCK_DGRAM) as udp:
        udp.bind((given["local"], 0))
        udp.connect((given["remote"], int(given["port"])))
        udp.settimeout(10)
        due = time.monotonic()
        for _ in range(int(given["beats"])):
            time.sleep(max(0.0, due - time.monotonic()))
            before = time.time_ns()
            udp.send(REQUEST)
            answer = udp.recv(2048)
            truth.connection(
                "udp", before, udp.getsockname(), udp.getpeername(), "connected",
                len(REQUEST), len(answer),
            )
            due += interval_s * draw.uniform(1 - jitter, 1 + jitter)
    truth.end()


main()
