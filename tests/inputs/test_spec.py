import json

import numpy as np
import pytest
import torch

from freqvision import ChannelSet, ChannelStatistics, FrequencySpec, InputSpec, PixelSpec, View

SPECS = [
    FrequencySpec(),
    FrequencySpec(
        resize=(100, 120), crop=None, channels=ChannelSet.parse("Y0,63+Cr5"), interpolation="bicubic"
    ),
    FrequencySpec(
        resize=None, crop=(64, 8), channels=ChannelSet((3, 77)), mean=(1, 2.5), std=(3, 4), dtype="bfloat16"
    ),
    FrequencySpec(channels=ChannelSet((3,)), scale=(0.5,), dtype="int8"),
    PixelSpec(),
    FrequencySpec(resize=1600, crop=None, max_size=2666),
    PixelSpec(resize=None, crop=(100, 99), colour="ycbcr", dtype="uint8"),
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_reads_back_the_same(spec, tmp_path):
    assert type(spec).from_json(spec.to_json()) == spec
    assert InputSpec.from_dict(spec.to_dict()) == spec
    assert hash(type(spec).from_dict(json.loads(json.dumps(spec.to_dict())))) == hash(spec)
    spec.save(tmp_path / "spec.json")
    assert InputSpec.load(tmp_path / "spec.json") == spec
    # A checkpoint that holds it loads without trusting pickled classes.
    torch.save(spec.to_dict(), tmp_path / "spec.pt")
    assert InputSpec.from_dict(torch.load(tmp_path / "spec.pt", weights_only=True)) == spec


def test_shapes_and_bytes():
    assert FrequencySpec(channels=ChannelSet.preset(192)).shape == (192, 56, 56)
    assert FrequencySpec(resize=(100, 120), crop=None).grid == (13, 15)
    assert FrequencySpec(resize=100, crop=None).grid is None
    assert FrequencySpec(resize=100, crop=None).bytes_per_image is None
    # Half of what uint8 RGB at 224 costs.
    int8 = FrequencySpec(scale=(1.0,) * 24, dtype="int8")
    assert int8.bytes_per_image == 75_264 == PixelSpec(dtype="uint8").bytes_per_image // 2
    assert int8.with_dtype("float16").bytes_per_image == 2 * 75_264


def test_evaluation_view():
    assert FrequencySpec().view((375, 500)) == View((0, 0, 375, 500), (512, 682), (32, 117, 448, 448))


def test_narrower_channels_keep_their_statistics():
    spec = FrequencySpec(channels=ChannelSet((0, 5, 70)), mean=(1, 2, 3), std=(4, 5, 6), scale=(7, 8, 9))
    narrow = spec.with_channels(ChannelSet((5, 70)))
    assert (narrow.mean, narrow.std, narrow.scale) == ((2, 3), (5, 6), (8, 9))
    with pytest.raises(ValueError, match="not in the set"):
        spec.with_channels(ChannelSet((1,)))
    everything, some = ChannelSet.preset(192), ChannelSet((3, 191))
    assert FrequencySpec().with_channels(some) == FrequencySpec(channels=some)
    assert FrequencySpec().raw().replace(channels=some) == FrequencySpec(channels=everything).raw(some)


def test_a_spec_has_the_default_statistics_unless_others_are_given():
    spec = FrequencySpec(channels=ChannelSet.preset(64))
    assert spec == spec.raw().with_statistics(ChannelStatistics.default())
    assert spec.with_dtype("int8").steps == spec.scale
    given = FrequencySpec(channels=ChannelSet((3, 4)), mean=(1, 2))
    assert (given.mean, given.std) == ((1, 2), FrequencySpec(channels=given.channels).std)


def test_specs_that_version_0_1_saved_stay_as_they_were():
    """Without statistics they meant coefficients that are not normalised."""
    old = {"resize": 512, "crop": 448, "channels": "Y0-3+Cb0", "mean": None, "std": None, "scale": None}
    old |= {"kind": "frequency", "dtype": "float32", "interpolation": "bilinear", "max_size": None}
    spec = FrequencySpec(channels=ChannelSet.parse("Y0-3+Cb0"), orientation="stored")
    assert InputSpec.from_dict(old) == spec.raw()
    old |= {"dtype": "int8", "scale": [8.0, 1.0, 1.0, 1.0, 8.0], "std": [2.0] * 5}
    spec = InputSpec.from_dict(old)
    assert (spec.mean, spec.std, spec.scale) == ((0,) * 5, (2,) * 5, (8, 1, 1, 1, 8))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"crop": 450}, "multiple of 8.*448.*456"),
        ({"max_size": 1000}, "crop is None"),
        ({"resize": 800, "crop": None, "max_size": 800}, "one smaller number"),
        ({"resize": 100, "crop": None, "max_size": (200, 5)}, r"max_size=\(200, 5\) caps .* one number"),
        ({"resize": 256}, "resize=448 or more"),
        ({"resize": 0}, "positive number of pixels"),
        ({"resize": (4, 5, 6)}, r"\(height, width\)"),
        ({"dtype": "float64"}, "float32, float16, bfloat16, int8"),
        ({"mean": (1, 2)}, "24 channels; got 2"),
        ({"std": (0,) * 24}, "positive finite"),
        ({"scale": (float("nan"),) * 24}, "finite"),
        ({"interpolation": "nearest"}, "bilinear, bicubic"),
        ({"channels": ChannelSet(())}, "at least one"),
        ({"resize": 512.0}, "resize is a positive number of pixels.*512.0"),
        ({"crop": True}, "crop is a positive number"),
        ({"crop": b"ab"}, "crop is a positive number"),
        ({"resize": 2**40}, "resize is a positive number"),
        ({"resize": 4, "crop": 8}, "or crop=8"),
        ({"crop": 4}, r"nearest are \(8, 8\) and"),
        ({"crop": None, "max_size": "1000"}, "max_size='1000'"),
        ({"mean": 0.5}, "24 channels; got 0.5"),
        ({"mean": [None] * 24}, "mean has one number"),
        ({"std": [1e-50] * 24}, "positive finite"),
        ({"mean": [1e300] * 24}, "finite"),
    ],
)
def test_illegal_specs_are_refused_with_the_way_out(arguments, says):
    with pytest.raises(ValueError, match=says):
        FrequencySpec(**arguments)


