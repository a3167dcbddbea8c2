"""Every config in the repository is one that `freqvision fit` accepts."""

from pathlib import Path

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

from freqvision.engine.fit import FitCLI

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
OVERLAYS = {"rgb.yaml", "one_gpu.yaml"}


class Parsed(FitCLI):
    """Stops once the settings are read and checked."""

    def before_instantiate_classes(self):
        """Leave the run's folder alone."""

    def instantiate_classes(self):
        """Load no photos and no weights."""


def parse(*files):
    arguments = [argument for file in files for argument in ("--config", str(file))]
    return Parsed(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        run=False,
        args=arguments,
    ).config


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_config_is_valid(file):
    files = [CONFIGS / "imagenet" / "resnet50.yaml", file] if file.name in OVERLAYS else [file]
    assert parse(*files).trainer.max_epochs > 0


def test_overlays_change_only_what_they_name():
    base, imagenet = parse(CONFIGS / "imagenet" / "mobilenet_v2.yaml"), CONFIGS / "imagenet"
    rgb = parse(imagenet / "mobilenet_v2.yaml", imagenet / "rgb.yaml", imagenet / "one_gpu.yaml")
    assert rgb.model == base.model
    assert rgb.trainer.max_epochs == base.trainer.max_epochs
    assert (rgb.data.init_args.input, rgb.data.init_args.crop) == ("rgb", 224)
    per_step = rgb.data.init_args.batch_size * rgb.trainer.accumulate_grad_batches
    assert per_step == base.data.init_args.batch_size * base.trainer.devices
