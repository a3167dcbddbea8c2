"""The native compressed path against its definition in float64, and what it does with foreign files."""

import gc
import io
import mmap
import os
import pickle
import random
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from input_photos import jpeg, photo
from PIL import Image, ImageFile

import freqvision as fv
from freqvision import _native, runtime
from freqvision.inputs.decoder import _Memory
from freqvision.inputs.reference import transform_coefficients
from freqvision.inputs.view import random_resized_view, random_resized_views, resize_crop_view

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "jpeg"))
from jpeg_writer import Scan, random_picture, write

# In units of coefficients, of which DC reaches ±1024: float32 against float64.
TOLERANCE = 5e-3


def convert(image: Image.Image, mode: str) -> Image.Image:
    if mode != "I;16":
        return image.convert(mode)
    return Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257)


def full_spec(**changes) -> fv.FrequencySpec:
    spec = fv.FrequencySpec(resize=64, crop=48, channels=fv.ChannelSet.preset(192))
    return spec.raw().replace(**changes)


def agree(data: bytes, spec: fv.FrequencySpec, view: fv.View) -> None:
    expected = transform_coefficients(fv.read_coefficients(data), view, spec)
    actual = fv.Decoder(spec, num_threads=1)([data], [view])[0]
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


@pytest.fixture(params=_native.available_isas())
def _isa(request):
    before = _native.isa()
    _native.set_isa(request.param)
    yield
    _native.set_isa(before)


@pytest.mark.usefixtures("_isa")
class TestAgainstReference:
    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_random_views(self, subsampling, progressive):
        rng = random.Random(f"{subsampling} {progressive}")
        generator = torch.Generator().manual_seed(3)
        for trial in range(6):
            size = rng.randint(1, 150), rng.randint(1, 150)
            options = {"quality": rng.randint(30, 98), "subsampling": subsampling, "progressive": progressive}
            data = jpeg(photo(*size, seed=trial), **options)
            crop = 8 * rng.randint(1, 9), 8 * rng.randint(1, 9)
            spec = full_spec(crop=crop, resize=None, interpolation=rng.choice(["bilinear", "bicubic"]))
            agree(data, spec, random_resized_view(size, crop, generator=generator))

    @pytest.mark.parametrize("resize", [48, 64, 200, (50, 133), None])
    def test_evaluation(self, resize):
        size = 97, 131
        spec = full_spec(resize=resize, crop=48)
        agree(jpeg(photo(*size)), spec, resize_crop_view(size, resize, 48))

    @pytest.mark.parametrize("margins", [(-20, -13), (40, 44), (54, 65), (-63, 0)])
    def test_crop_beyond_the_photo_is_gray(self, margins):
        view = fv.View(box=(3, 5, 60, 70), size=(55, 66), crop=(*margins, 64, 48), flip=True)
        agree(jpeg(photo(80, 90)), full_spec(resize=None, crop=(64, 48)), view)

    @pytest.mark.parametrize("channels", ["6", "24", "32", "48", "64", "Y9+Cb0-63", "Cr17", "Y63"])
    def test_any_channels(self, channels):
        channel_set = fv.ChannelSet.parse(channels)
        count = len(channel_set)
        generator = torch.Generator().manual_seed(0)
        mean = tuple((100 * torch.randn(count, generator=generator)).tolist())
        std = tuple((1 + torch.rand(count, generator=generator)).tolist())
        spec = full_spec(channels=channel_set, mean=mean, std=std)
        agree(jpeg(photo(70, 120), subsampling=2), spec, spec.view((70, 120)))

    def test_gray(self):
        agree(jpeg(photo(70, 120).convert("L")), full_spec(), full_spec().view((70, 120)))

    def test_large_reduction(self):
        agree(jpeg(photo(1500, 1100)), full_spec(), full_spec().view((1500, 1100)))

    def test_wide_output(self):
        spec = full_spec(resize=None, crop=(16, 1208), channels=fv.ChannelSet.preset(24))
        agree(jpeg(photo(40, 1300)), spec, spec.view((40, 1300)))

    @pytest.mark.parametrize(("dtype", "step"), [("float16", 2**-10), ("bfloat16", 2**-7)])
    def test_short_floats(self, dtype, step):
        data, spec = jpeg(photo(70, 120)), full_spec()
        exact = fv.Decoder(spec, num_threads=1)([data])
        cast = fv.Decoder(spec.with_dtype(dtype), num_threads=1)([data])
        # The conversion is torch's, but where float32 itself was rounded the other way.
        assert (cast == exact.to(cast.dtype)).float().mean() > 0.999
        torch.testing.assert_close(cast.float(), exact, rtol=step, atol=1e-6)

    def test_int8(self):
        data = jpeg(photo(70, 120))
        scale = tuple(np.linspace(8, 0.5, 192).tolist())  # the later channels saturate
        spec = full_spec(dtype="int8", scale=scale)
        exact = fv.Decoder(replace(spec, dtype="float32"), num_threads=1)([data])
        expected = (exact / torch.tensor(scale)[:, None, None]).clamp(-128, 127)
        actual = fv.Decoder(spec, num_threads=1)([data])
        assert actual.dtype == torch.int8
        assert (actual - expected).abs().max() <= 0.5 + 1e-3


