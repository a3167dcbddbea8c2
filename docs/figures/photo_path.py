"""Draw `photo_path.png`: a photo's way from JPEG bytes to a model's input.

python docs/figures/photo_path.py

The photo ships with matplotlib: Grace Hopper, by the U.S. Navy, in the public domain.
"""

from pathlib import Path

import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

import freqvision as fv
from freqvision.inputs.reference import dequantised_plane

PHOTO = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
INK, ACCENT = "#1f2937", "#d9480f"


def draw() -> plt.Figure:
    coefficients = fv.read_coefficients(PHOTO)
    spec = fv.FrequencySpec()
    channels = fv.Decoder(spec, num_threads=1)([PHOTO])[0]  # (24, 56, 56)

    figure, axes = plt.subplots(1, 4, figsize=(15, 4.6), width_ratios=[0.85, 1, 1, 1.5], layout="constrained")
    figure.get_layout_engine().set(wspace=0.09)
    for axis in axes:
        axis.set(xticks=[], yticks=[])

    image = Image.open(PHOTO)
    axes[0].imshow(image)
    top, left, side = 160, 180, 96
    axes[0].add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=ACCENT, linewidth=2))
    say(axes[0], "A JPEG file", f"{image.width} × {image.height} pixels in {PHOTO.stat().st_size // 1024} kB")

    plane = dequantised_plane(coefficients, 0).numpy()[top : top + side, left // 8 * 8 : left // 8 * 8 + side]
    axes[1].imshow(np.log1p(np.abs(plane)), cmap="magma")
    for line in np.arange(7.5, side - 1, 8):
        axes[1].axhline(line, color="white", linewidth=0.6)
        axes[1].axvline(line, color="white", linewidth=0.6)
    say(axes[1], "is DCT blocks", "8 × 8 frequencies, most of them zero")

    deviation = np.array(fv.ChannelStatistics.default().std).reshape(3, 8, 8)
    grid = spec.channels.grid().numpy()
    axes[2].set(xlim=(-0.5, 17.5), ylim=(17.5, -0.5), frame_on=False, aspect="equal")
    for component, (name, x, y) in enumerate([("Y", 0, 0.6), ("Cb", 9.3, 0.6), ("Cr", 9.3, 10)]):
        axes[2].imshow(
            np.log(deviation[component]),
            extent=(x - 0.5, x + 7.5, y + 7.5, y - 0.5),
            cmap="magma",
            vmin=-1,
            vmax=6,
        )
        axes[2].text(x - 0.4, y - 0.7, name, color=INK, fontsize=10)
        for u, v in zip(*grid[component].nonzero(), strict=True):
            axes[2].add_patch(
                Rectangle((x + v - 0.5, y + u - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=1.2)
            )
    axes[2].set(xlim=(-0.6, 17.4), ylim=(17.6, -0.9))
    axes[2].text(-0.4, 12, "white:\nthe 24 that\nare kept", color=INK, fontsize=11, va="center")
    say(axes[2], "of 192 frequencies", "bright: varies most from photo to photo")

    tiles = channels.numpy().reshape(4, 6, 56, 56)
    mosaic = np.full((4 * 58, 6 * 58), np.nan)
    for row in range(4):
        for column in range(6):
            mosaic[58 * row : 58 * row + 56, 58 * column : 58 * column + 56] = tiles[row, column]
    axes[3].imshow(mosaic, cmap="RdBu_r", vmin=-2.5, vmax=2.5)
    axes[3].set(frame_on=False)
    say(axes[3], "gathered into a tensor", "resized, cropped, selected, normalised: 24 × 56 × 56")
    return figure


def say(axis: plt.Axes, title: str, text: str) -> None:
    axis.set_title(title, fontsize=14, color=INK, fontweight="bold")
    axis.set_xlabel(text, fontsize=10.5, color=INK)


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_suffix(".png"), dpi=100, bbox_inches="tight")
