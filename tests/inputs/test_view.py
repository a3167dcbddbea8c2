import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from freqvision.inputs.view import View, random_resized_view, random_resized_views, resize_crop_view

side = st.integers(1, 700)
crop_side = st.integers(1, 60).map(lambda blocks: 8 * blocks)


def coordinates(height, width):
    """An image (2, H, W) whose pixels say where they are, 1-based so that padding (0) differs."""
    rows, columns = torch.meshgrid(torch.arange(1, height + 1), torch.arange(1, width + 1), indexing="ij")
    return torch.stack([rows, columns])


def pixels_seen(view):
    """Resized-photo coordinates that the view's crop holds, gray as 0."""
    top, left, height, width = view.crop
    rows = torch.arange(top + 1, top + height + 1)
    columns = torch.arange(left + 1, left + width + 1)
    inside = ((rows >= 1) & (rows <= view.size[0]))[:, None] & ((columns >= 1) & (columns <= view.size[1]))
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")) * inside


@settings(deadline=None, max_examples=100)
@given(side, side, st.integers(1, 200), crop_side, crop_side)
def test_resize_and_centre_crop_are_torchvisions(height, width, resize, crop_height, crop_width):
    view = resize_crop_view((height, width), resize, (crop_height, crop_width))
    size = functional.get_size(v2.Resize(resize)(torch.zeros(1, height, width)))
    assert list(view.size) == size
    cropped = functional.center_crop(coordinates(*view.size), [crop_height, crop_width])
    torch.testing.assert_close(pixels_seen(view), cropped)


@settings(deadline=None, max_examples=100)
@given(side, side, st.integers(1, 100), st.integers(1, 200))
def test_capped_resize_is_torchvisions(height, width, resize, more):
    assume(min(height, width) * (resize + more) > 2 * max(height, width))  # torchvision fails at 0 pixels
    view = resize_crop_view((height, width), resize, max_size=resize + more)
    size = v2.functional.resize(
        torch.empty(1, height, width, device="meta"), [resize], max_size=resize + more
    )
    assert view.size == tuple(size.shape[1:])


def test_a_capped_panorama_keeps_a_pixel():
    assert resize_crop_view((1, 5000), 800, max_size=1333).size == (1, 1333)


@given(side, side)
def test_without_a_crop_the_whole_photo_is_padded_to_blocks(height, width):
    view = resize_crop_view((height, width))
    assert view.size == (height, width)
    assert view.crop[:2] == (0, 0)
    for stored, shown in zip((height, width), view.crop[2:], strict=True):
        assert 0 <= shown - stored < 8


def torchvision_box(size, scale, ratio, uniforms):
    """Box that torchvision's RandomResizedCrop takes if its random numbers are these."""
    tries, places = iter(uniforms[:20]), iter(uniforms[20:])

    def uniform(tensor, low, high):
        return tensor.double().fill_(float(low) + (float(high) - float(low)) * next(tries))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", uniform)
        patch.setattr(torch, "randint", lambda low, high, size: torch.tensor(int(next(places) * high)))
        box = v2.RandomResizedCrop(8, scale=scale, ratio=ratio).make_params([torch.zeros(1, *size)])
    return box["top"], box["left"], box["height"], box["width"]


def our_view_and_uniforms(size, scale, ratio, seed):
    view = random_resized_view(size, 8, scale, ratio, generator=torch.Generator().manual_seed(seed))
    uniforms = torch.rand(1, 23, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))[
        0
    ].tolist()
    return view, uniforms


@settings(deadline=None, max_examples=100)
@given(side, side, st.integers(0, 2**31), st.floats(0.01, 1), st.floats(0.2, 1))
def test_random_boxes_are_torchvisions_for_the_same_random_numbers(height, width, seed, smallest, narrowest):
    scale, ratio = (smallest, 1.0), (narrowest, 1.5)
    view, uniforms = our_view_and_uniforms((height, width), scale, ratio, seed)
    expected = torchvision_box((height, width), scale, ratio, uniforms)
    # torchvision's ratio is rounded to float32, which moves a side by one where it lies between two integers.
    assert all(abs(ours - theirs) <= 1 for ours, theirs in zip(view.box, expected, strict=True))
    top, left, box_height, box_width = view.box
    assert top + box_height <= height
    assert left + box_width <= width
    assert view.flip == (uniforms[22] < 0.5)


def test_random_boxes_nearly_always_equal_torchvisions_exactly():
    same = 0
    for seed in range(300):
        size = tuple(torch.randint(50, 1000, (2,), generator=torch.Generator().manual_seed(seed)).tolist())
        view, uniforms = our_view_and_uniforms(size, (0.08, 1.0), (3 / 4, 4 / 3), seed)
        same += view.box == torchvision_box(size, (0.08, 1.0), (3 / 4, 4 / 3), uniforms)
    assert same >= 299


def test_batches_draw_what_single_calls_draw():
    sizes = [(375, 500), (500, 333), (10, 1000), (64, 64)]
    one, many = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    assert random_resized_views(sizes, 64, generator=many) == [
        random_resized_view(size, 64, generator=one) for size in sizes
    ]
    assert random_resized_views([], 64) == []


def test_flip_probability_and_spread():
    views = random_resized_views(
        [(400, 400)] * 2000, 64, hflip=0.25, generator=torch.Generator().manual_seed(0)
    )
    flips = sum(view.flip for view in views) / len(views)
    assert abs(flips - 0.25) < 0.04
    areas = torch.tensor([view.box[2] * view.box[3] / 160000 for view in views])
    assert areas.min() > 0.079
    assert areas.max() <= 1
    assert not any(view.flip for view in random_resized_views([(9, 9)] * 50, 8, hflip=0))


def test_illegal_views_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"try \(232, 224\)"):
        _ = View((0, 0, 9, 9), (256, 256), (0, 0, 225, 224)).grid
    with pytest.raises(ValueError, match="positive"):
        View((0, 0, 9, 9), (256, 256), (0, 0, 0, 224))
    with pytest.raises(ValueError, match="multiple of 8"):
        resize_crop_view((9, 9), 300, 225)
    with pytest.raises(ValueError, match="box"):
        View((-1, 0, 9, 9), (8, 8), (0, 0, 8, 8))
    with pytest.raises(ValueError, match="size"):
        View((0, 0, 9, 9), (8, 0), (0, 0, 8, 8))
    with pytest.raises(ValueError, match="shows nothing"):
        View((0, 0, 9, 9), (8, 8), (8, 0, 8, 8))
    with pytest.raises(ValueError, match="positive"):
        resize_crop_view((0, 5), 8, 8)
    with pytest.raises(ValueError, match="probability"):
        random_resized_view((9, 9), 8, hflip=2)
    with pytest.raises(ValueError, match="min"):
        random_resized_view((9, 9), 8, scale=(0.5, 0.1))
    with pytest.raises(ValueError, match=r"\(min, max\) .* got scale=0\.3"):
        random_resized_view((9, 9), 8, scale=0.3)
