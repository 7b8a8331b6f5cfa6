"""Figures into a table."""

import dataclasses
import statistics


@dataclasses.dataclass
class Figure:
    """Some runs of one contender; their median counts."""

    values: list

    @property
    def median(self):
        return statistics.median(self.values)


@dataclasses.dataclass
class Comparison:
    """pgstrata's figure, another's, and what their ratio should be."""

    what: str
    unit: str  # s, MB, TPS, segments/s
    ours: Figure
    peer: Figure
    peer_label: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self):
        return self.ours.median / self.peer.median if self.peer.median else float("inf")

    @property
    def target(self):
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}" if self.at_least is not None else ""

    @property
    def verdict(self):
        return verdict(round(self.ratio, 2), self.at_most, self.at_least)

    def row(self):
        return [self.what, show(self.ours, self.unit), f"{self.peer_label}: {show(self.peer, self.unit)}",
                f"{self.ratio:.2f}", self.target, self.verdict]


@dataclasses.dataclass
class Absolute:
    """pgstrata's figure against a limit; the worst run counts."""

    what: str
    unit: str
    ours: Figure
    at_most: float | None = None
    at_least: float | None = None

    def row(self):
        worst = min(self.ours.values) if self.at_least is not None else max(self.ours.values)
        limit = self.at_most if self.at_most is not None else self.at_least
        sign = "≤" if self.at_most is not None else "≥"
        target = "" if limit is None else f"{sign} {number(limit, self.unit)}"
        return [self.what, number(worst, self.unit), "", "", target, verdict(worst, self.at_most, self.at_least)]


def verdict(value, at_most, at_least):
    """Reached, missed, or nothing was asked."""
    if at_most is None and at_least is None:
        return ""
    reached = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    return "reached" if reached else "**missed**"


def number(value, unit):
    """With the digits that make sense."""
    if unit in ("MB", "MiB"):
        return f"{value / (1e6 if unit == 'MB' else 1 << 20):.0f} {unit}"
    if unit == "MB/s":
        return f"{value / 1e6:.0f} MB/s"
    digits = 0 if unit == "TPS" else 1 if unit == "segments/s" else 2
    return f"{value:,.{digits}f} {unit}"


def show(figure, unit):
    """The median, and how far the runs spread."""
    text = number(figure.median, unit)
    if len(figure.values) > 1:
        low, high = (number(pick(figure.values), unit).split()[0] for pick in (min, max))
        text += f" ({low}–{high})" if low != high else ""
    return text


def table(rows):
    """Markdown."""
    head = ["what", "pgstrata", "against", "ratio", "target", ""]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row.row()) + " |" for row in rows]
    return "\n".join(lines)
