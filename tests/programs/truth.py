"""What a test program did, written by the program itself: one JSON object a line.

The test compares these lines with what Beaconwatch reported. Nothing here knows of Beaconwatch.
"""

import json
import os
import socket
import sys
import time


class Truth:
    """The record of one program; every line is on its way to the disk when `add` returns."""

    def __init__(self, path):
        self._file = open(path, "w", buffering=1, encoding="utf-8")
        with open("/proc/self/comm", encoding="utf-8") as comm:
            self.add(
                what="program",
                name=comm.read().strip(),
                executable=os.readlink("/proc/self/exe"),
                user_id=os.getuid(),
            )

    def add(self, **fields):
        fields["pid"] = os.getpid()
        self._file.write(json.dumps(fields) + "\n")

    def connection(self, transport, before_ns, local, remote, outcome, sent, received):
        """One connection (TCP) or one exchange (UDP), as this end of it saw it."""
        self.add(
            what="connection",
            transport=transport,
            family="ipv6" if ":" in local[0] else "ipv4",
            before_ns=before_ns,
            after_ns=time.time_ns(),
            local_address=local[0],
            local_port=local[1],
            remote_address=remote[0],
            remote_port=remote[1],
            outcome=outcome,
            sent=sent,
            received=received,
        )

    def end(self):
        self.add(what="end")
        self._file.close()


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def arguments(*names):
    """Positional arguments by name."""
    values = sys.argv[1:]
    if len(values) != len(names):
        sys.exit("usage: %s %s" % (sys.argv[0], " ".join(names)))
    return dict(zip(names, values))
