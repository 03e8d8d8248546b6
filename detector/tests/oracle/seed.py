"""Oracle of the seed score: the documented formula in numpy, independent of the Rust code.

    python3 seed.py > seed.json      writes the expected values (needs numpy)
    python3 seed.py --check          exits 1 when seed.json differs from what it would write

The formula is the one in the documentation of the modules `seed` and `seed::spectrum`. Cases are made by a
seeded generator, each of another kind; times are whole nanoseconds, written as the first time and the steps.
"""

import json
import math
import pathlib
import sys

import numpy

SECOND = 1_000_000_000
EPOCH = 1_763_800_000 * SECOND
CV_THRESHOLD, JITTER_THRESHOLD_S = 0.15, 5.0
MIN_CONNECTIONS, MIN_DURATION_S = 10, 300.0
MIN_INTERVAL_S, MAX_INTERVAL_S = 10.0, 3600.0


def ceil_div(a, b):
    return -(-a // b)


def spectrum(deltas, median_ns):
    """Strongest peak of the spectrum of starts over time; None when there is none."""
    n, span = len(deltas), deltas[-1]
    if span == 0:
        return None
    width = max(1, median_ns // 4, ceil_div(span + 1, 4095))
    bins = (span + width // 2) // width + 1
    if bins < 16:
        return None
    counts = numpy.zeros(bins)
    for delta in deltas:
        counts[(delta + width // 2) // width] += 1.0
    length = 1
    while length < 2 * bins:
        length *= 2
    power = numpy.abs(numpy.fft.rfft(counts - n / bins, n=length)) ** 2
    lowest = ceil_div(8 * length, bins)
    frequencies = numpy.arange(lowest, length // 2 + 1)
    if len(frequencies) == 0:
        return None
    looked_at = power[lowest:]
    total = looked_at.sum()
    if not total > 1e-9 * n:
        return None
    peak = int(frequencies[numpy.nonzero(looked_at >= 0.9 * looked_at.max())[0][0]])
    while peak < length // 2 and power[peak + 1] > power[peak]:
        peak += 1
    line = ceil_div(length, bins)
    in_lines = (abs(frequencies - peak) <= line) | (abs(frequencies - 2 * peak) <= line)
    share = looked_at[in_lines].sum() / total
    multiples = numpy.arange(1, length // peak + 2) * peak
    distance = abs(frequencies[:, None] - multiples[None, :]).min(axis=1)
    others = looked_at[distance > line]
    second = others.max() if len(others) else 0.0
    ratio = min(3.0, power[peak] / second) if second > 0 else 3.0
    return {
        "period_s": width * length / peak / 1e9,
        "share": float(share),
        "ratio": float(ratio),
        "score": float(min(1.0, share * ratio)),
    }


def score(times):
    """All components of the seed score of ascending times in nanoseconds."""
    n = len(times)
    steps = sorted(b - a for a, b in zip(times, times[1:]))
    intervals = numpy.array([step / 1e9 for step in steps])
    mean, deviation = intervals.mean(), intervals.std()
    median = numpy.median(intervals)
    middle = (steps[(len(steps) - 1) // 2], steps[len(steps) // 2])
    cv = deviation / mean if mean > 0 else 0.0
    with numpy.errstate(over="ignore"):
        cv_score = 1 / (1 + numpy.exp(10 / CV_THRESHOLD * (cv - CV_THRESHOLD))) if mean > 0 else 0.0
    near = float((abs(intervals - median) <= max(0.15 * median, 5.0)).mean()) if median > 0 else 0.0
    peak = spectrum([t - times[0] for t in times], sum(middle) // 2)
    spectral = peak["score"] if peak else 0.0
    periodicity = max(near, spectral) * min(1.0, max(0.0, (n - 4) / 16))
    worst = abs(intervals - median).max()
    tolerated = max(JITTER_THRESHOLD_S, 0.05 * median)
    if not median > 0:
        jitter = 0.0
    elif worst <= tolerated:
        jitter = 1 - 0.5 * worst / tolerated
    else:
        jitter = 0.5 * math.exp(-(worst - tolerated) / tolerated)
    if n < MIN_CONNECTIONS:
        gate = "connections"
    elif (times[-1] - times[0]) / 1e9 < MIN_DURATION_S:
        gate = "duration"
    elif not MIN_INTERVAL_S <= median <= MAX_INTERVAL_S:
        gate = "interval"
    else:
        gate = None
    return {
        "intervals": {
            "count": n - 1,
            "mean_s": float(mean),
            "standard_deviation_s": float(deviation),
            "coefficient_of_variation": float(cv),
            "median_s": float(median),
            "median_absolute_deviation_s": float(numpy.median(abs(intervals - median))),
            "minimum_s": float(intervals.min()),
            "maximum_s": float(intervals.max()),
            "maximum_deviation_s": float(worst),
        },
        "cv_score": float(cv_score),
        "near_median": near,
        "spectrum": peak,
        "periodicity_score": float(periodicity),
        "jitter_threshold_s": float(tolerated),
        "jitter_score": float(jitter),
        "combined": float(0.4 * cv_score + 0.4 * periodicity + 0.2 * jitter),
        "gate": gate,
    }


def from_gaps(gaps, start=EPOCH):
    """Times from gaps in seconds, rounded to nanoseconds."""
    times = [start]
    for gap in gaps:
        times.append(times[-1] + round(float(gap) * SECOND))
    return times


def cases():
    """Name and ascending times of every case."""
    def rng(seed):
        return numpy.random.Generator(numpy.random.PCG64(seed))

    for n, period in [(10, 60), (11, 300), (20, 10), (21, 3600), (64, 45.5), (200, 60), (512, 30)]:
        yield f"regular_{n}_of_{period}s", from_gaps([period] * (n - 1))
    for seed, (n, period, jitter) in enumerate(
        [(12, 60, 0.02), (30, 60, 0.05), (30, 60, 0.1), (60, 60, 0.2), (100, 300, 0.1),
         (100, 60, 0.3), (200, 60, 0.5), (300, 20, 0.8), (512, 60, 0.2), (400, 120, 0.01)]
    ):
        gaps = period * (1 + jitter * rng(seed).uniform(-1, 1, n - 1))
        yield f"jitter_{jitter}_{n}_of_{period}s", from_gaps(gaps)
    for seed, (n, period, jitter) in enumerate([(40, 60, 0.3), (80, 300, 0.2), (150, 30, 0.5)]):
        gaps = period * (1 - jitter * rng(100 + seed).uniform(0, 1, n - 1))
        yield f"downward_jitter_{jitter}_{n}_of_{period}s", from_gaps(gaps)
    for seed, (n, mean) in enumerate([(10, 60), (25, 60), (50, 300), (200, 20), (512, 120), (300, 1)]):
        yield f"poisson_{n}_of_{mean}s", from_gaps(rng(200 + seed).exponential(mean, n - 1))
    for seed, (beats, missed) in enumerate([(40, 0.1), (60, 0.3), (200, 0.3), (300, 0.5)]):
        random = rng(300 + seed)
        kept = [i for i in range(beats) if i == 0 or random.uniform() >= missed]
        times = [EPOCH + i * 60 * SECOND + int(random.integers(0, SECOND)) for i in kept]
        yield f"missed_{missed}_of_{beats}", times
    for seed, (beats, size, period) in enumerate([(20, 3, 60), (40, 5, 300), (60, 2, 120), (100, 5, 600)]):
        random = rng(400 + seed)
        offsets = [int(o) for o in random.integers(0, 2 * SECOND, beats * size)]
        starts = [EPOCH + (i // size) * period * SECOND + o for i, o in enumerate(offsets)]
        yield f"bursts_{size}_of_{beats}_every_{period}s", sorted(starts)
    for seed, jitter in enumerate([0.0, 0.1, 0.3]):
        gaps = 60 * (1 + jitter * rng(500 + seed).uniform(-1, 1, 79))
        yield f"whole_seconds_{jitter}", [t // SECOND * SECOND for t in from_gaps(gaps)]
    yield "equal_stamps", [EPOCH] * 12
    yield "equal_stamps_but_one", [EPOCH] * 40 + [EPOCH + 400 * SECOND]
    yield "pairs_of_equal_stamps", sorted([EPOCH + i * 60 * SECOND for i in range(30)] * 2)
    yield "two_starts", from_gaps([60])
    yield "three_starts", from_gaps([60, 61])
    yield "nine_starts", from_gaps([60] * 8)
    yield "nanoseconds_apart", [EPOCH + i for i in range(20)]
    yield "three_nanoseconds_apart", [EPOCH + 3 * i for i in range(50)]
    yield "too_short_in_all", from_gaps([12] * 14)
    yield "too_slow", from_gaps([3601] * 14)
    yield "days_apart", from_gaps(86_400 * (1 + 0.05 * rng(600).uniform(-1, 1, 40)))
    yield "before_1970", from_gaps([60] * 40, start=-90 * 60 * SECOND)
    yield "whole_range", [-(2**63), -(2**62), 0, 2**62, 2**63 - 1] * 1
    yield "whole_range_and_dense", sorted([-(2**63), 2**63 - 1] + [i * 60 * SECOND for i in range(40)])
    alternating = [30, 90] * 30
    yield "two_alternating_intervals", from_gaps(alternating)
    switch = [60] * 40 + [600] * 40
    yield "change_of_sleep", from_gaps(switch)
    office = ([300] * 96 + [57_600]) * 3
    yield "office_hours", from_gaps(office)
    yield "one_long_pause", from_gaps([60] * 30 + [7200] + [60] * 30)
    yield "drifting", from_gaps([60 + 0.1 * i for i in range(100)])
    random = rng(700)
    beat = [EPOCH + i * 60 * SECOND for i in range(60)]
    noise = [EPOCH + int(t) for t in random.integers(0, 3600 * SECOND, 20)]
    yield "beacon_among_noise", sorted(beat + noise)
    two = [EPOCH + i * 60 * SECOND for i in range(60)] + [EPOCH + i * 90 * SECOND + 7 * SECOND for i in range(40)]
    yield "two_beacons", sorted(two)
    yield "lognormal", from_gaps(rng(800).lognormal(4, 1.0, 120))
    yield "gamma", from_gaps(rng(801).gamma(4.0, 15.0, 120))


def render():
    found = []
    for name, times in cases():
        assert times == sorted(times), name
        steps = [b - a for a, b in zip(times, times[1:])]
        found.append({"name": name, "first_ns": times[0], "steps_ns": steps, "expected": score(times)})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in found)
    return "[\n" + lines + "\n]\n"


def same(a, b):
    """Equal but for rounding in the last digits, which differ between builds of numpy."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-11, abs_tol=1e-11)
    return a == b


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        committed = pathlib.Path(__file__).with_name("seed.json").read_text()
        if not same(json.loads(render()), json.loads(committed)):
            sys.exit("seed.json differs from what seed.py computes")
    else:
        sys.stdout.write(render())
