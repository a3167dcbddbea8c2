"""`freqvision fit`: LightningCLI with one folder per run."""

import difflib
import inspect
import re
import signal
import sys
from pathlib import Path
from typing import IO, Any, NoReturn

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from freqvision.detection.options import DetectorOptions
from freqvision.inputs.augment import Augmentation
from freqvision.jpeg import JpegError
from freqvision.models.gates import Gating
from freqvision.models.optimisation import Optimisation
from freqvision.runtime import DRAFT, address, fastest_precision, lock, replacing
from freqvision.training.callbacks import Announce, EpochTable, Progress, ReportSkipped, quieten
from freqvision.training.checkpoints import LAST, AtomicCheckpoints, LastCheckpoint, checkpoints
from freqvision.training.classifier import Classifier
from freqvision.training.coco import CocoPhotos
from freqvision.training.data_module import PhotoData
from freqvision.training.detector import Detector
from freqvision.training.module import ModelModule
from freqvision.training.photos import PhotoFolder, PhotoShards, PhotoTable

CLASSES = {"model": "freqvision.training.Classifier", "data": "freqvision.training.PhotoFolder"}  # by default
SHORT_NAMES = (Classifier, CocoPhotos, Detector, PhotoFolder, PhotoShards, PhotoTable)  # known: imported


class FitParser(LightningArgumentParser):
    """Says in one line which setting is wrong."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the mistake, and exit as argparse does; in Python, raise it."""
        text = explain(message, self)
        if not self.exit_on_error:
            raise ValueError(text) from ex
        print(f"freqvision fit: {text}\nfreqvision fit --help lists settings", file=sys.stderr)
        raise SystemExit(2)


# Lines of jsonargparse's list of all types that it tried.
NOISE = re.compile(
    r"Does not validate against|Subtypes:|Errors:|Expected a <class 'NoneType'>|Given value type|"
    r"Given value: (NestedArg|Namespace|\{)|Problem with given class_path"
)


def explain(message: str, parser: FitParser) -> str:
    """What is wrong with a setting, and which one may have been meant."""
    unknown = re.search(r"(?:[Oo]ption '|unrecognized arguments: --)([\w.]+)", message)
    if unknown:
        names = {part for action in parser._actions for part in action.dest.split(".")}
        for kind in (*SHORT_NAMES, PhotoData, Optimisation, Augmentation, Gating, DetectorOptions):
            names |= inspect.signature(kind).parameters.keys()
        close = [
            match
            for part in unknown[1].split(".")
            if part not in names
            for match in difflib.get_close_matches(part, names, 1)
        ]
        meant = f": did you mean {close[0]!r}?" if close else ""
        return f"Option {unknown[1]!r} is not accepted{meant}"
    lines = (line.strip().removeprefix("- ") for line in message.splitlines())
    text = " ".join(line for line in lines if line and not NOISE.match(line))
    text = re.sub(r'(Parser key "[\w.]+": ?)+', lambda keys: _key(keys[0]), text)
    text = re.sub(r"Expected a (?:<class '([\w.]+)'>|typing.Literal\[(.*?)\])", r"expected \1\2", text)
    return text.replace("Given value:", "got").replace(". Got value:", ", got")


def _key(text: str) -> str:
    keys = re.findall(r'"([\w.]+)"', text)
    # Of a config, jsonargparse may leave out where the setting is.
    return ("--" if len(keys) > 1 or "." in keys[0] else "") + ".".join(keys) + ": "


