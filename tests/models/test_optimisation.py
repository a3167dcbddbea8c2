"""Parameter groups and schedules of the learning rate."""

import pytest
import torch
from torch import nn

from freqvision.models.optimisation import Optimisation, build_optimizer, build_schedule, parameter_groups


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def rates(how: Optimisation, steps: int) -> list[float]:
    """The learning rate that each step is done with."""
    optimizer = build_optimizer([{"params": [nn.Parameter(torch.zeros(1))], "lr": how.lr}], how)
    schedule = build_schedule(optimizer, how, steps)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


def test_every_parameter_is_in_one_group(model):
    how = Optimisation(decay_norm_and_bias=False, new_layers_lr=10)
    groups = parameter_groups(model, how, new=["3"])
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(ids) == sorted(id(parameter) for parameter in model.parameters())
    found = {(group["lr"], group["weight_decay"]): group["params"] for group in groups}
    assert found[how.lr, 0.0][0] is model[0].bias
    assert found[how.lr, how.weight_decay] == [model[0].weight]
    assert found[10 * how.lr, how.weight_decay] == [model[3].weight]
    assert found[10 * how.lr, 0.0] == [model[3].bias]


def test_norm_and_bias_decay_unless_told_otherwise(model):
    (group,) = parameter_groups(model, Optimisation())
    assert group["weight_decay"] == Optimisation().weight_decay
    assert len(group["params"]) == 6


def test_frozen_parameters_are_left_out(model):
    model[0].requires_grad_(False)
    (group,) = parameter_groups(model, Optimisation())
    assert len(group["params"]) == 4


def test_unknown_new_layer_is_an_error(model):
    with pytest.raises(ValueError, match="conv9"):
        parameter_groups(model, Optimisation(), new=["conv9"])


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [2, 10, 97])
def test_rate_rises_to_its_peak_and_falls_to_almost_nothing(schedule, steps):
    how = Optimisation(schedule=schedule, lr=0.4, warmup=0.3)
    used = rates(how, steps)
    peak = used.index(max(used))
    assert max(used) <= how.lr * (1 + 1e-9)
    assert used[: peak + 1] == sorted(used[: peak + 1])
    assert used[peak:] == sorted(used[peak:], reverse=True)
    if steps > 50:
        assert max(used) == pytest.approx(how.lr, rel=0.01)
        assert peak / steps == pytest.approx(0.3, abs=0.02)
        assert used[-1] < 0.01 * how.lr


def test_steps_lower_the_rate_at_the_milestones():
    used = rates(Optimisation(schedule="steps", lr=1.0, warmup=0.0, milestones=(0.5, 0.75)), 8)
    assert used == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_constant_stays():
    assert rates(Optimisation(schedule="constant", lr=0.1, warmup=0.0), 5) == pytest.approx([0.1] * 5)


def test_optimizers_are_those_asked_for(model):
    sgd = build_optimizer(parameter_groups(model, Optimisation()), Optimisation())
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["nesterov"]
    how = Optimisation(optimizer="adamw", weight_decay=0.05)
    adamw = build_optimizer(parameter_groups(model, how), how)
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.05


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"lr": 0}, "lr"),
        ({"warmup": 1.5}, "warmup"),
        ({"schedule": "one_cycle", "warmup": 0}, "warmup"),
        ({"new_layers_lr": -1}, "new_layers_lr"),
    ],
)
def test_impossible_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Optimisation(**bad)
