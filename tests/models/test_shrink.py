"""Shrinking a trained network to some of its channels."""

import pytest
import torch
from torch import nn

from freqvision import ChannelSet, FrequencySpec, PixelSpec, create_model
from freqvision.models import save
from freqvision.models.shrink import shrink

EVERY = FrequencySpec(resize=40, crop=32, channels=ChannelSet.preset(192))
SOME = ChannelSet.parse("Y0,9,63+Cb8+Cr0-2")


def random_statistics(model):
    """Weights and statistics of normalisation as after a training."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return model.eval()


def test_equals_the_network_with_gates_fixed():
    torch.manual_seed(0)
    model = random_statistics(create_model("resnet18", spec=EVERY, num_classes=5, gates={}))
    with torch.no_grad():
        closed = [channel for channel in range(192) if channel not in SOME]
        model.gates.scorer.bias[closed] = model.gates.scorer.bias[closed].flip(1)
    inputs = torch.randn(3, *EVERY.shape)
    small = shrink(model, SOME)
    assert small.gates is None
    assert not small.training
    torch.testing.assert_close(small(inputs[:, list(SOME)]), model(inputs), rtol=1e-4, atol=1e-5)


def test_keeps_the_statistics_of_the_channels_that_stay():
    mean, std = torch.arange(192.0).tolist(), torch.arange(1.0, 193.0).tolist()
    spec = FrequencySpec(resize=40, crop=32, channels=EVERY.channels, mean=tuple(mean), std=tuple(std))
    small = shrink(create_model("resnet18", spec=spec, num_classes=5), SOME)
    assert small.spec.channels == SOME
    assert small.spec.mean == tuple(float(index) for index in SOME)
    assert small.spec.std == tuple(float(index + 1) for index in SOME)
    assert small.settings["num_classes"] == 5


@pytest.mark.parametrize(
    ("name", "spec", "start"),
    [
        ("resnet18", EVERY, "slice"),
        ("resnet18", FrequencySpec(resize=64, crop=64, channels=EVERY.channels), "fold"),
        ("mobilenet_v2", EVERY, "new"),
        ("mobilenet_v3_small", EVERY, "new"),
    ],
)
def test_any_input_layer_is_sliced(name, spec, start):
    torch.manual_seed(1)
    rgb_size = 32 if start == "fold" else None
    model = create_model(name, spec=spec, num_classes=4, start=start, rgb_size=rgb_size)
    small = shrink(model, SOME)
    before, after = model.state_dict(), small.state_dict()
    changed = [key for key in after if after[key].shape != before[key].shape]
    assert changed
    for key in set(after) - set(changed):
        assert torch.equal(after[key], before[key]), key
    inputs = torch.randn(2, len(SOME), 4, 4) if spec.grid == (4, 4) else torch.randn(1, *small.spec.shape)
    assert small.eval()(inputs).shape[1] == 4


def test_all_channels_change_nothing():
    torch.manual_seed(2)
    model = create_model("resnet18", spec=EVERY, num_classes=5)
    small = shrink(model, EVERY.channels)
    assert all(torch.equal(value, small.state_dict()[key]) for key, value in model.state_dict().items())


def test_weights_of_other_channels_are_refused(tmp_path):
    """Not by their shape, which is the same."""
    other = ChannelSet.parse("Y0-6")
    model = create_model("resnet18", spec=FrequencySpec(40, 32, SOME), num_classes=3)
    save(model, tmp_path)
    torch.save(
        {"state_dict": model.state_dict(), "freqvision": {"spec": model.spec.to_dict()}}, tmp_path / "a.ckpt"
    )
    torch.save(model.state_dict(), tmp_path / "says-nothing.pth")
    for name in ("model.safetensors", "a.ckpt"):
        create_model("resnet18", FrequencySpec(40, 32, SOME), 3, weights=tmp_path / name)
        with pytest.raises(ValueError, match="are from a model of the channels Y0,9,63"):
            create_model("resnet18", FrequencySpec(40, 32, other), 3, weights=tmp_path / name)
    create_model("resnet18", FrequencySpec(40, 32, other), 3, weights=tmp_path / "says-nothing.pth")


def test_refusals():
    model = create_model("resnet18", spec=FrequencySpec(resize=40, crop=32), num_classes=5)
    with pytest.raises(ValueError, match="not in the set"):
        shrink(model, SOME)
    with pytest.raises(ValueError, match="no DCT channels"):
        shrink(create_model("resnet18", spec=PixelSpec(), num_classes=5), SOME)
