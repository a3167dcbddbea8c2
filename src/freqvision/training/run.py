"""`fit`: a training in one call, for notebooks and programs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqvision.models.frequency_model import FrequencyModel
from freqvision.runtime import naming_extras

__all__ = ["fit"]


@dataclass(frozen=True)
class FitResult:
    """What `fit` returns.

    Args:
        model: The best epoch's model, in evaluation mode on the CPU.
        metrics: The line of `metrics.csv` of that epoch: "epoch", "train/loss", "val/top1" and so on.
        folder: Folder of the run: settings, `metrics.csv`, statistics, logs.
        checkpoint: The file that the model is from.
    """

    model: FrequencyModel
    metrics: dict[str, float]
    folder: Path
    checkpoint: Path


def fit(
    config: str | Path | None = None,
    *,
    data: str | Path | Mapping[str, Any] | None = None,
    model: str | Mapping[str, Any] | None = None,
    trainer: Mapping[str, Any] | None = None,
    **settings: Any,
) -> FitResult:
    """Train a model, as ``freqvision fit`` does; needs the extra ``train``.

    Settings have the names that they have in a config and on the command line (``freqvision fit --help``).

    Args:
        config: YAML file of settings, such as the `config.yaml` of a run; those below replace its own.
        data: Settings of the data, or only the folder that holds train/CLASS and validation/CLASS.
        model: Settings of the model, or only the network's name.
        trainer: Settings of Lightning's Trainer, such as ``{"max_epochs": 10}``.
        **settings: All others: ``output``, ``ckpt_path``, ``seed_everything`` and so on.

    Raises:
        ValueError: A setting is unknown, settings contradict each other, the run's folder is taken, or the
            loss is not finite.
        FileNotFoundError: Photos, weights or the checkpoint are not there.
        ModuleNotFoundError: The extra is missing.

    Example:
        >>> run = fit(data="PHOTOS", model="resnet18", trainer={"max_epochs": 10})  # doctest: +SKIP
        >>> run.metrics["val/top1"], run.model.spec  # doctest: +SKIP
    """
    with naming_extras():
        from freqvision.runtime import read_table
        from freqvision.training.fit import fit as train

    from freqvision.models.saved import read_saved

    given = {
        "data": data if isinstance(data, Mapping) or data is None else {"root": str(data)},
        "model": {"name": model} if isinstance(model, str) else model,
        "trainer": trainer,
        **settings,
    }
    given = {name: value for name, value in given.items() if value is not None}
    arguments = [f"--config={config}"] if config else []
    run = train([*arguments, f"--config={json.dumps(given, default=str)}"], exit_on_error=False)
    folder = Path(run.config.output)
    checkpoint = Path(run.best.best_model_path or folder / "checkpoints" / "last.ckpt")
    saved = read_saved(checkpoint)
    (row,) = (
        row for row in read_table(folder / "metrics.csv") if int(row["epoch"]) == (saved.epoch or 0) + 1
    )
    metrics = {name: float(value) for name, value in row.items() if value}
    return FitResult(saved.build(), metrics, folder, checkpoint)
