"""Answers TCP and UDP on one IPv4 and one IPv6 address, and counts what it accepted.

usage: server.py TRUTH READY IPV4 IPV6
Writes the ports, which the kernel chose, to READY. Runs until SIGTERM.
"""

import asyncio
import json
import os
import signal
import socket
import time

from truth import Truth, arguments, family_of

ANSWER = b"a" * 600


async def answer_tcp(truth, reader, writer):
    before = time.time_ns()
    local = writer.get_extra_info("sockname")
    remote = writer.get_extra_info("peername")
    request = await reader.readline()
    writer.write(ANSWER)
    await writer.drain()
    # The client closes first: wait for it, so that the roles of the close are always the same.
    await reader.read()
    writer.close()
    await writer.wait_closed()
    truth.connection("tcp", before, local, remote, "accepted", len(ANSWER), len(request))


class AnswerUdp(asyncio.DatagramProtocol):
    def __init__(self, truth):
        self._truth = truth
        self._transport = None

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, address):
        before = time.time_ns()
        self._transport.sendto(ANSWER, address)
        local = self._transport.get_extra_info("sockname")
        self._truth.connection("udp", before, local, address, "accepted", len(ANSWER), len(data))


async def main():
    given = arguments("truth", "ready", "ipv4", "ipv6")
    truth = Truth(given["truth"])
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    ports = {}
    for family in ("ipv4", "ipv6"):
        address = given[family]
        for use in ("beacon", "browsing", "later"):
            listener = await asyncio.start_server(
                lambda reader, writer: answer_tcp(truth, reader, writer), address, 0
            )
            ports["tcp_%s_%s" % (use, family)] = listener.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(
            lambda: AnswerUdp(truth), local_addr=(address, 0)
        )
        ports["udp_%s" % family] = transport.get_extra_info("sockname")[1]
        # Bound but not listening: nobody else gets the port, and connections to it are refused.
        closed = socket.socket(family_of(address), socket.SOCK_STREAM)
        closed.bind((address, 0))
        ports["refused_%s" % family] = closed.getsockname()[1]
        ports["keep_%s" % family] = closed.fileno()
        closed.detach()
    with open(given["ready"] + ".partial", "w", encoding="utf-8") as ready:
        json.dump(ports, ready)
    os.rename(given["ready"] + ".partial", given["ready"])
    await stop.wait()
    truth.end()


asyncio.run(main())
