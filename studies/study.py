"""A study: inputs, seeds and learning rates from a YAML file, the runs they make, and their results."""

import csv
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from freqvision.analysis.accuracy import measure, transport_spec
from freqvision.analysis.probe import find_labelled_photos
from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.models import Transport, load, model_info, read_saved
from freqvision.spectrum.channels import BLOCK, ChannelSet

Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A study as its YAML file describes it.

    Args:
        name: Name of the file, without its extension.
        title: Title of the figure.
        arguments: Options of `freqvision fit` that all runs share, nested as in its configs.
        inputs: By name: "label", and either the "arguments" that set it apart, or "transport": the name of an
            RGB input ("of") whose trained networks are fed DCT "channels" at "scale" times their size.
        seeds: Seeds of the runs; learning rates are compared with the first.
        learning_rates: Learning rates to try, the same for each input.
        results: Folder of the gathered results.
        runs: Folder of the runs.
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
            ValueError: A key is missing or unknown, a list is empty, or a transported input does not exist.
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
            keys_of_one = set(one) if isinstance(one, dict) else set()
            if keys_of_one not in ({"label", "arguments"}, {"label", "transport"}):
                raise ValueError(
                    f"{path}: input {name!r} has the keys label and either arguments or transport; got {one}"
                )
            base = one.get("transport")
            if base is None:
                continue
            if set(base) != {"of", "channels", "scale"} or "arguments" not in found["inputs"].get(
                base["of"], {}
            ):
                raise ValueError(
                    f"{path}: transport of input {name!r} has the keys of (a trained input), channels "
                    f"and scale; got {base}"
                )
        return cls(
            path.stem, **found, results=Path("docs/results") / path.stem, runs=Path("runs") / path.stem
        )

    @property
    def trained(self) -> list[str]:
        """Names of the inputs that networks are trained on."""
        return [name for name, one in self.inputs.items() if "arguments" in one]

    def run(self, name: str, seed: int, rate: float) -> "Run":
        """One training."""
        arguments = merged(self.arguments, self.inputs[name]["arguments"])
        arguments = merged(arguments, {"model": {"optimisation": {"lr": rate}}, "seed_everything": seed})
        return Run(name, seed, rate, arguments, self.runs / f"{name}_seed{seed}_lr{rate:g}", self.results)

    def planned(self) -> dict[str, dict[str, Any]]:
        """Settings of every run that the file plans, by the run's name."""
        found = {}
        for name, one in self.inputs.items():
            base = one.get("transport", {}).get("of")
            for seed in self.seeds:
                for rate in self.learning_rates:
                    run = self.run(base or name, seed, rate)
                    if base is None:
                        found[run.folder.name] = run.arguments
                    else:
                        key = f"{name}_of_{run.folder.name}"
                        found[key] = {**run.arguments, "transport": one["transport"]}
        return found

    def chosen_rate(self, name: str) -> float | None:
        """The learning rate with the lowest loss for the first seed; None until all have been tried."""
        rows = [self.run(name, self.seeds[0], rate).row for rate in self.learning_rates]
        tried = [row for row in rows if row is not None]
        if len(tried) < len(rows):
            return None

        def loss(row: Row) -> float:
            value = float(row["val_loss"])
            return math.inf if math.isnan(value) else value  # NaN: the run diverged

        return float(min(tried, key=loss)["lr"])

    def rows(self) -> list[Row]:
        """Lines of ``runs.csv``: every complete run, in the order of the study's file."""
        rows = []
        for name in self.inputs:
            base = self.inputs[name].get("transport", {}).get("of")
            rate = self.chosen_rate(base or name)
            for seed in self.seeds:
                if base is None:
                    for one in self.learning_rates:
                        row = self.run(name, seed, one).row
                        if row is not None:
                            rows.append({**row, "chosen": int(one == rate)})
                elif rate is not None:
                    row = self.transported(name, self.run(base, seed, rate))
                    if row is not None:
                        rows.append({**row, "chosen": 1})
        return rows

    def sent_spec(self, name: str, pixels: PixelSpec) -> FrequencySpec:
        """The input that is sent to a network trained on `pixels`."""
        options = self.inputs[name]["transport"]
        return transport_spec(pixels, ChannelSet.parse(str(options["channels"])), "int8", options["scale"])

    def transported(self, name: str, run: "Run") -> Row | None:
        """A line for a trained RGB network fed with channels; None while it cannot be measured."""
        options = self.inputs[name]["transport"]
        key = f"{name}_of_{run.folder.name}"
        kept = kept_row(self.results, key, {**run.arguments, "transport": options})
        if kept is not None:
            return kept
        if not run.checkpoint.exists() or run.row is None:
            return None
        model = load(run.checkpoint)
        classes = model.class_names
        data = run.arguments["data"]
        photos = find_labelled_photos(Path(data["root"]) / data.get("validation", "validation"), classes)
        spec = self.sent_spec(name, model.spec)
        pixels = BLOCK // options["scale"]
        found = measure(Transport(model, spec, pixels=pixels), spec, photos, progress=False)
        blocks = spec.grid[0] * spec.grid[1]
        row = {
            **run.row,
            "run": key,
            "input": name,
            "top1": f"{100 * found.top1:.2f}",
            "top5": f"{100 * found.top5:.2f}",
            **dict.fromkeys(("best_top1", "val_loss", "top1_by_epoch", "seconds", "open"), ""),
            "macs": int(run.row["macs"]) + blocks * len(spec.channels) * 3 * pixels**2,
            "values": blocks * len(spec.channels),
            "dtype": "int8",
            "bytes": found.bytes_per_image,
        }
        return keep(self.results, row, {**run.arguments, "transport": options})


