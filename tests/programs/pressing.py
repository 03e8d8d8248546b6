"""Makes connections and datagrams inside one process, so many that small buffers cannot hold what is said of them.

usage: pressing.py TRUTH ADDRESS CONNECTIONS PEERS
Each connection sends the head of one HTTP request, which nobody answers. Then one socket sends a datagram to each of so
many others.
"""

import socket
import time

from truth import Truth, arguments, family_of

REQUEST = b"GET / HTTP/1.1\r\nHost: pressed.example.org\r\n\r\n"


def connect(truth, listener):
    before = time.time_ns()
    client = socket.create_connection(listener.getsockname()[:2])
    accepted = listener.accept()[0]
    here, there = client.getsockname(), client.getpeername()
    client.sendall(REQUEST)
    received = len(accepted.recv(4096))
    client.close()
    # The client closes first: wait for it, so that the roles of the close are always the same.
    accepted.recv(1)
    accepted.close()
    truth.connection("tcp", before, here, there, "connected", len(REQUEST), 0)
    truth.connection("tcp", before, there, here, "accepted", 0, received)


def main():
    given = arguments("truth", "address", "connections", "peers")
    truth = Truth(given["truth"])
    family = family_of(given["address"])
    listener = socket.create_server((given["address"], 0), family=family)
    for _ in range(int(given["connections"])):
        connect(truth, listener)
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.bind((given["address"], 0))
    peers = []
    for _ in range(int(given["peers"])):
        peer = socket.socket(family, socket.SOCK_DGRAM)
        peer.bind((given["address"], 0))
        before = time.time_ns()
        sender.sendto(b"d" * 10, peer.getsockname())
        received = len(peer.recv(100))
        truth.connection(
            "udp", before, sender.getsockname(), peer.getsockname(), "connected", 10, 0
        )
        truth.connection(
            "udp", before, peer.getsockname(), sender.getsockname(), "accepted", 0, received
        )
        peers.append(peer)
    for udp in (sender, *peers):
        udp.close()
    truth.end()


main()
