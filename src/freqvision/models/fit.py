"""The start "fit": a 1×1 convolution and a ReLU that approximate the stem, by least squares."""

import logging
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec
from freqvision.jpeg.read import Source
from freqvision.models.reconstruction import SmallPixels
from freqvision.models.surgery import Stem
from freqvision.runtime import progress_bar
from freqvision.spectrum.channels import ChannelSet

log = logging.getLogger(__name__)

# Relative to each feature's square: channels that never vary must not make the equations singular.
_RIDGE = 1e-9


class LeastSquares:
    """Least squares of S outputs on the same F features and a constant, gathered batch by batch.

    Example:
        >>> x = torch.randn(1000, 2)
        >>> problem = LeastSquares(2, 1)
        >>> problem.add(x, x @ torch.tensor([[3.0], [-1.0]]) + 5)
        >>> weight, bias, explained = problem.solve()
        >>> weight.round(decimals=3), bias.round(decimals=3)
        (tensor([[ 3., -1.]]), tensor([5.]))
    """

    def __init__(self, features: int, outputs: int) -> None:
        self.gram = torch.zeros(features + 1, features + 1, dtype=torch.float64)
        self.moment = torch.zeros(features + 1, outputs, dtype=torch.float64)
        self.square = torch.zeros(outputs, dtype=torch.float64)

    def add(self, features: torch.Tensor, outputs: torch.Tensor) -> None:
        """Take in rows: (N, F) and (N, S)."""
        rows = F.pad(features.double(), (0, 1), value=1.0)  # (N, F + 1)
        outputs = outputs.double()
        self.gram += rows.T @ rows
        self.moment += rows.T @ outputs
        self.square += outputs.square().sum(0)

    def solve(self) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Weights (S, F), biases (S,), and the share of the outputs' variance that they explain."""
        count = self.gram[-1, -1]
        if not count:
            raise ValueError("there is nothing to fit: no photos were given")
        squares = self.gram.diagonal()
        ridge = _RIDGE * squares.clamp(min=_RIDGE * float(squares.mean()))
        solution = torch.linalg.solve(self.gram + ridge.diag(), self.moment)  # (F + 1, S)
        residual = (self.square + (solution * (self.gram @ solution - 2 * self.moment)).sum(0)).sum()
        variance = (self.square - self.moment[-1].square() / count).sum()
        return solution[:-1].T.float(), solution[-1].float(), float(1 - residual / variance)


def fitted_stem(network: nn.Module, stem: Stem, spec: FrequencySpec) -> nn.Sequential:
    """The stem's replacement, with random weights: a 1×1 convolution, and a ReLU if the stem has one."""
    side = 16 * stem.stride
    outputs, *grid = stem_output(network, stem, torch.zeros(1, 3, side, side)).shape[1:]
    if grid != [16, 16]:
        raise ValueError(
            f"start='fit' gives one output per block, but for 16 blocks a side ({side} pixels) this stem "
            f"gives the grid {'×'.join(map(str, grid))}: use start='new' or 'fold'"
        )
    rectifies = any(
        isinstance(part, (nn.ReLU, nn.ReLU6))
        for name in stem.rest
        for part in network.get_submodule(name).modules()
    )
    return nn.Sequential(
        nn.Conv2d(len(spec.channels), outputs, kernel_size=1),
        nn.ReLU(inplace=True) if rectifies else nn.Identity(),
    )


def fit_stem(
    layers: nn.Sequential,
    network: nn.Module,
    stem: Stem,
    spec: FrequencySpec,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    photos: Iterable[Source],
) -> float:
    """Fit the convolution of `fitted_stem`, in place, to the stem's output on photos.

    The stem's RGB images are made from all 192 channels by the scaled inverse DCT, so that both see exactly
    the same view. Returns the share of the variance of the stem's output that the convolution explains.
    """
    everything = spec.raw(ChannelSet.preset(192))
    decode = Decoder(everything, num_threads=1)
    small_pixels = SmallPixels(everything, stem.stride)
    channel_mean, channel_std = (values[:, None, None] for values in spec.normalisation())
    rgb_mean, rgb_std = (torch.tensor(values)[:, None, None] for values in (mean, std))
    convolution = layers[0]
    assert isinstance(convolution, nn.Conv2d)
    problem = LeastSquares(convolution.in_channels, convolution.out_channels)
    for photo in progress_bar(list(photos), desc="fitting the stem", unit="photo", leave=False):
        cube = decode([photo])  # (1, 192, h, w)
        rgb = small_pixels(cube).clamp(0, 1)  # (1, 3, n·h, n·w)
        target = stem_output(network, stem, (rgb - rgb_mean) / rgb_std)  # (1, S, h, w)
        features = (cube[:, list(spec.channels)] - channel_mean) / channel_std  # (1, C, h, w)
        problem.add(features[0].flatten(1).T, target[0].flatten(1).T)  # (h·w, C) and (h·w, S)
    weights, bias, explained = problem.solve()
    with torch.no_grad():
        convolution.weight.copy_(weights[:, :, None, None])
        assert convolution.bias is not None
        convolution.bias.copy_(bias)
    log.info("the fitted stem explains %.1f %% of the variance of the stem's output", 100 * explained)
    return explained


class _Reached(Exception):  # noqa: N818  no error: the stem's end is reached
    pass


@torch.no_grad()
def stem_output(network: nn.Module, stem: Stem, images: torch.Tensor) -> torch.Tensor:
    """The output of the stem's last layer in evaluation mode, for normalised images (B, 3, H, W)."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        kept.append(output)
        raise _Reached

    was_training = network.training
    handle = network.get_submodule(stem.layers[-1]).register_forward_hook(keep)
    try:
        network.eval()(images)
    except _Reached:
        pass
    finally:
        handle.remove()
        network.train(was_training)
    return kept[0]
