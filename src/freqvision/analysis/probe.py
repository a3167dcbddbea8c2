"""A network and photos whose channels can be changed one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from freqvision.data.folder import evenly, find_photos
from freqvision.data.opening import open_sources
from freqvision.data.sources import Sources
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.jpeg.read import Source
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.transport import Transport
from freqvision.runtime import progress_bar, read_table


@dataclass(frozen=True)
class LabelledPhotos:
    """Paths of photos, and their labels.

    Args:
        paths: Files, or `Sources` such as those of shards.
        labels: Index of each photo's class; None without labels.
        class_names: Names of the classes; None if the labels are only numbers.
    """

    paths: Sequence[Source]
    labels: list[int] | None = None
    class_names: list[str] | None = None

    def spread(self, count: int) -> LabelledPhotos:
        """At most `count` of them, evenly spread over the list and so over classes; 0 for all."""
        if not 0 < count < len(self.paths):
            return self
        labels = None if self.labels is None else evenly(self.labels, count)
        paths = self.paths
        paths = paths.spread(count) if isinstance(paths, Sources) else evenly(paths, count)
        return replace(self, paths=paths, labels=labels)


def find_labelled_photos(
    root: str | Path | Sources,
    class_names: Sequence[str] | None = None,
    table: str | Path | None = None,
) -> LabelledPhotos:
    """Photos below a folder, or of shards or a table, and their classes.

    Args:
        root: Folder of photos, with one sub-folder for each class if `class_names` are given; or what else
            `open_sources` takes, which may have labels of its own.
        class_names: Names of the sub-folders in the order of their labels; None for no labels from folders.
        table: CSV file with the columns file (path below `root`, or a file name that is unique) and
            class_index.

    Raises:
        FileNotFoundError: The folder or the table does not exist.
        ValueError: There are no photos, or one is missing in the table.
    """
    if table is None:
        photos = open_sources(root, class_names)
        paths = getattr(photos, "paths", photos)
        if photos.labels.min() < 0:
            return LabelledPhotos(paths)
        return LabelledPhotos(
            paths, photos.labels.tolist(), None if class_names is None else list(class_names)
        )
    if isinstance(root, Sources) or not Path(root).is_dir():
        raise FileNotFoundError(f"a table of labels is for a folder of photos, and there is none at {root}")
    paths = find_photos(root)
    known = _read_labels(table)
    names = [str(Path(path).relative_to(root)) for path in paths]
    files = Counter(Path(name).name for name in names)  # a bare name must be unique
    bare = {name: Path(name).name for name in names if files[Path(name).name] == 1}
    keys = [name if name in known else bare.get(name, name) for name in names]
    missing = [key for key in keys if key not in known]
    if missing or not paths:
        raise ValueError(
            f"{table} has no label for {len(missing)} of {len(paths)} photos in {root}"
            + (f", such as {missing[0]}" if missing else "")
        )
    return LabelledPhotos(paths, [known[key] for key in keys])


def _read_labels(table: str | Path) -> dict[str, int]:
    if not Path(table).is_file():
        raise FileNotFoundError(
            f"no table of labels at {table}: pass a CSV file with columns file and class_index"
        )
    lines = read_table(table)
    if not lines or not {"file", "class_index"} <= set(lines[0]):
        raise ValueError(f"{table} is not a table of labels: it needs the columns file and class_index")
    return {line["file"]: int(line["class_index"]) for line in lines}


@dataclass(frozen=True)
class Probe:
    """A network that reads normalised channels, and the channels of some photos.

    Args:
        network: Maps (B, C, h, w) float32 to logits (B, classes); in evaluation mode.
        spec: The channels, in float32. A channel of value 0 is at its mean, of 1 a deviation above it.
        inputs: (N, C, h, w).
        labels: (N,), or None.
    """

    network: nn.Module
    spec: FrequencySpec
    inputs: torch.Tensor
    labels: torch.Tensor | None = None

    def batches(self, size: int) -> Iterator[slice]:
        """Slices of the photos, `size` at a time."""
        for start in range(0, len(self.inputs), size):
            yield slice(start, min(start + size, len(self.inputs)))


def make_probe(
    model: nn.Module,
    photos: LabelledPhotos,
    *,
    device: str | torch.device = "cpu",
    num_threads: int = 0,
    progress: bool = True,
) -> Probe:
    """Decode photos for a model, of which an RGB model gets its pixels from all 192 channels.

    The pixels of an RGB model are made by the inverse DCT of all frequencies at the size of its own crop
    (`Transport`), so that each of the 192 channels can be changed on the way. The model stays as it is.

    Args:
        model: A model of `create_model`, of DCT channels or of RGB pixels; in evaluation mode afterwards.
        photos: Photos to decode, all of which are kept in memory.
        device: Where the network runs.
        num_threads: Decoding threads; 0 for all cores.
        progress: Show a progress bar, if there is a terminal.

    Raises:
        TypeError: The model is not one of `create_model`.
        ValueError: The model's input has no fixed size, is not made of whole blocks, or is neither DCT
            channels nor RGB.
    """
    if not isinstance(model, FrequencyModel):
        raise TypeError(f"probes are for models of create_model, got {type(model).__name__}")
    if model.spec.channels is None and model.spec.colour != "rgb":
        raise ValueError(f"probes need DCT channels or RGB; this model reads {model.spec.describe()}")
    raw = model.spec.raw()
    if raw.shape is None:
        raise ValueError("the model's input has no fixed size: its spec needs a crop")
    decode = Decoder(raw, num_threads)
    size = max(1, 8_000_000 // math.prod(raw.shape))  # of a batch: 8 million coefficients are 32 MB
    starts = progress_bar(range(0, len(photos.paths), size), desc="decode", unit="batch", shown=progress)
    inputs = torch.cat([decode(photos.paths[start : start + size]) for start in starts])
    statistics = ChannelStatistics.of(inputs) if model.spec.channels is None else None
    network, spec = probe_network(model, raw if statistics is None else raw.with_statistics(statistics))
    mean, std = (values[:, None, None] for values in spec.normalisation())  # (C, 1, 1)
    inputs = inputs.sub_(mean).div_(std)
    labels = None if photos.labels is None else torch.tensor(photos.labels, device=device)
    network = network.to(device).to(memory_format=torch.channels_last)
    return Probe(network.eval(), spec, inputs, labels)


def probe_network(model: FrequencyModel, spec: FrequencySpec) -> tuple[nn.Module, FrequencySpec]:
    """What reads a model's channels, and how they are normalised.

    Args:
        model: A model of RGB pixels or of DCT channels.
        spec: The view, and for a model of pixels the channels.

    Returns:
        A module that takes float32 channels, for a model of pixels `Transport`; and their spec.
    """
    if model.spec.channels is None:
        return Transport(model, spec), spec
    channels = {name: getattr(model.spec, name) for name in ("channels", "mean", "std")}
    network = model.network if model.gates is None else nn.Sequential(model.gates, model.network)
    return network, spec.replace(**channels)
