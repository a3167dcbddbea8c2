"""How fast photos become a model's input on this machine: freqvision next to torchvision."""

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from freqvision.analysis.timing import Spread, Task, measure, one_thread
from freqvision.data.folder import evenly, find_photos
from freqvision.inputs import Decoder, FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.spec import IMAGENET_MEAN, IMAGENET_STD
from freqvision.jpeg import JpegError, read_coefficients
from freqvision.runtime import address, available_cores, batches, progress_bar

BATCH = 32
MOST_THREADS = 32  # by default: more worker processes would exhaust file handles

Load = Callable[[bytes], torch.Tensor]
Epoch = Callable[[], Iterator[Any]]  # a pass over the photos; yields the batches


class TorchvisionPil:
    """What most training scripts do: Pillow decodes and resizes."""

    def __init__(self, resize: int, crop: int) -> None:
        steps = [v2.Resize(resize), v2.CenterCrop(crop), v2.PILToTensor()]
        self.transform = v2.Compose([*steps, *_normalise()])

    @staticmethod
    def require() -> None:
        """Nothing: freqvision itself needs both."""

    def __call__(self, content: bytes) -> torch.Tensor:
        """One photo as a tensor."""
        return self.transform(Image.open(io.BytesIO(content)).convert("RGB"))


class TorchvisionTensors:
    """torchvision only: decode to a tensor, apply transforms v2 to it."""

    def __init__(self, resize: int, crop: int, dtype: str = "float32") -> None:
        # The bytes are only read, whatever torch fears of a buffer that cannot be written.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        steps = [v2.Resize(resize, antialias=True), v2.CenterCrop(crop)]
        self.transform = v2.Compose([*steps, *(_normalise() if dtype == "float32" else [])])

    @staticmethod
    def require() -> None:
        """Raise if torchvision no longer decodes JPEG."""
        try:
            from torchvision.io import decode_jpeg  # noqa: F401
        except ImportError:
            message = "pip install 'torchvision<0.30': later versions leave JPEG to torchcodec"
            raise ModuleNotFoundError(message) from None

    def __call__(self, content: bytes) -> torch.Tensor:
        """One photo as a tensor."""
        return self.transform(self.decode(torch.frombuffer(content, dtype=torch.uint8)))

    def decode(self, content: torch.Tensor) -> torch.Tensor:
        """Pixels, uint8 (3, H, W)."""
        from torchvision.io import ImageReadMode, decode_jpeg

        return decode_jpeg(content, mode=ImageReadMode.RGB)


class _Contents(Dataset):
    """Photos for the worker processes of a DataLoader."""

    def __init__(self, contents: Sequence[bytes], load: Load) -> None:
        self.contents, self.load = contents, load

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.load(self.contents[index])


def decode_batches(spec: InputSpec, contents: Sequence[Any], threads: int, batch: int) -> Epoch:
    """Batches by freqvision's decoder, from files' contents or paths."""
    decode = Decoder(spec, threads)
    return lambda: (decode(chunk) for chunk in batches(contents, batch))


def load_batches(load: Load, contents: Sequence[bytes], threads: int, batch: int) -> Epoch:
    """Batches by a function of one photo, as people run it: in a loop, or in a DataLoader's workers."""
    if threads == 1:
        return lambda: (
            torch.stack([load(content) for content in chunk]) for chunk in batches(contents, batch)
        )
    loader: DataLoader = DataLoader(
        _Contents(contents, load), batch_size=batch, num_workers=threads, persistent_workers=True
    )
    return lambda: iter(loader)


@dataclass(frozen=True)
class Speed:
    """What was measured of one way to prepare photos."""

    name: str  # what prepares which input
    bytes_per_image: int
    ms: Spread  # milliseconds per photo on one thread
    ratio: Spread  # of that time to the first way's, within a round
    ms_threads: Spread  # milliseconds per photo on several threads or worker processes


def measure_speed(
    contents: Sequence[bytes], threads: int, rounds: int = 5, progress: bool = True
) -> tuple[list[Speed], dict[str, str]]:
    """Time freqvision's and torchvision's ways from JPEG bytes to a tensor, in interleaved rounds.

    On one thread, then on several, which are worker processes for torchvision. Returns what was measured, and
    the reasons for what cannot run here.
    """
    ways: dict[str, tuple[InputSpec, Callable[[int, int], Epoch]]] = {}
    for dtype in ("float32", "int8"):
        spec = FrequencySpec(dtype=dtype)
        ways[f"freqvision DCT-24@448 {dtype}"] = spec, partial(decode_batches, spec, contents)
    missing = {}
    for kind, rival in (("tensors", TorchvisionTensors), ("PIL", TorchvisionPil)):
        name = f"torchvision {kind} RGB-224 float32"
        try:
            rival.require()
            ways[name] = PixelSpec(), partial(load_batches, rival(256, 224), contents)
        except ModuleNotFoundError as error:
            missing[name] = str(error)
    counts = sorted({1, threads})
    tasks = [
        Task.epoch(f"{name} × {count}", start(count, min(BATCH, -(-len(contents) // count))), len(contents))
        for count in counts
        for name, (_, start) in ways.items()
    ]
    bar = progress_bar(total=len(tasks) * (rounds + 1), desc="bench", leave=False, shown=progress)
    with bar, one_thread():
        timings = measure(tasks, rounds, advance=lambda name: bar.update())
    first = next(iter(ways))
    speeds = [
        Speed(
            name,
            spec.bytes_per_image or 0,
            timings.spread(f"{name} × 1"),
            timings.ratio(f"{name} × 1", f"{first} × 1"),
            timings.spread(f"{name} × {counts[-1]}"),
        )
        for name, (spec, _) in ways.items()
    ]
    return speeds, missing


def sound_photos(folder: str | Path, limit: int) -> tuple[list[bytes], int]:
    """The contents of at most `limit` JPEG files, evenly spread over a folder, that every library reads.

    CMYK and damaged files are left out, because a comparison needs the same photos for all; the second value
    is their number.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no JPEG photo in it.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f"no folder {address(folder) or folder}: pass a folder with JPEG photos in it or its sub-folders"
        )
    if limit < 1:
        raise ValueError(f"photos is a number of 1 or more, got {limit}")
    paths = [path for path in find_photos(folder) if path.lower().endswith((".jpg", ".jpeg"))]
    if not paths:
        raise ValueError(f"no JPEG photos below {folder}: looked for files that end in .jpg or .jpeg")
    contents = [Path(path).read_bytes() for path in evenly(paths, limit)]
    good = [content for content in contents if _everyone_reads(content)]
    if not good:
        raise ValueError(f"none of {len(contents)} JPEG files below {folder} is an intact RGB or gray photo")
    return good, len(contents) - len(good)


def default_threads() -> int:
    """One thread for each core, but at most 32."""
    return min(available_cores(), MOST_THREADS)


def busy_cores() -> float | None:
    """Cores' worth of work in the last minute, of all processes; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _everyone_reads(content: bytes) -> bool:
    try:
        read_coefficients(content)
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return image.mode in ("RGB", "L")
    except (JpegError, OSError, SyntaxError, Image.DecompressionBombError):
        return False


def _normalise() -> list[torch.nn.Module]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
