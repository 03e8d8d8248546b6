"""Scores of other beacon detectors, written from their published formulas (no code of theirs), for the benchmarks.

    peers.py score CONN.ndjson.gz --out DIR    rita.ndjson, elastic.ndjson and litemars.ndjson: a line a pair
    peers.py time PAIRS.bin                    processor time of the litemars formulas; a JSON line for each way

PAIRS.bin holds little-endian numbers: how many pairs (u64), starts of each pair (u64 each), and all starts in
seconds (f64), pair after pair in the order of their times.

- litemars (BeaconDetectionSystem, MIT): coefficient of variation, periodicity and jitter of the intervals, and evenness
  of the sizes; an hour at a time, from 10 events and 300 s on.
- RITA v5 (GPL-3.0): Bowley skew and median deviation of the steps between whole seconds and of the bytes, histogram over
  24 bins, duration; a day at a time, without the modifiers by prevalence and the like.
- Elastic's network beaconing (Elastic License 2.0): six hours of minutes; evenness of bytes and of counts,
  autocorrelation.

Needs numpy.
"""

import argparse
import collections
import gzip
import json
import math
import os
import struct
import sys
import time

import numpy

FEWEST_EVENTS, SHORTEST_S = 10, 300.0
SHORTEST_GAP_S, LONGEST_GAP_S = 10.0, 3600.0
HOUR, DAY = 3600.0, 86400.0


# litemars


def evenness(variation, threshold):
    """Logistic: .5 where the coefficient of variation is at its threshold."""
    return 1 / (1 + math.exp(min(700.0, 10 / threshold * (variation - threshold))))


