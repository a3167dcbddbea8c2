"""Gates: their odds, their gradients, what the penalty does to them, and models that carry them."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from freqvision import ChannelSet, FrequencySpec, PixelSpec, create_model
from freqvision.models.gates import (
    SQUEEZES,
    GateOptions,
    Gates,
    expected_open,
    find_gates,
    hard_gates,
    options_of,
    record_gates,
    sample_gates,
    squeeze,
)
from freqvision.models.weights import load_weights

SPEC = FrequencySpec(resize=40, crop=32, channels=ChannelSet.preset(24))


def small_model(**gates):
    torch.manual_seed(0)
    return create_model("resnet18", spec=SPEC, num_classes=3, gates=gates)


def test_samples_are_open_with_their_probability():
    torch.manual_seed(1)
    log_odds = torch.tensor([-4.0, -1.0, 0.0, 0.5, 3.0])
    gates = sample_gates(log_odds.expand(100_000, 5), temperature=0.7)
    assert set(gates.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(gates.mean(0), torch.sigmoid(log_odds), atol=0.005, rtol=0)


def test_samples_equal_gumbel_softmax_of_two_logits_in_distribution_of_gradients():
    """Logistic noise on the log odds is what torch's Gumbel-softmax with two logits does."""
    torch.manual_seed(2)
    ours = torch.full((300_000,), 0.8, requires_grad=True)
    sample_gates(ours, temperature=0.5).sum().backward()
    theirs = torch.tensor([0.0, 0.8]).repeat(300_000, 1).requires_grad_()
    F.gumbel_softmax(theirs, tau=0.5, hard=True)[:, 1].sum().backward()
    assert ours.grad.mean().item() == pytest.approx(theirs.grad[:, 1].mean().item(), abs=0.005)
    assert ours.grad.std().item() == pytest.approx(theirs.grad[:, 1].std().item(), abs=0.005)


def test_gradient_is_that_of_the_expected_loss():
    """Mean straight-through gradient against central differences of the loss expected over all 2³ gates.

    Its bias falls with the temperature, in proportion to it where the loss is not linear in a gate, as here.
    """
    torch.manual_seed(3)
    weights, target = torch.tensor([1.5, -1.0, 0.4]), 0.7

    def loss(gates):  # (..., 3) → (...)
        return ((gates * weights).sum(-1) - target).square()

    def expected_loss(log_odds):
        gates = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
        p = torch.sigmoid(log_odds)
        return (loss(gates) * torch.where(gates == 1, p, 1 - p).prod(-1)).sum()

    log_odds = torch.tensor([0.9, -0.3, 0.2], dtype=torch.float64)
    step = 1e-4
    differences = torch.stack(
        [
            (expected_loss(log_odds + step * unit) - expected_loss(log_odds - step * unit)) / (2 * step)
            for unit in torch.eye(3, dtype=torch.float64)
        ]
    )
    deviations = {}
    for temperature in (1.0, 0.02):
        samples = log_odds.float().repeat(1_000_000, 1).requires_grad_()
        loss(sample_gates(samples, temperature)).sum().backward()
        error = samples.grad.std(0) / 1000  # of the mean of a million
        deviations[temperature] = (samples.grad.mean(0) - differences).abs()
        print(f"temperature {temperature}: off by {deviations[temperature]}, standard error {error}")
    assert (deviations[0.02] < 0.005 + 4 * error).all()
    assert deviations[0.02].max() < deviations[1.0].max() / 4


def test_penalty_is_the_expectation_of_the_open_share_and_its_gradient_exact():
    torch.manual_seed(4)
    log_odds = torch.randn(50, 12, dtype=torch.float64, requires_grad=True)
    share = expected_open([log_odds])
    sampled = torch.stack([sample_gates(log_odds, 1.0).mean() for _ in range(2000)]).mean()
    assert sampled.item() == pytest.approx(share.item(), abs=0.002)
    assert torch.autograd.gradcheck(lambda x: expected_open([x]), log_odds)


@pytest.mark.parametrize("how", [how for how in SQUEEZES if how != "none"])
def test_squeeze_has_the_gradient_of_its_numbers(how):
    torch.manual_seed(5)
    inputs = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: squeeze(x, how), inputs)
    zeros = torch.zeros(1, 2, 3, 3, requires_grad=True)
    squeeze(zeros, how).sum().backward()
    assert zeros.grad.isfinite().all()


