"""Oracle of the evidence: the documented formulas with mpmath, independent of the Rust code.

    python3 evidence.py > evidence.json      writes the expected values (needs mpmath)
    python3 evidence.py --check              exits 1 when evidence.json differs from what it would write

The formulas are those in the documentation of the modules `evidence`, `evidence::cadence` and
`evidence::clock`. Everything is tried by brute force: every candidate with every half-width, gap by gap.
"""

import json
import pathlib
import random
import sys

from mpmath import mp, mpf

mp.dps = 30
NARROW = [mpf(w) for w in "0.003 0.006 0.012 0.025 0.05 0.08 0.12 0.17 0.22 0.28 0.35 0.42 0.5".split()]
WIDE = [mpf("0.65"), mpf("0.8")]
PARTING, OFFSET, BANDWIDTH, BIN = mpf(2), mpf("0.1"), mpf("1.2"), mpf("0.1")
STRAYS, NARROWEST = mpf("12.0599"), mpf("0.3")
CLOCK_PERIODS = [30, 60, 120, 300, 600, 900, 1800, 3600, 7200]


def candidates(gaps):
    s, n = sorted(gaps), len(gaps)
    at = lambda share_of_20: s[min(share_of_20 * n // 20, n - 1)]
    raw = [at(q) for q in (2, 4, 7, 10, 13)] + [(at(2) + at(18)) / 2, (s[0] + s[-1]) / 2]
    for tenths in (3, 5, 8):
        m = min(max(-(-tenths * n // 10), 2), n)
        ratios = [(s[i + m - 1] / s[i], i) for i in range(n - m + 1)]
        i = min(ratios)[1]
        raw.append((s[i] + s[i + m - 1]) / 2)
    kept = []
    for c in raw:
        if c >= mpf("0.5") and all(abs(c - k) >= mpf("0.01") * k for k in kept):
            kept.append(c)
    return kept


def likelihood(gaps, c, w, wide):
    n, explained = len(gaps), []
    for d in gaps:
        k = 1 if wide else max(1, int(mp.floor(d / c + mpf("0.5"))))
        if k > 64 or (not wide and w[0] * mp.sqrt(k) > mpf("0.5")):
            continue
        if abs(d - k * c) / (c * mp.sqrt(k)) <= w[1]:
            explained.append((d, k))
    if len(explained) < 2:
        return None
    count, periods = len(explained), sum(k for _, k in explained)
    e = (n - count + mpf("0.5")) / (n + 1)
    p = min(max(1 - mpf(count) / periods, mpf("0.02")), mpf("0.5"))
    geometric = count * mp.log(1 - p) + (periods - count) * mp.log(p)
    heavy = -sum(mp.log(k * (k + 1)) for _, k in explained)
    value = count * mp.log(1 - e) + (n - count) * mp.log(e / STRAYS)
    value += sum(mp.log(d) - mp.log(k) / 2 for d, k in explained)
    value += -count * mp.log(2 * c * w[1]) + max(geometric, heavy)
    mean = sum(d for d, _ in explained) / periods
    squares = sum((d - k * mean) ** 2 / k for d, k in explained)
    error = mp.sqrt(squares / (count - 1) / periods)
    return value, c, w[1], count, periods, mean, error


def reference(gaps):
    bins, total = [], mpf(0)
    for d in gaps:
        beyond = max(d - PARTING, mpf(0)) + OFFSET
        total += mp.log(d / beyond)
        bins.append(int(mp.floor(mp.log(beyond) / BIN)))
    for j in bins:
        density = sum(mp.exp(-(((j - i) * BIN / BANDWIDTH) ** 2) / 2) for i in bins)
        total += mp.log(density / (len(gaps) * BANDWIDTH * mp.sqrt(2 * mp.pi)))
    return total


def cadence(gaps):
    gaps = [mpf(d) for d in gaps]
    fits = []
    for c in candidates(gaps):
        floor = NARROWEST / c
        fits += [likelihood(gaps, c, (w, max(w, floor)), False) for w in NARROW]
        fits += [likelihood(gaps, c, (w, w), True) for w in WIDE]
    best = max((f for f in fits if f), key=lambda f: f[0])
    value, c, w, count, periods, mean, error = best
    return {
        "statistic": float(value - reference(gaps)),
        "period_s": float(mean),
        "period_error_s": float(error),
        "half_width": float(w),
        "explained": count / len(gaps),
        "miss_rate": float(1 - mpf(count) / periods),
    }


def clock(beats):
    best = None
    for period in CLOCK_PERIODS:
        if beats[-1] - beats[0] < 5 * period:
            continue
        kept = []
        for t in beats:
            if not kept or t - kept[-1] >= mpf(period) / 2:
                kept.append(t)
        if len(kept) < 6:
            continue
        z = abs(sum(mp.expjpi(2 * t / period) for t in kept)) ** 2 / len(kept)
        if best is None or z > best[0]:
            best = (z, period)
    return None if best is None else {"statistic": float(best[0]), "period_s": float(best[1])}


def e_value(p):
    """The mean of k p^(k - 1) over k in 0..1, by numerical integration."""
    p = mpf(p)
    return mp.quad(lambda k: k * p ** (k - 1), [0, 1])


def series(rng):
    """Name and gaps of each case, in seconds with three decimals."""
    step = lambda value: max(2.001, round(value, 3))
    beacon = lambda period, jitter, n: [step(period * (1 + jitter * rng.uniform(-1, 1))) for _ in range(n)]
    yield "three equal gaps", [60.0, 60.0, 60.0]
    yield "jitter of twenty percent", beacon(60, 0.2, 12)
    yield "jitter of eighty percent", beacon(300, 0.8, 60)
    yield "half of the beats missed", [step(sum(beacon(60, 0.1, 1 + int(rng.expovariate(0.7))))) for _ in range(40)]
    yield "with strays", [step(rng.lognormvariate(4, 2)) if rng.random() < 0.3 else g for g in beacon(900, 0.05, 50)]
    yield "exponential", [step(2 + rng.expovariate(1 / 200)) for _ in range(128)]
    yield "log-normal", [step(2 + rng.lognormvariate(3, 1.6)) for _ in range(30)]
    yield "near the parting silence", [step(2 + rng.expovariate(2)) for _ in range(25)]
    yield "two periods", beacon(60, 0.05, 20) + beacon(3600, 0.05, 20)
    yield "days apart", beacon(86_400, 0.1, 5)


def write():
    rng = random.Random(20_261_125)
    cases = []
    for name, gaps in series(rng):
        start = rng.randrange(86_400_000)
        beats, t = [mpf(start) / 1000], mpf(start) / 1000
        for gap in gaps:
            t += mpf(str(gap))
            beats.append(t)
        exact = [mpf(str(gap)) for gap in gaps]
        cases.append({"name": name, "start_ms": start, "gaps_s": gaps, "cadence": cadence(exact), "clock": clock(beats)})
    e_values = [{"p": p, "e": float(e_value(p))} for p in (0.9, 0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-6)]
    return json.dumps({"cases": cases, "e_values": e_values}, indent=1) + "\n"


if __name__ == "__main__":
    text = write()
    if "--check" in sys.argv:
        kept = pathlib.Path(__file__).with_suffix(".json").read_text()
        sys.exit(0 if kept == text else "evidence.json differs from what evidence.py writes")
    sys.stdout.write(text)
