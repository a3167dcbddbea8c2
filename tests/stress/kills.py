"""Trainings that are killed at 20 random moments end as an unbroken run does.

    python tests/stress/kills.py [--kills 20] [--data folder shards table detection] [--processes 1 2 mixed]

`freqvision fit … --ckpt_path auto --checkpoint_steps 1` is started again after each SIGKILL, which hits
one of its processes anywhere in a random step: before, in or after the writing of a checkpoint. Each epoch
has the unbroken run's photos in the same views, none twice, none missing. On the same number of processes
the final weights and the state of the optimiser are equal to the last bit, too; "mixed" starts again with
one, two or three processes.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
os.environ["OMP_NUM_THREADS"] = "1"

from lightning.pytorch import Callback  # noqa: E402
from lightning.pytorch.utilities import rank_zero_only  # noqa: E402

BATCH = 2
SIZES = {"detection": (2, 12)}  # epochs and photos; a step of a detector takes longest
SETTINGS = f"--model.optimisation.lr 0.01 --data.batch_size {BATCH} --data.num_threads 1 \
    --trainer.accelerator cpu --trainer.precision 32-true \
    --trainer.strategy ddp --trainer.callbacks kills.Watch --trainer.num_sanity_val_steps 0 \
    --checkpoint_steps 1 --ckpt_path auto"
TINY = "--model.name tiny --data.resize 72 --data.crop 64"
DETECTOR = "--model Detector --model.name fcos_resnet18_fpn --model.detector.detections 10 --data CocoPhotos \
    --data.resize 64 --data.max_size 96 --data.keep_empty true --data.train_photos scenes/images \
    --data.train_annotations scenes/instances.json --data.validation_photos few/images \
    --data.validation_annotations few/instances.json"
DATA = {
    "folder": f"{TINY} --data.root photos",
    "shards": f"{TINY} --data PhotoShards --data.train shards/train --data.validation shards/validation",
    "table": f"{TINY} --data PhotoTable --data.train table",
    "detection": f"{DETECTOR} --data.root .",
}


class Watch(Callback):
    """Writes down each step as it begins: its number, its epoch, and what each photo looks like."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        views = [hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16] for image in batch[0]]
        line = json.dumps([trainer.global_step, trainer.current_epoch, time.time(), views])
        with open(f"{os.environ['STEPS']}.{trainer.global_rank}", "a") as file:
            file.write(line + "\n")


def write_data() -> None:
    """The photos of each kind of data, in the current folder."""
    from freqvision.data import write_synthetic_photos
    from freqvision.data.folder import list_classes, list_photos
    from freqvision.data.shards import write_shard
    from freqvision.detection.scenes import write_synthetic_scenes

    parts: dict[str, list[tuple[bytes, str]]] = {}
    for part, count, seed in (("train", 4, 0), ("validation", 1, 100)):
        write_synthetic_photos(f"photos/{part}", photos_per_class=count, size=72, seed=seed)
        classes = list_classes(f"photos/{part}")
        files = zip(*list_photos(f"photos/{part}", classes), strict=True)
        parts[part] = [(Path(path).read_bytes(), classes[label]) for path, label in files]
        for number, half in enumerate((parts[part][::2], parts[part][1::2])):
            samples = [(f"{place:03}", ".jpg", photo, name) for place, (photo, name) in enumerate(half)]
            write_shard(f"shards/{part}/{number}.tar", samples)
    write_synthetic_scenes("scenes", SIZES["detection"][1], size=(60, 80))
    write_synthetic_scenes("few", 2, size=(60, 80), seed=100)
    try:
        import datasets
    except ImportError:
        del DATA["table"]
        return
    datasets.disable_progress_bars()
    table = {
        part: datasets.Dataset.from_dict(
            {"image": [photo for photo, _ in rows], "label": [n for _, n in rows]}
        )
        for part, rows in parts.items()
    }
    datasets.DatasetDict(table).save_to_disk("table")


def work(arguments: list[str], rank: int, world: int, port: int, steps: str) -> None:
    """One process of a run, as torchrun starts it."""
    os.setsid()
    log = os.open(f"{steps}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["STEPS"] = steps
    about = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": world,
        "LOCAL_WORLD_SIZE": world,
        "GROUP_RANK": 0,
    }
    about |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "kills"}
    os.environ.update({name: str(value) for name, value in about.items()})
    import pytest
    import torch
    from conftest import register_tiny, shrink_resnets

    from freqvision.training.fit import fit

    register_tiny()
    shrink_resnets(pytest.MonkeyPatch())
    torch.set_num_threads(1)
    rank_zero_only.rank = (
        rank  # Lightning read it from the environment of the process that this one forked from
    )
    fit(arguments)


