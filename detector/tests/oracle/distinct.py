"""Distinct counts: Ertl's improved raw estimator (arXiv:1702.01284, section 2.4) with mpmath, in 50 digits.

Registers are filled from SplitMix64 numbers as the definition of HyperLogLog says (Flajolet et al. 2007): the first 8 bits
choose the register, the place of the first one among the other 56 is kept. The sums sigma and tau are added term by
term. Up to 16 things the count is the size of the set. Writes distinct.json beside itself.
"""

import json
import pathlib

import mpmath

mpmath.mp.dps = 50
MASK = (1 << 64) - 1
M, Q = 256, 56


def splitmix(seed, count):
    state = seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def sigma(x):
    if x == 1:
        return mpmath.inf
    return x + mpmath.nsum(lambda k: x ** (2 ** int(k)) * mpmath.mpf(2) ** (int(k) - 1), [1, 40], method="d")


def tau(x):
    if x in (0, 1):
        return mpmath.mpf(0)
    total = sum((1 - x ** (mpmath.mpf(2) ** -k)) ** 2 * mpmath.mpf(2) ** -k for k in range(1, 150))
    return (1 - x - total) / 3


def estimate(hashes):
    if len(set(hashes)) <= 16:
        return mpmath.mpf(len(set(hashes)))
    registers = [0] * M
    for value in hashes:
        rest = format(value & ((1 << Q) - 1), f"0{Q}b")
        place = rest.find("1") + 1 if "1" in rest else Q + 1
        registers[value >> Q] = max(registers[value >> Q], place)
    counts = [registers.count(k) for k in range(Q + 2)]
    z = M * sigma(mpmath.mpf(counts[0]) / M)
    z += sum(counts[k] * mpmath.mpf(2) ** -k for k in range(1, Q + 1))
    z += M * tau(1 - mpmath.mpf(counts[Q + 1]) / M) * mpmath.mpf(2) ** -Q
    return M * M / (2 * mpmath.log(2) * z)


cases = []
for number in [0, 1, 16, 17, 25, 100, 256, 700, 2000, 10_000, 100_000]:
    seed = 1000 + number
    hashes = list(splitmix(seed, number))
    cases.append({"seed": seed, "count": number, "estimate": float(estimate(hashes))})
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps({"cases": cases}, indent=1) + "\n")
