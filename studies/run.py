"""Run a study: a table of trainings from one YAML file, gathered into CSV, a table and a figure.

    python studies/run.py studies/inputs.yaml [--jobs 2] [--only rgb-112 dct-24-fold]
    python studies/run.py studies/inputs.yaml --gather         # only gather what is there
    python studies/run.py studies/inputs.yaml --prepare        # time how files become each input, and gather

A study has inputs, seeds and learning rates. Each input is trained with the first seed at each learning rate;
the rate with the best top-1 in the last epoch (of equal ones, the lower loss) is taken for the other seeds.
Each training is a ``freqvision fit`` with a config of its own. Complete runs are skipped, interrupted ones go
on. After each run the results are gathered into docs/results/STUDY: ``runs.csv``, ``configs/``,
``table.md`` and ``figure.png``. How long a photo takes to prepare is measured apart, on one thread, best when
nothing else runs: ``preparation.csv``.
"""

import argparse
import csv
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import yaml

from freqvision.analysis.throughput import Task, measure
from freqvision.analysis.throughput.machine import busy_cores
from freqvision.data.folder import find_photos
from freqvision.data.pixels import decoder_for
from freqvision.engine.checkpoint import description, read_checkpoint
from freqvision.models import model_info
from freqvision.pipeline.progress import progress_bar

# Two-sided 95 % quantiles of Student's t by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True)
class Study:
    """What a YAML file says.

    Args:
        name: Of the file.
        title: Of the figure.
        arguments: Options of `freqvision fit` that all runs share, nested as in its configs.
        inputs: By name: "label", and the "arguments" that set it apart.
        seeds: Of the runs; the first is also that of tuning.
        learning_rates: The grid, the same for each input.
        results: Folder for what is gathered.
        runs: Folder of the runs themselves.
    """

    name: str
    title: str
    arguments: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    seeds: list[int]
    learning_rates: list[float]
    results: Path
    runs: Path

    @classmethod
    def load(cls, path: Path) -> "Study":
        """Read a YAML file.

        Raises:
            ValueError: A key is missing or unknown, or a list is empty.
        """
        found = yaml.safe_load(path.read_text())
        keys = {"title", "arguments", "inputs", "seeds", "learning_rates"}
        if not isinstance(found, dict) or set(found) != keys:
            given = sorted(found) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"{path}: a study has the keys {', '.join(sorted(keys))}; got {given}")
        for key in ("inputs", "seeds", "learning_rates"):
            if not found[key]:
                raise ValueError(f"{path}: {key} is empty")
        for name, one in found["inputs"].items():
            if not isinstance(one, dict) or set(one) != {"label", "arguments"}:
                raise ValueError(f"{path}: input {name!r} has the keys label and arguments; got {one}")
        return cls(
            path.stem, **found, results=Path("docs/results") / path.stem, runs=Path("runs") / path.stem
        )

    def run(self, name: str, seed: int, rate: float) -> "Run":
        """One training."""
        arguments = merged(self.arguments, self.inputs[name]["arguments"])
        arguments = merged(arguments, {"model": {"optimisation": {"lr": rate}}, "seed_everything": seed})
        return Run(name, seed, rate, arguments, self.runs / f"{name}_seed{seed}_lr{rate:g}")

    def chosen_rate(self, name: str) -> float | None:
        """The learning rate that did best with the first seed; None before all of them are through."""
        tried = [self.run(name, self.seeds[0], rate) for rate in self.learning_rates]
        if not all(run.done for run in tried):
            return None
        return min(tried, key=lambda run: (-run.last["val/top1"], run.last["val/loss"])).rate


@dataclass(frozen=True)
class Run:
    """One training of a study."""

    input: str
    seed: int
    rate: float
    arguments: dict[str, Any]
    folder: Path

    @property
    def epochs(self) -> list[dict[str, float]]:
        """Metrics of the epochs so far."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return [
                {key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)
            ]

    @property
    def last(self) -> dict[str, float]:
        """Metrics of the last epoch."""
        return self.epochs[-1]

    @property
    def done(self) -> bool:
        """Whether the last epoch is through."""
        return len(self.epochs) == self.arguments["trainer"]["max_epochs"]

    def train(self, threads: int) -> None:
        """Start it, or go on with it, unless it is done; what it prints goes to ``log.txt``.

        Raises:
            RuntimeError: It failed.
        """
        if self.done:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "study.yaml"
        config.write_text(yaml.safe_dump(self.arguments, sort_keys=False))
        command = [
            sys.executable,
            "-m",
            "freqvision.cli.main",
            "fit",
            "--config",
            config,
            "--output",
            self.folder,
        ]
        if (self.folder / "checkpoints" / "last.ckpt").exists():
            command += ["--ckpt_path", "last"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        log = self.folder / "log.txt"
        with open(log, "a") as file:
            code = subprocess.run(
                list(map(str, command)), stdout=file, stderr=file, env=environment
            ).returncode
        if code != 0 or not self.done:
            raise RuntimeError(f"{self.folder.name} failed with exit code {code}; see {log}")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options, the second laid over the first."""
    result = dict(base)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if nested else value
    return result


