"""From files to a training step: RGB-224 next to DCT-24, in each type that can be sent.

    python benchmarks/training.py [FOLDER] [--network resnet50 --device cuda --precision bfloat16]

For each input and type, in one interleaved run: reading a batch, copying it to the device (from pinned memory
on a GPU), a training step on it, and all three for one batch after the other. The share is that of the whole
in which the device has nothing to train on; a reader that works ahead hides it where the host has cores to
spare.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from throughput.machine import facts
from throughput.options import parser as option_parser
from torch.nn import functional as F

import freqvision as fv
from freqvision.analysis.speed import TorchvisionTensors, busy_cores
from freqvision.analysis.timing import Task, Timings, measure
from freqvision.runtime import available_cores, batches, markdown, progress_bar

PARTS = ("read", "copy", "step", "whole")
Read = Callable[[Sequence[Path]], torch.Tensor]


@dataclass(frozen=True)
class Input:
    """What is read and sent.

    Args:
        name: Unique.
        spec: Of a photo.
        read: Files to a batch.
    """

    name: str
    spec: fv.FrequencySpec | fv.PixelSpec
    read: Read


def inputs(pool: ThreadPoolExecutor, threads: int) -> Iterator[Input]:
    """RGB-224 by torchvision's decoder and transforms on tensors, DCT-24 at 448 by `Decoder`."""
    for dtype in ("float32", "bfloat16", "uint8"):
        yield Input(f"RGB-224 {dtype}", fv.PixelSpec(dtype=dtype), pixel_reader(dtype, pool))
    for dtype in ("float32", "bfloat16", "int8"):
        spec = fv.FrequencySpec(dtype=dtype)
        decode = fv.Decoder(spec, num_threads=threads)
        yield Input(f"DCT-24@448 {dtype}", spec, lambda files, decode=decode: decode(list(files)))


def pixel_reader(dtype: str, pool: ThreadPoolExecutor) -> Read:
    """Files to a batch of pixels, one photo per thread."""
    load = TorchvisionTensors(256, 224, "uint8" if dtype == "uint8" else "float32")
    sent = getattr(torch, dtype)

    def one(file: Path) -> torch.Tensor:
        return load(file.read_bytes()).to(sent)

    return lambda files: torch.stack(list(pool.map(one, files)))


class Trainer:
    """Takes training steps of a network on a device."""

    def __init__(
        self, network: str, spec: fv.FrequencySpec | fv.PixelSpec, device: str, precision: str
    ) -> None:
        model = fv.create_model(network, spec=spec).train()
        self.model = model.to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.device = device
        self.dtype = getattr(torch, precision)

    def copy(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch on the device, once it is there."""
        batch = batch.to(self.device, non_blocking=True)
        self.wait()
        return batch

    def step(self, batch: torch.Tensor) -> None:
        """Forwards, backwards, and a step of the optimiser, to its end."""
        batch = batch.contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(len(batch), dtype=torch.int64, device=self.device)
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            loss = F.cross_entropy(self.model(batch), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.wait()

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()


def tasks(one: Input, trainer: Trainer, files: Sequence[Path], batch: int) -> list[Task]:
    """The parts of a training on these files, and the whole."""
    chunks = list(batches(files, batch))
    pinned = trainer.device != "cpu"

    def read(chunk: Sequence[Path]) -> torch.Tensor:
        return one.read(chunk).pin_memory() if pinned else one.read(chunk)

    host = [read(chunk) for chunk in chunks]
    there = [trainer.copy(images) for images in host]
    parts: dict[str, Callable[[], object]] = {
        "read": lambda: [read(chunk) for chunk in chunks],
        "copy": lambda: [trainer.copy(images) for images in host],
        "step": lambda: [trainer.step(images) for images in there],
        "whole": lambda: [trainer.step(trainer.copy(read(chunk))) for chunk in chunks],
    }
    return [Task(f"{one.name}: {part}", parts[part], len(files)) for part in PARTS]


def table(timings: Timings, every: Sequence[Input]) -> str:
    """Markdown, milliseconds per photo; the first input is 1."""
    titles = ["input", "kB to device", "read, ms", "copy, ms", "step, ms"]
    titles += ["files to step, photos/s", f"times {every[0].name}", "device waits"]
    lines = [titles]
    for one in every:
        read, copy, step, whole = (timings.spread(f"{one.name}: {part}").median for part in PARTS)
        gain = timings.ratio(f"{every[0].name}: whole", f"{one.name}: whole").median
        waits = timings.ratio(f"{one.name}: step", f"{one.name}: whole").median
        cells = [one.name, f"{(one.spec.bytes_per_image or 0) / 1000:.1f}"]
        cells += [f"{read:.2f}", f"{copy:.3f}", f"{step:.1f}"]
        cells += [f"{1000 / whole:.1f}", f"{gain:.2f}", f"{100 * max(0.0, 1 - waits):.0f} %"]
        lines.append(cells)
    return markdown(lines)


def main() -> None:
    """Time, print the table, and write it with all numbers if asked to."""
    parser = option_parser(__doc__, rounds=5, photos=64)
    parser.add_argument("--network", default="resnet50", help="with a grid of 56×56: ResNets")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--threads", type=int, default=available_cores(), help="that read and, on a CPU, compute"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--output", type=Path, help="JSON file for all numbers")
    options = parser.parse_args()
    files = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        parser.error(f"{options.folder} holds no JPEG photos")
    files = files[: options.photos]
    torch.set_num_threads(options.threads)
    about = facts()
    with ThreadPoolExecutor(options.threads) as pool:
        every = list(inputs(pool, options.threads))
        jobs: list[Task] = []
        for one in every:
            trainer = Trainer(options.network, one.spec, options.device, options.precision)
            jobs += tasks(one, trainer, files, options.batch)
        with progress_bar(total=len(jobs) * (options.rounds + 1), unit="pass", leave=False) as bar:
            timings = measure(jobs, options.rounds, advance=lambda name: bar.update())
    print(
        f"{options.network}, {about['cpu']}, {options.threads} threads, {options.device}, "
        f"{options.precision}, batches of {options.batch}, {len(files)} photos, {options.rounds} interleaved "
        f"rounds, medians; {about['load']} cores busy before, {busy_cores()} at the end; "
        f"torch {about['versions']['torch']}\n\n{table(timings, every)}"
    )
    if options.output:
        numbers = {name: timings.rounds(name).tolist() for name in timings.names}
        settings = {name: str(value) for name, value in vars(options).items()}
        options.output.write_text(
            json.dumps({"machine": about, "settings": settings, "ms_per_photo": numbers}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
