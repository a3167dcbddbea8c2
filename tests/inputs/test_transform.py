import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from freqvision import ChannelSet, FrequencySpec, View
from freqvision.inputs.encoding import decode, encode
from freqvision.inputs.transform import PixelTransform, image_to_tensor
from freqvision.inputs.view import random_resized_view
from freqvision.spectrum.colour import rgb_to_ycbcr, ycbcr_to_rgb
from freqvision.spectrum.cube import expand, gather, scatter
from freqvision.spectrum.dct import block_dct, block_idct

ALL = ChannelSet.preset(192)


def photo(height, width, seed=0):
    """A smooth image with some noise, uint8 (3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 7, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    return (smooth + torch.randn(3, height, width, generator=generator) * 6).clamp(0, 255).to(torch.uint8)


def pil(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(101, 67), (240, 320), (64, 64)])
def test_equals_torchvisions_geometry(size, interpolation):
    """Our cube, put back into pixels, is torchvision's float Resize and CenterCrop."""
    image = photo(*size)
    spec = FrequencySpec(resize=72, crop=64, channels=ALL, interpolation=interpolation).raw()
    rebuilt = ycbcr_to_rgb(block_idct(scatter(PixelTransform(spec)(image))) + 128)
    mode = v2.InterpolationMode(interpolation)
    twin = v2.Compose([v2.Resize(72, mode), v2.CenterCrop(64)])(image.float())
    torch.testing.assert_close(rebuilt, twin, atol=1e-3, rtol=0)


def test_random_views_equal_torchvisions_resized_crop_and_flip():
    image = photo(150, 200)
    transform = PixelTransform(FrequencySpec(resize=None, crop=None, channels=ALL).raw())
    for seed in range(5):
        view = random_resized_view((150, 200), 64, generator=torch.Generator().manual_seed(seed))
        twin = v2.functional.resized_crop(image.float(), *view.box, [64, 64], antialias=True)
        twin = twin.flip(-1) if view.flip else twin
        torch.testing.assert_close(
            transform(image, view), gather(block_dct(rgb_to_ycbcr(twin) - 128)), atol=1e-2, rtol=0
        )


def test_margins_are_gray_and_whole_photos_are_padded():
    transform = PixelTransform(FrequencySpec(resize=None, crop=None, channels=ALL).raw())
    cube = transform(torch.full((3, 20, 12), 255, dtype=torch.uint8))
    assert cube.shape == (192, 3, 2)
    rebuilt = block_idct(scatter(cube))[0]
    torch.testing.assert_close(rebuilt[:20, :12], torch.full((20, 12), 127.0), atol=1e-3, rtol=0)
    assert rebuilt[20:].abs().max() < 1e-3
    assert rebuilt[:, 12:].abs().max() < 1e-3
    large = View((0, 0, 20, 12), (20, 12), (-8, -16, 40, 48))
    shifted = transform(torch.full((3, 20, 12), 255, dtype=torch.uint8), large)
    torch.testing.assert_close(shifted[:, 1:4, 2:4], cube)
    assert shifted[:, 0].count_nonzero() == 0


def test_every_kind_of_input_means_the_same():
    image = photo(40, 56)
    transform = PixelTransform(FrequencySpec(resize=40, crop=40))
    expected = transform(image)
    for same in (pil(image), image.float() / 255, tv_tensors.Image(image), pil(image).convert("RGBA")):
        torch.testing.assert_close(transform(same), expected, atol=1e-3, rtol=0)
        assert type(transform(same)) is torch.Tensor
    torch.testing.assert_close(transform(torch.stack([image, image]))[1], expected)
    sixteen = image.to(torch.int32).mul(257).to(torch.uint16)
    torch.testing.assert_close(transform(sixteen), expected, atol=1e-3, rtol=0)