def test_instruction_sets_agree():
    data, spec = jpeg(photo(333, 500)), full_spec(resize=512, crop=448)
    before, results = _native.isa(), []
    for isa in _native.available_isas():
        _native.set_isa(isa)
        results.append(fv.Decoder(spec, num_threads=1)([data]))
    _native.set_isa(before)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("folder", ["imagenet-sample/images", "clothing/validation", "coco128/images"])
def test_real_photos(shared, folder):
    paths = sorted((shared / "data" / folder).rglob("*.*"))[::40][:6]
    spec = full_spec(resize=512, crop=448)
    batch = fv.Decoder(spec, num_threads=1)(paths)
    for path, actual in zip(paths, batch, strict=True):
        coefficients = fv.read_coefficients(path)
        expected = transform_coefficients(coefficients, spec.view(coefficients.size), spec)
        torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


def test_threads_and_batches_change_nothing():
    files = [jpeg(photo(60 + 7 * i, 110 - 5 * i, seed=i), quality=50 + i) for i in range(12)]
    spec = full_spec()
    alone = torch.cat([fv.Decoder(spec, num_threads=1)([file]) for file in files])
    for threads in (1, 2, 5):
        decode = fv.Decoder(spec, num_threads=threads)
        assert torch.equal(decode(files), alone)
        assert torch.equal(decode(files), alone)  # and nothing is left over from the batch before


def test_random_resized_is_reproducible(tmp_path):
    files = [jpeg(photo(100, 120, seed=i)) for i in range(4)]
    for i, file in enumerate(files):
        (tmp_path / f"{i}.jpg").write_bytes(file)
    decode = fv.Decoder(full_spec(resize=None), num_threads=2)
    first, again, other, paths = (
        decode.random_resized(sources, generator=torch.Generator().manual_seed(seed))
        for sources, seed in [(files, 1), (files, 1), (files, 2), (sorted(tmp_path.iterdir()), 1)]
    )
    assert torch.equal(first, again)
    assert torch.equal(first, paths)
    assert not torch.equal(first, other)


def test_sources_of_any_kind(tmp_path):
    data = jpeg(photo(100, 120))
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    sources = [data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), path, str(path)]
    batch = fv.Decoder(full_spec())(sources)
    assert all(torch.equal(batch[0], other) for other in batch)


def test_pickles():
    decode = fv.Decoder(full_spec(), num_threads=2)
    data = jpeg(photo(100, 120))
    assert torch.equal(pickle.loads(pickle.dumps(decode))([data]), decode([data]))


def test_a_copy_takes_its_threads_where_it_decodes(monkeypatch):
    """A worker process unpickles its data set before it knows that it is one; it must not take all cores."""
    data, taken, native = jpeg(photo(20, 20)), [], _native.BatchDecoder
    monkeypatch.setattr(runtime, "available_cores", lambda: 3)
    monkeypatch.setattr(
        _native, "BatchDecoder", lambda **args: taken.append(args["threads"]) or native(**args)
    )
    copy = pickle.loads(pickle.dumps(fv.Decoder(full_spec())))
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    copy([data])
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: None)
    fv.Decoder(full_spec())([data])
    assert taken == [1, 3]


