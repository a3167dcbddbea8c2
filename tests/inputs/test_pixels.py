"""Pixels from the native pass: against their definition in float64, torchvision and Pillow."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from input_photos import jpeg
from input_photos import photo as any_photo
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

import freqvision as fv
from freqvision import _native
from freqvision.inputs.reference import transform_pixels

# Grey levels: float32 against float64, which a value between two of them may round apart.
TOLERANCE = {"uint8": 1, "float32": 5e-3, "float16": 0.13, "bfloat16": 1.1}


photo = partial(any_photo, margin=40, noise=12)  # of which little is clipped


def raw(**changes) -> fv.PixelSpec:
    """Values from 0 to 255, in float32."""
    return fv.PixelSpec(**{"resize": 64, "crop": 48, "mean": (0,) * 3, "std": (1 / 255,) * 3, **changes})


def rms(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.double() - b.double()).square().mean().sqrt().item()


@pytest.fixture(params=_native.available_isas())
def _isa(request):
    before = _native.isa()
    _native.set_isa(request.param)
    yield
    _native.set_isa(before)


VIEWS = {
    "smaller": fv.View((0, 0, 101, 83), (50, 41), (3, 2, 43, 37)),
    "larger": fv.View((0, 0, 101, 83), (202, 160), (10, 20, 111, 97), flip=True),
    "stored size": fv.View((0, 0, 101, 83), (101, 83), (0, 0, 101, 83)),
    "stored size, from a block on": fv.View((0, 0, 101, 83), (101, 83), (5, 16, 60, 41)),
    "stored size, amid a block": fv.View((8, 8, 90, 70), (90, 70), (0, 5, 90, 65)),
    "box": fv.View((13, 9, 51, 40), (33, 64), (0, 0, 33, 64), flip=True),
    "margins": fv.View((0, 0, 101, 83), (40, 40), (-5, -7, 55, 51), flip=True),
    "much smaller": fv.View((0, 0, 101, 83), (9, 8), (0, 0, 9, 8)),
}


@pytest.mark.usefixtures("_isa")
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
def test_every_view_equals_its_definition(view, subsampling):
    gray = subsampling == "gray"
    image = photo(101, 83).convert("L") if gray else photo(101, 83)
    data = jpeg(image, quality=85, **({} if gray else {"subsampling": subsampling}))
    coefficients = fv.read_coefficients(data)
    for interpolation in ("bilinear", "bicubic"):
        spec = raw(interpolation=interpolation)
        expected = transform_pixels(coefficients, view, spec)
        actual = fv.Decoder(spec, num_threads=1)([data], [view])[0]
        torch.testing.assert_close(actual, expected, atol=TOLERANCE["float32"], rtol=0)


@pytest.mark.usefixtures("_isa")
@pytest.mark.parametrize("colour", ["rgb", "bgr", "ycbcr", "gray"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_every_colour_type_and_layout(colour, dtype, memory_format):
    data = jpeg(photo(90, 121), subsampling="4:2:0")
    count = 1 if colour == "gray" else 3
    spec = raw(colour=colour, dtype=dtype, mean=(0,) * count, std=(1 / 255,) * count)
    view = fv.View((3, 0, 80, 121), (60, 71), (4, -3, 55, 70), flip=True)
    expected = transform_pixels(fv.read_coefficients(data), view, spec)
    batch = fv.Decoder(spec, num_threads=1, memory_format=memory_format)([data] * 2, [view] * 2)
    assert batch.dtype == spec.torch_dtype
    assert batch.is_contiguous(memory_format=memory_format)
    assert torch.equal(batch[0], batch[1])
    torch.testing.assert_close(batch[0].double(), expected.double(), atol=TOLERANCE[dtype], rtol=0)
    if dtype == "uint8":
        assert (batch[0] == expected).double().mean() > 0.999


@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (2, 2), (1, 2), (4, 1)])
@pytest.mark.parametrize("size", [(64, 80), (63, 81), (17, 3), (2, 4), (1, 1)])
def test_full_size_is_what_libjpeg_decodes(sampling, size):
    """To a rounding: 4:4:4 to 4:1:1, odd sizes, photos too narrow for libjpeg's triangle."""
    name = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}.get(sampling)
    data = bytearray(jpeg(photo(*size), quality=95, subsampling=name or "4:4:4"))
    if name is None:
        pytest.importorskip("simplejpeg")
        from simplejpeg import encode_jpeg

        kind = {(1, 2): "440", (4, 1): "411"}[sampling]
        data = bytearray(encode_jpeg(np.asarray(photo(*size)), quality=95, colorsubsampling=kind))
    theirs = decode_jpeg(torch.frombuffer(data, dtype=torch.uint8), ImageReadMode.RGB)
    ours = fv.Decoder(fv.PixelSpec(None, None, dtype="uint8"), num_threads=1)([bytes(data)])[0]
    assert ours.shape == theirs.shape
    assert (ours.int() - theirs.int()).abs().max() <= 3
    assert rms(ours, theirs) < 0.85  # three roundings of theirs, one of ours


def reference(data: bytes, spec: fv.PixelSpec) -> torch.Tensor:
    """Torchvision's way on tensors."""
    image = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    size = [spec.resize] if isinstance(spec.resize, int) else list(spec.resize)
    image = F.resize(image, size, InterpolationMode(spec.interpolation), antialias=True)
    return F.center_crop(image, [spec.crop] * 2)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("crop", [224, 91, 90])
