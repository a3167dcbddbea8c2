"""EXIF orientations: flips and transposes of coefficients, and of whatever goes through Pillow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as F

import freqvision as fv
from freqvision.inputs.reference import transform_pixels


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(40, 216, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return Image.fromarray((smooth + generator.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, orientation: int, kind: str = "JPEG", **options) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = orientation
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def turned(image: torch.Tensor, orientation: int) -> torch.Tensor:
    """(…, H, W) as EXIF has it: how the stored rows and columns are shown."""
    if orientation in (3, 4, 6, 7):
        image = image.flip(-2)
    if orientation in (2, 3, 7, 8):
        image = image.flip(-1)
    return image.mT if orientation > 4 else image


RAW = {"mean": (0,) * 3, "std": (1 / 255,) * 3}
ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("size", [(48, 80), (61, 45), (17, 33)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pixels_are_those_of_the_turned_photo(orientation, size, subsampling, memory_format):
    image = photo(*size)
    if subsampling == "gray":
        data = encode(image.convert("L"), orientation)
    else:
        data = encode(image, orientation, subsampling=subsampling, progressive=orientation % 2 == 0)
    stored = transform_pixels(
        fv.read_coefficients(data),
        fv.View((0, 0, *size), size, (0, 0, *size)),
        fv.PixelSpec(None, None, **RAW),
    )
    upright = turned(stored, orientation)
    height, width = upright.shape[-2:]
    views = [
        fv.View((0, 0, height, width), (height, width), (0, 0, height, width)),
        fv.View((3, 1, height - 5, width - 4), (29, 22), (2, 3, 23, 17), flip=True),
        fv.View((1, 0, height - 1, width - 2), (70, 90), (5, 40, 61, 47)),
    ]
    decode = fv.Decoder(fv.PixelSpec(None, None, **RAW), num_threads=1, memory_format=memory_format)
    for view, actual in zip(views, decode.each([data], [views])[0], strict=True):
        top, left, box_height, box_width = view.box
        box = upright[:, top : top + box_height, left : left + box_width]
        expected = F.resize(box, list(view.size), antialias=True)
        expected = F.crop(expected, *view.crop)
        if view.flip:
            expected = expected.flip(-1)
        # The reference clamps before it resizes.
        torch.testing.assert_close(actual, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_frequencies_are_turned_coefficients(orientation, subsampling):
    """Exactly: a transpose swaps u and v and the blocks' rows and columns, a flip negates odd frequencies."""
    height, width = 61, 77
    data = encode(photo(height, width), orientation, subsampling=subsampling)
    channels = fv.ChannelSet.preset(192)
    spec = fv.FrequencySpec(None, None, channels, orientation="stored").raw()
    box, size, crop = (3, 5, 50, 60), (70, 90), (4, 9, 48, 64)
    stored = fv.Decoder(spec, num_threads=1)([data], [fv.View(box, size, crop)])[0]  # (192, h, w)
    cube = stored.unflatten(0, (3, 8, 8))  # (component, u, v, h, w)
    # The same part of the photo where it is shown.
    mirrored = orientation in (3, 4, 6, 7), orientation in (2, 3, 7, 8)
    starts, windows = list(box[:2]), list(crop[:2])
    for axis, (length, flipped) in enumerate(zip((height, width), mirrored, strict=True)):
        if flipped:
            starts[axis] = length - box[axis] - box[2 + axis]
            windows[axis] = size[axis] - crop[axis] - crop[2 + axis]
            sign = (-1.0) ** torch.arange(8)
            cube = cube.flip(3 + axis) * (sign[:, None, None, None] if axis == 0 else sign[:, None, None])
    order = [1, 0] if orientation > 4 else [0, 1]
    if orientation > 4:
        cube = cube.transpose(1, 2).transpose(3, 4)
    view = fv.View(
        (starts[order[0]], starts[order[1]], box[2 + order[0]], box[2 + order[1]]),
        (size[order[0]], size[order[1]]),
        (windows[order[0]], windows[order[1]], crop[2 + order[0]], crop[2 + order[1]]),
    )
    upright = fv.Decoder(spec.replace(orientation="exif"), num_threads=1)([data], [view])[0]
    torch.testing.assert_close(upright, cube.flatten(0, 2), atol=2e-3, rtol=0)
    for some in (fv.ChannelSet.preset(24), fv.ChannelSet((1, 8, 16, 65, 130))):
        narrow = spec.with_channels(some).replace(orientation="exif")
        few = fv.Decoder(narrow, num_threads=1)([data], [view])[0]
        torch.testing.assert_close(few, upright[list(some)], atol=1e-4, rtol=0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_whole_photos_are_pillows(orientation, kind):
    """In every format, the size is that of the turned photo, and so are the pixels."""
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encode(photo(40, 60), orientation, kind, **options)
    expected = F.pil_to_tensor(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    actual = fv.Decoder(fv.PixelSpec(None, None, dtype="uint8"), num_threads=1)([data])[0]
    assert actual.shape == expected.shape
    assert (actual.int() - expected.int()).abs().max() <= 3
    spec = fv.FrequencySpec(32, 32)
    with Image.open(io.BytesIO(data)) as image:
        theirs = fv.PixelTransform(spec)(image)
    assert (fv.Decoder(spec)([data])[0] - theirs).abs().max() < 8


def test_saved_specs_keep_what_they_were_trained_on():
    for spec in (fv.FrequencySpec(), fv.PixelSpec()):
        assert spec.orientation == "exif"
        saved = spec.to_dict()
        assert type(spec).from_dict(saved).orientation == "exif"
        del saved["orientation"]
        assert type(spec).from_dict(saved).orientation == "stored"
        with pytest.raises(ValueError, match="orientation is one of exif, stored"):
            spec.replace(orientation="upright")