def execute(study: Study, names: Iterable[str], jobs: int) -> None:
    """All runs that are missing, the learning rates first, then seed by seed."""
    names = list(names)
    first, *others = study.seeds
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)

    def train_all(runs: list[Run], what: str) -> None:
        with ThreadPoolExecutor(jobs) as pool, progress_bar(total=len(runs), desc=what, unit="run") as bar:
            waiting = {pool.submit(run.train, threads): run for run in runs}
            for future in as_completed(waiting):
                future.result()
                bar.set_postfix_str(waiting[future].folder.name)
                bar.update()
                gather(study)

    train_all([study.run(name, first, rate) for rate in study.learning_rates for name in names], "tuning")
    for seed in others:
        rates = {name: study.chosen_rate(name) for name in names}
        train_all([study.run(name, seed, rate) for name, rate in rates.items() if rate], f"seed {seed}")


def gather(study: Study) -> None:
    """Write what the complete runs say to the study's folder."""
    rows = []
    for name in study.inputs:
        chosen = study.chosen_rate(name)
        for seed in study.seeds:
            for rate in study.learning_rates:
                run = study.run(name, seed, rate)
                if run.done:
                    rows.append(row(study, run, rate == chosen))
    if not rows:
        return
    configs = study.results / "configs"
    configs.mkdir(parents=True, exist_ok=True)
    for one in rows:
        shutil.copy(study.runs / one["run"] / "study.yaml", configs / f"{one['run']}.yaml")
    with open(study.results / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    groups = summarise(study, rows)
    if not groups:  # nothing is tuned yet
        return
    (study.results / "table.md").write_text(markdown(groups, preparation(study)))
    draw(study, groups)


def row(study: Study, run: Run, chosen: bool) -> dict[str, Any]:
    """A line of ``runs.csv``."""
    about = description(read_checkpoint(run.folder / "checkpoints" / "last.ckpt"))
    options = {key: about.options.get(key) for key in ("start", "rgb_size")}
    strides = about.options.get("strides", "standard")
    name = about.options["name"]
    info = model_info(name, about.spec, len(about.class_names), strides=strides, **options)
    epochs = run.epochs
    return {
        "run": run.folder.name,
        "input": run.input,
        "model": name,
        "seed": run.seed,
        "lr": run.rate,
        "chosen": int(chosen),
        "epochs": len(epochs),
        "top1": f"{100 * run.last['val/top1']:.2f}",
        "top5": f"{100 * run.last['val/top5']:.2f}",
        "best_top1": f"{100 * max(epoch['val/top1'] for epoch in epochs):.2f}",
        "val_loss": f"{run.last['val/loss']:.4f}",
        "top1_by_epoch": " ".join(f"{100 * epoch['val/top1']:.1f}" for epoch in epochs),
        "seconds": f"{sum(epoch['seconds'] for epoch in epochs):.0f}",
        "parameters": info.parameters,
        "macs": info.macs,
        "values": info.values,
        "dtype": about.spec.dtype,
        "bytes": info.values * getattr(torch, about.spec.dtype).itemsize,
    }


def time_preparation(study: Study, photos: int = 64, rounds: int = 7) -> None:
    """Time, on one thread, how validation photos become each input of which a run is complete.

    Writes ``preparation.csv``: milliseconds a photo, as median and quartiles of interleaved rounds, and how
    many cores all programs kept busy before.

    Raises:
        ValueError: No run is complete.
    """
    busy = busy_cores()
    tasks = []
    for name in study.inputs:
        tried = [study.run(name, seed, rate) for seed in study.seeds for rate in study.learning_rates]
        run = next((run for run in tried if run.done), None)
        if run is None:
            continue
        data = run.arguments["data"]
        files = find_photos(Path(data["root"]) / data.get("validation", "validation"))
        files = files[:: max(1, len(files) // photos)][:photos]
        decode = decoder_for(description(read_checkpoint(run.folder / "checkpoints" / "last.ckpt")).spec, 1)
        tasks.append(Task(name, partial(decode, files), len(files)))
    if not tasks:
        raise ValueError(f"{study.runs} holds no complete run yet, whose input could be prepared")
    timings = measure(tasks, rounds)
    study.results.mkdir(parents=True, exist_ok=True)
    with open(study.results / "preparation.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "ms", "ms_q25", "ms_q75", "photos", "rounds", "busy_cores"])
        for task in tasks:
            spread = timings.spread(task.name)
            times = [f"{value:.3f}" for value in (spread.median, spread.low, spread.high)]
            writer.writerow([task.name, *times, task.photos, rounds, busy])


def preparation(study: Study) -> dict[str, str]:
    """Milliseconds a photo by input, so far as they were measured."""
    path = study.results / "preparation.csv"
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {row["input"]: row["ms"] for row in csv.DictReader(file)}


@dataclass(frozen=True)
class Group:
    """The runs of an input at its learning rate."""

    label: str
    rows: list[dict[str, Any]]

    def mean(self, key: str) -> float:
        """Over the seeds."""
        return sum(float(row[key]) for row in self.rows) / len(self.rows)

    def interval(self, key: str) -> float | None:
        """Half of the 95 % confidence interval of the mean, by Student's t; None of a single run."""
        count = len(self.rows)
        if count < 2:
            return None
        variance = sum((float(row[key]) - self.mean(key)) ** 2 for row in self.rows) / (count - 1)
        return STUDENT[count - 1] * math.sqrt(variance / count)


def summarise(study: Study, rows: list[dict[str, Any]]) -> list[Group]:
    """The runs that count, by input, in the order of the YAML file."""
    groups = []
    for name, one in study.inputs.items():
        mine = [row for row in rows if row["input"] == name and row["chosen"]]
        if mine:
            groups.append(Group(one["label"], mine))
    return groups


def markdown(groups: list[Group], preparation: Mapping[str, str] = MappingProxyType({})) -> str:
    """A table, a line for each input; `preparation` is in milliseconds a photo, by input."""
    titles = ["input", "top-1, %", "top-5, %", "seeds", "learning rate"]
    titles += ["GMAC", "parameters", "values", "sent as", "bytes", "prepared in, ms"]
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
    for group in groups:
        cells = [group.label]
        for key in ("top1", "top5"):
            half = group.interval(key)
            cells.append(f"{group.mean(key):.1f}" + ("" if half is None else f" ± {half:.1f}"))
        one = group.rows[0]
        cells += [
            str(len(group.rows)),
            f"{one['lr']:g}",
            f"{one['macs'] / 1e9:.3f}",
            f"{one['parameters']:,}",
        ]
        cells += [f"{one['values']:,}", one["dtype"], f"{one['bytes']:,}"]
        cells.append(f"{float(preparation[one['input']]):.2f}" if one["input"] in preparation else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(study: Study, groups: list[Group]) -> None:
    """Each input's mean with its interval, and its runs as dots."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 1.2 + 0.42 * len(groups)), layout="constrained")
    for place, group in enumerate(groups):
        values = [float(row["top1"]) for row in group.rows]
        axes.errorbar(
            group.mean("top1"), place, xerr=group.interval("top1") or 0, fmt="o", color="#1f77b4", capsize=4
        )
        axes.plot(values, [place + 0.22] * len(values), "|", color="0.4", markersize=8)
    labels = [f"{group.label}\n{group.rows[0]['bytes'] / 1000:,.0f} kB" for group in groups]
    axes.set_yticks(range(len(groups)), labels=labels, fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.set(xlabel="top-1 in %: mean, 95 % interval, single runs below", title=study.title)
    figure.savefig(study.results / "figure.png", dpi=150)
    plt.close(figure)


def main() -> None:
    """Run what is missing, and gather."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="YAML file; studies/inputs.yaml shows its keys")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, sharing the cores")
    parser.add_argument("--only", nargs="+", metavar="INPUT", help="only these inputs")
    parser.add_argument("--gather", action="store_true", help="train nothing")
    parser.add_argument("--prepare", action="store_true", help="train nothing, time the making of inputs")
    options = parser.parse_args()
    try:
        study = Study.load(options.study)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(str(error))
    unknown = set(options.only or ()) - set(study.inputs)
    if unknown or options.jobs < 1:
        parser.error(
            f"no input {', '.join(unknown)}; there are {', '.join(study.inputs)}" if unknown else "--jobs"
        )
    if options.prepare:
        try:
            time_preparation(study)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    elif not options.gather:
        execute(study, options.only or study.inputs, options.jobs)
    gather(study)


if __name__ == "__main__":
    main()
