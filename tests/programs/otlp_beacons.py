#!/usr/bin/env python3
"""Sends flow records of ever new beacons over OTLP/HTTP (JSON), and notes which were acknowledged.

usage: otlp_beacons.py URL TRUTH SEED PAUSE_S

Each request holds one beacon (40 connections of one pair, 30 s +- 10 % apart, ending now) and five
connections to other places. A request is sent again, unchanged, until it is answered with 200: connection
refused, reset in the middle, 429 and 503 are all the same to it. Then one line goes to TRUTH, on disk before
the next request: {"source", "destination", "port", "attempts"}. Ends on SIGTERM after the request under way.
"""

import http.client
import json
import os
import random
import signal
import sys
import time
import urllib.parse

BEATS = 40
INTERVAL_S = 30.0


def attribute(key, value):
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": value}}


class Flows:
    """Flow records with one gapless sequence."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sequence = 0
        self.exporter = f"{self.random.getrandbits(128):032x}"

    def record(self, start_ns, source, destination, port):
        end_ns = start_ns + 80_000_000
        attributes = {
            "beaconwatch.exporter.id": self.exporter,
            "beaconwatch.exporter.sequence": self.sequence,
            "beaconwatch.flow.id": f"{self.random.getrandbits(128):032x}",
            "beaconwatch.flow.event": "end",
            "beaconwatch.flow.record": 0,
            "beaconwatch.flow.role": "client",
            "beaconwatch.flow.established": True,
            "beaconwatch.flow.start": start_ns,
            "beaconwatch.flow.end": end_ns,
            "source.address": source,
            "source.port": self.random.randrange(32768, 60000),
            "destination.address": destination,
            "destination.port": port,
            "network.transport": "tcp",
        }
        self.sequence += 1
        return {
            "timeUnixNano": str(end_ns),
            "eventName": "beaconwatch.network.flow",
            "attributes": [attribute(key, value) for key, value in attributes.items()],
        }

    def beacon(self, number):
        """A request, and what it holds."""
        source = f"10.{number >> 14 & 255}.{number >> 7 & 127}.{number & 127}"
        destination, port = f"198.51.100.{number % 250 + 1}", 443
        now_ns = time.time_ns()
        records, start_ns = [], now_ns - int((BEATS + 2) * INTERVAL_S * 1e9)
        for _ in range(BEATS):
            records.append(self.record(start_ns, source, destination, port))
            start_ns += int(INTERVAL_S * 1e9 * self.random.uniform(0.9, 1.1))
        for _ in range(5):
            other = f"203.0.113.{self.random.randrange(1, 255)}"
            start = now_ns - self.random.randrange(10**12)
            records.append(self.record(start, source, other, 80))
        resource = {"attributes": [attribute("host.id", "sender"), attribute("host.name", "sender")]}
        body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
        return body, {"source": source, "destination": destination, "port": port}


def send(url, body):
    """Sends until it is acknowledged; the number of attempts."""
    attempts = 0
    while True:
        attempts += 1
        try:
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
            connection.request("POST", url.path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            if answer.status == 200:
                if b"partialSuccess" in text:
                    sys.exit(f"not taken whole: {text!r}")
                return attempts
            if answer.status not in (429, 502, 503, 504):
                sys.exit(f"answered {answer.status}: not to be sent again")
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)


def main():
    url, truth = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
    seed, pause_s = int(sys.argv[3]), float(sys.argv[4])
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    flows = Flows(seed)
    with open(truth, "a", encoding="utf-8") as file:
        number = 0
        while not ending:
            body, beacon = flows.beacon(number)
            beacon["attempts"] = send(url, json.dumps(body).encode())
            file.write(json.dumps(beacon) + "\n")
            file.flush()
            os.fsync(file.fileno())
            number += 1
            time.sleep(pause_s)


main()
