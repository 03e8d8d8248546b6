#!/usr/bin/env python3
"""Checks OCSF events and STIX bundles with the published tools.

usage: vocabularies.py < LINES

Reads lines of {"name", "kind", "body"}. An event ("ocsf") is checked against the JSON Schema that ocsf-json-schema makes of
OCSF's own definition of its class, in the version that the event names and in the newest; a bundle ("stix") is parsed by
stix2, which knows the properties of each type and the grammar of patterns, and custom properties are refused. Prints a
line of {"name", "kind", "problems"} for each and ends with 1 when there are any.
"""

import json
import sys

import stix2
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

NEWEST = "1.8.0"


def ocsf(event):
    problems = []
    for version in dict.fromkeys([event["metadata"]["version"], NEWEST]):
        published = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
        name = published.lookup_class_name_from_uid(class_uid=event["class_uid"])
        schema = published.get_class_schema(class_name=name, profiles=[])
        event = json.loads(json.dumps(event))
        event["metadata"]["version"] = version
        for error in Draft202012Validator(schema).iter_errors(event):
            problems.append(f"{version} {error.json_path}: {error.message[:300]}")
    return problems


def stix(bundle):
    try:
        parsed = stix2.parse(bundle, allow_custom=False, version="2.1")
    except Exception as error:  # whatever the library refuses it with
        return [f"{type(error).__name__}: {error}"]
    problems = []
    ids = {it["id"] for it in parsed.objects}
    for it in parsed.objects:
        if it["type"] in ("ipv4-addr", "ipv6-addr", "domain-name", "network-traffic", "file"):
            again = json.loads(it.serialize())
            given = again.pop("id")
            made = stix2.parse(again, version="2.1").id
            if made != given:
                problems.append(f"{given}: the library makes {made}")
        for reference in it.get("object_refs", []):
            if reference not in ids:
                problems.append(f"{it['id']}: {reference} is not in the bundle")
    return problems


def main():
    failed = False
    for line in sys.stdin:
        given = json.loads(line)
        problems = {"ocsf": ocsf, "stix": stix}[given["kind"]](given["body"])
        print(json.dumps({"name": given["name"], "kind": given["kind"], "problems": problems}))
        failed = failed or bool(problems)
    sys.exit(1 if failed else 0)


main()