class FitCLI(LightningCLI):
    """Parses settings, prepares the run's folder, trains."""

    claim: IO[str] | None = None  # the lock on the folder

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
            help='Checkpoint to resume from: a file, "last" for the last one in the folder of the run, or '
            '"auto" for that or, where there is none, a new run',
        )
        parser.add_argument(
            "--checkpoint_steps",
            type=int,
            default=0,
            help="Write last.ckpt after this many optimiser steps, too; 0 for after each epoch only",
        )
        parser.add_argument(
            "--checkpoint_minutes",
            type=float,
            default=15.0,
            help="Write last.ckpt after this many minutes, too; 0 for not",
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
        """Parse without the warning that both args and sys.argv are given, which is meant here.

        If another class than the default is chosen, jsonargparse keeps the default class's values for
        settings that both have. So the choice becomes the default, and everything is parsed again.
        """
        assert not isinstance(args, dict)
        self.config = parser.parse_args(args)  # type: ignore[arg-type]
        chosen = {name: {"class_path": self.config[name].class_path} for name in ("model", "data")}
        if any(chosen[name]["class_path"] != CLASSES[name] for name in chosen):
            parser.set_defaults(chosen)
            self.config = parser.parse_args(args)  # type: ignore[arg-type]

    def before_instantiate_classes(self) -> None:
        """Decide the run's folder and precision. Only the first process writes there, and reads there."""
        config = self.config
        check_pair(config)
        output = run_folder(config)
        folder = output / "checkpoints"
        first = getattr(rank_zero_only, "rank", 0) == 0
        if output.is_dir():
            self.lock()
        if config.ckpt_path == "auto":
            config.ckpt_path = "last" if checkpoints(folder) else None
        elif config.ckpt_path is None and first and checkpoints(folder):
            raise ValueError(
                f"{output} holds a run already: resume it by --ckpt_path last, or name another --output"
            )
        if config.ckpt_path == "last":
            config.ckpt_path = str(folder / LAST)
        if config.ckpt_path is not None and first and not Path(config.ckpt_path).is_file():
            others = ", ".join(map(str, checkpoints(Path(config.ckpt_path).parent)))
            raise FileNotFoundError(
                f"no checkpoint at {config.ckpt_path} to resume from: "
                + (f"there is {others}" if others else "leave out --ckpt_path to start the run")
            )
        config.output = config.trainer.default_root_dir = str(output)
        if config.trainer.precision is None:
            config.trainer.precision = fastest_precision(config.trainer.accelerator)

    def lock(self) -> None:
        """Claim the run's folder, in the process that writes to it."""
        if self.claim is None and getattr(rank_zero_only, "rank", 0) == 0:
            self.claim = lock(run_folder(self.config))

    def instantiate_trainer(self, **options: Any) -> Any:
        """Add the run's logger and callbacks to the trainer."""
        output = Path(self.config.output)
        trainer = self._get(self.config_init, "trainer")
        if trainer.get("logger") is None:
            options["logger"] = TensorBoardLogger(output, name="", version="", default_hp_metric=False)
        folder = output / "checkpoints"
        monitor = getattr(self.model, "monitor", "val/top1")
        self.best = ModelCheckpoint(
            folder,
            filename="best",
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        given, plugins = (_as_list(trainer.get(name)) for name in ("callbacks", "plugins"))
        callbacks = [
            self.best,
            LastCheckpoint(folder, self.config.checkpoint_steps, self.config.checkpoint_minutes),
            *([LearningRateMonitor("step")] if trainer.get("logger") is not False else []),
            Announce(),
            EpochTable(output / "metrics.csv", ("train/loss", monitor)),
            ReportSkipped(),
        ]
        has_bar = any(isinstance(callback, ProgressBar) for callback in given)
        if trainer.get("enable_progress_bar") is not False and not has_bar:
            callbacks.insert(0, Progress())
        options["callbacks"] = [*given, *callbacks]
        options["plugins"] = [*plugins, AtomicCheckpoints()]
        return super().instantiate_trainer(**options)

    def train(self) -> None:
        """Train, and leave nothing of a run that failed before its first checkpoint."""
        output = Path(self.config.output)
        if self.trainer.is_global_zero:
            prepare_folder(self)
        try:
            checkpoint = first_of_all(self.config.ckpt_path, self.trainer)
            self.trainer.fit(self.model, datamodule=self.datamodule, ckpt_path=checkpoint, weights_only=True)
        except BaseException as error:
            if self.trainer.is_global_zero and not checkpoints(output / "checkpoints"):
                discard(output)
            if isinstance(error, JpegError) and self.datamodule.damaged == "error":
                way_out = f"{error}: --data.damaged skip leaves damaged photos out"
                raise JpegError(way_out, error.kind, error.offset) from error
            if isinstance(error, SystemExit):  # Lightning's, whose code says neither Ctrl-C nor SIGTERM
                if self.trainer.received_sigterm:
                    print(f"freqvision fit: terminated{way_on(self)}", file=sys.stderr)
                    raise SystemExit(128 + signal.SIGTERM) from None
                if self.trainer.interrupted:
                    raise KeyboardInterrupt(way_on(self)) from None
            raise
        if self.best.best_model_score is not None and self.trainer.is_global_zero:
            path = Path(self.best.best_model_path)
            print(f"best {self.best.monitor} {float(self.best.best_model_score):.4f}: {path}")


def first_of_all(checkpoint: str | None, trainer: Trainer) -> str | None:
    """The checkpoint that the first process found; other machines may have other folders."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is None or isinstance(environment, LightningEnvironment):
        return checkpoint  # this process will start the others, or was started by the first, on this machine
    trainer.strategy.setup_environment()  # which fit does again, without effect
    found: list[str | None] = [None] * trainer.world_size
    torch.distributed.all_gather_object(found, checkpoint)
    others = [rank for rank, path in enumerate(found) if path is not None]
    if found[0] is None and others:
        raise ValueError(
            f"the first process, which reads and writes checkpoints, has none, but process {others[0]} has "
            f"{found[others[0]]}: give the machine with that folder the lowest address, or share the folder"
        )
    return found[0]


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def fit(args: list[str] | None = None, **parser_options: Any) -> FitCLI:
    """Run `freqvision fit` with arguments of the command line; raises what `freqvision.fit` does."""
    quieten()
    try:
        cli = FitCLI(
            ModelModule,
            PhotoData,
            parser_class=FitParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"prog": "freqvision fit", **parser_options},
            run=False,
            args=args,
        )
    except MisconfigurationException as error:  # the machine lacks what was asked for
        raise ValueError(str(error)) from error
    except ValueError as error:
        # jsonargparse wraps what our classes raise in a list of all types that it tried.
        if error.__cause__ is not None and str(error).startswith("Does not validate"):
            raise error.__cause__ from None
        raise
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32 for what autocast leaves in float32
    try:
        cli.train()
    finally:
        if cli.claim is not None:
            cli.claim.close()
    return cli


def check_pair(config: Any) -> None:
    """Refuse photos that are for another kind of model."""
    model, data = (config[name].class_path.rpartition(".")[2] for name in ("model", "data"))
    pairs = {"Classifier": ("PhotoFolder", "PhotoShards", "PhotoTable"), "Detector": ("CocoPhotos",)}
    if model in pairs and data not in pairs[model] and any(data in known for known in pairs.values()):
        raise ValueError(f"--model {model} does not train on --data {data}: use --data {pairs[model][0]}")


def prepare_folder(cli: FitCLI) -> None:
    """Keep the settings in the run's folder: those that it was started with, however it is resumed."""
    output = Path(cli.config.output)
    output.mkdir(parents=True, exist_ok=True)
    cli.lock()
    for draft in (*output.glob(f".*{DRAFT}"), *output.glob(f"checkpoints/.*{DRAFT}")):
        draft.unlink()  # of a killed process: this one holds the lock
    settings = output / "config.yaml"
    if cli.config.ckpt_path is None and getattr(cli.datamodule, "statistics_file", output) is None:
        # Of a run that was killed before it had a checkpoint, perhaps on other photos.
        (output / "statistics.json").unlink(missing_ok=True)
    if cli.config.ckpt_path is None or not settings.exists():
        kept = cli.config.clone()
        kept.ckpt_path = None  # or a new run with this file would resume this one
        with replacing(settings) as draft:
            cli.parser.save(kept, draft, skip_unset=False, overwrite=True)


def discard(output: Path) -> None:
    """Remove what a run without a checkpoint wrote, and its folder if nothing else is in it."""
    files = ("config.yaml", "statistics.json", "metrics.csv", "hparams.yaml", ".lock")
    for file in (*(output / name for name in files), *output.glob("events.out.tfevents.*")):
        file.unlink(missing_ok=True)
    for folder in (output / "checkpoints", output):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def way_on(cli: FitCLI) -> str:
    """How to resume an interrupted run, where that is possible."""
    output = Path(cli.config.output)
    if not (output / "checkpoints" / LAST).is_file():
        return " before the first checkpoint"
    return f": resume with --config {output / 'config.yaml'} --ckpt_path last"


def run_folder(config: Any) -> Path:
    """The folder that was asked for, or runs/ and the name of the last config, or of the model."""
    if config.output:
        if address(config.output):
            raise ValueError(f"--output is a folder of this machine, got {config.output}: copy it afterwards")
        return Path(config.output)
    files = [file for file in config.config or () if file is not None]  # which settings of Python are not
    if files:
        return Path("runs") / Path(str(files[-1])).stem
    return Path("runs") / config.model.init_args.name
