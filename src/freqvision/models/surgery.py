"""Input surgery: make a network that reads pixels read DCT channels.

An architecture describes its stem in a few lines (`Stem`), and three operations change it:

- `remove_stem`: the convolutions after the stem read the C channels (the paper's way).
- `replace_stem`: one module replaces the whole stem.
- `replace_first_convolution`: one module replaces the strided convolution; the rest of the stem stays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Stem:
    """The layers before a network's first block.

    Layers are named as `nn.Module.get_submodule` takes them.

    Args:
        conv: The strided convolution that reads the three colours.
        rest: The layers between it and the first block.
        stride: Side in pixels of the RGB image per cell of the stem's output grid.
        pixels: Side in pixels of the RGB image per 8×8 block: 4 means that the frequency model reads photos
            of twice the side. With ``pixels == stride`` a block is a cell of the stem's output grid.
        entry: The layers that read the channels if the stem is removed: convolutions, and what follows a
            depthwise one. Empty if the stem cannot be removed, because residuals start from it.
        entry_outputs: Layers whose *output* then has C channels.
        prepare: Called with the network and C before the entry layers change, if more has to change.
        on_blocks: Called with the network and `pixels` when the first convolution reads blocks, if the
            network keeps its input's size.
    """

    conv: str
    rest: tuple[str, ...]
    stride: int
    pixels: int
    entry: tuple[str, ...] = ()
    entry_outputs: tuple[str, ...] = ()
    prepare: Callable[[nn.Module, int], None] | None = None
    on_blocks: Callable[[nn.Module, int], None] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers of the stem, first to last."""
        return (self.conv, *self.rest)

    def first_convolution(self, network: nn.Module) -> nn.Conv2d:
        """The strided convolution that reads the three colours."""
        layer = network.get_submodule(self.conv)
        if not isinstance(layer, nn.Conv2d):
            raise TypeError(
                f"{self.conv} is a {type(layer).__name__}; surgery needs the convolution that reads the "
                "colours"
            )
        return layer


def remove_stem(network: nn.Module, stem: Stem, channels: int, *, slice_weights: bool) -> list[str]:
    """Remove the stem, in place, and let the entry layers read the channels; returns their names.

    With `slice_weights` they keep their weights of the first channels, else they start anew.
    """
    before = set(dict(network.named_modules()))
    if stem.prepare is not None:
        stem.prepare(network, channels)
    for name in stem.layers:
        replace_layer(network, name, nn.Identity())
    for name in (*stem.entry, *stem.entry_outputs):
        side = "out" if name in stem.entry_outputs else "in"
        old = network.get_submodule(name)
        new = with_channels(old, channels, side)
        if slice_weights and name in before:
            copy_overlap(old, new)
        replace_layer(network, name, new)
    return [*stem.entry, *stem.entry_outputs]


def replace_stem(network: nn.Module, stem: Stem, layer: nn.Module) -> None:
    """Replace the whole stem by one module, in place."""
    for name in stem.rest:
        replace_layer(network, name, nn.Identity())
    replace_layer(network, stem.conv, layer)


def replace_first_convolution(network: nn.Module, stem: Stem, layer: nn.Module, pixels: int) -> None:
    """Replace the strided convolution by a layer that reads blocks of that many pixels, in place."""
    replace_layer(network, stem.conv, layer)
    if stem.on_blocks is not None:
        stem.on_blocks(network, pixels)


def skip_pooling(network: nn.Module, stem: Stem) -> None:
    """Remove the pooling of a stem whose convolution already gives the output grid, in place."""
    for name in stem.rest:
        if isinstance(network.get_submodule(name), (nn.MaxPool2d, nn.AvgPool2d)):
            replace_layer(network, name, nn.Identity())


def replace_layer(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a module where ``network.get_submodule(name)`` is."""
    parent, _, child = name.rpartition(".")
    network.get_submodule(name)  # an AttributeError names the layer that is not there
    setattr(network.get_submodule(parent), child, layer)


def with_channels(layer: nn.Module, channels: int, side: str = "in") -> nn.Module:
    """A new convolution or batch normalisation like a given one, for another number of channels.

    A dense convolution has that number on one side, "in" or "out", the others have it on both.

    Example:
        >>> with_channels(nn.Conv2d(64, 256, 1, bias=False), 24)
        Conv2d(24, 256, kernel_size=(1, 1), stride=(1, 1), bias=False)
    """
    if isinstance(layer, nn.BatchNorm2d):
        return nn.BatchNorm2d(channels, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"cannot change the number of channels of a {type(layer).__name__}")
    depthwise = layer.groups > 1
    if depthwise and not layer.groups == layer.in_channels == layer.out_channels:
        raise TypeError("cannot change the number of channels of a grouped convolution that is not depthwise")
    new = type(layer)(
        channels if depthwise or side == "in" else layer.in_channels,
        channels if depthwise or side == "out" else layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        channels if depthwise else 1,
        layer.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new


def copy_overlap(old: nn.Module, new: nn.Module) -> None:
    """Copy the corner that two layers' tensors share; the rest of `new` stays as it is."""
    sources = old.state_dict()
    with torch.no_grad():
        for name, target in new.state_dict().items():
            corner = tuple(slice(min(a, b)) for a, b in zip(target.shape, sources[name].shape, strict=True))
            target[corner].copy_(sources[name][corner])
