#!/usr/bin/env python3
"""Converts the rules to the queries of other products, and checks them.

    convert.py            write converted/ anew
    convert.py --check    fail when a file of converted/ differs from what would be written
    convert.py --validate run the checks of sigma-cli (those that download are pointed at the techniques in use)

Needs: pip install sigma-cli pysigma pysigma-backend-elasticsearch pysigma-backend-opensearch pysigma-backend-splunk

What a product's converter cannot express is listed in converted/README.md with the converter's own words.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from sigma.backends.elasticsearch import EqlBackend, ESQLBackend, LuceneBackend
from sigma.backends.splunk import SplunkBackend
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingPipeline

HERE = pathlib.Path(__file__).resolve().parent
CONVERTED = HERE / "converted"


def pipeline(name):
    return ProcessingPipeline.from_yaml((HERE / "pipelines" / name).read_text())


# Folder, ending, backend, pipeline.
TARGETS = [
    ("lucene", "lucene", LuceneBackend, "beaconwatch-ecs.yml"),
    ("esql", "esql", ESQLBackend, "beaconwatch-ecs.yml"),
    ("eql", "eql", EqlBackend, "beaconwatch-ecs.yml"),
    ("spl", "spl", SplunkBackend, "beaconwatch-cim.yml"),
]


# What a converter makes and should not: its queries mean something else than the rule.
UNFAITHFUL = {
    ("eql", "value_count"): "a sequence with runs counts the repeats of one value, not the different values",
    ("eql", "temporal"): "sample has no time span",
    ("eql", "temporal_ordered"): "the converter adds a number of runs, which is no valid EQL here",
}


def sources():
    """Names and texts of rules, then of correlations."""
    for folder in ("rules", "correlations"):
        for path in sorted((HERE / folder).glob("*.yml")):
            yield folder, path.stem, path.read_text()


def identity(text):
    return re.search(r"^id: (\S+)$", text, re.MULTILINE).group(1)


def needed(text, by_id):
    """A correlation with the rules that it names."""
    rules = [by_id[i] for i in re.findall(r"^        - ([0-9a-f-]{36})$", text, re.MULTILINE)]
    return "\n---\n".join([*rules, text])


def convert():
    """Files by path, and what could not be converted."""
    files, failures = {}, []
    everything = list(sources())
    by_id = {identity(text): text for folder, _, text in everything if folder == "rules"}
    for target, ending, backend, pipeline_name in TARGETS:
        for folder, name, text in everything:
            whole = needed(text, by_id) if folder == "correlations" else text
            kind = re.search(r"^    type: (\w+)$", text, re.MULTILINE)
            unfaithful = UNFAITHFUL.get((target, kind.group(1))) if kind else None
            if unfaithful:
                failures.append((target, name, f"left out: {unfaithful}"))
                continue
            try:
                # A pipeline remembers what it was applied to: a new one for each rule.
                queries = queries_of(backend(pipeline(pipeline_name)), whole, folder)
            except Exception as error:  # Each converter has errors of its own.
                failures.append((target, name, " ".join(str(error).split())))
                continue
            files[f"{target}/{name}.{ending}"] = "\n".join(queries).rstrip("\n") + "\n"
    files["README.md"] = summary(failures)
    return files


def queries_of(backend, text, folder):
    collection = SigmaCollection.from_yaml(text)
    if folder == "rules":
        return backend.convert(collection)
    collection.resolve_rule_references()
    for rule in collection.rules:
        if not isinstance(rule, SigmaCorrelationRule):
            rule.disable_output()
            backend.convert_rule(rule)
    queries = []
    for rule in collection.rules:
        if isinstance(rule, SigmaCorrelationRule):
            queries.extend(backend.convert_correlation_rule(rule))
    if not queries:
        raise ValueError("the converter makes no query of it")
    return queries


def summary(failures):
    lines = [
        "<!-- Written by ../convert.py: do not edit. -->",
        "# Converted rules",
        "",
        "By pySigma with the pipelines in `../pipelines/`: `lucene/` for Elasticsearch and OpenSearch, `esql/` and `eql/` for",
        "Elasticsearch, `spl/` for Splunk. ES|QL, EQL and SPL are converted and not executed by the tests of this project.",
        "",
        "They differ from what the sidecar says where the languages do: ES|QL and SPL count in fixed buckets of time and not in",
        "a sliding window, and in ES|QL a negated comparison with a field that a document does not have drops the document.",
        "",
        "Not to be expressed:",
        "",
        "| for | rule | the converter says |",
        "|---|---|---|",
    ]
    cell = lambda text: text.replace("|", "\\|")
    lines += [f"| {target} | `{name}` | {cell(problem)} |" for target, name, problem in failures]
    return "\n".join(lines) + "\n"


def written():
    paths = (path for path in CONVERTED.rglob("*") if path.is_file())
    return {path.relative_to(CONVERTED).as_posix(): path.read_text() for path in paths}


def write(files):
    for path in set(written()) - set(files):
        (CONVERTED / path).unlink()
    for path, text in files.items():
        place = CONVERTED / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    print(f"{len(files)} files written")


def check(files):
    old = written()
    stale = sorted(path for path in old.keys() | files.keys() if old.get(path) != files.get(path))
    for path in stale:
        print(f"converted/{path} differs: run convert.py", file=sys.stderr)
    return 1 if stale else 0


TACTICS = {
    "TA0001": "initial-access", "TA0002": "execution", "TA0006": "credential-access", "TA0007": "discovery",
    "TA0010": "exfiltration", "TA0011": "command-and-control",
}


def stub():
    """ATT&CK as far as the rules' tags name it, in the form that sigma-cli downloads."""
    techniques = sorted({t.upper() for _, _, text in sources() for t in re.findall(r"attack\.(t\d{4}(?:\.\d{3})?)", text)})
    objects = [{
        "type": "x-mitre-collection", "id": "x-mitre-collection--0", "x_mitre_version": "0", "name": "stub",
    }]
    reference = lambda i: [{"source_name": "mitre-attack", "external_id": i}]
    for number, name in TACTICS.items():
        objects.append({"type": "x-mitre-tactic", "id": f"x-mitre-tactic--{number}", "name": name,
                        "x_mitre_shortname": name, "external_references": reference(number)})
    for number in techniques:
        objects.append({"type": "attack-pattern", "id": f"attack-pattern--{number}", "name": number,
                        "kill_chain_phases": [], "x_mitre_is_subtechnique": "." in number,
                        "external_references": reference(number)})
    return {"type": "bundle", "id": "bundle--0", "objects": objects}


VALIDATE = """
import sys
from sigma.data import mitre_attack, mitre_d3fend
mitre_attack.set_url(sys.argv[1])
mitre_d3fend.set_url(sys.argv[2])
from sigma.cli.main import main
sys.argv = ["sigma", *sys.argv[3:]]
main()
"""


def validate():
    with tempfile.TemporaryDirectory() as folder:
        attack, d3fend = pathlib.Path(folder, "attack.json"), pathlib.Path(folder, "d3fend.json")
        attack.write_text(json.dumps(stub()))
        d3fend.write_text(json.dumps({"@graph": []}))
        # Correlations and the rules that they name must lie under one folder.
        rules = pathlib.Path(folder, "rules")
        rules.mkdir()
        for _, name, text in sources():
            (rules / f"{name}.yml").write_text(text)
        command = [sys.executable, "-c", VALIDATE, str(attack), str(d3fend), "check", "--fail-on-error",
                   "--fail-on-issues", str(rules)]
        return subprocess.run(command, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when converted/ is not up to date")
    parser.add_argument("--validate", action="store_true", help="run the checks of sigma-cli")
    arguments = parser.parse_args()
    if arguments.validate:
        return validate()
    files = convert()
    if arguments.check:
        return check(files)
    write(files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