def test_only_magnitudes_tell_how_much_detail_a_channel_holds():
    detail = torch.tensor([-50.0, 50.0]).reshape(1, 1, 1, 2)
    assert squeeze(detail, "mean") == 0
    assert squeeze(detail, "magnitude") == 50
    assert squeeze(detail, "rms") == 50


def test_without_a_squeeze_all_photos_have_the_same_gates_and_learn_them():
    gates = Gates(4, GateOptions(squeeze="none"))
    with record_gates(gates) as log_odds:
        gates(torch.randn(3, 4, 2, 2)).square().sum().backward()
    assert (log_odds[0] == log_odds[0][0]).all()
    assert gates.scorer.bias.grad.abs().min() > 0
    assert not gates.scorer.weight.grad.any()


def test_evaluation_is_deterministic_and_closes_channels_at_zero():
    torch.manual_seed(6)
    gates = Gates(6).eval()
    with torch.no_grad():
        gates.scorer.bias[::2] = gates.scorer.bias[::2].flip(1)  # every second channel is closed
    inputs = torch.randn(4, 6, 5, 5)
    outputs = gates(inputs)
    assert torch.equal(outputs, gates(inputs))
    assert torch.equal(outputs[:, 1::2], inputs[:, 1::2])
    assert not outputs[:, ::2].any()


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.87, 0.999])
def test_initial_open_probability(probability):
    torch.manual_seed(7)
    gates = Gates(24, GateOptions(open_probability=probability)).train()
    with record_gates(gates) as log_odds:
        gates(torch.randn(16, 24, 7, 7))
    assert expected_open(log_odds).item() == pytest.approx(probability, abs=0.003)


def test_depends_on_the_photo_once_its_weights_do():
    torch.manual_seed(8)
    gates = Gates(4).eval()
    nn.init.normal_(gates.scorer.weight, std=5)
    with record_gates(gates) as log_odds:
        gates(torch.randn(64, 4, 3, 3) * torch.rand(64, 4, 1, 1) * 3)
    shares = hard_gates(log_odds[0]).mean(0)
    assert ((shares > 0) & (shares < 1)).any()


