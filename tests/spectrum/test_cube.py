import pytest
import torch

from freqvision import ChannelSet
from freqvision.spectrum.cube import expand, gather, scatter, select


def test_channel_index_is_64_component_8_u_v():
    planes = torch.arange(3 * 16 * 24).reshape(3, 16, 24)
    cube = gather(planes)
    assert cube.shape == (192, 2, 3)
    for component, u, v, y, x in [(0, 0, 0, 0, 0), (1, 3, 5, 1, 2), (2, 7, 0, 0, 1)]:
        assert cube[64 * component + 8 * u + v, y, x] == planes[component, 8 * y + u, 8 * x + v]


def test_scatter_is_the_inverse():
    planes = torch.randn(2, 5, 3, 16, 8)
    torch.testing.assert_close(scatter(gather(planes)), planes)


def test_select_and_expand():
    channels = ChannelSet.parse("Y1,5+Cr63")
    cube = torch.randn(2, 192, 3, 4)
    chosen = select(cube, channels)
    torch.testing.assert_close(chosen, cube[:, [1, 5, 191]])
    whole = expand(chosen, channels)
    torch.testing.assert_close(select(whole, channels), chosen)
    assert whole.count_nonzero() == chosen.count_nonzero()


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        gather(torch.zeros(3, 8, 9))
    with pytest.raises(ValueError, match="expand first"):
        scatter(torch.zeros(24, 8, 9))
    with pytest.raises(ValueError, match="192"):
        select(torch.zeros(24, 8, 9), ChannelSet.preset(24))
    with pytest.raises(ValueError, match="24"):
        expand(torch.zeros(25, 8, 9), ChannelSet.preset(24))
