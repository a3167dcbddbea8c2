"""Several views, and several specs, from one reading of a photo."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import freqvision as fv
from freqvision.inputs import JointDecoder, random_resized_views


def photo(height: int, width: int, seed: int = 0) -> bytes:
    generator = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
        file, "JPEG", progressive=seed % 2 == 1, subsampling=("4:2:0", "4:4:4")[seed % 3 == 0]
    )
    return file.getvalue()


FILES = [photo(120 + 8 * k, 150 - 9 * k, k) for k in range(5)]
SIZES = [(120 + 8 * k, 150 - 9 * k) for k in range(5)]


def crops(seed: int) -> list[list[fv.View]]:
    """Two large and three small random crops of each photo, as DINO sees them."""
    generator = torch.Generator().manual_seed(seed)
    sides = [96, 96, 40, 40, 40]
    drawn = [random_resized_views(SIZES, side, generator=generator) for side in sides]
    return [list(views) for views in zip(*drawn, strict=True)]


@pytest.mark.parametrize("spec", [fv.PixelSpec(dtype="uint8"), fv.FrequencySpec()], ids=["pixels", "dct"])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_view_is_what_it_is_by_itself(spec, threads):
    views, alone = crops(0), fv.Decoder(spec, num_threads=1)
    batches = fv.Decoder(spec, num_threads=threads).multi_view(FILES, views)
    assert len(batches) == 5
    for place, batch in enumerate(batches):
        assert torch.equal(batch, alone(FILES, [several[place] for several in views]))
    nested = fv.Decoder(spec, num_threads=threads).each(FILES, views)
    for index, several in enumerate(nested):
        for place, image in enumerate(several):
            assert torch.equal(image, batches[place][index])


def test_tiles_cover_a_photo():
    """As many as it has, of any size: together they are the photo."""
    decode = fv.Decoder(fv.PixelSpec(None, None, dtype="uint8"), num_threads=1)

    def tiles(sizes):
        return [
            [
                fv.View(
                    (0, 0, height, width),
                    (height, width),
                    (top, left, min(50, height - top), min(50, width - left)),
                )
                for top in range(0, height, 50)
                for left in range(0, width, 50)
            ]
            for height, width in sizes
        ]

    for (height, width), parts, whole in zip(
        SIZES, decode.each(FILES, tiles), decode.each(FILES), strict=True
    ):
        across = -(-width // 50)
        assert len(parts) == -(-height // 50) * across
        rows = [torch.cat(parts[k : k + across], dim=2) for k in range(0, len(parts), across)]
        assert torch.equal(torch.cat(rows, dim=1), whole)


def test_two_specs_see_the_same_view():
    pixels, frequencies = fv.PixelSpec(64, 56), fv.FrequencySpec(128, 112)
    joint = JointDecoder([frequencies, pixels], num_threads=2)
    first, second = joint(FILES)
    assert torch.equal(first, fv.Decoder(frequencies)(FILES))
    assert torch.equal(second, fv.Decoder(pixels)(FILES))
    drawn = [torch.Generator().manual_seed(3) for _ in range(3)]
    first, second = joint.random_resized(FILES, generator=drawn[0])
    assert torch.equal(first, fv.Decoder(frequencies).random_resized(FILES, generator=drawn[1]))
    assert torch.equal(second, fv.Decoder(pixels).random_resized(FILES, generator=drawn[2]))


def test_other_formats_and_bad_files():
    file = io.BytesIO()
    Image.open(io.BytesIO(FILES[0])).save(file, "PNG")
    spec = fv.PixelSpec(64, 56, dtype="uint8")
    view = spec.view(SIZES[0])
    batches = fv.Decoder(spec).multi_view([file.getvalue()] * 2, [[view, view.flipped()]] * 2)
    assert torch.equal(batches[0], batches[1].flip(-1))
    with pytest.raises(fv.JpegError, match="source 1"):
        fv.Decoder(spec).multi_view([FILES[0], FILES[0][:300]], [[view, view]] * 2)
    with pytest.raises(ValueError, match="as many views"):
        fv.Decoder(spec).multi_view(FILES[:1] * 2, [[view], [view, view]])
    with pytest.raises(ValueError, match="one View for each source"):
        fv.Decoder(spec).multi_view(FILES[:1], [[view], [view]])
    with pytest.raises(ValueError, match="one output size"):
        fv.Decoder(spec).multi_view(FILES[:1] * 2, [[view], [fv.View(view.box, (9, 9), (0, 0, 9, 9))]])
    with pytest.raises(ValueError, match="same orientation"):
        JointDecoder([spec, spec.replace(orientation="stored")])
    assert [tuple(batch.shape) for batch in JointDecoder([spec, fv.FrequencySpec()])([])] == [
        (0, 3, 56, 56),
        (0, 24, 56, 56),
    ]


def test_a_finaliser_may_decode_with_the_decoder_in_use():
    """Nothing waits for itself, and both results are right."""
    decode = fv.Decoder(fv.PixelSpec(64, 56), num_threads=1)
    expected, nested = decode(FILES), []

    def choose(sizes):
        nested.append(decode(FILES[:1]))
        return [fv.PixelSpec(64, 56).view(size) for size in sizes]

    batch, errors = decode.try_decode(FILES, choose)
    assert not errors
    assert torch.equal(batch, expected)
    assert torch.equal(nested[0], expected[:1])