@pytest.mark.parametrize("way", ["autocast", "cast"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_bfloat16_keeps_decisions_in_float32(way, scale):
    torch.manual_seed(9)
    gates = Gates(8)
    inputs = (scale * torch.randn(4, 8, 6, 6)).bfloat16()
    wanted = copy.deepcopy(gates).scorer(inputs.float())
    if way == "cast":
        gates = gates.bfloat16()
    with (
        record_gates(gates) as log_odds,
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=way == "autocast"),
    ):
        outputs = gates(inputs)
    assert outputs.dtype == torch.bfloat16
    assert log_odds[0].dtype == torch.float32
    torch.testing.assert_close(log_odds[0], wanted)
    (outputs.float().square().mean() + expected_open(log_odds)).backward()
    for name, parameter in gates.named_parameters():
        assert parameter.dtype == torch.float32, name
        assert parameter.grad.isfinite().all(), name


def test_extreme_log_odds_have_finite_gradients():
    log_odds = torch.tensor([-1e4, -80.0, 0.0, 80.0, 1e4], requires_grad=True)
    (sample_gates(log_odds, temperature=0.01).sum() + expected_open([log_odds])).backward()
    assert log_odds.grad.isfinite().all()


def test_moves_to_double_for_checks_of_gradients():
    assert Gates(3).double().scorer.weight.dtype == torch.float64


def train(penalty, seed=0, steps=100):
    """Two of eight channels carry the label. Returns the share of photos for which each gate is open."""
    torch.manual_seed(seed)
    gates, head = Gates(8), nn.Linear(8, 2)
    groups = [{"params": gates.parameters(), "lr": 2.0}, {"params": head.parameters(), "lr": 0.2}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    for _ in range(steps):
        labels = torch.randint(2, (64,))
        signal = (2.0 * labels - 1)[:, None] * torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0])
        inputs = (signal + 0.3 * torch.randn(64, 8))[..., None, None].expand(-1, -1, 2, 2)
        with record_gates(gates) as log_odds:
            logits = head(gates(inputs).mean((2, 3)))
        loss = F.cross_entropy(logits, labels) + penalty * expected_open(log_odds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gates.eval()
    with record_gates(gates) as log_odds, torch.no_grad():
        gates(inputs)
    return hard_gates(log_odds[0]).mean(0), torch.cat([p.flatten() for p in gates.parameters()])


def test_without_penalty_gates_stay_open_and_a_large_one_closes_them():
    assert train(penalty=0.0)[0].mean() >= 0.9
    assert train(penalty=100.0)[0].mean() == 0


def test_a_moderate_penalty_keeps_what_the_loss_needs():
    opened, _ = train(penalty=0.5)
    assert opened[:2].max() == 1  # one of the two equal signals is enough
    assert opened[2:].max() == 0


def test_same_seed_same_result():
    assert torch.equal(train(0.5, seed=1, steps=10)[1], train(0.5, seed=1, steps=10)[1])
    assert not torch.equal(train(0.5, seed=1, steps=10)[1], train(0.5, seed=2, steps=10)[1])


def test_model_with_gates_keeps_them_through_its_state_and_settings():
    model = small_model(squeeze="magnitude", open_probability=0.6)
    again = create_model(spec=SPEC, **model.settings, weights=model.state_dict())
    assert again.gates.options == GateOptions("magnitude", 0.6)
    inputs = torch.randn(2, *SPEC.shape)
    assert torch.equal(model.eval()(inputs), again.eval()(inputs))


def test_weights_without_gates_load_and_the_gates_are_new():
    plain = create_model("resnet18", spec=SPEC, num_classes=3)
    gated = create_model("resnet18", spec=SPEC, num_classes=3, gates={}, weights=plain.state_dict())
    assert set(gated.new_layers) == {
        "input.gates.scorer",
        "input.gates.scorer.mix.0",
        "input.gates.scorer.mix.1",
    }
    inputs = torch.randn(2, *SPEC.shape)
    assert torch.equal(plain.eval()(inputs), gated.eval()(inputs))  # all open
    with pytest.raises(ValueError, match="not in the network"):
        create_model("resnet18", spec=SPEC, num_classes=3, weights=gated.state_dict())


def test_incomplete_gates_do_not_load():
    state = small_model().state_dict()
    del state["input.gates.scorer.bias"]
    with pytest.raises(ValueError, match=r"input\.gates\.scorer\.bias: not in the weights"):
        create_model("resnet18", spec=SPEC, num_classes=3, gates={}, weights=state)


def test_int8_input_is_normalised_before_the_gates():
    raw = FrequencySpec(resize=40, crop=32, channels=ChannelSet((0, 1))).raw()
    spec = raw.replace(dtype="int8", scale=(8.0, 1.0))
    model = create_model("resnet18", spec=spec, num_classes=3, gates={}).eval()
    quantised = torch.randint(-9, 9, (2, *spec.shape), dtype=torch.int8)
    with record_gates(model) as log_odds:
        model(quantised)
    steps = torch.tensor([8.0, 1.0])[:, None, None]
    torch.testing.assert_close(log_odds[0], model.gates.scorer(quantised * steps))


def test_models_without_gates_record_none():
    model = create_model("resnet18", spec=SPEC, num_classes=3)
    with record_gates(model) as log_odds:
        model.eval()(torch.zeros(1, *SPEC.shape))
    assert log_odds == []
    assert find_gates(model) is None
    assert model.gates is None


def test_gates_can_be_copied_and_exported():
    gates = Gates(5).eval()
    inputs = torch.randn(2, 5, 3, 3)
    exported = torch.export.export(gates, (inputs,)).module()
    assert torch.equal(exported(inputs), copy.deepcopy(gates)(inputs))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"squeeze": "max"}, "squeeze is one of mean, magnitude, rms, none; got 'max'"),
        ({"open_probability": 1.0}, "between 0 and 1"),
        ({"temperature": 1.0}, "no option temperature; it has squeeze, open_probability"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        options_of(GateOptions, options)


def test_refused_where_they_make_no_sense():
    with pytest.raises(ValueError, match="model of pixels has none"):
        create_model("resnet18", spec=PixelSpec(), gates={})
    with pytest.raises(ValueError, match="temperature is above 0"):
        sample_gates(torch.zeros(1), 0.0)


def test_gates_are_not_taken_for_the_classifier():
    """Of a network that ends in a convolution, theirs is the last linear layer."""

    def build(classes):
        network = nn.Sequential(nn.Conv2d(24, 4, 1), nn.Conv2d(4, classes, 1))
        gates = nn.ModuleDict({"scorer": nn.Linear(3, 3)})
        return nn.ModuleDict({"network": network, "input": nn.ModuleDict({"gates": gates})})

    report = load_weights(build(5), build(2).state_dict())
    assert report.new == ("network.1",)
