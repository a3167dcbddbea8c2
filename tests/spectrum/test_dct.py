import numpy as np
import pytest
import torch
from torch.nn import functional as F

from freqvision.spectrum.dct import block_dct, block_idct, dct_matrix, scaled_block_idct, scaled_idct_basis


@pytest.fixture
def samples():
    return torch.randn(2, 3, 24, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 50


def test_inverse_and_energy(samples):
    coefficients = block_dct(samples)
    torch.testing.assert_close(block_idct(coefficients), samples)
    torch.testing.assert_close(coefficients.square().sum(), samples.square().sum())


def test_equals_the_formula_of_the_jpeg_standard(samples):
    """T.81, A.3.3: ¼ C(u) C(v) Σ s cos((2y+1)uπ/16) cos((2x+1)vπ/16), by four loops."""
    block = samples[0, 0, 8:16, 16:24].numpy()
    expected = np.zeros((8, 8))
    for u in range(8):
        for v in range(8):
            for y in range(8):
                for x in range(8):
                    expected[u, v] += (
                        block[y, x]
                        * np.cos((2 * y + 1) * u * np.pi / 16)
                        * np.cos((2 * x + 1) * v * np.pi / 16)
                    )
            expected[u, v] *= 0.25 * (2**-0.5 if u == 0 else 1) * (2**-0.5 if v == 0 else 1)
    np.testing.assert_allclose(block_dct(samples)[0, 0, 8:16, 16:24].numpy(), expected, atol=1e-10)


def test_range_of_eight_bit_samples():
    assert block_dct(torch.full((8, 8), -128.0))[0, 0].item() == pytest.approx(-1024)
    assert block_dct(torch.full((8, 8), 127.0))[0, 0].item() == pytest.approx(1016)


@pytest.mark.parametrize("size", range(1, 9))
def test_scaled_inverse_keeps_means_and_matches_its_basis(samples, size):
    coefficients = block_dct(samples)
    small = scaled_block_idct(coefficients, size)
    assert small.shape == (2, 3, 3 * size, 5 * size)
    torch.testing.assert_close(F.avg_pool2d(small, size), F.avg_pool2d(samples, 8))
    basis = scaled_idct_basis(size, torch.float64)
    cube = F.pixel_unshuffle(coefficients[:, :1], 8)
    by_channels = F.pixel_shuffle(F.conv2d(cube, basis[:, :, None, None]), size)
    torch.testing.assert_close(by_channels, small[:, :1])


def test_scaled_inverse_of_a_smooth_image_is_the_smaller_image():
    """Band-limited samples are the same function, sampled more coarsely."""

    def wave(size):
        return torch.cos(torch.pi * 3 * (2 * torch.arange(size, dtype=torch.float64) + 1) / (2 * size))

    block = wave(8)[:, None] * wave(8)[None, :]
    torch.testing.assert_close(scaled_block_idct(block_dct(block), 5), wave(5)[:, None] * wave(5)[None, :])


def test_gradients():
    samples = torch.randn(8, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block_dct, samples)
    assert torch.autograd.gradcheck(lambda x: scaled_block_idct(x, 3), samples)


def test_float32_and_batches_agree_with_float64(samples):
    torch.testing.assert_close(block_dct(samples.float()).double(), block_dct(samples), atol=1e-3, rtol=0)
    torch.testing.assert_close(block_dct(samples)[1, 2], block_dct(samples[1, 2]))


def test_matrix_is_orthonormal_for_any_size():
    for size in (1, 3, 8, 16):
        matrix = dct_matrix(size, torch.float64)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))


def test_mistakes_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="multiples of 8"):
        block_dct(torch.zeros(8, 9))
    with pytest.raises(ValueError, match="float32 or float64"):
        block_idct(torch.zeros(8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="1 to 8"):
        scaled_block_idct(torch.zeros(8, 8), 9)


def test_autocast_does_not_round_coefficients():
    samples = torch.randn(2, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        coefficients = block_dct(samples)
        back = block_idct(coefficients)
    assert coefficients.dtype == back.dtype == torch.float32
    assert torch.equal(coefficients, block_dct(samples))
