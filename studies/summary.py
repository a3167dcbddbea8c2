"""Summary of a study: a table, and a figure with confidence intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

# Two-sided 95 % quantiles of Student's t by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True)
class Group:
    """The runs of one input at its chosen learning rate."""

    label: str
    rows: list[dict[str, Any]]

    def mean(self, key: str) -> float:
        """Mean over the seeds."""
        return sum(float(row[key]) for row in self.rows) / len(self.rows)

    def interval(self, key: str) -> float | None:
        """Half the 95 % confidence interval of the mean (Student's t); None for a single run."""
        count = len(self.rows)
        if count < 2:
            return None
        variance = sum((float(row[key]) - self.mean(key)) ** 2 for row in self.rows) / (count - 1)
        return STUDENT[count - 1] * math.sqrt(variance / count)


def summarise(labels: Mapping[str, str], rows: list[dict[str, Any]]) -> list[Group]:
    """The chosen runs of each input, in the order of `labels`, which are by input."""
    groups = []
    for name, label in labels.items():
        mine = [row for row in rows if row["input"] == name and row["chosen"]]
        if mine:
            groups.append(Group(label, mine))
    return groups


def markdown(groups: list[Group], preparation: Mapping[str, str] = MappingProxyType({})) -> str:
    """A table with one line per input; `preparation` is in milliseconds per photo, by input."""
    gated = any(row.get("open") for group in groups for row in group.rows)
    titles = [
        "input",
        "top-1, %",
        "top-5, %",
        "validation loss",
        *(["gates open, %"] if gated else []),
        "seeds",
        "learning rate",
    ]
    titles += ["GMAC", "parameters", "values", "sent as", "bytes", "prepared in, ms"]
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
    for group in groups:
        one = group.rows[0]
        cells = [group.label, with_interval(group, "top1"), with_interval(group, "top5")]
        cells.append(with_interval(group, "val_loss", digits=3) if one["val_loss"] else "–")
        if gated:
            cells.append(f"{group.mean('open'):.1f}" if one.get("open") else "–")
        cells += [str(len(group.rows)), f"{float(one['lr']):g}"]
        cells += [f"{int(one['macs']) / 1e9:.3f}", f"{int(one['parameters']):,}"]
        cells += [f"{int(one['values']):,}", one["dtype"], f"{int(one['bytes']):,}"]
        cells.append(f"{float(preparation[one['input']]):.2f}" if one["input"] in preparation else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_interval(group: Group, key: str, digits: int = 1) -> str:
    """Mean ± half its 95 % confidence interval."""
    half = group.interval(key)
    return f"{group.mean(key):.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def bootstrap(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of values (seeds, photos) and its 95 % interval: seeds and photos are drawn again, 4,000 times."""
    rng = np.random.default_rng(0)
    seeds, photos = (rng.integers(count, size=(4000, count)) for count in values.shape)
    drawn = [values[np.ix_(*chosen)].mean() for chosen in zip(seeds, photos, strict=True)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def draw(title: str, groups: list[Group], path: Path) -> None:
    """Draw each input's mean with its interval, and its single runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 1.2 + 0.42 * len(groups)), layout="constrained")
    for place, group in enumerate(groups):
        values = [float(row["top1"]) for row in group.rows]
        half = group.interval("top1") or 0
        axes.errorbar(group.mean("top1"), place, xerr=half, fmt="o", color="#1f77b4", capsize=4)
        axes.plot(values, [place + 0.22] * len(values), "|", color="0.4", markersize=8)
    labels = [f"{group.label}\n{int(group.rows[0]['bytes']) / 1000:,.0f} kB" for group in groups]
    axes.set_yticks(range(len(groups)), labels=labels, fontsize=8)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.4)
    axes.set_xlabel("top-1 in %: mean, 95 % interval, single runs below")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)
