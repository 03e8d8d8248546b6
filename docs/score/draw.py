"""Draws the pictures of docs/score.md from what the programs printed; needs nothing but Python.

    cargo run --release -p beaconwatch-detector --example calibration -- single 20000 > docs/score/calibration.txt
    cargo run --release -p beaconwatch-detector --example power > docs/score/power.csv
    beaconwatch score LOG --format json --limit 1 > docs/score/example.json
    python3 docs/score/draw.py
"""

import csv
import html
import json
import math
import pathlib

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 70, 190, 20, 50
COLOURS = ["#0b5cad", "#b3450a", "#0f7b6c", "#8a4fb8", "#5d6b1a"]
LEVELS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]


class Plot:
    """Axes that are linear or logarithmic, and what is drawn in them."""

    def __init__(self, title, x, y, x_label, y_label):
        self.x, self.y = x, y
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" font-size="12">',
            f"<title>{html.escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        ]
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for at, text in x["ticks"]:
            self.line([(self.at_x(at), TOP), (self.at_x(at), bottom)], "#e3e6ea")
            self.text(self.at_x(at), bottom + 18, text, "middle")
        for at, text in y["ticks"]:
            self.line([(LEFT, self.at_y(at)), (right, self.at_y(at))], "#e3e6ea")
            self.text(LEFT - 8, self.at_y(at) + 4, text, "end")
        self.text((LEFT + right) / 2, HEIGHT - 12, x_label, "middle")
        middle = (TOP + bottom) / 2
        self.parts.append(
            f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{html.escape(y_label)}</text>'
        )

    @staticmethod
    def share(axis, value):
        low, high = axis["range"]
        if axis.get("log"):
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low * 1e-9))
        return min(max((value - low) / (high - low), 0), 1)

    def at_x(self, value):
        return LEFT + self.share(self.x, value) * (WIDTH - RIGHT - LEFT)

    def at_y(self, value):
        return HEIGHT - BOTTOM - self.share(self.y, value) * (HEIGHT - BOTTOM - TOP)

    def line(self, points, colour, width=1, dash=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>')

    def curve(self, points, colour, width=2, dash=""):
        self.line([(self.at_x(x), self.at_y(y)) for x, y in points], colour, width, dash)

    def text(self, x, y, text, anchor="start", colour="#333", weight="normal"):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">{html.escape(text)}</text>'
        )

    def write(self, name):
        (HERE / name).write_text("\n".join([*self.parts, "</svg>"]) + "\n", encoding="utf-8")


def power_of_ten(exponent):
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def decades(low, high, step=1):
    return [(10.0**e, power_of_ten(e)) for e in range(low, high + 1, step)]


def calibration():
    rows = [line.split() for line in (HERE / "calibration.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    axis = {"range": (1e-5, 1e-1), "log": True, "ticks": decades(-5, -1)}
    y = {"range": (1e-7, 1e-1), "log": True, "ticks": decades(-7, -1)}
    plot = Plot("Share of irregular series with p at most a level", axis, y, "level", "share of irregular series with p ≤ level")
    plot.curve([(level, level) for level in LEVELS], "#333", 2, "6 4")
    for name, *shares in rows:
        points = [(level, float(share)) for level, share in zip(LEVELS, shares) if float(share) > 0]
        mixture = name == "all"
        plot.curve(points, "#b3450a" if mixture else "#9db4cc", 3 if mixture else 1.2)
    right = WIDTH - RIGHT + 12
    plot.text(right, 40, "what a p-value may be", colour="#333")
    plot.text(right, 62, "one kind of traffic", colour="#5f7d9c")
    plot.text(right, 84, "all kinds together", colour="#b3450a", weight="bold")
    plot.write("calibration.svg")


def power():
    series = {}
    with open(HERE / "power.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            series.setdefault(row["schedule"], []).append((int(row["beats"]), float(row["p_value_any_look"]), float(row["score"])))
    x = {"range": (0, 40), "ticks": [(at, str(at)) for at in range(0, 41, 5)]}
    y = {"range": (1e-8, 1), "log": True, "ticks": decades(-8, 0, 2)}
    plot = Plot("p-value by number of beats", x, y, "beats, 60 s apart", "p-value at any look (median)")
    for level, text in [(0.5 / 1e3, "1,000 series"), (0.5 / 1e5, "100,000 series")]:
        plot.curve([(0, level), (40, level)], "#999", 1, "4 4")
        plot.text(plot.at_x(40) - 4, plot.at_y(level) - 5, text, "end", "#666")
    legend(plot, series, lambda points: [(beats, p) for beats, p, _ in points if beats <= 40])
    plot.write("power.svg")
    y = {"range": (0, 1), "ticks": [(at / 10, f"{at / 10:.1f}") for at in range(0, 11, 2)]}
    plot = Plot("Score by number of beats", x, y, "beats, 60 s apart", "score by times alone (median)")
    plot.curve([(0, 0.5), (40, 0.5)], "#999", 1, "4 4")
    legend(plot, series, lambda points: [(beats, score) for beats, _, score in points if beats <= 40])
    plot.write("score.svg")


def legend(plot, series, pick):
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        plot.curve(pick(points), colour)
        plot.text(WIDTH - RIGHT + 12, 40 + 22 * index, name, colour=colour, weight="bold")


def contributions():
    found = json.loads((HERE / "example.json").read_text(encoding="utf-8").splitlines()[0])
    signals = found["signals"]
    total = sum(signal["contribution"] for signal in signals)
    x = {"range": (-4, 10), "ticks": [(at, f"{at:+d}" if at else "0") for at in range(-4, 11, 2)]}
    plot = Plot("Contributions to the log-odds of a score", x, {"range": (0, 1), "ticks": []}, "log-odds", "")
    step = (HEIGHT - BOTTOM - TOP) / (len(signals) + 1)
    at, y = 0.0, TOP + step / 2
    for signal in signals:
        after = at + signal["contribution"]
        colour = "#a8102a" if signal["contribution"] > 0 else "#146c3c"
        left, right = sorted((plot.at_x(at), plot.at_x(after)))
        plot.parts.append(f'<rect x="{left:.1f}" y="{y - 9:.1f}" width="{max(right - left, 1):.1f}" height="18" fill="{colour}"/>')
        plot.text(WIDTH - RIGHT + 12, y + 4, f"{signal['name'].replace('_', ' ')} {signal['contribution']:+.2f}")
        at, y = after, y + step
    plot.line([(plot.at_x(total), TOP), (plot.at_x(total), HEIGHT - BOTTOM)], "#333", 1.5, "5 4")
    plot.text(WIDTH - RIGHT + 12, y + 4, f"sum {total:+.2f}: score {found['score']:.3f}", weight="bold")
    plot.write("contributions.svg")


calibration()
power()
contributions()
