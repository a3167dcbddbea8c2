"""Each augmentation of coefficients against its twin on pixels, which are kept where nothing is clipped."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from freqvision import ChannelSet, ChannelStatistics, FrequencySpec
from freqvision.inputs.augment import FrequencyAugment, adjust_colour, erase, horizontal_flip
from freqvision.inputs.encoding import decode, encode
from freqvision.inputs.transform import pixels_to_cube
from freqvision.inputs.view import resize_crop_view
from freqvision.spectrum.colour import ycbcr_to_rgb

STATISTICS = ChannelStatistics.default()
CHANNELS = [
    ChannelSet.preset(192),
    ChannelSet.preset(24),
    ChannelSet.parse("Y1,9,16+Cb1"),
    ChannelSet.parse("Cr0,3"),
]
SIZE = 64
# torchvision's gray is 0.2989 R + …, JPEG's luma 0.299 R + …: up to 0.2 in DC, in units of coefficients.
TOLERANCE = 0.25


def spec_of(channels, dtype="float32", statistics=True):
    spec = FrequencySpec(resize=SIZE, crop=SIZE, channels=channels)
    return (spec.with_statistics(STATISTICS) if statistics else spec.raw()).with_dtype(dtype)


@pytest.fixture
def photos():
    """(4, 3, 64, 64) from 0.3 to 0.6."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(4, 3, 9, 9, generator=generator) * 0.25 + 0.3
    smooth = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    return (smooth + torch.rand(4, 3, SIZE, SIZE, generator=generator) * 0.05).double()


def to_input(pixels, spec):
    return encode(pixels_to_cube(pixels * 255, resize_crop_view((SIZE, SIZE))), spec)


