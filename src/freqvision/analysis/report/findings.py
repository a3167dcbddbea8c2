"""What scores say: whether the paper's claims hold, and how classes differ."""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from freqvision.analysis.scores import ChannelScores, radial_frequency

LOW = 3  # radial frequencies up to this one are called low
_SIGNIFICANT = 1.96  # standard deviations, 95 %

Verdict = Literal["holds", "does not hold", "the opposite holds"]


@dataclass(frozen=True)
class Finding:
    """A claim of the paper, what scores say about it, and the numbers that the verdict rests on.

    A claim "does not hold" if chance would give such an order, too.
    """

    claim: str
    verdict: Verdict
    numbers: str


def findings(scores: ChannelScores) -> list[Finding]:
    """Verdicts on the paper's two claims, as far as these scores can give them.

    Scores with `doubts`, such as those of a model that only guesses, give none.

    Example:
        >>> from freqvision.analysis.measures import energy
        >>> from freqvision.inputs import ChannelStatistics
        >>> [finding.verdict for finding in findings(energy(ChannelStatistics.default()))]
        ['holds', 'holds']
    """
    if scores.doubts:
        return []
    grid = scores.grid()  # (3, 8, 8)
    return [finding for finding in (_low_over_high(grid, scores), _luma_over_chroma(grid, scores)) if finding]


def _low_over_high(grid: torch.Tensor, scores: ChannelScores) -> Finding | None:
    radius = radial_frequency().expand_as(grid)
    measured = ~grid.isnan()
    low, high = grid[measured & (radius <= LOW)], grid[measured & (radius > LOW)]
    if not len(low) or not len(high):
        return None
    rho = rank_correlation(radius[measured].double(), grid[measured])
    chance = _SIGNIFICANT / math.sqrt(max(1, int(measured.sum()) - 1))
    return Finding(
        "low over high frequencies",
        _verdict(-rho, chance),
        f"mean {scores.unit} {format_score(low.mean().item(), scores)} at radial frequencies 0 to {LOW}, "
        f"{format_score(high.mean().item(), scores)} beyond; rank correlation with the radius {signed(rho)} "
        f"(chance: within ±{chance:.2f})",
    )


def _luma_over_chroma(grid: torch.Tensor, scores: ChannelScores) -> Finding | None:
    luma, chroma = grid[:1].expand(2, -1, -1), grid[1:]  # each frequency of Y against that of Cb and of Cr
    both = ~(luma.isnan() | chroma.isnan())
    pairs = int(both.sum())
    if not pairs:
        return None
    wins = ((luma > chroma)[both].double() + 0.5 * (luma == chroma)[both].double()).mean().item()
    chance = _SIGNIFICANT * 0.5 / math.sqrt(pairs)
    means = ", ".join(f"{name} {format_score(mean, scores)}" for name, mean in scores.by_component().items())
    return Finding(
        "luma over chroma",
        _verdict(wins - 0.5, chance),
        f"mean {scores.unit} {means}; at the same frequency Y is above chroma in {wins:.0%} of {pairs} pairs "
        f"(chance: {0.5 - chance:.0%} to {0.5 + chance:.0%})",
    )


def _verdict(effect: float, chance: float) -> Verdict:
    if abs(effect) <= chance or math.isnan(effect):
        return "does not hold"
    return "holds" if effect > 0 else "the opposite holds"


def unusual_classes(scores: ChannelScores, limit: int) -> list[str]:
    """At most `limit` classes whose scores differ most from those of all photos, most first."""
    mean = torch.tensor(scores.scores)

    def difference(name: str) -> float:
        return (torch.tensor(scores.classes[name]) - mean).abs().sum().item()

    return sorted(scores.classes, key=difference, reverse=True)[:limit]


def greatest_difference(scores: ChannelScores) -> tuple[str, int, float]:
    """The class and the channel whose score differs most from that of all photos, and by how much.

    Example:
        >>> from freqvision.spectrum import ChannelSet
        >>> classes = {"cat": (0.5, 0.2), "dog": (0.5, 0.8)}
        >>> scores = ChannelScores("gates", ChannelSet((0, 9)), (0.5, 0.4), classes=classes)
        >>> greatest_difference(scores)
        ('dog', 9, 0.4)
    """
    differences = [
        (name, channel, share - mean)
        for name, shares in scores.classes.items()
        for channel, share, mean in zip(scores.channels, shares, scores.scores, strict=True)
    ]
    return max(differences, key=lambda difference: abs(difference[2]))


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks; NaN for constants.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 2.0, 5.0])
        >>> round(rank_correlation(x, x.square()), 6), round(rank_correlation(x, -x), 6)
        (1.0, -1.0)
    """
    ranks = torch.stack([_ranks(first), _ranks(second)])
    return torch.corrcoef(ranks)[0, 1].item()


def _ranks(values: torch.Tensor) -> torch.Tensor:
    below = (values[:, None] > values).sum(1)
    equal = (values[:, None] == values).sum(1)
    return below + (equal + 1) / 2.0


def format_score(value: float, scores: ChannelScores) -> str:
    """A score for people: shares in per cent, others to three digits.

    Example:
        >>> from freqvision.spectrum.channels import ChannelSet
        >>> format_score(0.256, ChannelScores("gates", ChannelSet((0,)), (1.0,), unit="open share"))
        '25.6%'
    """
    return f"{value:.1%}" if is_share(scores) else f"{value:.3g}"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, with a minus as in print.

    Example:
        >>> signed(-0.361), signed(12.34, 1)
        ('−0.36', '+12.3')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def is_share(scores: ChannelScores) -> bool:
    """Whether scores are shares, from 0 to 1."""
    return scores.unit.endswith("share") or scores.unit == "changed answers"
