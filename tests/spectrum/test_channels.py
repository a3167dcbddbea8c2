import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqvision import ChannelSet

subsets = st.sets(st.integers(0, 191)).map(lambda s: ChannelSet(tuple(s)))

# Width of each row u of the paper's subsets: luma, then chroma.
PUBLISHED = {
    24: ([4] * 4, [2, 2]),
    32: ([5, 5, 5, 4, 3], [3, 2]),
    48: ([6, 6, 6, 6, 4, 4], [3, 3, 2]),
    64: ([7, 7, 6, 6, 6, 6, 6], [3, 3, 2, 2]),
}


@pytest.mark.parametrize("size", [6, 12, 24, 32, 48, 64, 192])
def test_presets_have_their_size_low_frequencies_and_equal_chroma(size):
    channels = ChannelSet.preset(size)
    assert len(channels) == size
    assert channels.component(1) == channels.component(2)
    grid = channels.grid()
    assert grid[:, 0, 0].all()
    # Whoever holds a frequency holds all lower ones: rows and columns never grow.
    assert (grid[:, 1:] <= grid[:, :-1]).all()
    assert (grid[:, :, 1:] <= grid[:, :, :-1]).all()


@pytest.mark.parametrize(("size", "rows"), PUBLISHED.items())
def test_presets_are_the_published_rectangles(size, rows):
    widths = ChannelSet.preset(size).grid().sum(dim=2)
    for component, expected in enumerate((rows[0], rows[1], rows[1])):
        assert widths[component].tolist() == expected + [0] * (8 - len(expected))


def test_presets_are_nested():
    for small, large in itertools.pairwise([6, 12, 24, 32, 48, 64, 192]):
        assert not len(ChannelSet.preset(small) - ChannelSet.preset(large))


@given(subsets)
def test_every_form_of_a_set_reads_back_the_same(channels):
    assert ChannelSet.parse(str(channels)) == channels
    assert ChannelSet.from_json(channels.to_json()) == channels
    assert ChannelSet.from_grid(channels.grid()) == channels
    assert ChannelSet.from_components(*(channels.component(i) for i in range(3))) == channels


@given(subsets, subsets)
def test_operators_are_those_of_sets(a, b):
    first, second = set(a), set(b)
    assert set(a | b) == first | second
    assert set(a & b) == first & second
    assert set(a - b) == first - second
    assert set(a ^ b) == first ^ second
    assert all((index in a) == (index in first) for index in range(192))
    assert a.indices == tuple(sorted(first))


@given(subsets, subsets)
def test_positions_pick_the_channels_of_a_subset(a, b):
    values = torch.tensor(a.indices)
    assert values[a.positions(a & b)].tolist() == list((a & b).indices)


def test_save_and_load(tmp_path):
    path = tmp_path / "channels.json"
    ChannelSet.preset(48).save(path)
    assert ChannelSet.load(path) == ChannelSet.parse(str(path)) == ChannelSet.preset(48)


@pytest.mark.parametrize(
    ("text", "indices"),
    [("all", range(192)), ("none", ()), (" y0 + CB:1-2,9 ", (0, 65, 66, 73)), ("6", (0, 1, 8, 9, 64, 128))],
)
def test_parse_reads_what_people_type(text, indices):
    assert ChannelSet.parse(text).indices == tuple(indices)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("23", "presets: 6, 12, 24"),
        ("Y64", "0 to 63"),
        ("Y3-1", "ascend"),
        ("X1", "cannot read 'X1'"),
        ("", "such as 'Y0-3"),
        ("Y1+Y1", "occurs twice"),
    ],
)
def test_unreadable_text_is_an_error_that_teaches(text, says):
    with pytest.raises(ValueError, match=says):
        ChannelSet.parse(text)


def test_illegal_sets_are_refused():
    with pytest.raises(ValueError, match="outside 0 to 191"):
        ChannelSet((192,))
    with pytest.raises(TypeError, match=r"ChannelSet\.parse"):
        ChannelSet("24")
    with pytest.raises(ValueError, match=r"\(3, 8, 8\)"):
        ChannelSet.from_grid(torch.ones(64))
    with pytest.raises(ValueError, match="not in the set"):
        ChannelSet.preset(6).positions(ChannelSet.preset(24))
    with pytest.raises(ValueError, match="looks like"):
        ChannelSet.from_json('{"R": [0]}')