def assert_close(ours, twin, spec, tolerance=TOLERANCE):
    assert ours.dtype == spec.torch_dtype
    torch.testing.assert_close(decode(ours, spec), decode(twin, spec), atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels", CHANNELS, ids=str)
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("brightness", functional.adjust_brightness),
        ("contrast", functional.adjust_contrast),
        ("saturation", functional.adjust_saturation),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_colour_is_torchvisions(photos, channels, statistics, name, twin, factor):
    spec = spec_of(channels, statistics=statistics)
    ours = adjust_colour(to_input(photos, spec), spec, **{name: factor})
    assert_close(ours, to_input(twin(photos, factor), spec), spec)


def test_colours_follow_each_other_and_differ_by_photo(photos):
    spec = spec_of(ChannelSet.preset(48))
    factors = torch.tensor([[0.7, 1.2, 1.1], [1.1, 0.8, 0.0], [1.0, 1.0, 1.3], [1.3, 0.9, 0.6]])
    ours = adjust_colour(to_input(photos, spec), spec, *factors.T)
    for index, (brightness, contrast, saturation) in enumerate(factors.tolist()):
        twin = functional.adjust_brightness(photos[index], brightness)
        twin = functional.adjust_contrast(twin, contrast)
        twin = functional.adjust_saturation(twin, saturation)
        assert_close(ours[index], to_input(twin, spec), spec)


def test_gray_is_torchvisions_grayscale(photos):
    spec = spec_of(ChannelSet.preset(64))
    twin = functional.rgb_to_grayscale(photos, num_output_channels=3)
    assert_close(adjust_colour(to_input(photos, spec), spec, saturation=0), to_input(twin, spec), spec)


@pytest.mark.parametrize("channels", CHANNELS, ids=str)
def test_flip_is_the_photos_flip(photos, channels):
    spec = spec_of(channels)
    inputs = to_input(photos, spec)
    flipped = horizontal_flip(inputs, spec)
    assert_close(flipped, to_input(functional.horizontal_flip(photos), spec), spec, 1e-2)
    assert_close(horizontal_flip(flipped, spec), inputs, spec, 1e-2)


@pytest.mark.parametrize("channels", CHANNELS, ids=str)
def test_erasing_is_torchvisions_with_the_mean_colour(photos, channels):
    spec = spec_of(channels)
    boxes = torch.tensor([[0, 0, 3, 2], [2, 5, 4, 3], [7, 7, 1, 1], [1, 1, 0, 5]])
    erased = erase(to_input(photos, spec), spec, boxes)
    mean = [STATISTICS.mean[64 * k] / 8 + 128 for k in range(3)]
    for index, (top, left, height, width) in enumerate((8 * boxes).tolist()):
        ycbcr = torch.tensor(mean).double()[:, None, None]
        twin = functional.erase(photos[index], top, left, height, width, ycbcr_to_rgb(ycbcr) / 255)
        assert_close(erased[index], to_input(twin, spec), spec, 1e-2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_transfer_types_agree_with_float32_within_their_precision(photos, dtype):
    channels = ChannelSet.preset(24)
    spec, exact = spec_of(channels, dtype), spec_of(channels)
    step = torch.tensor(spec.scale)[:, None, None] * 0.51
    bound = {"float16": 1.0, "bfloat16": 8.0, "int8": step * (1 + 1.3 * 0.9)}[dtype]
    arguments = {"brightness": 1.3, "contrast": 0.9, "saturation": 0.8}
    ours = decode(adjust_colour(to_input(photos, spec), spec, **arguments), spec)
    assert (
        (ours - decode(adjust_colour(to_input(photos, exact), exact, **arguments), exact)).abs() <= bound
    ).all()
    flips = decode(horizontal_flip(to_input(photos, spec), spec), spec)
    assert ((flips - decode(horizontal_flip(to_input(photos, exact), exact), exact)).abs() <= bound).all()
    box = torch.tensor([[1, 1, 3, 3]] * 4)
    assert erase(to_input(photos, spec), spec, box).dtype == spec.torch_dtype


def test_torchvisions_mixup_and_cutmix_commute_with_the_transform(photos):
    """MixUp exactly; CutMix of blocks is CutMix of pixels with the box on whole blocks."""
    spec = spec_of(ChannelSet.preset(24))
    labels = torch.arange(4)
    torch.manual_seed(1)
    mixed, mixed_labels = v2.MixUp(num_classes=4)(to_input(photos, spec), labels)
    torch.manual_seed(1)
    twin, twin_labels = v2.MixUp(num_classes=4)(photos, labels)
    assert_close(mixed, to_input(twin, spec), spec, 1e-2)
    torch.testing.assert_close(mixed_labels, twin_labels)
    for seed in range(5):
        torch.manual_seed(seed)
        inputs = to_input(photos, spec)
        cut, cut_labels = v2.CutMix(num_classes=4)(inputs, labels)
        moved = (cut != inputs).any(dim=1, keepdim=True)  # (4, 1, 8, 8): which blocks are another photo's
        pixels = torch.where(moved.repeat_interleave(8, 2).repeat_interleave(8, 3), photos.roll(1, 0), photos)
        assert_close(cut, to_input(pixels, spec), spec, 1e-2)
        torch.testing.assert_close(cut_labels[0, 0].item(), 1 - moved[0].float().mean().item())


def test_the_module_is_random_for_each_photo_and_repeatable(photos):
    spec = spec_of(ChannelSet.preset(24))
    inputs = to_input(photos, spec)[:1].repeat(64, 1, 1, 1)
    augment = FrequencyAugment(spec, 0.4, 0.4, 0.4, gray=0.3, hflip=0.5, erase=0.5)
    first = augment(inputs, torch.Generator().manual_seed(3))
    torch.testing.assert_close(first, augment(inputs, torch.Generator().manual_seed(3)))
    assert len({tuple(sample.flatten().tolist()) for sample in first}) == 64
    assert not torch.equal(first, augment(inputs, torch.Generator().manual_seed(4)))
    gray = (
        (decode(first, spec)[:, spec.channels.positions(ChannelSet((65, 129)))].abs() < 1e-3)
        .flatten(1)
        .all(1)
    )
    assert 0.1 < gray.float().mean() < 0.5
    torch.testing.assert_close(augment.eval()(inputs), inputs)
    torch.manual_seed(0)
    assert augment.train()(inputs).shape == inputs.shape


def test_everything_off_changes_nothing(photos):
    spec = spec_of(ChannelSet.preset(24))
    inputs = to_input(photos, spec)
    assert torch.equal(FrequencyAugment(spec)(inputs), inputs)


def test_erased_boxes_follow_torchvisions_distribution():
    spec = FrequencySpec(resize=448, crop=448, channels=ChannelSet((0,)))
    augment = FrequencyAugment(spec, erase=1.0)
    erased = augment(torch.ones(2000, 1, 56, 56), torch.Generator().manual_seed(0)) == 0
    ours = erased.float().mean(dim=(1, 2, 3))
    torch.manual_seed(0)
    theirs = torch.stack([v2.RandomErasing(p=1, value=0)(torch.ones(1, 56, 56)) == 0 for _ in range(2000)])
    theirs = theirs.float().mean(dim=(1, 2, 3))
    quantiles = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    torch.testing.assert_close(ours.quantile(quantiles), theirs.quantile(quantiles), atol=0.02, rtol=0)
    # Places are uniform too: on average every block is erased equally often on both sides.
    share = erased.float().mean(dim=(0, 1))
    torch.testing.assert_close(share, share.flip(0), atol=0.06, rtol=0)
    torch.testing.assert_close(share, share.flip(1), atol=0.06, rtol=0)


def test_mistakes_are_refused_with_the_way_out(photos):
    spec = spec_of(ChannelSet.preset(24))
    inputs = to_input(photos, spec)
    with pytest.raises(ValueError, match="before PixelTransform"):
        adjust_colour(photos, spec, brightness=2)
    with pytest.raises(ValueError, match="batch dimension"):
        horizontal_flip(inputs[0], spec)
    with pytest.raises(ValueError, match="int8 as the spec says"):
        adjust_colour(inputs, spec.with_dtype("int8"))
    with pytest.raises(ValueError, match="one for each of 4"):
        adjust_colour(inputs, spec, contrast=torch.ones(3))
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        erase(inputs, spec, torch.zeros(3, 4))
    with pytest.raises(ValueError, match="probability"):
        FrequencyAugment(spec, gray=1.5)
    with pytest.raises(ValueError, match="erase_scale"):
        FrequencyAugment(spec, erase_scale=(0.5, 0.1))
    with pytest.raises(ValueError, match="0 or more"):
        FrequencyAugment(spec, brightness=-1)


def test_factors_below_zero_are_refused():
    with pytest.raises(ValueError, match=r"0 or more.*got -1"):
        adjust_colour(torch.zeros(1, 24, 8, 8), FrequencySpec(), brightness=-1)


def test_a_call_without_gradients_does_not_spoil_later_ones():
    spec = FrequencySpec(mean=(1.5,) * 24, std=(2.5,) * 24)  # whose constants no other test has asked for
    with torch.inference_mode():
        horizontal_flip(torch.zeros(1, 24, 2, 2), spec)
    inputs = torch.ones(1, 24, 2, 2, requires_grad=True)
    horizontal_flip(inputs, spec).sum().backward()
    assert inputs.grad is not None
