"""`create_model`: from a name and an input specification to a network, from random or from RGB weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.models.block_convolution import BlockConvolution, FoldedConvolution
from freqvision.models.fit import fit_stem, fitted_stem
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.gates import GateOptions, Gates, gate_options
from freqvision.models.registry import Architecture, architecture
from freqvision.models.surgery import remove_stem, replace_first_convolution, replace_stem, skip_pooling
from freqvision.models.weights import StateDict, WeightReport, load_weights, read_weights, stored_channels
from freqvision.spectrum.channels import BLOCK, ChannelSet

if TYPE_CHECKING:
    from freqvision.detection.options import DetectorOptions

log = logging.getLogger(__name__)

STARTS = ("new", "slice", "fit", "fold")


def create_model(
    name: str,
    spec: InputSpec | None = None,
    num_classes: int = 1000,
    weights: str | Path | StateDict | None = None,
    start: str | None = None,
    strides: str = "standard",
    photos: Iterable[str | Path] | None = None,
    rgb_size: int | None = None,
    gates: GateOptions | Mapping[str, Any] | None = None,
    weights_backbone: str | Path | StateDict | None = None,
    detector: DetectorOptions | Mapping[str, Any] | None = None,
) -> FrequencyModel:
    """A network that reads DCT channels, built from one that read pixels.

    What was loaded, adapted and is new goes to the log (``logging``, level INFO).

    Args:
        name: One of `list_models`.
        spec: What turns a photo into the input; the model keeps it. None takes `default_spec`. A `PixelSpec`
            gives the RGB network itself, wrapped alike, for comparison.
        num_classes: Number of logits.
        weights: State dict of the RGB network (``.safetensors``, a file of `torch.save`, or a mapping), or of
            a `FrequencyModel` of the same kind. A classifier of another size starts anew. None: everything is
            new, and `start` decides the form of the input layers alone.
        start: What becomes of the stem:
            "new": it goes, and the layers behind it start anew;
            "slice": it goes, and the layers behind it keep the weights of as many channels as they had;
            "fit": a 1×1 convolution and a ReLU take its place, fitted by least squares on `photos`;
            "fold": it stays, behind the inverse DCT, the conversion to RGB and the normalisation, which are
            folded into one 1×1 convolution over the blocks, so that the network starts as the RGB network
            itself.
            None is "slice" where the stem can go; else "fold" with weights and "new" without.
        strides: "standard", or a variant of ResNet: "v1" (stages stride in their 1×1 convolution) or
            "released" (the paper's released code: layer2 keeps the grid).
        photos: Paths of a few hundred photos for "fit"; no labels are needed.
        rgb_size: Side in pixels of the images that the RGB network saw, for "fold" and for networks that cut
            the image into patches; a block stands for ``8 · rgb_size / crop`` pixels of it. None is what the
            network is known for, mostly 224.
        gates: Put gates in front of the network, which choose among the channels photo by photo: their
            `freqvision.models.gates.GateOptions`, or a mapping of its fields, {} for the defaults. None for
            none. Gates that the weights do not have start anew.
        weights_backbone: Of a detector, whose `num_classes` counts the background as torchvision does: what
            `weights` is to the classifier that its backbone is, such as ``resnet50``.
        detector: Settings of a detector: `freqvision.detection.DetectorOptions`, or a mapping of its
            fields.

    Returns:
        For the name of a detector a `freqvision.detection.DetectionModel`.

    Raises:
        ValueError: An argument is illegal or contradicts another, or the weights do not fit; the message says
            which.
        TypeError: The spec is none, or photos is a single path.

    Example:
        >>> import torch
        >>> spec = FrequencySpec(resize=72, crop=64, channels=ChannelSet.preset(24))
        >>> model = create_model("resnet18", spec=spec, num_classes=10)
        >>> model(torch.zeros(2, *spec.shape)).shape
        torch.Size([2, 10])
    """
    found = architecture(name)
    spec = default_spec(name) if spec is None else spec
    _check_types(spec, num_classes, photos)
    if found.detector is not None:
        from freqvision.detection.create import create_detector

        if gates is not None or rgb_size is not None:
            raise ValueError(f"{name} is a detector, which takes neither gates nor rgb_size: leave them out")
        return create_detector(
            name, spec, num_classes, weights, weights_backbone, start, strides, photos, detector
        )
    if weights_backbone is not None or detector is not None:
        raise ValueError(f"{name} is no detector: leave weights_backbone and detector out, and use weights=")
    gate_layer = _gates(gates, spec)
    state = None if weights is None else read_weights(weights)
    of_frequencies = state is not None and all(key.startswith(("network.", "input.")) for key in state)
    if weights is not None and of_frequencies:
        check_channels(weights, spec)
    start = _resolve_start(start, found, spec, state is not None and not of_frequencies, photos is not None)

    network = found.build(num_classes, _image_side(found, spec, rgb_size))
    found.apply_strides(network, strides)
    report = WeightReport((), ())
    if state is not None and not of_frequencies:
        report = load_weights(network, state)
    changed: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    if isinstance(spec, FrequencySpec):
        assert start is not None
        changed, anew = _change_stem(network, found, spec, start, rgb_size, photos)
    settings = {
        "name": name,
        "num_classes": num_classes,
        "start": start,
        "strides": strides,
        "rgb_size": rgb_size,
        "gates": None if gate_layer is None else gate_layer.options.to_dict(),
    }
    new_layers = tuple(f"network.{layer}" for layer in sorted({*report.new, *anew}))
    model = FrequencyModel(network, spec, settings, new_layers, gate_layer)
    if state is not None and of_frequencies:
        report = load_weights(model, state)
        model.new_layers = report.new
    _log(name, report, changed, start, state is not None)
    return model


def _check_types(spec: InputSpec, num_classes: int, photos: Iterable[str | Path] | None) -> None:
    """Refuse what looks right: the number of classes in the spec's place, a folder in that of its photos."""
    if not isinstance(spec, InputSpec):
        raise TypeError(
            f"spec= is an FrequencySpec, or a PixelSpec for pixels, got {spec!r}; the number of classes is "
            "num_classes="
        )
    if not hasattr(num_classes, "__index__") or num_classes < 1:
        raise ValueError(f"num_classes= counts the logits, a whole number of at least 1; got {num_classes!r}")
    if isinstance(photos, (str, Path)):
        raise TypeError(
            f"photos= takes paths of photos, got {str(photos)!r} alone; of a folder: "
            "sorted(Path(FOLDER).rglob('*.jpg'))"
        )


def check_channels(weights: str | Path | StateDict, spec: InputSpec) -> None:
    """Refuse weights for other channels: where there are as many, nothing else would tell."""
    stored = stored_channels(weights)
    if stored is not None and isinstance(spec, FrequencySpec) and ChannelSet.parse(stored) != spec.channels:
        raise ValueError(
            f"the weights are of a model of the channels {stored}, and the spec has {spec.channels}: use the "
            "same, or freqvision.models.shrink.shrink for some of them"
        )


def _gates(options: GateOptions | Mapping[str, Any] | None, spec: InputSpec) -> Gates | None:
    options = gate_options(options)
    if options is None:
        return None
    if isinstance(spec, PixelSpec):
        raise ValueError("gates choose among DCT channels; a model of pixels has none: leave gates out")
    return Gates(spec.num_channels, options)


def _change_stem(
    network: nn.Module,
    found: Architecture,
    spec: FrequencySpec,
    start: str,
    rgb_size: int | None,
    photos: Iterable[str | Path] | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Surgery, in place. Returns the layers that read the channels, and those of them that start anew."""
    stem = found.stem
    channels = len(spec.channels)
    if start in ("new", "slice") and stem.entry:
        entries = tuple(remove_stem(network, stem, channels, slice_weights=start == "slice"))
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
            fit_stem(layers, network, stem, spec, found.mean, found.std, photos)
        replace_stem(network, stem, layers)
        return (f"{stem.conv}.0",), ()
    pixels = _pixels_per_block(found, spec, rgb_size)
    reading = f"{stem.conv}.convolution"
    if start == "fold":
        folded = FoldedConvolution(old, spec, pixels, found.mean, found.std)
        replace_first_convolution(network, stem, folded, pixels)
        detail = () if folded.detail is None else (f"{stem.conv}.detail.convolution",)
        return (reading, *detail), detail
    layer = BlockConvolution(channels, old.out_channels, stem.stride, pixels, bias=old.bias is not None)
    skip_pooling(network, stem)
    replace_first_convolution(network, stem, layer, pixels)
    return (reading,), (reading,)


def _pixels_per_block(found: Architecture, spec: FrequencySpec, rgb_size: int | None) -> int:
    """Side in pixels of the RGB network's image for which a block stands."""
    if spec.grid is None:
        return found.stem.pixels
    side = found.rgb_size if rgb_size is None else rgb_size
    rows = max(spec.grid)
    pixels = round(side / rows)
    # Sizes such as 299 are not whole blocks; less than a block is cut off or added.
    if pixels not in range(1, BLOCK + 1) or abs(rows * pixels - side) >= pixels:
        crops = ", ".join(str(side * BLOCK // n // BLOCK * BLOCK) for n in (8, 4, 2, 1))
        raise ValueError(
            f"a crop of {spec.crop} pixels is {rows} rows of blocks, which do not make an image of {side} "
            f"pixels at 1 to {BLOCK} whole pixels a block; use crop {crops}, or say by rgb_size= at "
            f"what size the RGB network is to work (rgb_size={rows * found.stem.pixels} for this crop)"
        )
    return pixels


def default_spec(name: str, channels: ChannelSet | int = 24) -> FrequencySpec:
    """The specification that gives a network the grid it is made for, without statistics.

    The shorter side is resized to 8/7 of the crop, as for RGB networks (256 to 224). Detectors see whole
    photos, at twice the size that they see of pixels: the shorter side at 1600, the longer at 2666 at most.

    Args:
        name: One of `list_models`.
        channels: A set, or the size of a preset.

    Example:
        >>> default_spec("resnet50").shape
        (24, 56, 56)
    """
    found = architecture(name)
    chosen = ChannelSet.preset(channels) if isinstance(channels, int) else channels
    if found.detector is not None:
        scale = BLOCK // found.stem.pixels
        short, long = (scale * side for side in found.detector.rgb_size)
        return FrequencySpec(resize=short, crop=None, channels=chosen, max_size=long)
    blocks = found.rgb_size // found.stem.pixels  # whole ones, also for sizes such as 299
    crop = blocks * BLOCK
    return FrequencySpec(resize=crop * 8 // 7, crop=crop, channels=chosen)


def _resolve_start(
    start: str | None,
    found: Architecture,
    spec: InputSpec,
    has_rgb_weights: bool,
    has_photos: bool,
) -> str | None:
    """The start that is meant, after checking that it can be had."""
    if start is not None and start not in STARTS:
        raise ValueError(f"start={start!r} does not exist; valid: {', '.join(map(repr, STARTS))}")
    if isinstance(spec, PixelSpec):
        if start is not None or has_photos:
            raise ValueError(
                "start and photos are about DCT channels; with a PixelSpec the stem stays: leave them out"
            )
        return None
    if start is None:
        start = "slice" if found.stem.entry else ("fold" if has_rgb_weights else "new")
    if start == "slice" and not found.stem.entry:
        raise ValueError(
            "start='slice' needs a stem that can go; in this network it stays: use 'fold' or 'new'"
        )
    if start == "fit" and has_rgb_weights != has_photos:
        raise ValueError(
            "start='fit' needs both weights= of the RGB network and photos=, paths of a few hundred photos"
        )
    if has_photos and start != "fit":
        raise ValueError(f"photos are for start='fit' alone, got start={start!r}")
    return start


def _image_side(found: Architecture, spec: InputSpec, rgb_size: int | None) -> int:
    """Side of the image for which the RGB network is built; only position embeddings depend on it."""
    if rgb_size is not None:
        return rgb_size
    if isinstance(spec, PixelSpec) and isinstance(spec.crop, int):
        return spec.crop
    return found.rgb_size


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
