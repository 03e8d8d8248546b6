"""Opens connections to a server, tells of them, and keeps them open until it is killed.

usage: living.py TRUTH READY CONNECTIONS LOCAL REMOTE PORT
Writes READY when all are open and have exchanged what they ever will.
"""

import os
import signal
import socket
import time

from truth import Truth, arguments, family_of

REQUEST = b"l" * 70 + b"\n"
ANSWER = 600


def main():
    given = arguments("truth", "ready", "connections", "local", "remote", "port")
    truth = Truth(given["truth"])
    opened = []
    for _ in range(int(given["connections"])):
        before = time.time_ns()
        tcp = socket.socket(family_of(given["local"]), socket.SOCK_STREAM)
        tcp.bind((given["local"], 0))
        tcp.connect((given["remote"], int(given["port"])))
        tcp.sendall(REQUEST)
        received = 0
        while received < ANSWER:
            received += len(tcp.recv(4096))
        here, there = tcp.getsockname(), tcp.getpeername()
        truth.connection("tcp", before, here, there, "connected", len(REQUEST), received)
        opened.append(tcp)
    truth.end()
    with open(given["ready"] + ".partial", "w", encoding="utf-8") as ready:
        ready.write("open\n")
    os.rename(given["ready"] + ".partial", given["ready"])
    signal.pause()


main()
