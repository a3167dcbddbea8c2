"""Every config in the repository is one that `freqvision fit` accepts."""

import inspect
from dataclasses import asdict, is_dataclass
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule

from freqvision.models.optimisation import build_schedule
from freqvision.training import CocoPhotos, Detector, Optimisation, PhotoData
from freqvision.training.fit import FitCLI

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
# Folder → what its overlays are laid over, and these.
OVERLAYS = {
    "imagenet": ("resnet50.yaml", {"rgb.yaml", "one_gpu.yaml", "epochs16.yaml", "epochs90.yaml"}),
    "coco": (
        "maskrcnn.yaml",
        {"dct48.yaml", "dct64.yaml", "rgb.yaml", "fasterrcnn.yaml", "one_gpu.yaml"},
    ),
    "coco128": ("overfit.yaml", {"split.yaml", "rgb.yaml"}),
}


class Parsed(FitCLI):
    """Stops once the settings are read and checked."""

    def before_instantiate_classes(self):
        """Leave the run's folder alone."""

    def instantiate_classes(self):
        """Load no photos and no weights."""


def parse(*files):
    return parse_arguments([argument for file in files for argument in ("--config", str(file))])


def parse_arguments(arguments):
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
    base, overlays = OVERLAYS.get(file.parent.name, (None, set()))
    files = [file.parent / base, file] if file.name in overlays else [file]
    assert parse(*files).trainer.max_epochs > 0


def test_overlays_change_only_what_they_name():
    base, imagenet = parse(CONFIGS / "imagenet" / "mobilenet_v2.yaml"), CONFIGS / "imagenet"
    rgb = parse(imagenet / "mobilenet_v2.yaml", imagenet / "rgb.yaml", imagenet / "one_gpu.yaml")
    assert rgb.model == base.model
    assert rgb.trainer.max_epochs == base.trainer.max_epochs
    assert (rgb.data.init_args.input, rgb.data.init_args.crop) == ("rgb", 224)
    per_step = rgb.data.init_args.batch_size * rgb.trainer.accumulate_grad_batches
    assert per_step == base.data.init_args.batch_size * base.trainer.devices


def test_another_class_brings_its_own_defaults(tmp_path):
    """Nothing is left of those of the classifier and its photos, where both have a setting of a name."""
    (tmp_path / "short.yaml").write_text(
        "model: Detector\ndata: {class_path: CocoPhotos, init_args: {root: x}}"
    )
    for arguments in (
        ["--model", "Detector", "--data", "CocoPhotos", "--data.root", "x"],
        ["--config", str(tmp_path / "short.yaml")],
    ):
        config = parse_arguments([*arguments, "--data.batch_size", "3"])
        for settings, kind in ((config.model.init_args, Detector), (config.data.init_args, CocoPhotos)):
            given = {"root": "x", "batch_size": 3}
            known = dict(inspect.signature(kind).parameters)
            if known.pop("settings", None):
                known = dict(inspect.signature(PhotoData).parameters) | known
                del known["spec"], known["class_names"]
            assert set(known) == set(vars(settings))
            for name, parameter in known.items():
                expected = given.get(name, parameter.default)
                value = settings[name]
                plain = asdict(expected) if is_dataclass(expected) else expected
                assert (vars(value) if is_dataclass(expected) else value) == plain, name
    assert parse_arguments(["--data.root", "x"]).data.init_args.scale == (0.08, 1.0)  # for classifiers


def test_coco_inputs_differ_in_nothing_else():
    coco = CONFIGS / "coco"
    base = parse(coco / "maskrcnn.yaml")
    assert base.model.class_path.endswith(".Detector")
    for overlay, differs in {
        "dct48.yaml": {"channels"},
        "dct64.yaml": {"channels"},
        "rgb.yaml": {"input", "dtype"},
    }.items():
        config = parse(coco / "maskrcnn.yaml", coco / overlay, coco / "fasterrcnn.yaml")
        data = vars(config.data.init_args)
        assert {name for name in data if data[name] != vars(base.data.init_args)[name]} == differs
        model = vars(config.model.init_args)
        changed = {name for name in model if model[name] != vars(base.model.init_args)[name]}
        assert changed == {"name", "weights_backbone"}
        assert config.trainer == base.trainer
        assert overlay.removesuffix(".yaml") in model["weights_backbone"]
    gpu = parse(coco / "maskrcnn.yaml", coco / "one_gpu.yaml")
    per_step = gpu.data.init_args.batch_size * gpu.trainer.accumulate_grad_batches
    assert per_step == base.data.init_args.batch_size * base.trainer.devices == 16


def test_coco_schedule_is_the_papers():
    """Warm-up over 500 steps; a tenth and a hundredth of the rate from the epochs 9 and 12 on."""
    values = parse(CONFIGS / "coco" / "maskrcnn.yaml")
    how = Optimisation(**vars(values.model.init_args.optimisation))
    epoch = 117_266 // 16
    steps = values.trainer.max_epochs * epoch
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=how.lr)
    (factor,) = build_schedule(optimizer, how, steps).lr_lambdas
    for step, share in ((501, 1), (8 * epoch - 5, 1), (8 * epoch + 5, 0.1), (11 * epoch - 5, 0.1)):
        assert factor(step) == pytest.approx(share)
    assert factor(11 * epoch + 5) == pytest.approx(0.01)
    assert factor(495) < 1
    assert (how.lr, how.weight_decay) == (0.02, 1e-4)
