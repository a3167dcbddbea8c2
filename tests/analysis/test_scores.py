"""Scores of channels: ranking, selection, means, files, and what they say of the paper's claims."""

import math
from dataclasses import replace

import pytest
import torch

from freqvision import ChannelSet
from freqvision.analysis.report.findings import findings, rank_correlation
from freqvision.analysis.report.plots import compact
from freqvision.analysis.scores import ChannelScores, radial_frequency
from freqvision.spectrum.channels import COMPONENTS

EVERY = ChannelSet.preset(192)


def random_scores(seed, channels=EVERY, unit="open share"):
    print(f"seed {seed}")
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(len(channels), generator=generator, dtype=torch.float64)
    return ChannelScores("gates", channels, tuple(values.tolist()), unit=unit)


def test_top_holds_the_greatest():
    scores = random_scores(0)
    chosen = scores.top(30)
    inside = [score for c, score in zip(scores.channels, scores.scores, strict=True) if c in chosen]
    outside = [score for c, score in zip(scores.channels, scores.scores, strict=True) if c not in chosen]
    assert len(chosen) == 30
    assert min(inside) > max(outside)
    assert scores.at_least(min(inside)) == chosen
    assert set(scores.top(10)) < set(scores.top(11))


def test_ties_are_decided_by_the_second_measure_then_by_the_lower_channel():
    scores = ChannelScores("gates", ChannelSet((3, 5, 7, 9)), (1.0, 1.0, 1.0, 0.5), (0.8, 0.9, 0.8, 1.0))
    assert scores.ranking() == [5, 3, 7, 9]


def test_a_selection_by_ties_is_refused_unless_asked_for():
    scores = ChannelScores("gates", ChannelSet((3, 5, 7, 9)), (1.0, 1.0, 1.0, 0.5), (0.8, 0.9, 0.8, 1.0))
    assert scores.top(1) == ChannelSet((5,))  # by the second measure
    assert scores.tied_score(1) == 3
    assert scores.top(3) == ChannelSet((3, 5, 7))
    assert scores.tied_score(3) == 0
    with pytest.raises(ValueError, match="which 2 channels to take is not decided: 2 have the same score"):
        scores.top(2)
    assert scores.top(2, allow_ties=True) == ChannelSet((3, 5))


def test_scores_that_are_all_equal_select_nothing():
    """Such as those of gates that never closed, whatever the second measure says."""
    scores = ChannelScores("gates", ChannelSet((3, 5, 7)), (1.0, 1.0, 1.0), (0.7, 0.9, 0.8), "open share")
    with pytest.raises(ValueError, match="3 have the same open share"):
        scores.top(2)
    assert scores.top(2, allow_ties=True) == ChannelSet((5, 7))
    assert scores.top(3) == scores.channels


def test_grid_puts_every_channel_in_its_place():
    channels = ChannelSet.parse("Y0,10+Cr63")
    grid = ChannelScores("energy", channels, (1.0, 2.0, 3.0)).grid()
    assert (grid[0, 0, 0], grid[0, 1, 2], grid[2, 7, 7]) == (1, 2, 3)
    assert int(grid.isnan().sum()) == 192 - 3


def test_means_by_component_and_radius_are_those_of_the_grid():
    scores = random_scores(1)
    grid = scores.grid()
    assert scores.by_component() == pytest.approx(
        {n: grid[i].mean().item() for i, n in enumerate(COMPONENTS)}
    )
    sizes = torch.bincount(radial_frequency().flatten())
    rings = scores.by_radius()
    assert list(rings) == list(range(11))
    mean = sum(int(sizes[radius]) * ring[3] for radius, ring in rings.items()) / 64
    assert mean == pytest.approx(grid.mean().item())
    partial = ChannelScores("x", ChannelSet((0, 64)), (1.0, 2.0))
    assert partial.by_component() == {"Y": 1.0, "Cb": 2.0}
    assert math.isnan(partial.by_radius()[3][3])


def test_files_hold_everything(tmp_path):
    scores = ChannelScores(
        "gates", ChannelSet((1, 70)), (0.1, 0.9), (1.0, 2.0), "open share", {"cat": (0.0, 1.0)}, "x", ("y",)
    )
    scores.save(tmp_path / "scores.json")
    assert ChannelScores.load(tmp_path / "scores.json") == scores
    with pytest.raises(ValueError, match="have method, channels, scores"):
        ChannelScores.from_json("{}")


def test_wrong_numbers():
    with pytest.raises(ValueError, match="one finite number for each of 2"):
        ChannelScores("x", ChannelSet((0, 1)), (1.0,))
    with pytest.raises(ValueError, match="one finite number"):
        ChannelScores("x", ChannelSet((0,)), (math.nan,))
    with pytest.raises(ValueError, match="cat has one finite"):
        ChannelScores("x", ChannelSet((0,)), (1.0,), classes={"cat": ()})
    scores = random_scores(2)
    with pytest.raises(ValueError, match="1 to 192 channels"):
        scores.top(193)
    with pytest.raises(ValueError, match="no channel reaches 2"):
        scores.at_least(2)


def verdicts(values):
    scores = ChannelScores("gates", EVERY, tuple(values.double().flatten().tolist()), unit="open share")
    return [finding.verdict for finding in findings(scores)]


def test_findings_tell_claims_from_chance_and_from_the_opposite():
    falling = (1 - radial_frequency() / 20).expand(3, 8, 8).clone()
    falling[0] += 0.3
    assert verdicts(falling) == ["holds", "holds"]
    assert verdicts(-falling) == ["the opposite holds", "the opposite holds"]
    assert verdicts(torch.ones(3, 8, 8)) == ["does not hold", "does not hold"]


def test_findings_call_chance_chance_in_most_cases():
    """At 95 % of significance, one in twenty random maps passes for an order."""
    generator = torch.Generator().manual_seed(3)
    found = [v for _ in range(100) for v in verdicts(torch.rand(3, 8, 8, generator=generator))]
    assert found.count("does not hold") >= 170


def test_doubtful_scores_give_no_findings():
    assert findings(random_scores(6))
    assert findings(replace(random_scores(6), doubts=("the model guesses",))) == []


def test_findings_leave_out_what_was_not_measured():
    scores = random_scores(4, ChannelSet.parse("Y0-63"))
    assert [finding.claim for finding in findings(scores)] == ["low over high frequencies"]


def test_rank_correlation_is_that_of_ranks():
    torch.manual_seed(5)
    x = torch.randn(40).round(decimals=1)
    assert rank_correlation(x, x.exp()) == pytest.approx(1)
    assert rank_correlation(x, x.pow(2)) == pytest.approx(rank_correlation(x.pow(2), x))


@pytest.mark.parametrize("value", [0.0, 1.0, -3.21, 0.0123, 1e-9, 123456.0, 0.999, 9999.0, -0.5])
def test_compact_numbers_are_short_and_nearly_right(value):
    text = compact(value)
    assert len(text.lstrip("-")) <= 5
    assert float(text) == pytest.approx(value, rel=0.26)
