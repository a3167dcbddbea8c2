"""Figures with matplotlib: what a model sees of a photo, and the course of a training."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from freqvision.inputs import FrequencySpec, PixelSpec, PixelTransform
from freqvision.inputs.encoding import decode
from freqvision.inputs.fallback import to_pixels
from freqvision.models.reconstruction import pixel_operator
from freqvision.runtime import naming_extras
from freqvision.spectrum.channels import COMPONENTS


def reconstruct(inputs: torch.Tensor, spec: FrequencySpec) -> torch.Tensor:
    """RGB pixels (3, 8·h, 8·w) from a model's input (C, h, w): the inverse DCT, missing channels at zero.

    Example:
        >>> reconstruct(torch.zeros(24, 2, 3), FrequencySpec().raw())[:, 0, 0]
        tensor([0.5020, 0.5020, 0.5020])
    """
    weight, offset = (values.float() for values in pixel_operator(spec, 8))
    pixels = torch.einsum("rijc,chw->rhiwj", weight, inputs.float()) + offset[:, None, :, None]
    return pixels.flatten(3, 4).flatten(1, 2).clamp(0, 1)  # (3, h, 8, w, 8) → (3, 8·h, 8·w)


def picture(pixels: torch.Tensor) -> Image.Image:
    """Pixels (3, H, W), uint8 or from 0 to 1, for Pillow."""
    if pixels.dtype != torch.uint8:
        pixels = (255 * pixels).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def plot_channels(photos: Sequence[str | Path], spec: FrequencySpec, path: str | Path) -> None:
    """Draw photos as a model sees them to a PNG file: their channels, and what these can rebuild."""
    plt = _pyplot()
    if spec.crop is None or spec.shape is None:
        raise ValueError("plot_channels draws inputs of one size: set the spec's crop")
    transform = PixelTransform(spec.with_dtype("float32"))
    seen = PixelSpec(spec.resize, spec.crop, mean=(0, 0, 0), std=(1, 1, 1), interpolation=spec.interpolation)
    figure = plt.figure(figsize=(11, 3.6 * len(photos)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for row, photo in zip(figure.subfigures(len(photos), 1, squeeze=False)[:, 0], photos, strict=True):
        left, middle, right = row.subfigures(1, 3, width_ratios=(1, 1.5, 1))
        with Image.open(photo) as image:
            pixels = to_pixels(image, seen)
            inputs = transform(image)
        rebuilt = reconstruct(inputs, spec)
        psnr = -10 * torch.log10((rebuilt - pixels).square().mean()).item()
        _show(left, pixels, f"photo: {pixels.numel():,} values")
        _show_channels(middle, inputs, spec)
        _show(right, rebuilt, f"rebuilt from {len(spec.channels)} channels: {psnr:.1f} dB")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_training(table: str | Path, path: str | Path, chance: float | None = None) -> None:
    """Draw loss and accuracy over the epochs of a run's `metrics.csv` to a PNG file.

    `chance` is the accuracy of guessing, drawn as a line.
    """
    plt = _pyplot()
    with Path(table).open(newline="") as file:
        lines = list(csv.DictReader(file))

    def curve(name: str) -> tuple[list[int], list[float]]:
        known = [line for line in lines if line[name]]  # not every epoch is validated
        return [int(line["epoch"]) for line in known], [float(line[name]) for line in known]

    figure, (loss, accuracy) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    loss.plot(*curve("train/loss"), "o-", color="#1f6fb4", label="training")
    loss.plot(*curve("val/loss"), "s-", color="#d2691e", label="validation")
    loss.set(xlabel="epoch", ylabel="cross-entropy", title="Loss")
    loss.set_ylim(bottom=0)
    validated, top1 = curve("val/top1")
    accuracy.plot(validated, [100 * share for share in top1], "s-", color="#d2691e", label="validation")
    if chance is not None:
        accuracy.axhline(100 * chance, color="#777777", linestyle="--", label="guessing")
    accuracy.set(xlabel="epoch", ylabel="top-1 accuracy, %", title="Accuracy", ylim=(0, 102))
    for axes in (loss, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _show(figure: Any, pixels: torch.Tensor, title: str) -> None:
    axes = figure.subplots()
    axes.imshow(pixels.permute(1, 2, 0).clamp(0, 1))  # (3, H, W) → (H, W, 3)
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def _show_channels(figure: Any, inputs: torch.Tensor, spec: FrequencySpec) -> None:
    """Each channel as a small map at the place of its frequency, luma next to chroma."""
    figure.suptitle(
        f"{len(spec.channels)} channels of {inputs.shape[1]}×{inputs.shape[2]}: {inputs.numel():,} values",
        fontsize=10,
    )
    frequencies = [spec.channels.component(component) for component in range(3)]
    sides = [max((max(f // 8, f % 8) + 1 for f in used), default=0) for used in frequencies]
    luma, chroma = figure.subfigures(1, 2, width_ratios=(2, 1), wspace=0.08)
    panels = [luma, *chroma.subfigures(2, 1)]
    coefficients = decode(inputs, spec.with_dtype("float32"))  # (C, h, w)
    channel = 0
    for component, (panel, used, side) in enumerate(zip(panels, frequencies, sides, strict=True)):
        panel.suptitle(COMPONENTS[component], fontsize=9)
        if not used:
            continue
        axes = panel.subplots(side, side, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
        for cell in axes.flat:
            cell.axis("off")
        maps = coefficients[channel : channel + len(used)]
        channel += len(used)
        waves = maps[int(used[0] == 0) :]
        limit = float(waves.abs().max()) if len(waves) else 1.0  # the same for all but DC, a small photo
        for frequency, values in zip(used, maps, strict=True):
            cell = axes[frequency // 8, frequency % 8]
            if frequency == 0:
                cell.imshow(values, cmap="gray")
            else:
                cell.imshow(values, cmap="RdBu_r", norm=_signed_root(limit))


def _signed_root(limit: float) -> Any:
    """A colour scale that shows small coefficients next to large ones."""
    from matplotlib.colors import FuncNorm

    def forward(values: Any) -> Any:
        return np.sign(values) * np.sqrt(np.abs(values))

    def inverse(values: Any) -> Any:
        return np.sign(values) * np.square(values)

    return FuncNorm((forward, inverse), vmin=-limit, vmax=limit)


def _pyplot() -> Any:
    with naming_extras():
        import matplotlib
    matplotlib.use("Agg")  # no display needed
    import matplotlib.pyplot as plt

    return plt
