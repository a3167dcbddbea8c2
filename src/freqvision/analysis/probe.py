"""Photos and a network, ready for questions about single channels."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from freqvision.data.folder import evenly, find_photos, list_photos
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.transport import Transport
from freqvision.runtime import progress_bar
from freqvision.spectrum.channels import BLOCK


@dataclass(frozen=True)
class LabelledPhotos:
    """Paths of photos and what they show.

    Args:
        paths: Files.
        labels: Index of each one's class; None where nothing is known.
        class_names: Names of the classes; None where the labels are only numbers.
    """

    paths: list[str]
    labels: list[int] | None = None
    class_names: list[str] | None = None

    def spread(self, count: int) -> LabelledPhotos:
        """At most `count` of them, evenly spread over the list, so over classes; 0 is all."""
        if not 0 < count < len(self.paths):
            return self
        labels = None if self.labels is None else evenly(self.labels, count)
        return replace(self, paths=evenly(self.paths, count), labels=labels)


def find_labelled_photos(
    root: str | Path, class_names: Sequence[str] | None = None, table: str | Path | None = None
) -> LabelledPhotos:
    """Photos below a folder and their classes.

    Args:
        root: Folder with one sub-folder of photos for each class; or any, with a table or without labels.
        class_names: Names of the sub-folders in the order of their labels; None looks for no classes.
        table: CSV file with the columns file (its path below `root`, or a name that no other has) and
            class_index.

    Raises:
        FileNotFoundError: The folder or the table is not there.
        ValueError: There are no photos, or the table lacks one.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(f"no folder of photos at {root}")
    if table is not None:
        paths = find_photos(root)
        known = _read_labels(table)
        names = [str(Path(path).relative_to(root)) for path in paths]
        files = Counter(Path(name).name for name in names)  # a bare name that two photos have says nothing
        bare = {name: Path(name).name for name in names if files[Path(name).name] == 1}
        keys = [name if name in known else bare.get(name, name) for name in names]
        missing = [key for key in keys if key not in known]
        if missing or not paths:
            raise ValueError(
                f"{table} says nothing of {len(missing)} of {len(paths)} photos in {root}"
                + (f", such as {missing[0]}" if missing else "")
            )
        return LabelledPhotos(paths, [known[key] for key in keys])
    if class_names is not None:
        return LabelledPhotos(*list_photos(root, class_names), list(class_names))
    paths = find_photos(root)
    if not paths:
        raise ValueError(f"no photos in {root} or its sub-folders")
    return LabelledPhotos(paths)


def _read_labels(table: str | Path) -> dict[str, int]:
    if not Path(table).is_file():
        raise FileNotFoundError(
            f"no table of labels at {table}: a CSV file with columns file and class_index"
        )
    with Path(table).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    if not lines or not {"file", "class_index"} <= set(lines[0]):
        raise ValueError(f"{table} is no table of labels: its columns are to be file and class_index")
    return {line["file"]: int(line["class_index"]) for line in lines}


@dataclass(frozen=True)
class Probe:
    """A network that reads normalised channels, and photos as such.

    Args:
        network: From (B, C, h, w), float32, to logits (B, classes); in evaluation mode.
        spec: What the channels are, in float32. A channel at 0 is at its mean, at 1 a deviation above.
        inputs: (N, C, h, w).
        labels: (N,), or None.
    """

    network: nn.Module
    spec: FrequencySpec
    inputs: torch.Tensor
    labels: torch.Tensor | None = None

    def batches(self, size: int) -> Iterator[slice]:
        """The photos in turn, `size` at a time."""
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
    """Decode photos for a model; an RGB model gets its pixels from all 192 channels and stays as it is.

    Pixels of an RGB model are made by the inverse DCT of all frequencies at the size of its own crop
    (`Transport`), so that every one of the 192 channels can be changed on its way.

    Args:
        model: A model of `create_model`, of DCT channels or of RGB pixels; in evaluation mode afterwards.
        photos: What to decode; all of it is kept in memory.
        device: Where the network runs.
        num_threads: Threads that decode; 0 for all cores.
        progress: Show a progress bar, where there is a terminal to show it in.

    Raises:
        ValueError: The model's input has no fixed size, or one that is not whole blocks.
    """
    if not isinstance(model, FrequencyModel):
        raise TypeError(f"probes are for models of create_model, got {type(model).__name__}")
    raw = _raw_spec(model.spec)
    assert raw.shape is not None
    decode = Decoder(raw, num_threads)
    size = max(1, 8_000_000 // math.prod(raw.shape))  # of a batch: 8 million coefficients are 32 MB
    starts = progress_bar(range(0, len(photos.paths), size), desc="decode", unit="batch", shown=progress)
    inputs = torch.cat([decode(photos.paths[start : start + size]) for start in starts])
    network: nn.Module
    if isinstance(model.spec, FrequencySpec):
        spec = model.spec.with_dtype("float32")
        gates = model.gates
        network = model.network if gates is None else nn.Sequential(gates, model.network)
    else:
        spec = raw.with_statistics(ChannelStatistics.of(inputs))
        network = Transport(model, spec, pixels=BLOCK)
    mean, std = (values[:, None, None] for values in spec.normalisation())  # (C, 1, 1)
    inputs = inputs.sub_(mean).div_(std)
    labels = None if photos.labels is None else torch.tensor(photos.labels, device=device)
    network = network.to(device).to(memory_format=torch.channels_last)
    return Probe(network.eval(), spec, inputs, labels)


def _raw_spec(spec: InputSpec) -> FrequencySpec:
    """What decodes a model's channels, or all that make its pixels, in units of coefficients."""
    if spec.channels is None and spec.colour != "rgb":
        raise ValueError(f"this model reads {spec.describe()}; channels can be changed on their way to RGB")
    raw = spec.raw()
    if raw.shape is None:
        raise ValueError("the model's input has no fixed size: its spec needs a crop")
    return raw
