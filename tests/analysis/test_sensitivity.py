"""Leave-one-out sensitivity against its definition; tables that go on; accuracy by number of channels."""

import math
from dataclasses import replace

import pytest
import torch
from probes import linear_probe
from torch.nn import functional as F

from freqvision.analysis import sensitivity
from freqvision.analysis.curves import accuracy_by_count, load_curve, save_curve
from freqvision.analysis.measures import gradient_importance
from freqvision.analysis.scores import ChannelScores
from freqvision.analysis.sensitivity import Base, Sensitivity, leave_one_out


def test_effects_are_those_of_zeroing_one_channel():
    probe = linear_probe(0)
    measured = leave_one_out(probe, batch_size=5, progress=False)
    weights = probe.network.weights.detach()
    sums = probe.inputs.sum((2, 3))  # (N, C)
    before = sums @ weights.T
    for place, (channel, effect) in enumerate(zip(probe.spec.channels, measured.effects, strict=True)):
        after = before - sums[:, place, None] * weights[:, place]
        rise = F.cross_entropy(after, probe.labels, reduction="none") - F.cross_entropy(
            before, probe.labels, reduction="none"
        )
        distance = F.kl_div(after.log_softmax(1), before.softmax(1), reduction="none").sum(1)
        right = [(x.argmax(1) == probe.labels).double().mean().item() for x in (before, after)]
        assert effect.channel == channel
        assert effect.loss == pytest.approx(rise.mean().item(), abs=1e-5)
        assert effect.loss_error == pytest.approx(rise.std().item() / math.sqrt(12), abs=1e-5)
        assert effect.divergence == pytest.approx(distance.mean().item(), abs=1e-5)
        assert effect.accuracy == pytest.approx(right[1] - right[0])
        assert effect.changed == (before.argmax(1) != after.argmax(1)).double().mean().item()


def test_a_channel_without_weight_does_not_matter():
    probe = linear_probe(1)
    with torch.no_grad():
        probe.network.weights[:, 3] = 0
    for how in ("mean", "noise"):
        scores = leave_one_out(probe, replace=how, progress=False).scores("divergence")
        assert scores.ranking()[-1] == probe.spec.channels.indices[3]
        assert min(scores.scores) == pytest.approx(0, abs=1e-9)


def test_noise_is_the_same_for_any_size_of_batch_and_another_for_another_seed():
    probe = linear_probe(2)
    first, second = (leave_one_out(probe, replace="noise", batch_size=n, progress=False) for n in (1, 12))
    for one, other in zip(first.effects, second.effects, strict=True):
        assert one.divergence == pytest.approx(other.divergence, abs=1e-6)
    third = leave_one_out(probe, replace="noise", seed=1, progress=False)
    assert all(a.divergence != b.divergence for a, b in zip(first.effects, third.effects, strict=True))


def test_without_labels_only_answers_count():
    measured = leave_one_out(linear_probe(3, labelled=False), progress=False)
    assert math.isnan(measured.base.loss)
    assert measured.scores() == measured.scores("divergence")
    with pytest.raises(ValueError, match="needs labels"):
        measured.scores("accuracy")


def test_a_table_goes_on_where_it_stopped(tmp_path):
    probe, table = linear_probe(4), tmp_path / "sensitivity.csv"
    whole = leave_one_out(probe, progress=False)
    leave_one_out(probe, channels=[0, 3, 64], table=table, progress=False)
    probe.network.seen = 0
    resumed = leave_one_out(probe, table=table, progress=False)
    assert probe.network.seen == 12 * (1 + 7)  # all channels once, and seven of ten that were missing
    assert resumed.effects == whole.effects
    assert Sensitivity.load(table) == resumed
    probe.network.seen = 0
    leave_one_out(probe, table=table, progress=False)
    assert probe.network.seen == 12


