"""Photos that cannot be decoded, found before they end a training."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from freqvision.inputs.decoder import Decoder, source_name
from freqvision.inputs.spec import FrequencySpec
from freqvision.jpeg.read import Source
from freqvision.parts import Part, map_parts, split
from freqvision.runtime import parse_json, read_text, write_text
from freqvision.spectrum.channels import ChannelSet

BATCH = 32
PART = 8 * BATCH


def find_faults(
    sources: Sequence[Source], num_threads: int = 0, *, progress: bool = False, ray: str | None = None
) -> dict[int, str]:
    """Decode each photo once, whole, and return the causes of those that cannot be, by their places.

    Args:
        sources: Paths, or the bytes of photos.
        num_threads: Threads that decode, see `freqvision.runtime.threads_here`.
        progress: Show a progress bar.
        ray: Address of a Ray cluster to work on, see `freqvision.parts.map_parts`.

    Example:
        >>> find_faults(["nowhere.jpg"])
        {0: 'cannot be read: No such file or directory'}
    """
    num_threads = num_threads if ray is None else max(1, num_threads)
    work = partial(_find_in_part, sources, num_threads)
    parts = split(len(sources), PART)
    found = map_parts(work, parts, ray=ray, cpus=num_threads, desc="check", progress=progress)
    return {place: cause for faults in found for place, cause in faults.items()}


def _find_in_part(
    sources: Sequence[Source], num_threads: int, part: Part, count: Callable[[int], Any]
) -> dict[int, str]:
    spec = FrequencySpec(resize=(8, 8), crop=8, channels=ChannelSet((0,)))
    decoder = Decoder(spec, num_threads)
    faults: dict[int, str] = {}
    for start in range(*part, BATCH):
        batch = sources[start : min(start + BATCH, part[1])]
        for place, error in decoder.try_decode(batch)[1].items():
            name = source_name(place, batch[place])
            faults[start + place] = str(error).removeprefix(f"{name}: ")
        count(len(batch))
    return faults


@dataclass(frozen=True)
class PhotoCheck:
    """What a check of photos found; data sets take it, or the file that `save` writes, as `exclude`.

    Args:
        folder: All photos of this folder and its sub-folders were checked.
        checked: How many that were.
        damaged: Cause of each photo that cannot be decoded, by its path.
    """

    folder: str
    checked: int
    damaged: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        folder: str | Path,
        paths: Sequence[Source],
        num_threads: int = 0,
        names: Any = None,
        ray: str | None = None,
    ) -> PhotoCheck:
        """Check the photos of a folder; shows a progress bar. `names` gives a photo's name by its place."""
        faults = find_faults(paths, num_threads, progress=True, ray=ray)
        names = names or paths.__getitem__
        return cls(str(folder), len(paths), {names(place): cause for place, cause in faults.items()})

    def covers(self, path: str | Path) -> bool:
        """Whether a photo was checked: whether it lies in the folder."""
        return absolute(str(path)).startswith(os.path.join(absolute(self.folder), ""))

    def save(self, path: str | Path) -> None:
        """Write JSON, with paths relative to the file's folder, so that it can be moved with the photos."""
        parent = Path(path).absolute().parent

        def relative(name: str) -> str:
            return name if "://" in name else os.path.relpath(name, parent)

        values = {
            "folder": relative(self.folder),
            "checked": self.checked,
            "damaged": {relative(photo): cause for photo, cause in self.damaged.items()},
        }
        write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> PhotoCheck:
        """Read a file that `save` wrote.

        Raises:
            ValueError: It is something else.
        """
        parent = Path(path).absolute().parent
        try:
            values = parse_json(read_text(path))
            found = values["damaged"].items()
            damaged = {absolute(photo, parent): str(cause) for photo, cause in found}
            return cls(absolute(values["folder"], parent), int(values["checked"]), damaged)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{path} is no list of freqvision check: {error!r}") from error


def without(paths: Sequence[str], exclude: str | Path | PhotoCheck | None) -> list[str]:
    """The paths that are not on a list of damaged photos: a `PhotoCheck`, or the file that it saved."""
    if exclude is None:
        return list(paths)
    check = exclude if isinstance(exclude, PhotoCheck) else PhotoCheck.load(exclude)
    damaged = {absolute(path) for path in check.damaged}
    return [path for path in paths if absolute(path) not in damaged]


def absolute(name: str, folder: str | Path = "") -> str:
    """A path made absolute; an address such as ``s3://bucket/a.tar`` is so already."""
    return name if "://" in name else os.path.abspath(os.path.join(folder, name))
