"""Training with gates, from the command line's arguments to what is logged and stored."""

import csv

import pytest
import torch
from conftest import fit_arguments

from freqvision.models import load
from freqvision.models.gates import GateOptions, Gating, expected_open, record_gates
from freqvision.models.optimisation import Optimisation, parameter_groups
from freqvision.training.validate import validate


def fit_gated(photos, output, tiny, *more):
    from freqvision.training.fit import fit

    settings = (
        "--model.gates.squeeze",
        "magnitude",
        "--model.gates.lr",
        "30",
        "--model.gates.penalty",
        "0.4",
    )
    fit([*fit_arguments(photos, output, tiny), *settings, *more])
    with (output / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_logs_and_stores_what_gates_did(photos, tiny, tmp_path):
    epochs = fit_gated(photos, tmp_path / "run", tiny)
    for line in epochs:
        values = {name: float(value) for name, value in line.items()}
        assert values["train/loss"] == pytest.approx(
            values["train/cross_entropy"] + values["train/gate_penalty"], abs=1e-5
        )
        for part in ("train", "val"):  # 24 channels: 16 of Y, 4 of Cb, 4 of Cr
            parts = [values[f"{part}/open_{name}"] for name in ("y", "cb", "cr")]
            mean = (16 * parts[0] + 4 * parts[1] + 4 * parts[2]) / 24
            assert values[f"{part}/open"] == pytest.approx(mean, abs=1e-5)
    assert float(epochs[0]["train/open"]) == pytest.approx(0.87, abs=0.02)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    measured = validate(checkpoint, batch_size=5, num_threads=1, accelerator="cpu", progress=False)
    assert measured["loss"] == pytest.approx(float(epochs[-1]["val/loss"]), abs=1e-4)
    model = load(checkpoint)
    assert model.gates.options == GateOptions("magnitude", 0.87)
    with record_gates(model) as log_odds, torch.no_grad():
        model(torch.zeros(2, *model.spec.shape))
    assert 0 < expected_open(log_odds) < 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_without_penalty_gates_stay_open_and_a_large_one_closes_them(precision, photos, tiny, tmp_path):
    """Also where all of the network but the gates is in bfloat16."""
    more = (
        "--trainer.precision",
        precision,
        "--model.gates.penalty_ramp",
        "[0,0]",
        "--model.gates.lr",
        "500",
    )
    for penalty, shares in (("0", (0.9, 1)), ("50", (0, 0.1))):
        epochs = fit_gated(photos, tmp_path / penalty, tiny, *more, "--model.gates.penalty", penalty)
        assert shares[0] <= float(epochs[-1]["val/open"]) <= shares[1]
    saved = torch.load(tmp_path / "50" / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    types = {key: value.dtype for key, value in saved.items() if value.is_floating_point()}
    assert {kind for key, kind in types.items() if "gates" in key} == {torch.float32}
    assert types["model.network.fc.weight"] == getattr(
        torch, "bfloat16" if "bf16" in precision else "float32"
    )


def test_same_seed_same_result(photos, tiny, tmp_path):
    first, second = (fit_gated(photos, tmp_path / name, tiny, "--trainer.max_epochs", "1") for name in "ab")
    for line in (*first, *second):
        del line["seconds"]
    assert first == second


def test_schedules_of_penalty_and_temperature():
    gating = Gating(penalty=0.8, penalty_ramp=[0.25, 0.75], temperature=[2.0, 0.5])
    assert [gating.penalty_at(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [0, 0, 0.4, 0.8, 0.8]
    assert [gating.temperature_at(p) for p in (0, 0.5, 1, 2)] == pytest.approx([2, 1, 0.5, 0.5])
    step = Gating(penalty=1.0, penalty_ramp=(0.5, 0.5))
    assert [step.penalty_at(p) for p in (0, 0.49, 0.5, 1)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": -1}, "penalty is 0 or more"),
        ({"penalty_ramp": (0.5, 0.2)}, "penalty_ramp is 0 <= first"),
        ({"temperature": (1, 0)}, "temperatures are above 0"),
        ({"lr": 0}, "lr is a factor above 0"),
        ({"squeeze": "max"}, "squeeze is one of"),
        ({"open_probability": 0}, "open_probability lies between"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Gating(**settings)


def test_gates_have_a_learning_rate_of_their_own(tiny):
    from freqvision import FrequencySpec, create_model

    model = create_model(tiny, FrequencySpec(72, 64), 6, gates={})
    how = Optimisation(lr=0.1, new_layers_lr=10)
    groups = parameter_groups(model, how, ("network.conv2", "input.gates.scorer"), gates_lr=50)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert {rates[id(p)] for p in model.gates.parameters()} == {5.0}
    assert {rates[id(p)] for p in model.network.conv2.parameters()} == {1.0}
    assert {rates[id(p)] for p in model.network.fc.parameters()} == {0.1}
