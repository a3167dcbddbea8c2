"""A folded convolution equals the convolution on the pixels that the channels make, borders included."""

import pytest
import torch
from torch import nn

from freqvision.models.block_convolution import fold_convolution, new_convolution
from freqvision.models.reconstruction import pixel_operator
from freqvision.models.same_padding import Conv2dSame
from freqvision.models.transport import Transport
from freqvision.pipeline.spec import InputSpec
from freqvision.spectrum.channels import ChannelSet

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
DC = (0, 64, 128)


def _spec(seed, count):
    """A random set that has the DCs, randomly normalised."""
    generator = torch.Generator().manual_seed(seed)
    chosen = {*DC, *torch.randperm(192, generator=generator)[:count].tolist()}
    mean = (torch.randn(len(chosen), generator=generator) * 10).tolist()
    std = (torch.rand(len(chosen), generator=generator) * 50 + 1).tolist()
    return InputSpec(channels=ChannelSet(tuple(chosen)), mean=tuple(mean), std=tuple(std))


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
        Conv2dSame(3, 5, 3, stride=2),
        Conv2dSame(3, 5, 7, stride=4),
    ],
    ids=lambda layer: f"{type(layer).__name__}-{layer.kernel_size[0]}-{layer.stride[0]}-{layer.padding[0]}",
)
def test_fold_equals_the_convolution_on_pixels(convolution, pixels):
    spec = _spec(seed=pixels, count=90)
    inputs = torch.randn(2, len(spec.channels), 16, 32, generator=torch.Generator().manual_seed(0))
    folded = fold_convolution(convolution, spec, pixels, MEAN, STD)
    torch.testing.assert_close(
        folded(inputs), _by_pixels(convolution, spec, pixels, inputs), rtol=1e-4, atol=1e-4
    )


def test_resnets_stem_is_one_3x3_convolution_with_four_outputs_a_channel():
    stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    folded = fold_convolution(stem, InputSpec(), 4, MEAN, STD)
    assert folded.convolution.weight.shape == (4 * 64, 24, 3, 3)
    assert folded.upscale == 2


def test_channels_beyond_the_pixels_enter_with_zero_weights():
    stem = nn.Conv2d(3, 8, 7, stride=2, padding=3)
    every = fold_convolution(stem, InputSpec(channels=ChannelSet.preset(192)), 4, MEAN, STD)
    seen = torch.tensor([i % 64 // 8 < 4 and i % 8 < 4 for i in range(192)])
    weight = every.convolution.weight.detach()
    assert not weight[:, ~seen].any()
    assert weight[:, seen].abs().amax(dim=(0, 2, 3)).min() > 0


def test_a_step_of_training_changes_a_fold_as_it_changes_the_convolution():
    """On patches of luma: outputs that share weights and colours that are not orthogonal differ in detail."""
    convolution = nn.Conv2d(3, 5, 4, stride=4)
    luma = ChannelSet.parse("Y0-3,8-11,16-19,24-27")
    spec = InputSpec(channels=luma, mean=(3.0,) * 16, std=tuple(range(1, 17)))
    inputs = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    gray = (128 / 255,) * 3, (0.2,) * 3
    folded = fold_convolution(convolution, spec, 4, *gray)
    by_pixels = Transport(convolution, spec, pixels=4, mean=gray[0], std=gray[1], clamp=False)
    before = folded(inputs).detach()
    target = torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
    for model in (by_pixels, folded):
        (model(inputs) - target).square().mean().backward()
        torch.optim.SGD(model.parameters(), lr=5).step()
    assert (folded(inputs) - before).abs().max() > 1e-2
    torch.testing.assert_close(folded(inputs), by_pixels(inputs), rtol=1e-4, atol=1e-5)


def test_mean_colour_is_zero_to_the_rgb_network():
    stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
    spec = _spec(seed=9, count=20)
    folded = fold_convolution(stem, spec, 4, MEAN, STD)
    inputs = folded.origin.expand(1, -1, 6, 6)
    _, offset = pixel_operator(spec, 4)
    assert folded(inputs).abs().max() < 1e-5
    pixels = Transport(stem, spec, pixels=4, mean=MEAN, std=STD).to_pixels(inputs)
    torch.testing.assert_close(
        pixels, torch.tensor(MEAN)[None, :, None, None].expand_as(pixels), atol=1e-5, rtol=0
    )
    assert offset.shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("convolution", "message"),
    [
        (nn.Conv2d(3, 8, 3, stride=2), "changes the size by more than its stride"),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), "dense square"),
        (nn.Conv2d(3, 6, (3, 5), stride=2, padding=1), "dense square"),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), "three colours"),
        (
            type("Standardised", (nn.Conv2d,), {})(3, 8, 3, stride=2, padding=1),
            "Standardised computes something else",
        ),
    ],
)
def test_what_cannot_be_folded_is_refused(convolution, message):
    with pytest.raises(ValueError, match=message):
        fold_convolution(convolution, InputSpec(), 4, MEAN, STD)


def test_stride_and_pixels_must_divide():
    with pytest.raises(ValueError, match="one must divide the other"):
        fold_convolution(nn.Conv2d(3, 8, 3, stride=2, padding=1), InputSpec(), 3, MEAN, STD)


@pytest.mark.parametrize(("stride", "pixels", "scale"), [(4, 4, 1), (2, 4, 2), (16, 8, 0.5), (2, 1, 0.5)])
def test_new_convolution_has_the_grid_of_the_folded_one(stride, pixels, scale):
    layer = new_convolution(InputSpec(), 8, stride, pixels, bias=True)
    assert layer(torch.zeros(1, 24, 8, 8)).shape == (1, 8, 8 * scale, 8 * scale)
