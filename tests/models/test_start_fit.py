"""The start "fit": its least squares, and that its stem comes near the one it replaces."""

import numpy as np
import pytest
import torch
from model_families import small_spec
from PIL import Image
from torch.nn import functional as F

from freqvision.inputs.transform import PixelTransform
from freqvision.models import architecture, create_model
from freqvision.models.fit import LeastSquares, fit_stem, fitted_stem, stem_output
from freqvision.models.transport import Transport


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth random pictures, as photos are."""
    folder = tmp_path_factory.mktemp("photos")
    generator = torch.Generator().manual_seed(0)
    paths = []
    for i in range(12):
        noise = sum(
            F.interpolate(torch.rand(1, 3, n, n, generator=generator), 64, mode="bicubic") / (2 + n / 4)
            for n in (4, 8, 16)
        )
        pixels = (noise / noise.amax() * 255).clamp(0, 255).byte()[0].permute(1, 2, 0)
        paths.append(folder / f"{i}.png")
        Image.fromarray(np.asarray(pixels)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def rgb():
    torch.manual_seed(0)
    return architecture("resnet18").build(5, 32).eval()


def test_batches_give_the_solution_of_all_rows_at_once():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(500, 7, generator=generator)
    outputs = torch.randn(500, 3, generator=generator)
    problem = LeastSquares(7, 3)
    for rows in range(0, 500, 130):
        problem.add(features[rows : rows + 130], outputs[rows : rows + 130])
    weight, bias, explained = problem.solve()
    design = torch.cat([features, torch.ones(500, 1)], dim=1)
    exact = torch.linalg.lstsq(design, outputs).solution
    torch.testing.assert_close(torch.cat([weight.T, bias[None]]), exact, atol=1e-4, rtol=1e-4)
    residual = (outputs - design @ exact).square().sum() / (outputs - outputs.mean(0)).square().sum()
    assert explained == pytest.approx(1 - float(residual), abs=1e-5)


def test_constant_features_do_not_break_the_solution():
    problem = LeastSquares(2, 1)
    x = torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
    problem.add(torch.cat([x, torch.zeros(100, 1)], dim=1), 2 * x + 1)
    weight, bias, _ = problem.solve()
    torch.testing.assert_close(weight, torch.tensor([[2.0, 0.0]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(bias, torch.tensor([1.0]), atol=1e-3, rtol=0)


def test_more_channels_explain_more_and_what_is_claimed_is_true(rgb, photos):
    found = architecture("resnet18")
    shares = []
    for channels in (6, 24, 64):
        spec = small_spec("resnet18", channels)
        layers = fitted_stem(rgb, found.stem, spec)
        shares.append(fit_stem(layers, rgb, found.stem, spec, found.mean, found.std, photos))
    assert 0.3 < shares[0] < shares[1] < shares[2] <= 1

    # The share, once more by way of the images themselves.
    every = small_spec("resnet18", 192)
    to_pixels = Transport(torch.nn.Identity(), every, pixels=4).to_pixels
    pictures = [Image.open(path) for path in photos]
    images = to_pixels(torch.stack([PixelTransform(every)(picture) for picture in pictures]))
    mean, std = (torch.tensor(values)[:, None, None] for values in (found.mean, found.std))
    targets = stem_output(rgb, found.stem, (images - mean) / std)
    channels = torch.stack([PixelTransform(spec)(p) for p in pictures])
    with torch.no_grad():
        residual = (targets - layers[0](channels)).square().sum()
    variance = (targets - targets.mean(dim=(0, 2, 3), keepdim=True)).square().sum()
    assert shares[2] == pytest.approx(float(1 - residual / variance), abs=1e-4)


def test_create_model_fits_and_keeps_the_rest(rgb, photos):
    spec = small_spec("resnet18")
    model = create_model("resnet18", spec, 5, weights=rgb.state_dict(), start="fit", photos=photos)
    assert model(torch.zeros(2, *spec.shape)).shape == (2, 5)
    assert torch.equal(model.network.layer1[0].conv1.weight, rgb.layer1[0].conv1.weight)
    again = create_model(spec=spec, weights=model.state_dict(), **model.settings)
    assert torch.equal(again.network.conv1[0].weight, model.network.conv1[0].weight)


def test_no_photos_are_an_error(rgb):
    with pytest.raises(ValueError, match="no photos were given"):
        create_model("resnet18", small_spec("resnet18"), 5, weights=rgb.state_dict(), start="fit", photos=[])
