#!/usr/bin/env python3
"""Asks event queries (EQL) of documents, by the engine that the language was published with (Python package `eql`).

usage: event_queries.py QUESTIONS

Reads lines of {"query", "documents": [{"id", "document"}, ...]} and prints for each a line with the ids of what was found: one
list for each event or sequence. The queries are read by Elasticsearch's grammar of the language. Documents are told in the
order of their @timestamp, equal ones in that of the line. Ends with an error for a query that the grammar refuses.

As in Elasticsearch, documents that lack a field of `by` are in no sequence; the engine would join them with each other.
"""

import json
import sys
from datetime import datetime

from eql import Event, PythonEngine, ast
from eql.parser import allow_runs, elasticsearch_syntax, parse_query

# The engine counts time in tenths of a microsecond.
TICKS_IN_A_SECOND = 10_000_000


def has(document, field):
    for part in (field.base, *field.path):
        document = document.get(part) if isinstance(document, dict) else None
    return document is not None


def joined(query, events):
    """Whether each event of a sequence has the fields by which it is joined."""
    if not isinstance(query.first, ast.Sequence):
        return True
    terms = query.first.queries
    return all(has(event.data, field) for term, event in zip(terms, events) for field in term.join_values)


def found(query, documents):
    results = []
    engine = PythonEngine()
    engine.add_query(query)
    engine.add_output_hook(lambda result: results.append(result.events))
    events = []
    for given in documents:
        at = datetime.fromisoformat(given["document"]["@timestamp"]).timestamp()
        events.append(Event("generic", round(at * TICKS_IN_A_SECOND), {**given["document"], "_id": given["id"]}))
    for event in sorted(events, key=lambda event: event.time):
        engine.stream_event(event)
    engine.finalize()
    return [[event.data["_id"] for event in events] for events in results if joined(query, events)]


def main():
    with open(sys.argv[1], encoding="utf-8") as questions:
        for line in questions:
            asked = json.loads(line)
            with elasticsearch_syntax, allow_runs:
                query = parse_query(asked["query"])
            print(json.dumps(found(query, asked["documents"])))


if __name__ == "__main__":
    main()
