"""Oracle of the false discovery rate: numpy and scipy, independent of the Rust code.

    python3 false_discoveries.py > false_discoveries.json    writes the expected values (needs numpy, scipy)
    python3 false_discoveries.py --check                     exits 1 when the file differs from what it would write

e-BH is counted by its definition: every number k is tried. What p-values give is asked of scipy's
`false_discovery_control` with the method of Benjamini and Yekutieli, the tests that are not listed having p = 1; the
mean of the calibrator over uniform p is summed in fractions.
"""

import json
import pathlib
import sys
from fractions import Fraction

import numpy
from scipy.stats import false_discovery_control

SEED = 20_261


def e_bh(e_values, tests, rate):
    best = 0
    for k in range(1, len(e_values) + 1):
        if sum(e >= tests / (rate * k) for e in e_values) >= k:
            best = k
    return best


def by_e_values(rng):
    cases = []
    for tests, listed, rate in [(1, 1, 0.5), (5, 5, 0.2), (40, 40, 0.1), (1000, 60, 0.1), (100000, 300, 0.01)]:
        e = numpy.exp(rng.normal(0.0, 1.0, listed) + rng.uniform(0.0, 1.4 * numpy.log(tests / rate), listed) * (rng.random(listed) < 0.4))
        cases.append({"tests": tests, "rate": rate, "e_values": list(e), "discoveries": e_bh(e, tests, rate)})
    return cases


def by_p_values(rng):
    cases = []
    for tests, listed, rate in [(1, 1, 0.3), (7, 7, 0.2), (50, 50, 0.05), (999, 80, 0.1), (1000, 80, 0.1), (1001, 80, 0.2), (200000, 400, 0.1)]:
        beats = rng.random(listed) < 0.4
        p = numpy.where(beats, 10 ** -rng.uniform(1.0, 9.0, listed), rng.random(listed))
        everyone = numpy.concatenate([p, numpy.ones(tests - listed)])
        adjusted = false_discovery_control(everyone, method="by")[:listed]
        assert numpy.abs(adjusted / rate - 1).min() > 1e-9, "a case on the edge"
        cases.append({"tests": tests, "rate": rate, "p_values": list(p), "discovered": [bool(a <= rate) for a in adjusted]})
    return cases


def mean(tests, rate):
    """Mean over uniform p of m / (q c) where c = max(1, ceil(p m H / q)) is at most m."""
    m, q = tests, Fraction(rate)
    h = sum(Fraction(1, k) for k in range(1, m + 1))
    width = q / (m * h)
    return sum(Fraction(m) / (q * k) * width for k in range(1, m + 1))


def expected():
    rng = numpy.random.default_rng(SEED)
    assert all(mean(m, q) == 1 for m, q in [(1, "1/2"), (7, "1/5"), (90, "1/10")])
    return {"e_values": by_e_values(rng), "p_values": by_p_values(rng)}


text = json.dumps(expected(), indent=1) + "\n"
if sys.argv[1:] == ["--check"]:
    sys.exit(pathlib.Path(__file__).with_suffix(".json").read_text() != text)
print(text, end="")