def test_dropped_memory_is_lent_for_results_of_about_its_size(monkeypatch):
    memory = _Memory()
    address = memory.take(10_000).data_ptr()
    smaller = memory.take(9_000)
    assert (smaller.data_ptr(), smaller.nbytes()) == (address, 9_000)
    others = [memory.take(size) for size in (9_000, 10_001, 5_000)]
    assert address not in {storage.data_ptr() for storage in others}
    monkeypatch.setattr("freqvision.inputs.decoder.MAX_KEPT", 12_000)
    del smaller
    for _ in range(3):
        del others[0]
    assert [size for size, _ in memory._free.values()] == [5_000]


def test_sound_bytes_excuse_no_others():
    data = jpeg(photo(200, 200))
    top = fv.View((0, 0, 40, 200), (48, 48), (0, 0, 48, 48))
    decode = fv.Decoder(full_spec(), num_threads=1)
    first = decode([data], [top])
    assert torch.equal(decode([data], [top]), first)
    for _ in range(2):
        with pytest.raises(fv.JpegError):
            decode([data[:-500] + b"\xff\xd9"], [top])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of resident memory")
def test_memory_of_a_large_photo_is_given_back():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    large = jpeg(
        Image.new("RGB", (7000, 7000)), progressive=True, subsampling="4:4:4"
    )  # 294 MB of coefficients
    decode = fv.Decoder(full_spec(), num_threads=1)
    decode([jpeg(photo(20, 20))])
    before = resident()
    decode([large])
    assert resident() - before < 100e6


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_of_dropped_batches_is_used_again_and_that_of_others_never(layout):
    """Batches are dropped at random, by themselves and through a slice or an array that outlives them."""
    files = [jpeg(photo(40, 40, seed=i)) for i in range(4)]
    decode = fv.Decoder(fv.PixelSpec(resize=40, crop=40), num_threads=1, memory_format=layout)
    expected = [decode([file]).clone() for file in files]
    random, held, addresses = np.random.default_rng(0), [], set()
    for _ in range(200):
        which = int(random.integers(4))
        batch = decode([files[which]])
        addresses.add(batch.data_ptr())
        assert batch.is_contiguous(memory_format=layout)
        assert not batch._is_view()
        forms = (lambda batch: batch, lambda batch: batch[0], lambda batch: batch.numpy())
        held.append((which, forms[random.integers(3)](batch)))
        del batch
        if len(held) > 5:
            held.pop(int(random.integers(6)))
        for kept, images in held:
            assert torch.equal(torch.as_tensor(images).reshape(expected[0].shape), expected[kept])
    assert len(addresses) <= 8


def test_no_sources():
    assert fv.Decoder(full_spec())([]).shape == (0, 192, 6, 6)


def test_each_is_decoding_one_by_one():
    file = io.BytesIO()
    photo(33, 90).save(file, "PNG")
    files = [jpeg(photo(60, 100)), jpeg(photo(100, 61)), file.getvalue(), jpeg(photo(5, 300))]
    decode = fv.Decoder(full_spec(resize=40, crop=None, max_size=100), num_threads=2)
    alone = [decode([data])[0] for data in files]
    together = decode.each(files)
    assert [cube.shape[1:] for cube in together] == [(5, 9), (9, 5), (5, 13), (1, 13)]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    views = [fv.View((0, 0, 60, 100), (30, 50), (-8, 0, 48, 8 * (i + 1))) for i in range(2)]
    wide, wider = decode.each(files[:1] * 2, views)
    assert torch.equal(wide[..., 0], wider[..., 0])
    assert not wide[:, 0].any()
    with pytest.raises(fv.JpegError, match="source 1"):
        decode.each([files[0], files[1][:500]])
    assert decode.each([]) == []


