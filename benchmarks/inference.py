"""From files to classes: RGB-224 against DCT-24, and where the time goes.

    python benchmarks/inference.py [FOLDER] [--device cuda --precision bfloat16]

Everything is timed in one interleaved run, with random weights: they cost the same. RGB-224 is read twice:
by torchvision's own decoder and transforms on tensors, one photo a thread, and by ``Decoder``, whose native
pass also reads the DCT channels. So the first pair of rows shows what the native pass saves, the others what
frequencies do. On a CPU the network and the reading share the cores, one after the other, and times are CPU
time of all threads; on a GPU they are wall time.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from throughput.machine import facts
from throughput.options import parser as option_parser
from torch import nn

import freqvision as fv
from freqvision.analysis.accuracy import transport_spec
from freqvision.analysis.speed import TorchvisionTensors
from freqvision.analysis.timing import Task, Timings, measure
from freqvision.runtime import available_cores, batches, markdown, progress_bar

CROPS = {"resnet50": 448, "mobilenet_v2": 896}  # whose DCT channels fill the grid after the RGB stem
TRUNKS = {"resnet50": "layer1", "mobilenet_v2": "features.2"}  # after the layers that an input replaces
EQUAL = "RGB-224 uint8"  # read by the same native pass
WHAT = ("reading", "first layers", "network", "files to classes")


@dataclass(frozen=True)
class Input:
    """A network with one of its inputs.

    Args:
        name: Unique.
        read: Contents of files to a batch.
        network: Batch to logits.
        bytes_per_image: That are sent to the device.
    """

    name: str
    read: Callable[[Sequence[bytes]], torch.Tensor]
    network: nn.Module
    bytes_per_image: int


def inputs(network: str, pool: ThreadPoolExecutor, threads: int) -> Iterator[Input]:
    """RGB, the same weights on channels sent for pixels, the stem folded, and the network without a stem."""
    pixels = fv.PixelSpec(dtype="uint8")
    rgb = fv.create_model(network, spec=pixels)
    load = TorchvisionTensors(256, 224, "uint8")
    yield Input(
        f"{network} RGB-224 uint8, torchvision",
        lambda contents: torch.stack(list(pool.map(load, contents))),
        rgb,
        pixels.bytes_per_image,
    )
    yield Input(f"{network} {EQUAL}", fv.Decoder(pixels, num_threads=threads), rgb, pixels.bytes_per_image)
    small = transport_spec(pixels, fv.ChannelSet.preset(24), "int8")
    sent = fv.Decoder(small, num_threads=threads)
    yield Input(
        f"{network} DCT-24@448 int8, Transport", sent, fv.Transport(rgb, small), small.bytes_per_image
    )
    folded = fv.create_model(network, spec=small, start="fold")
    yield Input(f"{network} DCT-24@448 int8, fold", sent, folded, small.bytes_per_image)
    crop = CROPS[network]
    spec = fv.FrequencySpec.for_crop(crop, dtype="int8")
    yield Input(
        f"{network} DCT-24@{crop} int8",
        fv.Decoder(spec, num_threads=threads),
        fv.create_model(network, spec=spec),
        spec.bytes_per_image,
    )


class Classifier:
    """Runs a network on a device, and waits for its answer."""

    def __init__(self, network: nn.Module, device: str, precision: str) -> None:
        self.network = network.to(device, memory_format=torch.channels_last).eval()
        self.device = device
        self.dtype = getattr(torch, precision)

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Classes of a batch, on the host again: (B,) of int64."""
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(batch.to(self.device, non_blocking=True)).argmax(1).cpu()

    def first_layers(self, batch: torch.Tensor, trunk: str) -> None:
        """Stop where `trunk` begins, by the end of its module's name."""
        module = next(one for name, one in self.network.named_modules() if name.endswith(trunk))
        handle = module.register_forward_pre_hook(_stop)
        try:
            self(batch)
        except _StopEarlyError:
            if self.device != "cpu":
                torch.accelerator.synchronize()
        finally:
            handle.remove()


class _StopEarlyError(Exception):
    pass


def _stop(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    raise _StopEarlyError


def tasks(contents: Sequence[bytes], options: argparse.Namespace, pool: ThreadPoolExecutor) -> list[Task]:
    """For each network and input: reading, first layers, the whole network, and from files to classes."""
    chunks = list(batches(contents, options.batch))
    result = []
    for network in options.networks:
        for one in inputs(network, pool, options.threads):
            classify = Classifier(one.network, options.device, options.precision)
            ready = [one.read(chunk) for chunk in chunks]
            for what, run, over in (
                (WHAT[0], one.read, chunks),
                (WHAT[1], partial(classify.first_layers, trunk=TRUNKS[network]), ready),
                (WHAT[2], classify, ready),
                (WHAT[3], partial(_read_and_classify, one.read, classify), chunks),
            ):
                result.append(Task(f"{one.name}: {what}", partial(_for_each, run, over), len(contents)))
    return result


def _read_and_classify(
    read: Callable[..., torch.Tensor], classify: Classifier, chunk: Sequence[bytes]
) -> None:
    classify(read(chunk))


def _for_each(run: Callable[..., object], over: Sequence[object]) -> None:
    for one in over:
        run(one)


def table(timings: Timings, bytes_per_image: dict[str, int]) -> str:
    """Markdown; ratios are of times, to those of RGB read by the same native pass."""
    head = ["input", "bytes"]
    for what in WHAT:
        head += [f"{what}, ms", "/ RGB"]
    lines = [head]
    for name in dict.fromkeys(name.rpartition(":")[0] for name in timings.names):
        cells = [name, f"{bytes_per_image[name]:,}"]
        for what in WHAT:
            rgb = f"{name.split()[0]} {EQUAL}: {what}"
            task = f"{name}: {what}"
            cells += [f"{timings.spread(task).median:.2f}", f"{timings.ratio(task, rgb):.2f}"]
        lines.append(cells)
    return markdown(lines)


def main() -> None:
    """Time, print the table, and write it with all numbers if asked to."""
    parser = option_parser(__doc__, rounds=5, photos=64)
    parser.add_argument("--networks", nargs="+", default=list(CROPS), choices=list(CROPS))
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
    contents = [path.read_bytes() for path in files[: options.photos]]
    torch.set_num_threads(options.threads)
    about = facts()
    with ThreadPoolExecutor(options.threads) as pool:
        every = tasks(contents, options, pool)
        sizes = {one.name: one.bytes_per_image for name in options.networks for one in inputs(name, pool, 1)}
        with progress_bar(total=len(every) * (options.rounds + 1), unit="pass", leave=False) as bar:
            clock = time.process_time if options.device == "cpu" else time.perf_counter
            timings = measure(every, options.rounds, advance=lambda name: bar.update(), clock=clock)
    print(
        f"{about['cpu']}, {options.threads} threads, {options.device}, {options.precision}, batches of "
        f"{options.batch}, {len(contents)} photos, {options.rounds} interleaved rounds, medians (quartiles); "
        f"torch {about['versions']['torch']}\n\n{table(timings, sizes)}"
    )
    if options.output:
        numbers = {name: timings.rounds(name).tolist() for name in timings.names}
        settings = {name: str(value) for name, value in vars(options).items()}
        options.output.write_text(
            json.dumps({"machine": about, "settings": settings, "ms_per_photo": numbers}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
