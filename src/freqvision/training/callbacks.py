"""What a run prints and records: its plan, progress, a line per epoch, damaged photos; what is silenced."""

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from freqvision.runtime import printable, progress_bar, read_table, write_table

COLUMNS = 80  # of a terminal, which lines should not exceed
# The first machine tells the port of this store once only, so that whoever joins later waits for it in vain.
RENDEZVOUS = "one that fails cannot come back: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun"


class Announce(Callback):
    """Prints, before the first step, what the run will do and where its results will be."""

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Print the plan; only now is it known at which epoch a resumed run begins."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        model, how = pl_module.model, pl_module.optimisation
        parameters = sum(parameter.numel() for parameter in model.parameters())
        lines = {
            **data.plan(),
            "model": f"{model.settings['name']}, {parameters / 1e6:.1f} million parameters",
            "weights": next(filter(None, pl_module.weights().values()), "random"),
            "training": f"epochs {trainer.current_epoch + 1} to {trainer.max_epochs}, batches of "
            f"{data.batch_size}; {how.optimizer}, {how.schedule}, learning rate up to {how.lr:g}",
            "machine": f"{trainer.world_size} {trainer.strategy.root_device.type}, {trainer.precision}",
            "results": f"{trainer.default_root_dir}",
        }
        several = int(os.environ.get("GROUP_WORLD_SIZE", 1)) > 1  # torchrun's
        if several and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            lines["machine"] += f"\n{'':>11}{RENDEZVOUS}"
        lines["photos"] += "".join(f"\n{'':>11}{note}" for note in data.notes())
        gating: Any = getattr(pl_module, "gating", None)
        if gating:
            lines["gates"] = f"on the {gating.squeeze} of each channel, penalty up to {gating.penalty:g}"
        print("\n".join(f"{name:>9}  {text}" for name, text in lines.items()), flush=True)


class Progress(ProgressBar):
    """A bar for the running epoch on a terminal; elsewhere a line a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._shown = True

    def disable(self) -> None:
        """Show nothing, as Lightning asks of all processes but the first."""
        self._shown = False

    def _open(self, **options: Any) -> None:
        self.close()
        self._bar = progress_bar(**options, unit="batch", leave=False, shown=self._shown, ncols=COLUMNS - 1)

    def close(self) -> None:
        """Wipe the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Open the bar, also in the middle of a resumed epoch."""
        if self._bar is None:
            text = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
            self._open(desc=text, total=int(trainer.num_training_batches), initial=batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move it."""
        if self._bar is not None and self._shown:
            if batch_idx % 16 == 0:  # to read a result of a GPU is to wait for it
                self._bar.set_postfix_str(f"loss {float(outputs['loss']):.3f}", refresh=False)
            self._bar.update()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open another one."""
        if not trainer.sanity_checking:
            text = f"validation {trainer.current_epoch + 1}"
            self._open(desc=text, total=int(sum(trainer.num_val_batches)))

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.update()

    def on_validation_end(self, *_: Any) -> None:
        """Wipe it, also before the epoch's line or an error is printed."""
        self.close()

    on_train_epoch_end = on_exception = on_validation_end  # type: ignore[assignment]


class EpochTable(Callback):
    """Writes `metrics.csv` and prints a line, both per epoch; a resumed run continues the file."""

    def __init__(self, path: str | Path, first: tuple[str, ...] = ()) -> None:
        self.path = Path(path)
        self.first = first
        self.started = time.perf_counter()
        self.validated = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.validated = False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note: Lightning keeps showing the last metrics in epochs that are not validated."""
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the line; Lightning has validated inside the epoch."""
        if not trainer.is_global_zero:
            return
        # Learning rates have columns of their own.
        left_out = ("lr-",) if self.validated else ("lr-", "val/")
        metrics = {
            name: value for name, value in trainer.callback_metrics.items() if not name.startswith(left_out)
        }
        seconds = round(time.perf_counter() - self.started, 2)
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "seconds": seconds,
            **learning_rates(trainer),
            **{name: round(float(value), 6) for name, value in sorted(metrics.items())},
        }
        earlier = [line for line in read_table(self.path) if int(line["epoch"]) < row["epoch"]]
        write_table(self.path, [*earlier, row])
        names = [name for name in row if "/" in name]
        text = f"epoch {row['epoch']}  {seconds:.0f} s"
        for name in sorted(names, key=lambda name: (name not in self.first, name.startswith("train/open"))):
            part = f"  {name} {row[name]:.4g}"
            if len(text + part) < COLUMNS:
                text += part
        print(text, flush=True)


def learning_rates(trainer: Trainer) -> dict[str, float]:
    """The learning rate "lr", and those of new layers and gates where they differ."""
    rates: dict[str, float] = {}
    for group in trainer.optimizers[0].param_groups:
        rates.setdefault(group.get("rate", "lr"), group["lr"])
    return dict(sorted(rates.items()))


class ReportSkipped(Callback):
    """Lists, at the end, the photos that could not be read."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the list of this process."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        for photos in (data.train_set, data.validation_set):
            skipped = photos.skipped() if hasattr(photos, "skipped") else []
            if skipped:
                print(f"{len(skipped)} of {len(photos)} photos in {photos.root} were skipped or cut short:")
                print("\n".join(f"  {printable(line)}" for line in skipped), flush=True)


def quieten() -> None:
    """Silence what Lightning says about itself; `Announce` prints what matters of it."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*smaller than the logging interval.*",
        ".*exists and is not empty.*",
        ".*treespec.*",
        ".*num_workers.*",  # threads decode, not processes
        ".*find_unused_parameters.*",
        ".*barrier.*device.*",
    ):
        warnings.filterwarnings("ignore", message=message)