def test_an_interrupted_run_keeps_what_it_measured(tmp_path, monkeypatch):
    table, measure = tmp_path / "sensitivity.csv", sensitivity._effect
    left = iter(range(3))

    def interrupted(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(sensitivity, "_effect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        leave_one_out(linear_probe(4), table=table, progress=False)
    assert len(Sensitivity.load(table).effects) == 3


def test_a_table_of_something_else_is_refused(tmp_path):
    table = tmp_path / "sensitivity.csv"
    leave_one_out(linear_probe(5), channels=[0], table=table, progress=False)
    for other, how in (
        (linear_probe(6), "mean"),
        (linear_probe(5), "noise"),
        (linear_probe(5, photos=11), "mean"),
    ):
        with pytest.raises(ValueError, match="begun with another network"):
            leave_one_out(other, replace=how, table=table, progress=False)
    noisy = tmp_path / "noise.csv"
    leave_one_out(linear_probe(5), replace="noise", channels=[0], seed=1, table=noisy, progress=False)
    with pytest.raises(ValueError, match=r"it is of 12 photos, noise of seed 1, .*; this is of .* seed 2"):
        leave_one_out(linear_probe(5), replace="noise", seed=2, table=noisy, progress=False)
    leave_one_out(linear_probe(5), channels=[3], seed=2, table=table, progress=False)  # there is no noise
    table.write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="not a table of sensitivities"):
        leave_one_out(linear_probe(5), table=table, progress=False)


def test_networks_that_are_sure_of_everything_are_told_apart():
    """As fine-tuned ones are of photos they were trained on: their losses differ in the fifth digit."""
    sure, surer = Base(3e-5, 1.0, -3e-5), Base(2e-5, 1.0, -2e-5)
    assert not sure.is_like(surer)
    assert sure.is_like(Base(3e-5 * (1 + 1e-5), 1.0, -3e-5))
    assert Base(math.nan, math.nan, -0.5).is_like(Base(math.nan, math.nan, -0.5))
    assert not Base(math.nan, math.nan, -0.5).is_like(Base(0.5, 1.0, -0.5))


def test_accuracy_falls_positive():
    measured = leave_one_out(linear_probe(7), progress=False)
    falls = measured.scores("accuracy").scores
    assert falls == tuple(-effect.accuracy for effect in measured.effects)


def test_gradient_importance_is_the_change_of_small_channels():
    """Where channels are small, leaving one out changes the loss by gradient · value."""
    probe = linear_probe(8, photos=6)
    probe = replace(probe, inputs=probe.inputs * 1e-3)
    single = [
        replace(probe, inputs=probe.inputs[i : i + 1], labels=probe.labels[i : i + 1]) for i in range(6)
    ]
    changes = torch.tensor([leave_one_out(one, progress=False).scores("loss").scores for one in single])
    scores = gradient_importance(probe, batch_size=4, progress=False)
    torch.testing.assert_close(torch.tensor(scores.scores), changes.abs().mean(0), rtol=0.02, atol=1e-6)
    assert probe.network.weights.requires_grad
    assert probe.network.weights.grad is None


def test_accuracy_by_count_silences_the_rest(tmp_path):
    probe = linear_probe(9, photos=40)
    channels = probe.spec.channels
    scores = ChannelScores("test", channels, tuple(float(i) for i in range(len(channels))))
    points = accuracy_by_count(probe, scores, [1, 4, 10], batch_size=16, progress=False)
    assert [point.channels for point in points] == [1, 4, 10]
    assert points[1].bytes == 4 * 2 * 2
    sums = probe.inputs.sum((2, 3))
    kept = (sums[:, -4:] @ probe.network.weights.detach()[:, -4:].T).argmax(1)
    assert points[1].accuracy == (kept == probe.labels).double().mean().item()
    assert points[2].agreement == 1
    save_curve(points, tmp_path / "curve.csv")
    assert load_curve(tmp_path / "curve.csv") == points
    (tmp_path / "curve.csv").write_text("x\n1\n")
    with pytest.raises(ValueError, match="no curve"):
        load_curve(tmp_path / "curve.csv")


def test_wrong_replacement():
    with pytest.raises(ValueError, match='replace is "mean" or "noise"'):
        leave_one_out(linear_probe(), replace="zero", progress=False)
