"""`freqvision fit`: LightningCLI with one folder a run."""

import signal
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from freqvision.training.callbacks import Announce, EpochTable, PlainProgress, ReportSkipped
from freqvision.training.classifier import Classifier
from freqvision.training.coco import CocoPhotos
from freqvision.training.detector import Detector
from freqvision.training.machine import fastest_precision, quieten
from freqvision.training.photos import PhotoFolder

CLASSES = {"model": "freqvision.training.Classifier", "data": "freqvision.training.PhotoFolder"}  # by default
SHORT_NAMES = (Classifier, CocoPhotos, Detector, PhotoFolder)  # what is imported needs no module's name

USAGE = "freqvision fit [--config FILE] [--data.root PHOTOS] [--model.name NAME] [--SETTING VALUE ...]"
DESCRIPTION = """Train a model on photos, in the frequency domain or on pixels.

  freqvision fit --config configs/clothing/resnet50_dct24.yaml --data.root PHOTOS
  freqvision fit --data.root PHOTOS --model.name resnet18 --trainer.max_epochs 10
  freqvision fit --config CONFIG --ckpt_path last        goes on with an interrupted run

PHOTOS holds train/CLASS/*.jpg and validation/CLASS/*.jpg. Detectors have annotations in COCO's format:

  freqvision fit --config configs/coco/maskrcnn.yaml --data.root COCO
  freqvision fit --model Detector --data CocoPhotos --data.root COCO --model.name fcos_resnet50_fpn

Settings have the same names in a config and on the command line; what comes later wins. All settings of the
model and of the data:

  freqvision fit --model.help Classifier        or Detector
  freqvision fit --data.help PhotoFolder        or CocoPhotos
"""


class FitCLI(LightningCLI):
    """Parses settings, prepares the run's folder, trains."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run needs besides model, data and trainer."""
        parser.add_argument(
            "--output",
            type=str | None,
            default=None,
            help="Folder of the run: settings, metrics, logs, checkpoints. Default: runs/ and the name "
            "of the last --config, or of the network where there is none",
        )
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help='Checkpoint to go on from: a file, or "last" for the last one in the folder of the run',
        )
        parser.set_defaults(
            {
                **{name: {"class_path": path} for name, path in CLASSES.items()},
                "trainer.max_epochs": 10,
                "trainer.use_distributed_sampler": False,  # the data modules divide the photos themselves
                "trainer.enable_model_summary": False,  # Announce says what matters
                "trainer.log_every_n_steps": 10,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse without the warning that args and sys.argv are both there, which here is meant.

        When another class than the default is chosen, jsonargparse keeps the default class's values of the
        settings that both have. So what was chosen becomes the default, and all is parsed again.
        """
        assert not isinstance(args, dict)
        self.config = parser.parse_args(args)  # type: ignore[arg-type]
        chosen = {name: {"class_path": self.config[name].class_path} for name in ("model", "data")}
        if any(chosen[name]["class_path"] != CLASSES[name] for name in chosen):
            parser.set_defaults(chosen)
            self.config = parser.parse_args(args)  # type: ignore[arg-type]

    def before_instantiate_classes(self) -> None:
        """Decide the run's folder and precision, and add loggers and callbacks."""
        config = self.config
        check_pair(config)
        output = run_folder(config)
        if config.ckpt_path is None and (output / "checkpoints").exists():
            raise ValueError(
                f"{output} holds a run already: go on with it by --ckpt_path last, or name another --output"
            )
        if config.ckpt_path == "last":
            config.ckpt_path = str(output / "checkpoints" / "last.ckpt")
        if config.ckpt_path is not None and not Path(config.ckpt_path).is_file():
            raise FileNotFoundError(f"no checkpoint at {config.ckpt_path} to go on from")
        config.output = config.trainer.default_root_dir = str(output)
        if config.trainer.precision is None:
            config.trainer.precision = fastest_precision(config.trainer.accelerator)

    def instantiate_trainer(self, **options: Any) -> Any:
        """Add the run's logger and callbacks to the trainer."""
        output = Path(self.config.output)
        trainer = self._get(self.config_init, "trainer")
        if trainer.get("logger") is None:
            options["logger"] = TensorBoardLogger(output, name="", version="", default_hp_metric=False)
        folder = output / "checkpoints"
        # At the end of an epoch, so that a run that goes on from there begins with the next one.
        always: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
        monitor = getattr(self.model, "monitor", "val/top1")
        callbacks = [
            ModelCheckpoint(folder, filename="best", monitor=monitor, mode="max", **always),
            ModelCheckpoint(folder, filename="last", **always),
            *([LearningRateMonitor("step")] if trainer.get("logger") is not False else []),
            Announce(),
            EpochTable(output / "metrics.csv"),
            ReportSkipped(),
        ]
        if trainer.get("enable_progress_bar") is None and not sys.stderr.isatty():
            options["enable_progress_bar"] = False
            callbacks.append(PlainProgress())
        options["callbacks"] = [*(trainer.get("callbacks") or []), *callbacks]
        return super().instantiate_trainer(**options)


def fit(args: list[str] | None = None, **parser_options: Any) -> FitCLI:
    """Run `freqvision fit` with these arguments.

    Args:
        args: Of the command line.
        parser_options: More arguments of its parser.

    Raises:
        ValueError: Settings contradict each other, or the run's folder is taken.
        FileNotFoundError: Photos, weights or the checkpoint are not there.
    """
    quieten()
    try:
        cli = FitCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={
                "prog": "freqvision fit",
                "usage": USAGE,
                "description": DESCRIPTION,
                **parser_options,
            },
            run=False,
            args=args,
        )
    except MisconfigurationException as error:  # Lightning's of a machine without what was asked for
        raise ValueError(str(error)) from error
    except ValueError as error:
        # jsonargparse wraps what a class of ours raises in an account of all types that it tried.
        if error.__cause__ is not None and str(error).startswith("Does not validate"):
            raise error.__cause__ from None
        raise
    if cli.trainer.is_global_zero:
        prepare_folder(cli)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32 for what autocast leaves in float32
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=cli.config.ckpt_path)
    except SystemExit:  # Lightning's at Ctrl-C and SIGTERM, with codes that say neither
        if cli.trainer.received_sigterm:
            print(f"freqvision fit: terminated{way_on(cli)}", file=sys.stderr)
            raise SystemExit(128 + signal.SIGTERM) from None
        if cli.trainer.interrupted:
            raise KeyboardInterrupt(way_on(cli)) from None
        raise
    best = cli.trainer.checkpoint_callback
    if isinstance(best, ModelCheckpoint) and best.best_model_score is not None and cli.trainer.is_global_zero:
        print(f"best {best.monitor} {float(best.best_model_score):.4f}: {Path(best.best_model_path)}")
    return cli


