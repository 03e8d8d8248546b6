#!/usr/bin/env python3
"""Asks event queries (EQL) of documents, by the engine that the language was published with (Python package `eql`).

usage: event_queries.py QUESTIONS

Reads lines of {"query", "documents": [{"id", "document"}, ...]} and prints for each a line with the ids of what was found: one
list for each event or sequence. The queries are read by Elasticsearch's grammar of the language. Documents are told in the
order of their @timestamp, equal ones in that of the line. Ends with an error for a query that the grammar refuses.

Not as Elasticsearch does: documents that lack a field of `by` are joined with each other.
"""

import json
import sys
from datetime import datetime

from eql import Event, PythonEngine
from eql.parser import allow_runs, elasticsearch_syntax, parse_query

# The engine counts time in tenths of a microsecond.
TICKS_IN_A_SECOND = 10_000_000


def found(query, documents):
    results = []
    engine = PythonEngine()
    engine.add_query(query)
    engine.add_output_hook(lambda result: results.append([event.data["_id"] for event in result.events]))
    events = []
    for given in documents:
        at = datetime.fromisoformat(given["document"]["@timestamp"]).timestamp()
        events.append(Event("generic", round(at * TICKS_IN_A_SECOND), {**given["document"], "_id": given["id"]}))
    for event in sorted(events, key=lambda event: event.time):
        engine.stream_event(event)
    engine.finalize()
    return results


def main():
    with open(sys.argv[1], encoding="utf-8") as questions:
        for line in questions:
            asked = json.loads(line)
            with elasticsearch_syntax, allow_runs:
                query = parse_query(asked["query"])
            print(json.dumps(found(query, asked["documents"])))


if __name__ == "__main__":
    main()