class TestPixelPath:
    @pytest.mark.parametrize(
        ("mode", "kind", "options"),
        [
            ("RGB", "PNG", {}),
            ("CMYK", "JPEG", {"quality": 95}),
            ("P", "PNG", {}),
            ("RGB", "WEBP", {}),
            ("L", "PNG", {}),
            ("LA", "PNG", {}),
            ("I;16", "PNG", {}),
            ("P", "GIF", {"save_all": True, "append_images": [Image.new("P", (120, 100))]}),
        ],
    )
    def test_other_files(self, mode, kind, options):
        file = io.BytesIO()
        convert(photo(100, 120), mode).save(file, kind, **options)
        jpegs = jpeg(photo(90, 80))
        spec = full_spec()
        decode = fv.Decoder(spec, num_threads=2)
        batch = decode([jpegs, file.getvalue(), jpegs])
        assert torch.equal(batch[0], decode([jpegs])[0])
        assert torch.equal(batch[0], batch[2])
        assert torch.equal(batch[1], fv.PixelTransform(spec)(Image.open(file)))

    @pytest.mark.parametrize(
        ("damaged", "cause"),
        [
            (b"P6 5x 40 255 ", "Pillow cannot read it"),
            (b"DDS |\0\0\0" + bytes(120), "none of the formats JPEG, PNG"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of the formats JPEG, PNG"),
        ],
        ids=["ValueError", "another format", "PostScript"],
    )
    def test_whatever_pillow_raises_costs_one_file(self, damaged, cause):
        batch, errors = fv.Decoder(full_spec()).try_decode([jpeg(photo(20, 20)), damaged])
        assert list(errors) == [1]
        assert batch[0].any()
        with pytest.raises(fv.JpegError, match=f"source 1 .*{cause}"):
            raise errors[1]

    def test_a_mode_without_a_range_costs_one_file(self):
        file = io.BytesIO()
        Image.new("F", (20, 20)).save(file, "TIFF")
        for spec in (full_spec(), fv.PixelSpec()):
            errors = fv.Decoder(spec).try_decode([file.getvalue()])[1]
            assert "mode F has no defined range" in str(errors[0])

    def test_can_be_forbidden(self):
        file = io.BytesIO()
        photo(20, 20).save(file, "PNG")
        with pytest.raises(fv.JpegError, match="pixel_fallback=True"):
            fv.Decoder(full_spec(), pixel_fallback=False)([file.getvalue()])

    def test_sound_files_of_other_colours_are_unsupported_not_corrupt(self):
        file = io.BytesIO()
        photo(20, 20).convert("CMYK").save(file, "JPEG")
        with pytest.raises(fv.JpegError, match="planes are CMYK") as caught:
            fv.Decoder(full_spec(), pixel_fallback=False)([file.getvalue()])
        assert caught.value.kind == "unsupported"
        assert caught.value.unsupported

    def test_files_of_two_components_are_unsupported_not_corrupt(self):
        picture = random_picture(0, 40, 30, [(1, 1), (1, 1)])
        data = write(picture, [Scan((0, 1))])
        assert fv.read_header(data).colour_model == "unknown"
        for fallback in (True, False):
            with pytest.raises(fv.JpegError, match="planes are unknown") as caught:
                fv.Decoder(full_spec(), pixel_fallback=fallback)([data])
            assert caught.value.kind == "unsupported"

    def test_stored_photos_ignore_their_exif_orientation_everywhere(self):
        exif = Image.Exif()
        exif[0x112] = 6  # turned by a quarter
        decode = fv.Decoder(full_spec(orientation="stored"))
        for kind, options in (("JPEG", {"quality": 95}), ("PNG", {})):
            turned, plain = io.BytesIO(), io.BytesIO()
            photo(100, 120).save(turned, kind, exif=exif, **options)
            photo(100, 120).save(plain, kind, **options)
            assert torch.equal(decode([turned.getvalue()]), decode([plain.getvalue()]))

    def test_what_pillow_or_the_pixel_path_refuse_costs_only_itself(self):
        """Modes without a range, damage, a strip that would be resized to gigabytes."""
        floats, strip, damaged = io.BytesIO(), io.BytesIO(), io.BytesIO()
        Image.fromarray(np.ones((9, 9), np.float32)).save(floats, "TIFF")
        Image.new("L", (1, 40_000)).save(strip, "PNG")
        photo(50, 50).save(damaged, "PNG")
        good = jpeg(photo(100, 120))
        sources = [good, floats.getvalue(), strip.getvalue(), damaged.getvalue()[:900], b"GIF89a"]
        decode = fv.Decoder(full_spec(resize=512), num_threads=1)
        batch, errors = decode.try_decode(sources)
        assert [(place, error.kind) for place, error in errors.items()] == [
            (1, "unsupported"),
            (2, "too-large"),
            (3, "corrupt"),
            (4, "not-jpeg"),
        ]
        assert all(f"source {place} (bytes)" in str(error) for place, error in errors.items())
        assert "0x" not in str(errors[4])  # the address of a buffer says nothing
        assert torch.equal(batch[0], decode([good])[0])
        assert not batch[1:].any()


class TestErrors:
    def test_damaged_file_is_named(self, tmp_path):
        path = tmp_path / "broken.jpg"
        data = jpeg(photo(200, 300))
        path.write_bytes(data[: len(data) // 3])
        with pytest.raises(fv.JpegError, match=r"broken\.jpg.*truncated") as raised:
            fv.Decoder(full_spec())([jpeg(photo(9, 9)), path])
        assert raised.value.kind == "truncated"

    def test_try_decode_keeps_the_others(self, tmp_path):
        good = jpeg(photo(100, 120))
        batch, errors = fv.Decoder(full_spec()).try_decode(
            [good, b"", good, tmp_path / "missing.jpg", good[:900]]
        )
        assert sorted(errors) == [1, 3, 4]
        assert isinstance(errors[3], OSError)
        assert "missing.jpg" in str(errors[3])
        assert torch.equal(batch[0], batch[2])
        assert batch[0].any()
        assert not batch[[1, 3, 4]].any()

    def test_a_bad_file_has_no_say_in_the_size(self):
        decode = fv.Decoder(full_spec(resize=None, crop=None))
        with pytest.raises(fv.JpegError, match="source 1"):
            decode([jpeg(photo(40, 50)), b"no image"])
        batch, errors = decode.try_decode([b"no image"] * 2, [resize_crop_view((9, 9), None, 16)] * 2)
        assert batch.shape == (2, 192, 2, 2)
        assert len(errors) == 2

    @pytest.mark.parametrize("damaged", [b"GIF89a", b"RIFF0000WEBP"], ids=["not a JPEG", "nor for Pillow"])
    def test_kept_errors_do_not_keep_the_batch(self, damaged):
        batch, errors = fv.Decoder(full_spec()).try_decode([damaged])
        alive = weakref.ref(batch)
        gc.disable()  # freed at once, not when the collector comes by
        try:
            del batch
            assert errors
            assert alive() is None
        finally:
            gc.enable()

    def test_folder_is_no_file(self, tmp_path):
        with pytest.raises(OSError, match="cannot be"):
            fv.Decoder(full_spec())([tmp_path])

    def test_only_regular_files_up_to_a_size_are_opened(self, tmp_path):
        """The rule of the reader: a FIFO would be waited for, and a sparse file of 5 GB be read."""
        good = jpeg(photo(20, 20))
        os.mkfifo(tmp_path / "fifo")
        with open(tmp_path / "sparse", "wb") as file:
            file.write(good)
            file.truncate(5 << 30)
        os.symlink(tmp_path / "sparse", tmp_path / "\n")  # a name that Python opens
        sources = [good, tmp_path / "fifo", "/dev/zero", tmp_path / "sparse", tmp_path / "\n"]
        batch, errors = fv.Decoder(full_spec()).try_decode(sources)
        assert batch[0].any()
        assert sorted(errors) == [1, 2, 3, 4]
        for index in (1, 2):
            assert isinstance(errors[index], OSError)
            assert "not a regular file" in str(errors[index])
        for index in (3, 4):
            assert errors[index].kind == "too-large"
            assert "max_bytes" in str(errors[index])
        for source in (good, tmp_path / "fifo"):
            errors = fv.Decoder(full_spec(), max_bytes=len(good) - 1).try_decode([source])[1]
            assert isinstance(errors[0], fv.JpegError if source is good else OSError)
        assert not fv.Decoder(full_spec(), max_bytes=len(good)).try_decode([good])[1]
        with pytest.raises(ValueError, match="max_bytes is positive"):
            fv.Decoder(full_spec(), max_bytes=0)

    def test_paths_that_c_would_misread(self, tmp_path):
        """C++ takes the empty path for no path, and stops at a NUL, where another file may lie."""
        good = jpeg(photo(20, 20))
        (tmp_path / "a").write_bytes(good)
        latin = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.jpg")
        sources = [good, "", f"{tmp_path}/a\0.jpg", latin]
        _, errors = fv.Decoder(full_spec()).try_decode(sources)
        assert sorted(errors) == [1, 2, 3]
        assert all(isinstance(error, OSError) and "cannot be read" in str(error) for error in errors.values())
        with open(latin, "wb") as file:
            file.write(good)
        batch = fv.Decoder(full_spec())([good, latin])
        assert torch.equal(batch[0], batch[1])

    def test_too_many_pixels(self):
        with pytest.raises(fv.JpegError, match="pixels") as raised:
            fv.Decoder(full_spec(), max_pixels=100)([jpeg(photo(20, 20))])
        assert raised.value.kind == "too-large"

    def test_default_device(self):
        """Native code writes into the batch, which therefore is on the CPU always."""
        data = jpeg(photo(64, 64))
        decode = fv.Decoder(full_spec(resize=None, crop=None))
        with torch.device("meta"):
            batch = decode([data])
        assert torch.equal(batch, decode([data]))

    def test_single_source(self):
        with pytest.raises(TypeError, match="generator: pass list"):
            fv.Decoder(full_spec())(photo for photo in ["cat.jpg"])
        with pytest.raises(TypeError, match="list of sources"):
            fv.Decoder(full_spec())(jpeg(photo(20, 20)))

    def test_views(self):
        data = jpeg(photo(20, 30))
        decode = fv.Decoder(full_spec(resize=None, crop=None))
        outside = fv.View(box=(0, 0, 21, 30), size=(16, 16), crop=(0, 0, 16, 16))
        with pytest.raises(ValueError, match="leaves the photo"):
            decode([data], [outside])
        for box, rows in (((0, 0, 19.5, 30), 16), ((0, 0, 20, 30), 2**40)):
            with pytest.raises(ValueError, match="whole numbers of pixels"):
                decode([data], [fv.View(box=box, size=(rows, 16), crop=(0, 0, 16, 16))])
        with pytest.raises(ValueError, match="one View for each source"):
            decode([data, data], [resize_crop_view((20, 30), None, 16)])
        with pytest.raises(ValueError, match="one output size"):
            decode([data, jpeg(photo(90, 90))])
        with pytest.raises(ValueError, match="needs a specification with a crop"):
            decode.random_resized([data])

    def test_arguments(self):
        with pytest.raises(TypeError, match="FrequencySpec"):
            fv.Decoder(24)
        with pytest.raises(ValueError, match="num_threads"):
            fv.Decoder(full_spec(), num_threads=-1)
        with pytest.raises(ValueError, match=r"num_threads is 0 .* got 1\.5"):
            fv.Decoder(full_spec(), num_threads=1.5)
        with pytest.raises(ValueError, match="max_pixels is positive"):
            fv.Decoder(full_spec(), max_pixels=0)
        with pytest.raises(TypeError, match="a source is"):
            fv.Decoder(full_spec())([7])


class TestDamage:
    """Judged by a rule, not by what part of a photo happens to be seen."""

    @pytest.fixture
    def damaged(self, shared) -> Path:
        return shared / "data" / "reported" / "damaged_in_its_last_rows.jpg"

    @pytest.fixture
    def views(self, damaged) -> list[fv.View]:
        height, width = fv.read_header(damaged).size
        generator = torch.Generator().manual_seed(0)
        return random_resized_views([(height, width)] * 100, 48, (0.05, 0.5), generator=generator)

    @pytest.mark.parametrize("spec", [full_spec(), fv.PixelSpec(64, 48)], ids=["frequencies", "pixels"])
    def test_the_verdict_is_the_same_for_every_view(self, damaged, views, spec):
        decode = fv.Decoder(spec, num_threads=1)
        assert decode.try_decode([damaged] * 100, views)[1].keys() == set(range(100))
        with pytest.raises(fv.JpegError, match="damaged_in_its_last_rows"):
            decode([str(damaged)], views[:1])
        with pytest.raises(fv.JpegError):  # not remembered as sound
            decode([str(damaged)], views[:1])

    def test_what_is_sound_is_judged_once(self, tmp_path):
        path = str(tmp_path / "a.jpg")
        data = jpeg(photo(200, 200))
        Path(path).write_bytes(data)
        top = fv.View((0, 0, 40, 200), (48, 48), (0, 0, 48, 48))
        decode = fv.Decoder(full_spec(), num_threads=1)
        first = decode([path], [top])
        Path(path).write_bytes(data[:-500] + b"\xff\xd9")  # from now on only what a view shows is looked at
        assert torch.equal(decode([path], [top]), first)
        with pytest.raises(fv.JpegError):
            fv.Decoder(full_spec(), num_threads=1)([path], [top])

    def test_skipping_leaves_zeros_and_a_list(self, damaged, tmp_path):
        sound = jpeg(photo(60, 60))
        decode = fv.Decoder(full_spec(), num_threads=2, damaged="skip")
        batch = decode([sound, damaged, sound])
        assert not batch[1].any()
        assert torch.equal(batch[0], batch[2])
        assert list(decode.damage) == [str(damaged)]
        with pytest.raises(OSError, match="nowhere"):
            decode([str(tmp_path / "nowhere.jpg")])

    @pytest.mark.parametrize("spec", [full_spec(), fv.PixelSpec(64, 48)], ids=["frequencies", "pixels"])
    def test_decoding_shows_what_is_there(self, spec):
        whole = jpeg(photo(160, 64), quality=90)
        cut = whole[: len(whole) // 2]
        decode = fv.Decoder(spec.replace(resize=None, crop=(160, 64)), num_threads=1, damaged="decode")
        batch = decode([whole, cut])
        rows = batch.shape[2] // 4
        assert torch.equal(batch[0, :, :rows], batch[1, :, :rows])
        last = batch[1, :, -1]  # gray: no coefficient but what normalisation makes of 0
        assert torch.equal(last, last[:, :1].expand_as(last))
        assert list(decode.damage) == ["source 1 (bytes)"]
        assert "truncated" in decode.damage["source 1 (bytes)"]

    def test_damage_is_found_in_what_pillow_decodes(self, shared):
        path = shared / "data" / "reported" / "damaged_cmyk.jpg"
        with pytest.raises(fv.JpegError, match="damaged_cmyk"):
            fv.Decoder(full_spec())([path])
        decode = fv.Decoder(full_spec(), damaged="skip")
        assert not decode([path]).any()
        assert list(decode.damage) == [str(path)]
        decode = fv.Decoder(full_spec(), damaged="decode")
        assert decode([path]).any()
        assert "corrupt JPEG" in decode.damage[str(path)] or "truncated JPEG" in decode.damage[str(path)]

    @pytest.mark.parametrize(
        ("kind", "mode", "options"),
        [("PNG", "RGB", {}), ("PNG", "L", {}), ("PNG", "P", {}), ("JPEG", "CMYK", {"quality": 95})],
    )
    @pytest.mark.parametrize("spec", [full_spec(), fv.PixelSpec(64, 48)], ids=["frequencies", "pixels"])
    def test_decoding_shows_what_pillow_found(self, kind, mode, options, spec):
        """… of a file that is cut; what is missing is gray, and the process's setting stays as it is."""
        file = io.BytesIO()
        convert(photo(160, 64), mode).save(file, kind, **options)
        whole = file.getvalue()
        cut = whole[: len(whole) // 2]
        for damaged in ("error", "skip"):
            errors = fv.Decoder(spec, damaged=damaged).try_decode([whole, cut])[1]
            assert list(errors) == [1]
        decode = fv.Decoder(spec.replace(resize=None, crop=(160, 64)), num_threads=1, damaged="decode")
        batch = decode([whole, cut])
        rows = batch.shape[2] // 4
        assert torch.equal(batch[0, :, :rows], batch[1, :, :rows])
        last = batch[1, :, -1]
        assert torch.equal(last, last[:, :1].expand_as(last))
        assert list(decode.damage) == ["source 1 (bytes)"]
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
        header = whole[:40]  # nothing that could be shown
        assert list(decode.try_decode([header])[1]) == [0]

    def test_other_words_are_refused(self):
        with pytest.raises(ValueError, match="damaged is one of error, skip, decode"):
            fv.Decoder(full_spec(), damaged="ignore")


@pytest.mark.parametrize(
    "spec", [fv.FrequencySpec(resize=512, crop=None), fv.PixelSpec(resize=256, crop=None)]
)
def test_a_batch_of_outputs_that_are_refused_takes_no_memory(spec):
    thin = jpeg(Image.new("RGB", (65000, 1)))
    batch, errors = fv.Decoder(spec, num_threads=1).try_decode([thin, thin])
    assert [error.kind for error in errors.values()] == ["too-large"] * 2
    assert batch.shape == (2, spec.num_channels, 0, 0)
