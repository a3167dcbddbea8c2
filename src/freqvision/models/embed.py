"""Photos → features of a model, in files that other tools read: Parquet or safetensors."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqvision.data.loader import PhotoLoader
from freqvision.data.pack import digest
from freqvision.data.sources import Sources
from freqvision.inputs.decoder import DAMAGED, Decoder
from freqvision.inputs.spec import InputSpec
from freqvision.parts import Part, map_parts, recorded, same_settings, split
from freqvision.runtime import choose_device, fastest_precision, replacing

FORMATS = {"parquet": ".parquet", "safetensors": ".safetensors"}
DTYPES = {"float32": torch.float32, "float16": torch.float16}
PRECISIONS = ("bf16", "float32")


@dataclass
class Embedding:
    """What `embed_photos` did.

    Args:
        photos: Photos whose features were written, in this run or before.
        dimensions: Length of a feature.
        damaged: Cause of each photo that was left out or seen in part, by its name.
    """

    photos: int = 0
    dimensions: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def embed_photos(
    photos: Sources,
    output: str | Path,
    model: Callable[[], nn.Module],
    *,
    about: str,
    file_format: str = "parquet",
    dtype: str = "float32",
    precision: str | None = None,
    photos_per_shard: int = 10_000,
    batch_size: int = 64,
    damaged: str = "error",
    device: str | None = None,
    num_threads: int = 0,
    ray: str | None = None,
) -> Embedding:
    """Write the features of photos to files; those that are there are kept, so that a stopped run continues.

    A file has a row for each photo, in the photos' order: its "name", its "label" (-1 for none) and its
    "features", a list of fixed length in Parquet; in safetensors "features" (N, D) and "labels" (N,), with
    the names in the metadata. A JSON file next to each says how many rows it has and which photos were
    damaged.

    Args:
        photos: See `freqvision.data.open_sources`.
        output: Folder of the files.
        model: ``model()`` gives a model of `feature_model`, or another whose ``spec`` says what it reads and
            whose output is (B, D). It is called once in each process, so for Ray it can be pickled.
        about: What the model is; a run that continues with another is refused.
        file_format: "parquet" or "safetensors".
        dtype: Of the features, "float32" or "float16".
        precision: The model computes in "bf16" or "float32"; None is bf16 where this machine multiplies it.
        photos_per_shard: Photos in a file.
        batch_size: Photos in a batch.
        damaged: "error" stops at a damaged photo, "skip" leaves it out, "decode" takes what is there.
        device: As torch names it; None is a GPU where there is one.
        num_threads: Threads that decode; with Ray the cores of a process.
        ray: Address of a Ray cluster to work on, see `freqvision.parts.map_parts`; each process has a GPU if
            the device is one.

    Raises:
        ValueError: An argument is none of those it can be, or the folder was begun with others; the model's
            input has no fixed size.
        ModuleNotFoundError: Parquet needs pyarrow.
        JpegError, OSError: A photo cannot be read; the message names it.
    """
    for name, value, valid in (
        ("file_format", file_format, tuple(FORMATS)),
        ("dtype", dtype, tuple(DTYPES)),
        ("precision", precision, (None, *PRECISIONS)),
        ("damaged", damaged, DAMAGED),
    ):
        if value not in valid:
            raise ValueError(f"{name} is one of {', '.join(map(str, valid))}; got {value!r}")
    if file_format == "parquet":
        import pyarrow  # noqa: F401  missing, it is said before the work and not after it
    output = Path(output)
    device = device if ray is not None and device else choose_device(device)
    fastest = fastest_precision(device.partition(":")[0])
    precision = precision or ("bf16" if fastest.startswith("bf16") else "float32")
    settings = {
        "model": about,
        "names": digest(photos),
        "photos": len(photos),
        "photos_per_shard": photos_per_shard,
        "batch_size": batch_size,
        "precision": precision,
        "dtype": dtype,
        "format": file_format,
        "damaged": damaged,
    }
    same_settings(output / "_embed.json", settings)
    num_threads = num_threads if ray is None else max(1, num_threads)
    work = _Work(photos, output, model, settings, device, num_threads)
    parts = split(len(photos), photos_per_shard)
    gpus = 1 if device.startswith("cuda") else 0
    done = Embedding()
    for record in map_parts(work, parts, ray=ray, cpus=max(1, num_threads), gpus=gpus, desc="embed"):
        done.photos += record["photos"]
        done.dimensions = record["dimensions"] or done.dimensions
        done.damaged |= record["damaged"]
    return done


_MODELS: dict[str, nn.Module] = {}  # of this process: the last one, which a worker of Ray's uses many times


@dataclass
class _Work:
    """Embeds parts of photos."""

    photos: Sources
    output: Path
    model: Callable[[], nn.Module]
    settings: dict[str, Any]
    device: str
    num_threads: int

    def __call__(self, part: Part, count: Callable[[int], Any]) -> dict[str, Any]:
        number = part[0] // self.settings["photos_per_shard"]
        file = self.output / f"features-{number:06}{FORMATS[self.settings['format']]}"
        return recorded(file, partial(self._write, file, part, count))

    def _write(self, file: Path, part: Part, count: Callable[[int], Any]) -> dict[str, Any]:
        key = f"{self.device} {self.output} {self.settings}"
        if key not in _MODELS:
            _MODELS.clear()
            _MODELS[key] = self.model().to(self.device).eval()
        places, features, damaged = self._features(_MODELS[key], part, count)
        names = [self.photos.name(place) for place in places]
        labels = self.photos.labels[places]
        write = _write_parquet if file.suffix == ".parquet" else _write_safetensors
        with replacing(file) as draft:
            write(draft, names, labels, features)
        return {"photos": len(places), "dimensions": features.shape[1], "damaged": damaged}

    @torch.inference_mode()
    def _features(
        self, model: nn.Module, part: Part, count: Callable[[int], Any]
    ) -> tuple[list[int], torch.Tensor, dict[str, str]]:
        """Places of the photos that could be read, their features (N, D), and the damage by name."""
        spec: InputSpec = model.spec  # type: ignore[assignment]
        if spec.shape is None:
            raise ValueError("the model's input has no fixed size: set its spec's crop")
        damaged = self.settings["damaged"]
        batches = _Batches(self.photos, Decoder(spec, self.num_threads, damaged=damaged))
        size = self.settings["batch_size"]
        parts = [list(range(start, min(start + size, part[1]))) for start in range(*part, size)]
        autocast = torch.autocast(
            self.device.partition(":")[0], torch.bfloat16, enabled=self.settings["precision"] == "bf16"
        )
        places: list[int] = []
        found: list[torch.Tensor] = []
        causes: dict[str, str] = {}
        for inputs, good, errors in PhotoLoader(batches, batch_sampler=parts, device=self.device):
            if errors and damaged != "skip":
                raise next(iter(errors.values()))
            causes |= {self.photos.name(place): str(error) for place, error in errors.items()}
            if good:
                with autocast:
                    outputs = model(inputs)
                if outputs.ndim != 2:
                    raise ValueError(f"features are (B, D); the model gave {tuple(outputs.shape)}")
                places += good
                found.append(outputs.to("cpu", DTYPES[self.settings["dtype"]]))
            count(len(good) + len(errors))
        if damaged == "decode":
            causes |= batches.decoder.damage
        if not found:  # all are damaged, but the file has its columns
            blank = torch.zeros(1, *spec.shape, dtype=spec.torch_dtype, device=self.device)
            found = [model(blank)[:0].to("cpu", DTYPES[self.settings["dtype"]])]
        return places, torch.cat(found), causes


@dataclass
class _Batches:
    """Batches of decoded photos by their places, as a `PhotoLoader` loads them ahead."""

    photos: Sources
    decoder: Decoder

    def __getitems__(self, places: list[int]) -> tuple[torch.Tensor, list[int], dict[int, Exception]]:
        inputs, errors = self.decoder.try_decode(self.photos.take(places))
        good = [place for place in range(len(places)) if place not in errors]
        inputs = inputs[good] if errors else inputs
        return inputs, [places[place] for place in good], {places[p]: error for p, error in errors.items()}

    def fetch(self, places: Sequence[int]) -> None:
        """Begin to fetch photos of a later batch, if they are far away."""
        self.photos.fetch(places)


def _write_parquet(file: Path, names: list[str], labels: torch.Tensor, features: torch.Tensor) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    lists = pa.FixedSizeListArray.from_arrays(features.flatten().numpy(), features.shape[1])
    columns = {"name": names, "label": pa.array(labels.numpy()), "features": lists}
    parquet.write_table(pa.table(columns), file)


def _write_safetensors(file: Path, names: list[str], labels: torch.Tensor, features: torch.Tensor) -> None:
    from safetensors.torch import save_file

    save_file({"features": features, "labels": labels}, file, {"names": json.dumps(names)})