def test_whole_numbers_of_numpy_are_as_good_as_ints():
    spec = FrequencySpec(resize=np.int64(512), crop=(np.int32(448), np.int32(440)))
    assert spec == FrequencySpec(crop=(448, 440))
    assert FrequencySpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"'])
def test_json_of_something_else(text, tmp_path):
    (tmp_path / "spec.json").write_text(text)
    for read in (FrequencySpec.load, PixelSpec.load, InputSpec.load):
        with pytest.raises(ValueError, match="names and values"):
            read(tmp_path / "spec.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xd8\xff"])
def test_files_that_are_no_json_are_named(content, tmp_path):
    (tmp_path / "some.json").write_bytes(content)
    for read in (FrequencySpec.load, PixelSpec.load, InputSpec.load, ChannelStatistics.load, ChannelSet.load):
        with pytest.raises(ValueError, match=r"some\.json (is|holds) no"):
            read(tmp_path / "some.json")


def test_other_mistakes():
    with pytest.raises(ValueError, match="3 components; got None"):
        PixelSpec(mean=None)
    with pytest.raises(ValueError, match="frequency or pixel"):
        InputSpec.from_dict({"kind": ["frequency"]})
    with pytest.raises(TypeError, match=r"ChannelSet\.preset"):
        FrequencySpec(channels=24)
    with pytest.raises(ValueError, match="rgb, bgr, ycbcr, gray"):
        PixelSpec(colour="hsv")
    with pytest.raises(ValueError, match="InputSpec reads either"):
        FrequencySpec.from_dict(PixelSpec().to_dict())
    with pytest.raises(ValueError, match="no colour; it has resize"):
        FrequencySpec.from_dict({"colour": "rgb"})
    with pytest.raises(ValueError, match="frequency or pixel"):
        InputSpec.from_dict({"kind": "sound"})


def test_a_spec_is_shown_on_two_lines_however_many_channels_it_has():
    for channels in (ChannelSet.preset(24), ChannelSet.preset(192)):
        shown = repr(FrequencySpec(channels=channels))
        assert len(shown) < 240
        assert f"channels={channels!r}" in shown
        assert "mean" not in shown  # the default statistics
        assert eval(repr(channels), {"ChannelSet": ChannelSet}) == channels
    other = FrequencySpec(mean=tuple(map(float, range(24))))
    assert "mean=(0, … 23)" in repr(other)
    assert "std" not in repr(other)
