#!/usr/bin/env python3
"""Converts the rules to the queries of other products, and checks them.

    convert.py            write converted/ anew
    convert.py --check    fail when a file of converted/ differs from what would be written
    convert.py --validate run the checks of sigma-cli (those that download are pointed at the techniques in use)

Needs: pip install -r requirements.txt

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
from sigma.backends.opensearch import OpensearchLuceneBackend
from sigma.backends.splunk import SplunkBackend
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionItem, ConditionNOT, ConditionOR
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingPipeline
from sigma.types import SigmaNull, SigmaNumber, SigmaString

HERE = pathlib.Path(__file__).resolve().parent
CONVERTED = HERE / "converted"


def pipeline(name):
    return ProcessingPipeline.from_yaml((HERE / "pipelines" / name).read_text())


def leaves(condition):
    """The comparisons in a condition."""
    if isinstance(condition, ConditionItem):
        return [leaf for argument in condition.args for leaf in leaves(argument)]
    return [condition]


def negates(condition):
    return isinstance(condition, ConditionItem) and (
        isinstance(condition, ConditionNOT) or any(negates(argument) for argument in condition.args)
    )


class Present:
    """For languages in which a comparison with a missing field is neither true nor false, and so is its negation.

    In Sigma it is false, and its negation true. Under a negation, comparisons of one field ask whether it is there, too.
    """

    negated = False
    present_expression = ""

    def convert_condition_not(self, cond, state):
        before, self.negated = self.negated, True
        try:
            return super().convert_condition_not(cond, state)
        finally:
            self.negated = before

    def convert_condition(self, cond, state):
        compared = leaves(cond)
        fields = {getattr(leaf, "field", None) for leaf in compared}
        asks_for_null = any(isinstance(leaf.value, SigmaNull) for leaf in compared)
        if not self.negated or negates(cond) or asks_for_null or len(fields) != 1 or None in fields:
            return super().convert_condition(cond, state)
        self.negated = False
        try:
            expression = super().convert_condition(cond, state)
        finally:
            self.negated = True
        present = self.present_expression.format(field=self.escape_and_quote_field(fields.pop()))
        return f"({present} and ({expression}))"


class PresentEsqlBackend(Present, ESQLBackend):
    present_expression = "{field} is not null"


class TypedEqlBackend(Present, EqlBackend):
    """EQL that compares only strings by `:` and `like~`, as the language has it; pySigma's does so with numbers, too."""

    present_expression = "?{field} != null"

    def convert_condition_field_eq_val_num(self, cond, state):
        return f"{self.escape_and_quote_field(cond.field)} == {cond.value}"

    def convert_condition_field_eq_val_bool(self, cond, state):
        return f"{self.escape_and_quote_field(cond.field)} == {self.bool_values[cond.value.boolean]}"

    def convert_condition_as_in_expression(self, cond, state):
        values = [argument.value for argument in cond.args]
        if isinstance(cond, ConditionOR) and all(isinstance(value, SigmaNumber) for value in values):
            listed = self.list_separator.join(str(value) for value in values)
            return f"{self.escape_and_quote_field(cond.args[0].field)} in ({listed})"
        if all(isinstance(value, SigmaString) and self.is_ip(value) for value in values):
            return self.convert_condition_or(cond, state)
        return super().convert_condition_as_in_expression(cond, state)


# Folder, ending, backends, their format, pipeline. Where there are several backends, all must write the same.
TARGETS = [
    ("lucene", "lucene", [LuceneBackend, OpensearchLuceneBackend], "default", "beaconwatch-ecs.yml"),
    ("dsl", "json", [LuceneBackend, OpensearchLuceneBackend], "dsl_lucene", "beaconwatch-ecs.yml"),
    ("esql", "esql", [PresentEsqlBackend], "default", "beaconwatch-ecs.yml"),
    ("eql", "eql", [TypedEqlBackend], "default", "beaconwatch-ecs.yml"),
    ("spl", "spl", [SplunkBackend], "default", "beaconwatch-cim.yml"),
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
    for target, ending, backends, form, pipeline_name in TARGETS:
        for folder, name, text in everything:
            whole = needed(text, by_id) if folder == "correlations" else text
            kind = re.search(r"^    type: (\w+)$", text, re.MULTILINE)
            unfaithful = UNFAITHFUL.get((target, kind.group(1))) if kind else None
            if unfaithful:
                failures.append((target, name, f"left out: {unfaithful}"))
                continue
            try:
                # A pipeline remembers what it was applied to: a new one for each rule.
                queries, *others = [queries_of(it(pipeline(pipeline_name)), whole, folder, form) for it in backends]
            except Exception as error:  # Each converter has errors of its own.
                failures.append((target, name, " ".join(str(error).split())))
                continue
            if any(other != queries for other in others):
                raise SystemExit(f"{target}/{name}: {', '.join(it.name for it in backends)} do not write the same")
            files[f"{target}/{name}.{ending}"] = "\n".join(map(text_of, queries)).rstrip("\n") + "\n"
    files["README.md"] = summary(failures)
    return files


def text_of(query):
    return query if isinstance(query, str) else json.dumps(query, indent=2)


def queries_of(backend, text, folder, form):
    collection = SigmaCollection.from_yaml(text)
    if folder == "rules":
        return backend.convert(collection, form)
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
        "By pySigma with the pipelines in `../pipelines/`: `lucene/` and `dsl/` (bodies of a search request that hold the same",
        "Lucene: pySigma's only query DSL, for both products) for Elasticsearch and OpenSearch, `esql/` and `eql/` for Elasticsearch,",
        "`spl/` for Splunk. The tests of this project ask Lucene and DSL of both servers, and EQL of the engine that this language",
        "was published with; ES|QL is read by Elasticsearch's grammar and not executed; SPL is converted and not executed.",
        "",
        "ES|QL and SPL count in fixed buckets of time where the sidecar has a sliding window. EQL and ES|QL differ from what pySigma",
        "writes by itself: EQL compares only strings by `:` and `like~`, and in both a negation asks whether the field is there, since",
        "a comparison with a missing field and its negation are both not true in these languages.",
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