def spectral_share(gaps):
    """Share of the strongest peak in the spectrum of the sequence of gaps, times its lead over the second (at most 3)."""
    size = numpy.abs(numpy.fft.rfft(gaps - gaps.mean()))[: len(gaps) // 2]
    if len(size) < 3:
        return 0.0
    middle = size[1:-1]
    peaks = middle[(middle > size[:-2]) & (middle > size[2:])]
    if len(peaks) == 0:
        return 0.0
    total = size.sum() + 1e-10
    if len(peaks) == 1:
        return peaks[0] / total
    second, first = numpy.partition(peaks, len(peaks) - 2)[-2:]
    return min(1.0, first / total * min(3.0, first / (second + 1e-10)))


def litemars_signals(gaps):
    """Coefficient of variation, periodicity and jitter, each 0 to 1, of the gaps of one pair."""
    median = numpy.median(gaps)
    off = numpy.abs(gaps - median)
    near = (off <= max(0.15 * median, 5.0)).mean()
    periodicity = near if near >= 0.9 else max(near, spectral_share(gaps))
    periodicity *= min(1.0, max(0.0, (len(gaps) - 4) / 16))
    worst, tolerated = off.max(), max(5.0, 0.05 * median)
    if worst <= tolerated:
        jitter = 1 - 0.5 * worst / tolerated
    else:
        jitter = 0.5 * math.exp(-(worst - tolerated) / tolerated)
    return evenness(gaps.std() / gaps.mean(), 0.15), periodicity, jitter


def kept_gaps(times):
    gaps = numpy.diff(times)
    return gaps[(gaps >= SHORTEST_GAP_S) & (gaps <= LONGEST_GAP_S)]


def litemars_window(times, sizes):
    """Score of one pair in one hour; None when there is too little of it."""
    if len(times) < FEWEST_EVENTS or times[-1] - times[0] < SHORTEST_S:
        return None
    gaps = kept_gaps(times)
    if len(gaps) < FEWEST_EVENTS - 1:
        return None
    variation, periodicity, jitter = litemars_signals(gaps)
    mean = sizes.mean()
    size = evenness(sizes.std() / mean, 0.25) if mean > 0 else 0.5
    return 0.35 * variation + 0.35 * periodicity + 0.15 * jitter + 0.15 * size


def windows(times, length, step, begin):
    """Index ranges of the windows that hold something, each of this length, a step apart."""
    first = max(0, math.floor((times[0] - begin - length) / step))
    last = math.floor((times[-1] - begin) / step)
    starts = begin + step * numpy.arange(first, last + 1)
    low, high = numpy.searchsorted(times, starts), numpy.searchsorted(times, starts + length)
    return {(a, b) for a, b in zip(low.tolist(), high.tolist()) if b > a}


def best(scores):
    scores = [score for score in scores if score is not None]
    return max(scores) if scores else None


def litemars(pair, begin):
    if len(pair.times) < FEWEST_EVENTS:
        return None
    found = windows(pair.times, HOUR, HOUR / 2, begin)
    return best(litemars_window(pair.times[a:b], pair.sent[a:b]) for a, b in found)


# RITA


def skew_and_deviation(values, when_small):
    """(1 - |Bowley skew| + 1 - relative median deviation) / 2, each 0 to 1."""
    low, median, high = numpy.percentile(values, (25, 50, 75))
    skew = 0.0
    if high - low >= 10 and median not in (low, high):
        skew = (low + high - 2 * median) / (high - low)
    deviation = numpy.median(numpy.abs(values - median))
    even = max(0.0, (median - deviation) / median) if median >= 1 else when_small
    return (1 - abs(skew) + even) / 2


def histogram_scores(seconds, begin, end):
    """Of a day's 24 bins: evenness or the fit of two levels; and how much of the day there is."""
    bins = numpy.minimum((seconds - begin) * 24 // max(1, end - begin), 23).astype(int)
    counts = numpy.bincount(bins, minlength=24)
    even = max(0.0, 1 - counts.std() / counts.mean())
    filled = counts[counts > 0]
    width = math.ceil(filled.max() * 0.05)
    levels = sorted(collections.Counter((filled // width).tolist()).values())
    two = min(1.0, sum(levels[-2:]) / max(1, len(filled) - 1)) if len(filled) >= 11 else 0.0
    if len(filled) < 6:
        return max(even, two), 0.0
    covered = (seconds[-1] - seconds[0]) / max(1, end - begin)
    run = longest = 0
    for count in numpy.concatenate([counts, counts]):
        run = run + 1 if count else 0
        longest = max(longest, run)
    return max(even, two), min(1.0, max(covered, min(longest, 24) / 12))


def rita_day(times, sizes, begin):
    seconds = numpy.unique(numpy.floor(times))
    if len(seconds) < 4 or len(times) >= DAY:
        return None
    steps = skew_and_deviation(numpy.diff(seconds), 1.0)
    amounts = skew_and_deviation(sizes, 0.0)
    return (steps + amounts + sum(histogram_scores(seconds, begin, begin + DAY))) / 4


def rita(pair, begin):
    scores = []
    if len(pair.times) >= 4:
        for day in range(int((pair.times[-1] - begin) // DAY) + 1):
            start = begin + day * DAY
            a, b = numpy.searchsorted(pair.times, (start, start + DAY))
            scores.append(rita_day(pair.times[a:b], pair.sent[a:b], start))
    return best(scores)


# Elastic


def is_even(values, share):
    """Whether the values between their 10th and 90th percentile vary by no more than this share of their mean."""
    low, high = numpy.percentile(values, (10, 90))
    kept = values[(values >= low) & (values <= high)]
    return kept.std() <= share * abs(kept.mean())


def autocorrelation(counts):
    """The largest correlation of the counts with themselves 2 minutes to a sixth of their length later."""
    count = len(counts)
    lags = numpy.arange(2, count // 6 + 1)
    kept = count - lags
    sums = numpy.concatenate([[0.0], counts.cumsum()])
    squares = numpy.concatenate([[0.0], (counts**2).cumsum()])
    late, early = sums[count] - sums[lags], sums[kept]
    late_spread = squares[count] - squares[lags] - late**2 / kept
    early_spread = squares[kept] - early**2 / kept
    scale = numpy.sqrt(numpy.maximum(late_spread * early_spread, 0.0))
    covariance = numpy.correlate(counts, counts, "full")[count - 1 + lags] - late * early / kept
    constant = scale <= 1e-3
    # What does not vary at all is taken for a beat.
    return numpy.where(constant, 1.0, covariance / numpy.where(constant, 1.0, scale)).max()


def elastic_window(times, sent, received, begin):
    if len(times) < 7 or times[-1] - times[0] < 11 * 60:
        return None
    minutes = ((times - begin) / 60).astype(int)
    first, last = minutes[0], minutes[-1] + 1
    counts = numpy.bincount(minutes - first, minlength=last - first).astype(float)
    filled = counts > 0
    if last - first < 12 or filled.sum() < 7:
        return None

    def mean_of(values):
        sums = numpy.bincount(minutes - first, weights=values, minlength=last - first)
        return sums[filled] / counts[filled]

    strongest = autocorrelation(counts)
    steady = filled.sum() > len(counts) // 2 and is_even(counts[filled], 0.1)
    score = float(is_even(mean_of(sent), 0.05)) + float(is_even(mean_of(received), 0.05))
    # The half of the correlation breaks ties among four whole numbers.
    return score + float(steady or strongest >= 0.7) + 0.5 * max(0.0, min(1.0, strongest))


def elastic(pair, begin):
    length = 6 * HOUR
    scores = []
    if len(pair.times) >= 7:
        for a, b in windows(pair.times, length, length / 2, begin):
            start = begin + (pair.times[a] - begin) // (length / 2) * (length / 2)
            scores.append(elastic_window(pair.times[a:b], pair.sent[a:b], pair.received[a:b], start))
    return best(scores)


# Programs

Pair = collections.namedtuple("Pair", "times sent received")
PEERS = {"rita": (rita, 0.9), "elastic": (elastic, 1.0), "litemars": (litemars, 0.7)}


def read(path):
    found = collections.defaultdict(lambda: ([], [], []))
    with gzip.open(path, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            columns = found[record["src"], record["dst"], record["dport"], record["proto"]]
            columns[0].append(record["ts"])
            columns[1].append(record["orig_bytes"] or 0)
            columns[2].append(record["resp_bytes"] or 0)
    return {key: Pair(*(numpy.array(it, float) for it in columns)) for key, columns in found.items()}


def score(arguments):
    pairs = read(arguments.path)
    begin = math.floor(min(pair.times[0] for pair in pairs.values()))
    os.makedirs(arguments.out, exist_ok=True)
    for name, (formula, threshold) in PEERS.items():
        with open(os.path.join(arguments.out, name + ".ndjson"), "w") as out:
            for key, pair in pairs.items():
                found = formula(pair, begin)
                if found is not None:
                    line = dict(zip(("src", "dst", "dport", "proto"), key))
                    print(json.dumps({**line, "score": float(found), "detected": bool(found >= threshold)}), file=out)


def read_binary(path):
    with open(path, "rb") as file:
        (pairs,) = struct.unpack("<Q", file.read(8))
        counts = numpy.fromfile(file, "<u8", pairs).astype(int)
        starts = numpy.fromfile(file, "<f8")
    return numpy.split(starts, numpy.cumsum(counts)[:-1])


def one_by_one(pairs):
    """As its program does it: one pair after the other. All starts count, as in one window."""
    scores = []
    for times in pairs:
        if len(times) < FEWEST_EVENTS or times[-1] - times[0] < SHORTEST_S:
            continue
        gaps = kept_gaps(times)
        if len(gaps) < FEWEST_EVENTS - 1:
            continue
        variation, periodicity, jitter = litemars_signals(gaps)
        scores.append(0.4 * variation + 0.4 * periodicity + 0.2 * jitter)
    return scores


def batched(pairs):
    """The same formulas with all pairs of one number of gaps in one array."""
    together = collections.defaultdict(list)
    for times in pairs:
        if len(times) >= FEWEST_EVENTS and times[-1] - times[0] >= SHORTEST_S:
            gaps = kept_gaps(times)
            if len(gaps) >= FEWEST_EVENTS - 1:
                together[len(gaps)].append(gaps)
    return numpy.concatenate([batch(numpy.array(rows)) for rows in together.values()])


def batch(gaps):
    count = gaps.shape[1]
    median = numpy.median(gaps, axis=1)
    mean = gaps.mean(axis=1)
    off = numpy.abs(gaps - median[:, None])
    near = (off <= numpy.maximum(0.15 * median, 5.0)[:, None]).mean(axis=1)
    size = numpy.abs(numpy.fft.rfft(gaps - mean[:, None], axis=1))[:, : count // 2]
    middle = size[:, 1:-1]
    peaks = numpy.where((middle > size[:, :-2]) & (middle > size[:, 2:]), middle, 0.0)
    second, first = numpy.partition(peaks, peaks.shape[1] - 2, axis=1)[:, -2:].T
    lead = numpy.where(second > 0, numpy.minimum(3.0, first / (second + 1e-10)), 1.0)
    spectral = numpy.minimum(1.0, first / (size.sum(axis=1) + 1e-10) * lead)
    periodicity = numpy.where(near >= 0.9, near, numpy.maximum(near, spectral)) * min(1.0, max(0.0, (count - 4) / 16))
    worst, tolerated = off.max(axis=1), numpy.maximum(5.0, 0.05 * median)
    over = numpy.maximum(worst - tolerated, 0.0)
    jitter = numpy.where(worst <= tolerated, 1 - 0.5 * worst / tolerated, 0.5 * numpy.exp(-over / tolerated))
    steep = numpy.minimum(700.0, 10 / 0.15 * (gaps.std(axis=1) / mean - 0.15))
    return 0.4 / (1 + numpy.exp(steep)) + 0.4 * periodicity + 0.2 * jitter


def measure(arguments):
    pairs = read_binary(arguments.path)
    scores = {}
    for name, formula in (("one_by_one", one_by_one), ("batched", batched)):
        begin = time.process_time()
        scores[name] = numpy.sort(formula(pairs))
        seconds = time.process_time() - begin
        print(json.dumps({"way": name, "pairs": len(pairs), "scored": len(scores[name]), "seconds": seconds}))
    if not numpy.allclose(scores["one_by_one"], scores["batched"], atol=1e-9):
        sys.exit("the two ways do not give the same scores")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("score", "time"):
        command = commands.add_parser(name)
        command.add_argument("path")
        if name == "score":
            command.add_argument("--out", required=True)
    arguments = parser.parse_args()
    score(arguments) if arguments.command == "score" else measure(arguments)


if __name__ == "__main__":
    main()
