"""What a report is made of: selections and trainings, read from their folders."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from freqvision.analysis.curves import CurvePoint, load_curve
from freqvision.analysis.scores import ChannelScores
from freqvision.models.saved import read_saved
from freqvision.runtime import address, read_table
from freqvision.spectrum.channels import ChannelSet


@dataclass(frozen=True)
class Selection:
    """What `freqvision select` found."""

    name: str  # unlike those of the others
    scores: ChannelScores
    channels: ChannelSet | None = None  # those selected
    curve: tuple[CurvePoint, ...] = ()  # accuracy with the channels that matter most, if it was measured

    @classmethod
    def load(cls, folder: str | Path) -> Selection:
        """Read the folder that `freqvision select --output` wrote; its name becomes the selection's.

        Raises:
            FileNotFoundError: There are no scores in it.
        """
        folder = Path(folder)
        if not (folder / "scores.json").is_file():
            raise FileNotFoundError(
                f"no scores.json in {address(folder) or folder}: pass folders that freqvision select wrote"
            )
        name = folder.resolve().name
        channels, curve = folder / "channels.json", folder / "curve.csv"
        return cls(
            name,
            ChannelScores.load(folder / "scores.json"),
            ChannelSet.load(channels) if channels.is_file() else None,
            tuple(replace(point, method=name) for point in load_curve(curve)) if curve.is_file() else (),
        )


@dataclass(frozen=True)
class Run:
    """A finished training."""

    name: str  # of its folder
    channels: int  # 0 for pixels
    bytes: int  # of one photo's input at one byte per value
    accuracy: float  # of the last epoch that was validated
    best: float  # of the best epoch
    epochs: int  # up to the last that was validated
    open_share: float | None = None  # of its gates, in that epoch

    @property
    def group(self) -> str:
        """The name without the seed, the same for runs that differ in nothing else."""
        return re.sub(r"[-_ ]*seed[-_ ]?\d+$", "", self.name) or self.name

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a folder of `freqvision fit`.

        Raises:
            FileNotFoundError: No epoch was finished in it.
            ValueError: It is the training of a detector, damaged, or one that stopped before its last epoch.
        """
        try:
            return cls._load(Path(folder))
        except (OSError, ValueError):
            raise
        except Exception as error:  # of csv and yaml, or of values that are no numbers
            raise ValueError(f"{folder} holds metrics or settings that are damaged: {error!r}") from error

    @classmethod
    def _load(cls, folder: Path) -> Run:
        epochs = read_table(folder / "metrics.csv")
        if not epochs:
            raise FileNotFoundError(
                f"{folder} is no run of freqvision fit, or one that failed before its first epoch was done: "
                "there are no epochs in its metrics.csv"
            )
        _check_finished(folder, int(epochs[-1]["epoch"]))
        validated = [epoch for epoch in epochs if epoch.get("val/top1")]
        if not validated:
            raise ValueError(f"{folder} is no run of a classifier: its metrics have no val/top1")
        spec = read_saved(folder / "checkpoints" / "last.ckpt").spec
        accuracies = [float(epoch["val/top1"]) for epoch in validated]
        opened = validated[-1].get("val/open")
        return cls(
            folder.resolve().name,
            len(spec.channels or ()),
            math.prod(spec.shape or (0,)),
            accuracies[-1],
            max(accuracies),
            int(validated[-1]["epoch"]),
            float(opened) if opened else None,
        )


def _check_finished(folder: Path, done: int) -> None:
    """Refuse a run that failed or was interrupted, if nothing in its settings may have stopped it early."""
    config = folder / "config.yaml"
    if not config.is_file():
        return
    trainer = (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("trainer") or {}
    planned = trainer.get("max_epochs") or 0
    limited = trainer.get("callbacks") or trainer.get("max_time") or trainer.get("max_steps", -1) != -1
    if done < planned and not limited:
        raise ValueError(
            f"{folder} stopped after {done} of {planned} epochs: finish it with freqvision fit "
            f"--config {config} --ckpt_path last, or leave it out of --runs"
        )
