"""Shared fixtures: the material of `../shared`, seeds, one thread."""

import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Results are the same for any number; two cores and many small tensors are fastest with one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _temporary(tmp_path_factory):
    """What libraries and killed processes leave in the temporary folder goes with pytest's own."""
    folder = tmp_path_factory.getbasetemp() / "t"  # short: paths of sockets are limited to 108 bytes
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of photos and weights; tests skip without it, except in CI, where it must be there."""
    if not SHARED.is_dir():
        message = f"{SHARED} is missing: this test needs its photos or weights"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return SHARED


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The folder of torch.hub's checkpoints, empty, without a network."""

    def offline(*_, **__):
        raise URLError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def full_disk():
    """A context in which no file grows beyond 64 KiB: every writer, also a native one, meets a real error."""
    resource = pytest.importorskip("resource")  # not on Windows

    @contextmanager
    def full():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A tiny data set: six classes, four training photos and two validation photos of each."""
    from freqvision.data import write_synthetic_photos

    root = tmp_path_factory.mktemp("photos")
    write_synthetic_photos(root / "train", photos_per_class=4, size=72)
    write_synthetic_photos(root / "validation", photos_per_class=2, size=72, seed=100)
    return root


class TinyNetwork(nn.Module):
    """A network of pixels with a stem like ResNet's, small enough that tests train it in no time."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(16)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) → (B, classes)."""
        stem = self.maxpool(self.bn1(self.conv1(images)))
        return self.fc(self.bn2(self.conv2(stem)).relu().mean(dim=(2, 3)))


@pytest.fixture(scope="session")
def tiny() -> str:
    """The name of a registered tiny network."""
    return register_tiny()


def register_tiny() -> str:
    """Register the tiny network, and return its name."""
    from freqvision.models import Architecture, Stem, register

    stem = Stem("conv1", rest=("bn1", "maxpool"), stride=4, pixels=4, entry=("conv2",))
    register("tiny", Architecture(lambda num_classes, size: TinyNetwork(num_classes), stem))
    return "tiny"


def shrink_resnets(patch: pytest.MonkeyPatch) -> None:
    """ResNets, and pyramids on them, become narrow and one block deep: steps and checkpoints take no time."""
    from torchvision.models import ResNet
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    build, stage = ResNet.__init__, ResNet._make_layer
    pyramid, top = BackboneWithFPN.__init__, LastLevelP6P7.__init__

    def shallow(self, block, layers, *args, **options) -> None:
        build(self, block, [1] * len(layers), *args, **options)
        self.fc = nn.Linear(self.inplanes, self.fc.out_features)

    def thin(self, block, width, *args, **options) -> nn.Module:
        return stage(self, block, width * block.expansion // 8, *args, **options)

    def narrow(self, backbone, return_layers, in_channels_list, out_channels, *args, **options) -> None:
        pyramid(self, backbone, return_layers, in_channels_list, 64, *args, **options)

    patch.setattr(ResNet, "__init__", shallow)
    patch.setattr(ResNet, "_make_layer", thin)
    patch.setattr(BackboneWithFPN, "__init__", narrow)
    patch.setattr(LastLevelP6P7, "__init__", lambda self, *_: top(self, 64, 64))


@pytest.fixture(scope="module")
def small_resnets() -> Iterator[None]:
    """See `shrink_resnets`."""
    with pytest.MonkeyPatch.context() as patch:
        shrink_resnets(patch)
        yield


@pytest.fixture(scope="session")
def trained_run(photos, tiny, tmp_path_factory) -> Path:
    """The folder of a run of two epochs over the tiny data set, by the command line's own arguments."""
    from freqvision.training.fit import fit

    output = tmp_path_factory.mktemp("runs") / "first"
    fit(fit_arguments(photos, output))
    return output


def fit_arguments(photos: Path, output: Path, model: str = "tiny") -> list[str]:
    """Arguments of `freqvision fit` for the smallest training that makes sense."""
    return [
        *("--model.name", model, "--model.optimisation.lr", "0.01"),
        *("--data.root", str(photos), "--data.resize", "72", "--data.crop", "64", "--data.batch_size", "8"),
        *("--data.num_threads", "1", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"),
        *("--output", str(output)),
    ]


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER_OPTIONS = [
    "--no-sandbox",  # containers lack what it needs; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing may be fetched
]


@pytest.fixture(scope="module")
def chromium():
    """The system's Chromium, driven by playwright; tests skip without either of them."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright to test pages in a browser"
    )
    path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium to test pages in: install chromium to run this test")
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=BROWSER_OPTIONS)
        except api.Error as error:  # containers can forbid what it needs
            pytest.skip(f"{path} does not start here: {str(error).splitlines()[0]}")
        yield browser
        browser.close()
