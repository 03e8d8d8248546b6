"""Writes an hour's connections of twelve clients, one of which beats: the log behind docs/score/example.json.

    python3 docs/score/example.py > conn.ndjson
"""

import json
import random

draw = random.Random(7)


def flow(ts, source, destination, name, size):
    print(json.dumps({
        "ts": round(1_763_800_000 + ts, 3), "src": source, "sport": draw.randrange(32768, 60000), "dst": destination, "dport": 443,
        "proto": "tcp", "server_name": name, "duration": 0.2, "orig_bytes": size, "resp_bytes": size + draw.randrange(40), "conn_state": "SF",
    }))


for client in range(10, 22):
    ts = 0.0
    while (ts := ts + draw.expovariate(1 / 200)) < 3600:
        site = draw.randrange(6)
        flow(ts, f"192.0.2.{client}", f"203.0.113.{site}", f"www.site{site}.example", draw.randrange(400, 20000))
due = 30.0
while due < 3600:
    if draw.random() > 0.1:
        flow(due, "192.0.2.10", "198.51.100.7", "cdn.example.net", 620)
    due += 150 * draw.uniform(0.75, 1.25)