def test_gray_images_of_any_depth_have_no_chroma():
    gray = photo(16, 24)[:1]
    array = gray[0].numpy()
    expected = image_to_tensor(gray)
    sixteen = Image.fromarray(array.astype(np.uint16) * 257)
    for image in (Image.fromarray(array), sixteen, Image.fromarray(array).convert("LA")):
        torch.testing.assert_close(image_to_tensor(image), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(image_to_tensor(sixteen.convert("I")), expected, atol=1e-3, rtol=0)
    cube = PixelTransform(FrequencySpec(resize=None, crop=None, channels=ALL).raw())(gray)
    assert cube[64:].count_nonzero() == 0
    assert cube[:64].abs().max() > 10


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX", "PA"])
def test_other_modes_go_through_pillow(mode):
    image = pil(photo(16, 24))
    image = (
        image.convert("P").convert("PA")
        if mode == "PA"
        else (Image.new("LAB", (24, 16), (100, 3, 4)) if mode == "LAB" else image.convert(mode))
    )
    array = np.asarray(image.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)
    pixels = image_to_tensor(image)
    assert pixels.shape[-2:] == (16, 24)
    np.testing.assert_allclose(pixels.expand(3, -1, -1).numpy(), array)


def test_palette_with_transparency_does_not_warn(recwarn, tmp_path):
    palette = pil(photo(16, 24)).quantize(16)
    palette.save(tmp_path / "p.png", transparency=bytes(range(16)))
    image_to_tensor(Image.open(tmp_path / "p.png"))
    assert not recwarn.list


def test_normalisation_and_types():
    image = photo(64, 64)
    channels = ChannelSet.parse("Y0,1,9+Cb0")
    spec = FrequencySpec(resize=64, crop=64, channels=channels)
    coefficients = PixelTransform(spec.raw())(image)
    statistics = {"mean": (-5, 0, 1, 20), "std": (300, 50, 20, 100), "scale": (8, 4, 2, 8)}
    normalised = FrequencySpec(resize=64, crop=64, channels=channels, **statistics)
    mean, std = (values[:, None, None] for values in normalised.normalisation())
    torch.testing.assert_close(PixelTransform(normalised)(image), (coefficients - mean) / std)
    for dtype, bound in (("float16", 1.0), ("bfloat16", 8.0)):
        out = PixelTransform(normalised.with_dtype(dtype))(image)
        assert out.dtype == getattr(torch, dtype)
        torch.testing.assert_close(
            decode(out, normalised.with_dtype(dtype)), coefficients, atol=bound, rtol=0
        )
    int8 = normalised.with_dtype("int8")
    out = PixelTransform(int8)(image)
    assert out.dtype == torch.int8
    error = (decode(out, int8) - coefficients).abs().amax(dim=(1, 2))
    assert (error <= torch.tensor(statistics["scale"]) / 2 + 1e-3).all()


def test_int8_saturates_instead_of_wrapping():
    spec = FrequencySpec(resize=8, crop=8, channels=ChannelSet((0, 1)), scale=(8, 1), dtype="int8")
    cube = expand(torch.tensor([1100.0, -999.0]).reshape(2, 1, 1), spec.channels)
    assert encode(cube, spec).flatten().tolist() == [127, -128]


def test_runs_inside_a_torchvision_compose():
    transform = v2.Compose(
        [v2.RandomResizedCrop(64), v2.RandAugment(), PixelTransform(FrequencySpec(resize=64, crop=64))]
    )
    torch.manual_seed(0)
    assert transform(pil(photo(100, 90))).shape == (24, 8, 8)
    assert transform(photo(100, 90)).shape == (24, 8, 8)


def test_what_is_no_image_is_refused():
    transform = PixelTransform(FrequencySpec(resize=64, crop=64))
    with pytest.raises(ValueError, match="DCT cube must not pass"):
        transform(transform(photo(64, 64)))
    three = PixelTransform(FrequencySpec(resize=64, crop=64, channels=ChannelSet((0, 1, 2))))
    with pytest.raises(ValueError, match="do not pass a DCT cube"):
        three(three(photo(64, 64)))
    with pytest.raises(ValueError, match="divide 0…255"):
        transform(photo(64, 64).float())
    with pytest.raises(ValueError, match="floating-point image"):
        transform(torch.full((3, 64, 64), float("nan")))
    with pytest.raises(TypeError, match="int64"):
        transform(photo(64, 64).long())
    with pytest.raises(TypeError, match="fromarray"):
        transform(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(TypeError, match="mode F"):
        transform(Image.new("F", (64, 64)))
    with pytest.raises(TypeError, match="second argument is a View"):
        v2.Compose([transform])(photo(64, 64), 7)
    with pytest.raises(ValueError, match="reaches beyond"):
        transform(photo(64, 64), View((0, 0, 65, 64), (64, 64), (0, 0, 64, 64)))
    with pytest.raises(TypeError, match="FrequencySpec"):
        PixelTransform(24)


def test_autocast_changes_nothing():
    transform = PixelTransform(FrequencySpec(resize=64, crop=64))
    image = torch.randint(0, 256, (3, 80, 70), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        inside = transform(image)
    assert torch.equal(inside, transform(image))