def test_small_photos_are_torchvisions(interpolation, subsampling, crop):
    spec = fv.PixelSpec(crop + 13, crop, dtype="uint8", interpolation=interpolation)
    files = [jpeg(photo(*size, seed), quality=90, subsampling=subsampling) for seed, size in enumerate(SIZES)]
    errors = [rms(a, reference(b, spec)) for a, b in zip(fv.Decoder(spec)(files), files, strict=True)]
    assert max(errors) < 0.9


SIZES = [(375, 500), (333, 251), (120, 121)]


@pytest.mark.parametrize("folder", ["imagenet-sample/images", "clothing/validation", "coco128/images"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_real_photos_are_torchvisions(shared, folder, interpolation):
    files = sorted(path for path in (shared / "data" / folder).rglob("*.[jJ]*") if path.is_file())[::6]
    spec = fv.PixelSpec(256, 224, dtype="uint8", interpolation=interpolation)
    ours = fv.Decoder(spec)(files)
    errors = [rms(a, reference(path.read_bytes(), spec)) for a, path in zip(ours, files, strict=True)]
    assert sum(errors) / len(errors) <= 0.7
    assert max(errors) <= 1.2


def test_random_crops_are_torchvisions(shared):
    """The same box, resized by torchvision on tensors and by Pillow."""
    files = sorted((shared / "data" / "coco128" / "images").glob("*.jpg"))[::16]
    spec = fv.PixelSpec(256, 160, dtype="uint8")
    chosen: list[fv.View] = []

    def choose(sizes):
        from freqvision.inputs import random_resized_views

        chosen.extend(random_resized_views(sizes, 160, generator=torch.Generator().manual_seed(0)))
        return chosen

    ours, errors = fv.Decoder(spec).try_decode(files, choose)
    assert not errors
    for image, path, view in zip(ours, files, chosen, strict=True):
        top, left, height, width = view.box
        stored = decode_jpeg(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8))
        theirs = F.resized_crop(stored.expand(3, -1, -1), *view.box, [160, 160], antialias=True)
        box = (left, top, left + width, top + height)
        pillow = Image.open(path).convert("RGB").crop(box).resize((160, 160), Image.Resampling.BILINEAR)
        if view.flip:
            image = image.flip(-1)
        assert rms(image, theirs) < 1.2
        assert rms(image, torch.from_numpy(np.array(pillow)).permute(2, 0, 1)) < 1.2


def test_threads_and_batches_change_nothing():
    files = [jpeg(photo(60 + 7 * k, 90 - 5 * k, k), progressive=k % 2 == 1) for k in range(9)]
    one, many = (fv.Decoder(raw(), num_threads=threads)(files) for threads in (1, 4))
    assert torch.equal(one, many)
    alone = torch.cat([fv.Decoder(raw(), num_threads=1)([data]) for data in files])
    assert torch.equal(one, alone)


def test_each_has_the_size_of_its_photo():
    files = [jpeg(photo(61, 90)), jpeg(photo(90, 33))]
    decode = fv.Decoder(raw(resize=None, crop=None), num_threads=1)
    assert [tuple(image.shape) for image in decode.each(files)] == [(3, 61, 90), (3, 90, 33)]


def test_other_formats_go_through_pillow():
    image, files = photo(75, 100), []
    for kind in ("PNG", "WEBP"):
        file = io.BytesIO()
        image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
        files.append(file.getvalue())
    small = image.resize((85, 64), Image.Resampling.BILINEAR)
    expected = F.center_crop(F.pil_to_tensor(small), [48, 48])
    for data in files:
        assert torch.equal(fv.Decoder(raw(dtype="uint8"))([data])[0], expected)
    assert torch.equal(fv.Decoder(raw(colour="bgr", dtype="uint8"))([files[0]])[0], expected.flip(0))


def test_a_bad_file_costs_only_itself():
    batch, errors = fv.Decoder(raw()).try_decode([jpeg(photo(80, 80)), b"nothing", jpeg(photo(80, 80))])
    assert list(errors) == [1]
    assert torch.equal(batch[0], batch[2])
    assert not batch[1].any()


@pytest.mark.parametrize("spec", [raw(resize=600, crop=None), fv.FrequencySpec(600, crop=None)])
def test_outputs_have_a_limit(spec):
    """A photo of 2000×1 resized to 600 would be 1,200,000×600."""
    decode = fv.Decoder(spec, max_pixels=1_000_000)
    thin = jpeg(Image.new("RGB", (2000, 1)))
    with pytest.raises(fv.JpegError, match="1200000×600, is more than max_pixels=1000000") as error:
        decode([thin])
    assert error.value.kind == "too-large"
    with pytest.raises(fv.JpegError, match="max_pixels"):
        decode.each([jpeg(photo(90, 80)), thin])


def test_frequencies_are_in_whole_blocks_and_planes():
    data, view = jpeg(photo(90, 90)), fv.View((0, 0, 90, 90), (90, 90), (0, 0, 45, 40))
    assert fv.Decoder(raw())([data], [view]).shape == (1, 3, 45, 40)
    with pytest.raises(ValueError, match=r"multiples of 8.* try \(48, 40\)"):
        fv.Decoder(fv.FrequencySpec())([data], [view])
    with pytest.raises(ValueError, match="channels_last"):
        fv.Decoder(fv.FrequencySpec(), memory_format=torch.channels_last)
