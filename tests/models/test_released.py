"""Released checkpoints: state dicts of the same layout, made from networks written as theirs are."""

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet50

from freqvision.models.released import load_released, released_spec
from freqvision.models.weights import read_weights


class ReleasedResNet(nn.Module):
    """The stages of a ResNet-50 as one sequence without names, the classifier beside it."""

    def __init__(self, channels):
        super().__init__()
        network = resnet50()
        for layer in (network.layer2[0].conv2, network.layer2[0].downsample[0]):
            layer.stride = (1, 1)
        first = network.layer1[0]
        first.conv1 = nn.Conv2d(channels, 64, 1, bias=False)
        first.downsample[0] = nn.Conv2d(channels, 256, 1, bias=False)
        self.model = nn.Sequential(*list(network.children())[4:-1])
        self.fc = network.fc

    def forward(self, x):
        return self.fc(self.model(x).flatten(1))


class FlatBlock(nn.Module):
    """An inverted residual whose layers are one sequence."""

    def __init__(self, block):
        super().__init__()
        self.identity = block.use_res_connect
        layers = [
            part for layer in block.conv for part in (layer if isinstance(layer, nn.Sequential) else [layer])
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.identity else self.conv(x)


class ReleasedMobileNet(nn.Module):
    """MobileNetV2 without its first layer; the last convolution has a name of its own."""

    def __init__(self, channels):
        super().__init__()
        network = mobilenet_v2()
        self.features = nn.Sequential(*(FlatBlock(block) for block in network.features[1:18]))
        first = self.features[0].conv
        first[0] = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        first[1] = nn.BatchNorm2d(channels)
        first[3] = nn.Conv2d(channels, 16, 1, bias=False)
        self.conv = network.features[18]
        self.classifier = network.classifier[1]

    def forward(self, x):
        return self.classifier(self.conv(self.features(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize("channels", [24, 32, 64])
@pytest.mark.parametrize("network", [ReleasedResNet, ReleasedMobileNet])
def test_loaded_network_computes_what_the_released_one_computes(network, channels, tmp_path):
    torch.manual_seed(channels)
    original = network(channels)
    original.train()(torch.randn(4, channels, 8, 8))  # statistics that are not 0 and 1
    original.eval()
    torch.save(
        {"epoch": 1, "best_prec1": 76.8, "state_dict": original.state_dict()}, tmp_path / "model_best.pth.tar"
    )
    model = load_released(tmp_path / "model_best.pth.tar")
    inputs = torch.randn(2, channels, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), original(inputs), rtol=1e-4, atol=1e-5)
    assert len(model.spec.channels) == channels
    assert model.spec.crop == (448 if network is ReleasedResNet else 896)


def test_normalisation_is_the_released_one():
    spec = released_spec(64, 448)
    assert spec.mean[0] == -88.397
    assert spec.std[:3] == (259.96, 2.7776, 2.0454)
    first_chroma = spec.channels.position(64)
    assert (spec.mean[first_chroma], spec.std[first_chroma]) == (-58.709, 81.161)


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match="no released checkpoint"):
        load_released(resnet50().state_dict())
    gated = {**ReleasedResNet(192).state_dict(), "inp_GM.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="input gates"):
        load_released(gated)


def test_parallel_checkpoints_lose_their_prefix():
    state = {f"module.{key}": value for key, value in ReleasedMobileNet(24).state_dict().items()}
    assert "features.0.conv.0.weight" in read_weights(state)
    assert load_released(state).settings["name"] == "mobilenet_v2"