def start(kind: str, output: Path, world: int, steps: Path) -> list[BaseProcess]:
    """`freqvision fit` on a number of processes, from its last checkpoint if there is one."""
    arguments = [*DATA[kind].split(), *SETTINGS.split(), f"--trainer.devices={world}", f"--output={output}"]
    arguments += [f"--trainer.max_epochs={SIZES.get(kind, (4, 24))[0]}"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["conftest", "freqvision.training.fit", "kills", "datasets"])
    found = [
        context.Process(target=work, args=(arguments, rank, world, port, str(steps))) for rank in range(world)
    ]
    for process in found:
        process.start()
    return found


Line = tuple[int, int, float, list[str]]  # step, epoch, time, views


def read(steps: Path, world: int) -> list[Line]:
    """The steps that the processes of a run have begun."""
    files = (Path(f"{steps}.{rank}") for rank in range(world))
    return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]


def wait(processes: list[BaseProcess], steps: Path) -> None:
    """Until a run has ended by itself."""
    while any(process.is_alive() for process in processes) and not any(p.exitcode for p in processes):
        time.sleep(0.05)
    for process in processes:
        process.kill()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"a run failed:\n{Path(f'{steps}.log').read_text()[-6000:]}")


def kill(
    processes: list[BaseProcess], steps: Path, reached: Callable[[], bool], delay: float, victim: int
) -> None:
    """SIGKILL to one of the processes some time after a place was reached; torchrun ends the others."""
    while not reached():
        if not all(process.is_alive() for process in processes):
            wait(processes, steps)
            raise RuntimeError("a run ended before it was killed")
        time.sleep(0.01)
    time.sleep(delay)
    processes[victim].kill()
    processes[victim].join()
    for other in processes:
        other.terminate()
        other.join(60)
        if other.is_alive():
            other.kill()
            other.join()


def continued(before: list[Line], lines: list[Line]) -> list[Line]:
    """The steps that count: those after the checkpoint with which the next run began are undone."""
    first = min((line[0] for line in lines), default=sys.maxsize)
    return [line for line in before if line[0] < first] + lines


def photos(lines: Iterable[Line]) -> int:
    return sum(len(views) for *_, views in lines)


def by_epoch(lines: Iterable[Line]) -> list[Counter[str]]:
    """The views of each epoch."""
    epochs: list[Counter[str]] = []
    for _, epoch, _, views in sorted(lines, key=lambda line: line[1]):
        epochs += [Counter() for _ in range(len(epochs), epoch + 1)]
        epochs[epoch].update(views)
    return epochs


def same(one, other) -> bool:
    """Whether two parts of checkpoints are equal to the last bit."""
    import torch

    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def final(output: Path) -> list:
    """What has to be equal of a run's last checkpoint."""
    import torch

    last = torch.load(output / "checkpoints/last.ckpt", weights_only=True)
    return [
        last[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    ]


def rehearse(kind: str, processes: str, kills: int, generator: random.Random) -> str:
    """Kill one kind of run; returns what happened.

    Raises:
        AssertionError: The run differs from the unbroken one.
    """
    began = time.monotonic()
    world = 1 if processes == "mixed" else int(processes)
    epochs, count = SIZES.get(kind, (4, 24))
    whole, output = (Path(f"{kind}-{processes}-{what}") for what in ("whole", "killed"))
    wait(start(kind, whole, world, whole.with_suffix(".0")), whole.with_suffix(".0"))
    expected = read(whole.with_suffix(".0"), world)
    assert [len(views) for views in by_epoch(expected)] == [count] * epochs, "each photo once in each epoch"
    times = sorted(moment for _, _, moment, _ in expected[: len(expected) // world])
    second = statistics.median(after - before for before, after in itertools.pairwise(times))
    kept: list[Line] = []
    again = 0
    for number, place in enumerate([*sorted(generator.sample(range(epochs * count), kills)), None]):
        if processes == "mixed":
            world = generator.choice((1, 2, 3))
        steps = output.with_suffix(f".{number}")
        found = start(kind, output, world, steps)
        if place is None:
            wait(found, steps)
        else:

            def reached(before=kept, steps=steps, world=world, place=place) -> bool:
                lines = read(steps, world)
                return bool(lines) and photos(continued(before, lines)) > place

            kill(found, steps, reached, generator.uniform(0, second), generator.randrange(world))
        lines = read(steps, world)
        again += photos(kept) + photos(lines) - photos(continued(kept, lines))
        kept = continued(kept, lines)
    assert by_epoch(kept) == by_epoch(expected)
    text = f"{kind}, {processes}: {kills} kills, {again} of {epochs * count} photos done again; equal views"
    if processes != "mixed":
        assert same(final(whole), final(output)), "weights, optimiser or schedule differ"
        text += ", weights, optimiser, schedule"
    shutil.rmtree(whole)
    shutil.rmtree(output)
    return f"{text} ({time.monotonic() - began:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--processes", nargs="+", choices=["1", "2", "mixed"], default=["1", "2", "mixed"])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        write_data()
        for kind in options.data:
            for processes in options.processes:
                print(rehearse(kind, processes, options.kills, generator), flush=True)


if __name__ == "__main__":
    main()