@dataclass(frozen=True)
class Run:
    """One training of a study."""

    input: str
    seed: int
    rate: float
    arguments: dict[str, Any]
    folder: Path
    results: Path

    @property
    def checkpoint(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def epochs(self) -> list[dict[str, float]]:
        """Metrics of the epochs so far, if it ran on this machine."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return [
                {key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)
            ]

    @property
    def trained(self) -> bool:
        """Whether the last epoch has finished and its checkpoint is written, on this machine."""
        count = self.arguments["trainer"]["max_epochs"]
        if len(self.epochs) != count:
            return False
        try:  # the checkpoint is written after the metrics
            return bool(read_saved(self.checkpoint).epoch == count - 1)
        except (FileNotFoundError, ValueError):
            return False

    @property
    def row(self) -> Row | None:
        """Its line of ``runs.csv``, from there or from this machine's run; None until it is complete."""
        kept = kept_row(self.results, self.folder.name, self.arguments)
        if kept is not None or not self.trained:
            return kept
        return keep(self.results, self._measured(), self.arguments)

    def train(self, threads: int) -> None:
        """Start or resume it; its output goes to ``log.txt``.

        Raises:
            RuntimeError: The training failed.
        """
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
        if self.checkpoint.exists():
            command += ["--ckpt_path", "last"]
        log = self.folder / "log.txt"
        with open(log, "a") as file:
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            code = subprocess.run(
                list(map(str, command)), stdout=file, stderr=file, env=environment
            ).returncode
        if code != 0 or not self.trained:
            raise RuntimeError(f"{self.folder.name} failed with exit code {code}; see {log}")

    def _measured(self) -> Row:
        about = read_saved(self.checkpoint)
        options = {key: about.options.get(key) for key in ("start", "rgb_size")}
        strides = about.options.get("strides", "standard")
        name = about.name
        info = model_info(name, about.spec, len(about.names()), strides=strides, **options)
        epochs = self.epochs
        last = epochs[-1]
        return {
            "run": self.folder.name,
            "input": self.input,
            "model": name,
            "seed": self.seed,
            "lr": self.rate,
            "chosen": 0,
            "epochs": len(epochs),
            "top1": f"{100 * last['val/top1']:.2f}",
            "top5": f"{100 * last['val/top5']:.2f}",
            "best_top1": f"{100 * max(epoch['val/top1'] for epoch in epochs):.2f}",
            "val_loss": f"{last['val/loss']:.4f}",
            "top1_by_epoch": " ".join(f"{100 * epoch['val/top1']:.1f}" for epoch in epochs),
            "seconds": f"{sum(epoch['seconds'] for epoch in epochs):.0f}",
            "open": f"{100 * last['val/open']:.1f}" if "val/open" in last else "",
            "parameters": info.parameters,
            "macs": info.macs,
            "values": info.values,
            "dtype": about.spec.dtype,
            "bytes": info.values * getattr(torch, about.spec.dtype).itemsize,
        }


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options, the second laid over the first."""
    result = dict(base)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if nested else value
    return result


def fingerprint(arguments: dict[str, Any]) -> str:
    """Twelve hex digits that stand for a run's settings in ``runs.csv``."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:12]


def kept_row(results: Path, name: str, arguments: dict[str, Any]) -> Row | None:
    """The line that ``runs.csv`` holds for a run with exactly these settings."""
    table = results / "runs.csv"
    if not table.exists():
        return None
    wanted = (name, fingerprint(arguments))
    with open(table, newline="") as file:
        return next(
            (dict(row) for row in csv.DictReader(file) if (row["run"], row["settings"]) == wanted), None
        )


def keep(results: Path, row: Row, arguments: dict[str, Any]) -> Row:
    """Write a run's line to ``runs.csv``, in place of an older one; returns it with the fingerprint."""
    row = {"run": row["run"], "settings": "", **row} | {"settings": fingerprint(arguments)}
    table = results / "runs.csv"
    others = []
    if table.exists():
        with open(table, newline="") as file:
            others = [other for other in csv.DictReader(file) if other["run"] != row["run"]]
    write_rows(table, [*others, row])
    return row


def read_rows(table: Path) -> list[dict[str, str]]:
    """All lines of a CSV file so far."""
    if not table.exists():
        return []
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def add_row(table: Path, row: Row) -> None:
    """Add a line to a CSV file, which is made with its heading if there is none."""
    first = not table.exists()
    with open(table, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if first:
            writer.writeheader()
        writer.writerow(row)


def write_rows(table: Path, rows: list[Row]) -> None:
    """Write a CSV file, whole or not at all; its columns are those of all rows together."""
    table.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    draft = table.with_suffix(".tmp")
    with open(draft, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    shutil.move(draft, table)
