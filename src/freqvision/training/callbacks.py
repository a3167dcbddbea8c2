"""What a run tells while it runs: its plan, a line for each epoch, and what could not be read."""

import csv
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from freqvision.inputs.spec import FrequencySpec


class Announce(Callback):
    """Prints, before the first step, what the run will do and where its results will lie."""

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the plan; only now is it known at which epoch a resumed run begins."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        model: Any = pl_module.model
        spec = data.spec
        how: Any = pl_module.optimisation
        parameters = sum(parameter.numel() for parameter in model.parameters())
        sees = f"DCT channels {spec.channels}" if isinstance(spec, FrequencySpec) else f"{spec.colour} pixels"
        if spec.shape is None:
            size = (
                f"whole photos, shorter side {spec.resize}, longer {spec.max_size} at most, as {spec.dtype}"
            )
        else:
            size = f"{tuple(spec.shape)} as {spec.dtype}, {spec.bytes_per_image:,} bytes a photo"
        sources = (pl_module.hparams.get(name) for name in ("weights", "weights_backbone"))
        lines = {
            "photos": f"{len(data.train_set):,} to train on, {len(data.validation_set):,} to validate, "
            f"{len(data.class_names)} classes",
            "input": f"{sees}, {size}",
            "model": f"{model.settings['name']}, {parameters / 1e6:.1f} million parameters",
            "weights": next(filter(None, sources), "random"),
            "training": f"epochs {trainer.current_epoch + 1} to {trainer.max_epochs}, batches of "
            f"{data.batch_size}; {how.optimizer}, {how.schedule}, learning rate up to {how.lr:g}",
            "machine": f"{trainer.world_size} {trainer.strategy.root_device.type}, {trainer.precision}",
            "results": f"{trainer.default_root_dir}",
        }
        lines |= data.plan() if hasattr(data, "plan") else {}
        gating: Any = getattr(pl_module, "gating", None)
        if gating:
            lines["gates"] = f"of the {gating.squeeze} of each channel, penalty up to {gating.penalty:g}"
        print("\n".join(f"{name:>9}  {text}" for name, text in lines.items()), flush=True)


class PlainProgress(Callback):
    """A line a minute, for log files and other places where a progress bar cannot be drawn.

    Args:
        interval: Seconds between lines.
    """

    def __init__(self, interval: float = 60) -> None:
        self.interval = interval
        self.last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print how far the epoch is."""
        now = time.perf_counter()
        if now - self.last >= self.interval and trainer.is_global_zero:
            self.last = now
            done = f"{batch_idx + 1} of {trainer.num_training_batches} batches"
            print(
                f"epoch {trainer.current_epoch + 1}: {done}, loss {float(outputs['loss']):.3f}",
                flush=True,
            )


class EpochTable(Callback):
    """Writes `metrics.csv`, one line an epoch; a resumed run goes on with the same file.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.started = time.perf_counter()
        self.validated = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.validated = False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note: of an epoch that is not validated, Lightning still shows the last one's metrics."""
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the line; validation is over by now, since Lightning runs it inside the epoch."""
        if not trainer.is_global_zero:
            return
        # The learning rate has its column; what the monitor of it logs is not needed twice.
        left_out = ("lr-",) if self.validated else ("lr-", "val/")
        metrics = {
            name: value for name, value in trainer.callback_metrics.items() if not name.startswith(left_out)
        }
        row = {
            "epoch": trainer.current_epoch + 1,
            "seconds": round(time.perf_counter() - self.started, 2),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **{name: round(float(value), 6) for name, value in sorted(metrics.items())},
        }
        earlier = [line for line in read_table(self.path) if int(line["epoch"]) < row["epoch"]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(dict.fromkeys(name for line in (row, *earlier) for name in line))
        draft = self.path.with_suffix(".draft")
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows([*earlier, row])
        draft.replace(self.path)
        values = "  ".join(f"{name} {row[name]:.4g}" for name in row if "/" in name)
        print(f"epoch {row['epoch']}: {values}  ({row['seconds']:.0f} s)", flush=True)


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Lines of a `metrics.csv`; none if there is no such file."""
    if not Path(path).is_file():
        return []
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


class ReportSkipped(Callback):
    """Lists the photos that could not be read, in the end."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the list of this process."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        for photos in (data.train_set, data.validation_set):
            skipped = photos.skipped() if hasattr(photos, "skipped") else []
            if skipped:
                print(f"{len(skipped)} of {len(photos)} photos in {photos.root} were skipped or cut short:")
                print("\n".join(f"  {line}" for line in skipped), flush=True)
