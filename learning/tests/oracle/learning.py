"""Oracle of the learning crate: the documented formulas with numpy and scipy, independent of the Rust code.

    python3 learning.py > learning.json      writes cases and expected values (needs numpy and scipy)
    python3 learning.py --check              exits 1 when learning.json differs from what it would write

The logistic regression is minimised by scipy's trust-region Newton method over the documented objective, not by the
code's own steps; the area under the curve is counted pair by pair; the path length is compared with the one whose
harmonic number is summed up; trees are walked recursively from nested tuples.
"""

import json
import pathlib
import sys

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


def fit(x, y, ridge):
    """Balanced, ridge-penalised logistic regression on columns centred, scaled, and cut at three deviations."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    z = np.column_stack([np.ones(len(x)), np.clip((x - mean) / scale, -3, 3)])
    w = np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum()))
    penalty = np.full(z.shape[1], ridge)
    penalty[0] = 0

    def value(b):
        s = z @ b
        return np.sum(w * (np.logaddexp(0, s) - y * s)) + 0.5 * np.sum(penalty * b * b)

    def slope(b):
        return z.T @ (w * (expit(z @ b) - y)) + penalty * b

    def curvature(b):
        p = expit(z @ b)
        return (z * (w * p * (1 - p))[:, None]).T @ z + np.diag(penalty)

    found = minimize(value, np.zeros(z.shape[1]), jac=slope, hess=curvature, method="trust-exact", options={"gtol": 1e-11})
    assert np.abs(slope(found.x)).max() < 1e-7, found
    return mean, scale, found.x, expit(z @ found.x)


def logistic_cases():
    cases = []
    for seed, n, share, ridge in [(1, 60, 0.5, 1.0), (2, 400, 0.1, 1.0), (3, 200, 0.3, 25.0), (4, 50, 0.4, 1e-3)]:
        rng = np.random.default_rng(seed)
        y = np.arange(n) < round(share * n)
        x = np.column_stack(
            [
                np.round(rng.exponential(40 + 200 * ~y, n), 3),
                (rng.random(n) < np.where(y, 0.6, 0.2)).astype(float),
                rng.integers(0, 3, n).astype(float),
                np.zeros(n),
            ]
        )
        mean, scale, b, p = fit(x, y, ridge)
        cases.append(
            {
                "ridge": ridge,
                "rows": x.tolist(),
                "labels": y.tolist(),
                "mean": mean.tolist(),
                "scale": scale.tolist(),
                "intercept": b[0],
                "weights": b[1:].tolist(),
                "probabilities": p[:: max(1, n // 10)].tolist(),
                "step": max(1, n // 10),
            }
        )
    return cases


def auc_cases():
    cases = []
    for seed, n, ties in [(1, 50, 100), (2, 80, 5), (3, 30, 1), (4, 200, 20)]:
        rng = np.random.default_rng(seed)
        y = rng.random(n) < 0.3
        s = np.round((rng.random(n) + 0.3 * y) * ties) / ties
        pos, neg = s[y], s[~y]
        wins = (pos[:, None] > neg[None, :]).sum() + 0.5 * (pos[:, None] == neg[None, :]).sum()
        p = np.clip(s, 0, 1)
        bins = []
        for k in range(10):
            inside = (p >= k / 10) & ((p < (k + 1) / 10) | (k == 9))
            bins.append([int(inside.sum()), *([float(p[inside].mean()), float(y[inside].mean())] if inside.any() else [None, None])])
        cases.append(
            {
                "scores": s.tolist(),
                "labels": y.tolist(),
                "auc": wins / (len(pos) * len(neg)),
                "probabilities": p.tolist(),
                "brier": float(np.mean((p - y) ** 2)),
                "bins": bins,
            }
        )
    return cases


def c(n):
    if n <= 1:
        return 0.0
    if n == 2:
        return 1.0
    return float(2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n)


def search_depth(n):
    """Mean depth of an unsuccessful search among n random keys with the harmonic number summed up, not approximated."""
    return 2 * sum(1 / k for k in range(1, n)) - 2 * (n - 1) / n


def forest_case():
    """A forest that was written by hand, its scores, and what a model makes of them."""
    leaf = lambda n: ("leaf", n)
    trees = [
        ("cut", 0, 30.0, leaf(40), ("cut", 2, 0.5, leaf(12), ("cut", 1, 0.5, leaf(3), leaf(1)))),
        ("cut", 3, 1.5, ("cut", 0, 500.0, leaf(55), leaf(0)), leaf(1)),
        leaf(56),
    ]

    def depth(node, row, above=0):
        if node[0] == "leaf":
            return above + c(node[1])
        _, feature, at, left, right = node
        return depth(left if row[feature] < at else right, row, above + 1)

    def preorder(node):
        if node[0] == "leaf":
            return [-1], [float(node[1])]
        _, feature, at, left, right = node
        (lf, lv), (rf, rv) = preorder(left), preorder(right)
        return [feature, *lf, *rf], [at, *lv, *rv]

    rows = [[0.0, 0, 0, 0], [29.9, 1, 2, 2], [30.0, 0, 0, 1], [700.0, 1, 1, 1], [100.0, 0, 1, 0], [1e6, 1, 2, 2]]
    size, smallest, largest = 56, 0.35, 0.6
    means, scales, weights, intercept = [55.5, 0.25, 0.5, 0.1], [80.0, 0.4, 0.7, 1.0], [-1.5, 0.8, 0.6, 0.2], -0.4
    out = []
    for row in rows:
        s = 2.0 ** (-np.mean([depth(t, row) for t in trees]) / c(size))
        a = float(np.clip((s - smallest) / (largest - smallest), 0, 1))
        p = float(expit(intercept + sum(w * np.clip((x - m) / d, -3, 3) for w, x, m, d in zip(weights, row, means, scales))))
        out.append({"row": row, "probability": p, "anomaly": a, "risk": float(np.clip(0.7 * p + 0.3 * a, 0, 1))})
    names = ["interval_distance", "is_rare_port", "process_risk", "geo_risk"]
    model = {
        "beaconwatch_model": 1,
        "feature_set": "beaconhunter",
        "origin": {"rows": 0, "positives": 0, "seed": 0},
        "intercept": intercept,
        "features": [dict(name=n, mean=m, scale=d, weight=w) for n, m, d, w in zip(names, means, scales, weights)],
        "anomaly": {
            "sample_size": size,
            "smallest": smallest,
            "largest": largest,
            "trees": [dict(zip(("feature", "value"), preorder(t))) for t in trees],
        },
        "sets": {},
    }
    return {"model": model, "rows": out}


def main():
    lengths = [0, 1, 2, 3, 4, 10, 128, 256, 1000]
    # The published approximation is that of the exact mean: close from 100 rows on.
    assert all(abs(c(n) - search_depth(n)) < 0.02 for n in (128, 256, 1000))
    text = json.dumps(
        {
            "logistic": logistic_cases(),
            "auc": auc_cases(),
            "path_lengths": [[n, c(n)] for n in lengths],
            "forest": forest_case(),
        },
        indent=None,
        separators=(",", ":"),
    ) + "\n"
    if "--check" in sys.argv:
        kept = pathlib.Path(__file__).with_suffix(".json").read_text()
        sys.exit(0 if kept == text else 1)
    sys.stdout.write(text)


main()
