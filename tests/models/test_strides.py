"""ResNet's variants, and what a model costs beside its RGB original."""

import pytest
import torch

from freqvision.inputs.spec import FrequencySpec
from freqvision.models import create_model, default_spec, model_info, rgb_spec


def test_dct24_resnet50_costs_at_most_97_percent_of_rgb():
    """The paper's claim: similar parameters and cost. torchvision documents 4.089 GMAC for the original."""
    dct, rgb = model_info("resnet50"), model_info("resnet50", rgb_spec("resnet50"))
    assert dct.shape == (24, 56, 56)
    assert dct.macs <= 0.97 * rgb.macs
    assert abs(dct.parameters / rgb.parameters - 1) < 0.01
    assert rgb.macs == pytest.approx(4.089e9, rel=1e-3)
    assert rgb.parameters == 25_557_032
    assert 2 * dct.values == rgb.values  # half the bytes, 8 bits each


def test_parameters_equal_the_released_networks():
    """Counts that others report for the released code's networks."""
    assert model_info("resnet50", default_spec("resnet50", 24)).parameters == 25_534_696
    assert model_info("mobilenet_v2", default_spec("mobilenet_v2", 32)).parameters == 3_503_944


def test_released_strides_cost_what_the_released_code_costs():
    assert model_info("resnet50", strides="released").macs == pytest.approx(13.5e9, rel=5e-3)


def test_strides_decide_where_stages_stride():
    spec = FrequencySpec(resize=64, crop=64)
    inputs = torch.zeros(1, 24, 8, 8)
    grids = {}
    for strides in ("standard", "v1", "released"):
        network = create_model("resnet50", spec, 5, strides=strides).eval().network
        seen = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            stage.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.shape[-1]))
        network(inputs)
        grids[strides] = (seen, network.layer2[0].conv1.stride, network.layer2[0].conv2.stride)
    assert grids["standard"] == ([8, 4, 2, 1], (1, 1), (2, 2))
    assert grids["v1"] == ([8, 4, 2, 1], (2, 2), (1, 1))
    assert grids["released"] == ([8, 8, 4, 2], (1, 1), (1, 1))


def test_info_needs_a_size():
    with pytest.raises(ValueError, match="give it a crop"):
        model_info("resnet18", FrequencySpec(resize=None, crop=None))


def test_default_specs_have_the_grid_that_the_rest_of_the_network_expects():
    expected = {
        "resnet18": 56,
        "mobilenet_v2": 112,
        "regnet_y_400mf": 112,
        "convnext_tiny": 56,
        "vit_b_16": 28,
    }
    assert {name: default_spec(name).grid[0] for name in expected} == expected