def check_pair(config: Any) -> None:
    """Refuse a model of ours with photos that are another's.

    Raises:
        ValueError: They do not go together.
    """
    model, data = (config[name].class_path.rpartition(".")[2] for name in ("model", "data"))
    pairs = {"Classifier": "PhotoFolder", "Detector": "CocoPhotos"}
    if model in pairs and data in pairs.values() and pairs[model] != data:
        raise ValueError(f"--model {model} does not train on --data {data}: use --data {pairs[model]}")


def prepare_folder(cli: FitCLI) -> None:
    """Keep the settings in the run's folder: those that it was started with, whatever it goes on with."""
    output = Path(cli.config.output)
    output.mkdir(parents=True, exist_ok=True)
    settings = output / "config.yaml"
    if cli.config.ckpt_path is None and getattr(cli.datamodule, "statistics_file", output) is None:
        # Of a run that failed before it had a checkpoint, and may have been about other photos.
        (output / "statistics.json").unlink(missing_ok=True)
    if cli.config.ckpt_path is None or not settings.exists():
        kept = cli.config.clone()
        kept.ckpt_path = None  # or who trains anew with this file would go on with this run
        cli.parser.save(kept, settings, skip_none=False, overwrite=True)


def way_on(cli: FitCLI) -> str:
    """How an interrupted run goes on, where it can."""
    if not (Path(cli.config.output) / "checkpoints" / "last.ckpt").is_file():
        return " before the first epoch was through"
    return f": go on with --config {Path(cli.config.output) / 'config.yaml'} --ckpt_path last"


def run_folder(config: Any) -> Path:
    """The folder that was asked for, or runs/ and the last config's name, or the model's."""
    if config.output:
        return Path(config.output)
    if config.config:
        return Path("runs") / Path(str(config.config[-1])).stem
    return Path("runs") / config.model.init_args.name
