"""A folded convolution is the convolution on the pixels that the channels make, and learns as it does."""

import copy

import pytest
import torch
from torch import nn

from freqvision.inputs.spec import FrequencySpec
from freqvision.models.block_convolution import BlockConvolution, FoldedConvolution
from freqvision.models.torchvision_families import Conv2dSame
from freqvision.models.transport import Transport
from freqvision.spectrum.channels import ChannelSet

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
DC = (0, 64, 128)


def _spec(seed, count):
    """A random set that has the DCs, randomly normalised."""
    generator = torch.Generator().manual_seed(seed)
    chosen = {*DC, *torch.randperm(192, generator=generator)[:count].tolist()}
    mean = (torch.randn(len(chosen), generator=generator) * 10).tolist()
    std = (torch.rand(len(chosen), generator=generator) * 50 + 1).tolist()
    return FrequencySpec(channels=ChannelSet(tuple(chosen)), mean=tuple(mean), std=tuple(std))


def _by_pixels(convolution, spec, pixels, inputs):
    return Transport(convolution, spec, pixels=pixels, mean=MEAN, std=STD, clamp=False)(inputs)


@pytest.mark.parametrize("pixels", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 5, 7, stride=2, padding=3, bias=False),
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        nn.Conv2d(3, 5, 3, stride=1, padding=1),
        nn.Conv2d(3, 5, 4, stride=4),
        nn.Conv2d(3, 5, 7, stride=4, padding=2),
        nn.Conv2d(3, 5, 16, stride=16),
        nn.Conv2d(3, 6, (3, 5), stride=2, padding=(1, 2), groups=3),
        Conv2dSame(3, 5, 3, stride=2),
        Conv2dSame(3, 5, 7, stride=4),
    ],
    ids=lambda layer: f"{type(layer).__name__}-{layer.kernel_size}-{layer.stride[0]}-{layer.padding[0]}",
)
def test_fold_equals_the_convolution_on_pixels(convolution, pixels):
    spec = _spec(seed=pixels, count=90)
    inputs = torch.randn(2, len(spec.channels), 16, 32, generator=torch.Generator().manual_seed(0))
    folded = FoldedConvolution(convolution, spec, pixels, MEAN, STD)
    torch.testing.assert_close(
        folded(inputs), _by_pixels(convolution, spec, pixels, inputs), rtol=1e-4, atol=1e-4
    )


def test_a_fold_lives_where_its_convolution_does():
    stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, device="meta", dtype=torch.float64)
    folded = FoldedConvolution(stem, FrequencySpec(channels=ChannelSet.preset(192)), 4, MEAN, STD)
    assert {parameter.device.type for parameter in folded.parameters()} == {"meta"}
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.float64}


def test_channels_beyond_the_pixels_enter_with_zero_weights_and_learn():
    stem = nn.Conv2d(3, 8, 7, stride=2, padding=3)
    every = FoldedConvolution(stem, FrequencySpec(channels=ChannelSet.preset(192)), 4, MEAN, STD)
    seen = torch.tensor([i % 64 // 8 < 4 and i % 8 < 4 for i in range(192)])
    weight = every.detail.convolution.weight
    assert weight.shape == (4 * 8, 192, 1, 1)
    assert not weight.any()
    every(torch.randn(1, 192, 8, 8)).square().sum().backward()
    assert weight.grad[:, ~seen].abs().amax(dim=(0, 2, 3)).min() > 0
    assert not weight.grad[:, seen].any()  # what the pixels show has one way in


def test_there_is_no_detail_where_the_pixels_show_all():
    assert (
        FoldedConvolution(nn.Conv2d(3, 8, 7, stride=2, padding=3), FrequencySpec(), 4, MEAN, STD).detail
        is None
    )


def test_a_step_of_training_changes_a_fold_as_it_changes_the_convolution():
    convolution = nn.Conv2d(3, 5, 7, stride=2, padding=3)
    spec = _spec(seed=3, count=0)
    by_pixels = Transport(convolution, spec, pixels=4, mean=MEAN, std=STD, clamp=False)
    folded = FoldedConvolution(copy.deepcopy(convolution), spec, 4, MEAN, STD)
    inputs = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = folded(inputs).detach()
    target = torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
    for model in (by_pixels, folded):
        (model(inputs) - target).square().mean().backward()
        torch.optim.SGD(model.parameters(), lr=0.01).step()
    assert (folded(inputs) - before).abs().max() > 1e-2
    torch.testing.assert_close(folded(inputs), by_pixels(inputs), rtol=1e-4, atol=1e-4)


def test_mean_colour_is_zero_to_the_convolution():
    """So that its padding means what it means to the RGB network."""
    stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
    spec = _spec(seed=9, count=20)
    transport = Transport(stem, spec, pixels=4, mean=MEAN, std=STD)
    # The input whose pixels have the mean colour, by the pseudo-inverse of what makes them.
    weight = transport.small_pixels.weight.flatten(1).double()  # (3·n·n, C)
    colour = torch.tensor(MEAN).repeat_interleave(16).double()
    inputs = torch.linalg.pinv(weight) @ (colour - transport.small_pixels.offset.double())
    folded = FoldedConvolution(stem, spec, 4, MEAN, STD)
    assert folded(inputs.float()[None, :, None, None].expand(1, -1, 6, 6)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("convolution", "message"),
    [
        (nn.Conv2d(3, 8, 3, stride=2), "changes the size by more than its stride.* use start='new'"),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), "three colours.* use start='new', or fv.Transport"),
    ],
)
def test_what_cannot_be_folded_is_refused(convolution, message):
    with pytest.raises(ValueError, match=message):
        FoldedConvolution(convolution, FrequencySpec(channels=ChannelSet.preset(192)), 4, MEAN, STD)


def test_stride_and_pixels_must_divide_where_there_is_detail():
    convolution = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    with pytest.raises(ValueError, match="one must divide the other"):
        FoldedConvolution(convolution, FrequencySpec(channels=ChannelSet.preset(192)), 3, MEAN, STD)


@pytest.mark.parametrize(("stride", "pixels", "scale"), [(4, 4, 1), (2, 4, 2), (16, 8, 0.5), (2, 1, 0.5)])
def test_new_convolution_has_the_grid_of_the_folded_one(stride, pixels, scale):
    layer = BlockConvolution(24, 8, stride, pixels, bias=True)
    assert layer(torch.zeros(1, 24, 8, 8)).shape == (1, 8, 8 * scale, 8 * scale)
