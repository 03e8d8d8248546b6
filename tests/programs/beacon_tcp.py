"""Connects at a steady interval with jitter, over IPv4 and over IPv6, each on a schedule of its own.

usage: beacon_tcp.py TRUTH BEATS INTERVAL_S JITTER LOCAL4 REMOTE4 PORT4 LOCAL6 REMOTE6 PORT6
JITTER .2 means that every interval is drawn evenly from 80 % to 120 % of INTERVAL_S.
"""

import asyncio
import random
import time

from truth import Truth, arguments, family_of

REQUEST = b"b" * 99 + b"\n"


async def connect(truth, local, remote, port):
    before = time.time_ns()
    reader, writer = await asyncio.open_connection(
        remote, port, local_addr=(local, 0), family=family_of(remote)
    )
    here = writer.get_extra_info("sockname")
    there = writer.get_extra_info("peername")
    writer.write(REQUEST)
    answer = await reader.readexactly(600)
    writer.close()
    await writer.wait_closed()
    truth.connection("tcp", before, here, there, "connected", len(REQUEST), len(answer))


async def beat(truth, beats, interval_s, jitter, seed, local, remote, port):
    draw = random.Random(seed)
    loop = asyncio.get_running_loop()
    due = loop.time()
    for _ in range(beats):
        await asyncio.sleep(max(0.0, due - loop.time()))
        await connect(truth, local, remote, port)
        due += interval_s * draw.uniform(1 - jitter, 1 + jitter)


async def main():
    given = arguments(
        "truth", "beats", "interval_s", "jitter",
        "local4", "remote4", "port4", "local6", "remote6", "port6",
    )
    truth = Truth(given["truth"])
    common = (truth, int(given["beats"]), float(given["interval_s"]), float(given["jitter"]))
    await asyncio.gather(
        beat(*common, 4, given["local4"], given["remote4"], int(given["port4"])),
        beat(*common, 6, given["local6"], given["remote6"], int(given["port6"])),
    )
    truth.end()


asyncio.run(main())
