"""An RGB classifier and how to make it read DCT channels: the stem it has, and the input layers it gets."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from freqvision.inputs.spec import IMAGENET_MEAN, IMAGENET_STD, FrequencySpec, InputSpec, PixelSpec
from freqvision.models.block_convolution import BlockConvolution, FoldedConvolution
from freqvision.models.fit import fit_stem, fitted_stem
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.gates import GateOptions, Gates, options_of
from freqvision.models.published import Publisher, is_published_name
from freqvision.models.surgery import (
    Stem,
    remove_stem,
    replace_first_convolution,
    replace_stem,
    skip_pooling,
)
from freqvision.models.weights import StateDict, WeightReport, Weights, load_weights, open_weights
from freqvision.spectrum.channels import BLOCK, ChannelSet

log = logging.getLogger(__name__)

STARTS = ("new", "slice", "fit", "fold")


@dataclass(frozen=True)
class Architecture:
    """An RGB classifier, what surgery needs to know about it, and how it is created.

    Args:
        build: ``build(num_classes, rgb_size)`` gives the RGB network with random weights.
        stem: Where the network's input layers are.
        rgb_size: Side in pixels of the images that the RGB network is made for.
        mean: The RGB network's input is normalised by this mean of values on [0, 1].
        std: Likewise.
        strides: Variants of the network's strides other than "standard": name → function that changes the RGB
            network in place.
        published: ``published(NAME)`` gives weights such as "DEFAULT", see `freqvision.models.published`.
        name: As `create_model` takes it; `register` sets it.
        backbone: Of a detector, the name of the classifier that it is built on.
    """

    build: Callable[[int, int], nn.Module]
    stem: Stem
    rgb_size: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    strides: Mapping[str, Callable[[nn.Module], None]] = field(default_factory=dict)
    published: Publisher | None = None
    name: str = ""
    backbone: str = ""

    task: ClassVar[str] = "image-classification"

    def default_spec(self, channels: ChannelSet | int = 24) -> FrequencySpec:
        """The input that gives the network the grid it is made for."""
        blocks = self.rgb_size // self.stem.pixels  # whole ones, also for sizes such as 299
        return FrequencySpec.for_crop(blocks * BLOCK, channels=channel_set(channels))

    def rgb_spec(self) -> PixelSpec:
        """The input of the RGB original, at the size that it is known for."""
        return PixelSpec.for_crop(self.rgb_size, mean=self.mean, std=self.std, dtype="uint8")

    def apply_strides(self, network: nn.Module, name: str) -> None:
        """Change the network to a variant of its strides.

        Raises:
            ValueError: This architecture has no such variant.
        """
        if name == "standard":
            return
        if name not in self.strides:
            valid = ", ".join(repr(variant) for variant in ("standard", *self.strides))
            raise ValueError(f"strides={name!r} does not exist for this model; valid: {valid}")
        self.strides[name](network)

    def create(
        self,
        spec: InputSpec | None = None,
        num_classes: int = 1000,
        *,
        weights: str | Path | StateDict | None = None,
        start: str | None = None,
        strides: str = "standard",
        photos: Iterable[str | Path] | None = None,
        rgb_size: int | None = None,
        gates: GateOptions | Mapping[str, Any] | None = None,
    ) -> FrequencyModel:
        """The model; see `create_model`, which finds the architecture by its name."""
        if is_published_name(weights):
            weights, size = self.published_weights(str(weights))
            if self.stem.on_blocks and rgb_size is None and size != self.rgb_size:
                rgb_size = size  # its position embeddings are made for that
        if spec is None:
            spec = (self if rgb_size is None else replace(self, rgb_size=rgb_size)).default_spec()
        check_arguments(spec, num_classes, photos)
        gate_layer = _gates(gates, spec)
        given = None if weights is None else open_weights(weights)
        from_rgb = given is not None and not given.of_frequencies
        if given is not None and not from_rgb:
            given.check_channels(spec)
            photos = None  # the input layers are fitted already
        start = self._resolve_start(start, spec, given, photos)

        network = self.build(num_classes, self.image_side(spec, rgb_size))
        self.apply_strides(network, strides)
        report = load_weights(network, given.state) if given is not None and from_rgb else WeightReport()
        reading, new = self._change_stem(network, spec, start, rgb_size, photos)
        settings = {
            "name": self.name,
            "num_classes": num_classes,
            "start": start,
            "strides": strides,
            "rgb_size": rgb_size,
            "gates": None if gate_layer is None else gate_layer.options.to_dict(),
        }
        new_layers = tuple(f"network.{layer}" for layer in sorted({*report.new, *new}))
        model = FrequencyModel(network, spec, settings, new_layers, gate_layer)
        if given is not None and not from_rgb:
            report = load_weights(model, given.state)
            model.new_layers = report.new
        _log(self.name, report, reading, start, given is not None)
        return model

    def published_weights(self, name: str) -> tuple[StateDict, int]:
        """Weights that the network's library publishes, and the side of the images they are evaluated on.

        Raises:
            ValueError: There are none of that name.
            OSError: They are not in the library's cache and cannot be downloaded.
        """
        if self.published is None:
            raise ValueError(f"there are no published weights for {self.name}: pass a file as weights=")
        return self.published(name)

    def stored_start(self, state: StateDict, prefix: str = "network.") -> str:
        """The start whose input layers a state dict of a `FrequencyModel` has."""
        first = f"{prefix}{self.stem.conv}."
        convolution = state.get(f"{first}convolution.weight")
        if convolution is not None and convolution.shape[1] == 3:
            return "fold"
        return "fit" if f"{first}0.weight" in state else "new"

    def _resolve_start(
        self, start: str | None, spec: InputSpec, given: Weights | None, photos: Iterable[str | Path] | None
    ) -> str | None:
        """The start that is meant, after checking that it is possible; None for a model of pixels."""
        if start not in (None, *STARTS):
            raise ValueError(f"start={start!r} does not exist; valid: {', '.join(map(repr, STARTS))}")
        if spec.channels is None:
            if start is not None or photos is not None:
                raise ValueError(
                    "start and photos are about DCT channels; with a PixelSpec the stem stays: leave them out"
                )
            return None
        if given is not None and given.of_frequencies:
            stored = self.stored_start(given.state)
            same = ("new", "slice") if stored == "new" and self.stem.entry else (stored,)
            if start not in (None, *same):
                raise ValueError(
                    "the weights are from a model of DCT channels and keep its input layers "
                    f"(start={stored!r}): leave start and photos out; got start={start!r}"
                )
            return start or stored
        start = start or ("new" if given is None else "fold")
        if start == "slice" and not self.stem.entry:
            raise ValueError(
                "start='slice' removes the stem, but in this network it has to stay: use 'fold' or 'new'"
            )
        if start == "fit" and (given is None) != (photos is None):
            raise ValueError(
                "start='fit' needs both weights= of the RGB network and photos=, the paths of a few hundred "
                "photos"
            )
        if start != "fit" and photos is not None:
            raise ValueError(f"photos are for start='fit' only, got start={start!r}")
        return start

    def image_side(self, spec: InputSpec, rgb_size: int | None) -> int:
        """Side of the images that the RGB network is built for; only position embeddings depend on it."""
        crop = spec.crop if spec.channels is None and isinstance(spec.crop, int) else self.rgb_size
        return crop if rgb_size is None else rgb_size

    def _change_stem(
        self,
        network: nn.Module,
        spec: InputSpec,
        start: str | None,
        rgb_size: int | None,
        photos: Iterable[str | Path] | None,
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Surgery, in place. Returns the layers that read the channels, and those of them that start anew."""
        if not isinstance(spec, FrequencySpec):
            return (), ()
        stem = self.stem
        if start in ("new", "slice") and stem.entry:
            slice_weights = start == "slice"
            entries = tuple(remove_stem(network, stem, spec.num_channels, slice_weights=slice_weights))
            return entries, entries
        old = stem.first_convolution(network)
        if start == "fit":
            if old.kernel_size == old.stride:
                raise ValueError(
                    "this network's stem cuts the image into patches, which start='fold' reads from blocks "
                    "exactly: use that"
                )
            layers = fitted_stem(network, stem, spec)
            if photos is not None:
                fit_stem(layers, network, stem, spec, self.mean, self.std, photos)
            replace_stem(network, stem, layers)
            return (f"{stem.conv}.0",), ()
        pixels = self._pixels_per_block(spec, rgb_size)
        reading = (f"{stem.conv}.convolution",)
        if start == "fold":
            folded = FoldedConvolution(old, spec, pixels, self.mean, self.std)
            replace_first_convolution(network, stem, folded, pixels)
            detail = () if folded.detail is None else (f"{stem.conv}.detail.convolution",)
            return reading + detail, detail
        layer = BlockConvolution(
            spec.num_channels, old.out_channels, stem.stride, pixels, bias=old.bias is not None
        )
        skip_pooling(network, stem)
        replace_first_convolution(network, stem, layer, pixels)
        return reading, reading

    def _pixels_per_block(self, spec: FrequencySpec, rgb_size: int | None) -> int:
        """Side in pixels of the RGB network's image that a block stands for."""
        if spec.grid is None:
            return self.stem.pixels
        side = self.rgb_size if rgb_size is None else rgb_size
        rows = max(spec.grid)
        pixels = round(side / rows)
        # Sizes such as 299 are not whole blocks; less than a block is cut off or added.
        if pixels not in range(1, BLOCK + 1) or abs(rows * pixels - side) >= pixels:
            crops = ", ".join(str(side * BLOCK // n // BLOCK * BLOCK) for n in (8, 4, 2, 1))
            raise ValueError(
                f"a crop of {spec.crop} pixels is {rows} rows of blocks, which do not make an image of "
                f"{side} pixels at 1 to {BLOCK} whole pixels a block; use crop {crops}, or set the size "
                f"that the RGB network works at (rgb_size={rows * self.stem.pixels} for this crop)"
            )
        return pixels


def channel_set(channels: ChannelSet | int) -> ChannelSet:
    """A set of channels, or the preset of that size."""
    return ChannelSet.preset(channels) if isinstance(channels, int) else channels


def check_arguments(spec: InputSpec, num_classes: int, photos: Iterable[str | Path] | None = None) -> None:
    """Refuse likely mistakes: the number of classes as the spec, a folder as the photos."""
    if not isinstance(spec, InputSpec):
        raise TypeError(
            f"spec= is a FrequencySpec, or a PixelSpec for pixels, got {spec!r}; the number of classes is "
            "num_classes="
        )
    if not hasattr(num_classes, "__index__") or num_classes < 1:
        raise ValueError(f"num_classes= is the number of logits, at least 1; got {num_classes!r}")
    if isinstance(photos, (str, Path)):
        raise TypeError(
            f"photos= takes a list of paths, got {str(photos)!r}; for a folder: "
            "sorted(Path(FOLDER).rglob('*.jpg'))"
        )


def _gates(options: GateOptions | Mapping[str, Any] | None, spec: InputSpec) -> Gates | None:
    if options is None:
        return None
    options = options_of(GateOptions, options)
    if spec.channels is None:
        raise ValueError("gates choose among DCT channels; a model of pixels has none: leave gates out")
    return Gates(spec.num_channels, options)


def _log(
    name: str, report: WeightReport, changed: tuple[str, ...], start: str | None, has_weights: bool
) -> None:
    if not has_weights:
        log.info("%s: all layers are new (no weights were given)", name)
        return
    log.info("%s: loaded %d layers: %s", name, len(report.loaded), _shorten(report.loaded))
    if changed:
        log.info("%s: read the channels (start=%r): %s", name, start, ", ".join(changed))
    log.info("%s: new: %s", name, ", ".join(report.new) or "none")


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])}, … {', '.join(names[-3:])}"
