"""Features of photos: those of the model called by hand; a stopped run continues to the same bytes."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import freqvision as fv
from freqvision.cli.main import main
from freqvision.data import write_synthetic_photos
from freqvision.data.opening import open_sources
from freqvision.models.embed import embed_photos
from freqvision.models.features import feature_model, rgb_network, without_classifier

SPEC = fv.PixelSpec(resize=40, crop=32)


class Tiny(nn.Module):
    """A model of one's own: features of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.spec = SPEC
        self.layers = nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)


class Stops(Tiny):
    """Is killed in the middle of the second file."""

    calls = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        Stops.calls += 1
        if Stops.calls == 4:
            raise KeyboardInterrupt
        return super().forward(inputs)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_synthetic_photos(folder, photos_per_class=2, size=48)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


OPTIONS = {"about": "tiny", "photos_per_shard": 5, "batch_size": 2, "device": "cpu", "num_threads": 1}


def embed(photos, output, model=Tiny, **options):
    sources = photos if hasattr(photos, "take") else open_sources(photos, labelled=True)
    return embed_photos(sources, output, model, **{**OPTIONS, **options})


@pytest.mark.parametrize("file_format", ["parquet", "safetensors"])
def test_rows_are_the_photos_in_their_order_with_the_features_of_the_model(photos, tmp_path, file_format):
    if file_format == "parquet":
        pytest.importorskip("pyarrow")
    done = embed(photos, tmp_path, file_format=file_format, precision="float32")
    sources = open_sources(photos, labelled=True)
    with torch.inference_mode():
        expected = Tiny()(fv.Decoder(SPEC)(sources[:]))
    assert (done.photos, done.dimensions) == (12, 5)
    names, labels, features = read(tmp_path)
    assert names == [sources.name(place) for place in range(12)]
    assert labels == sources.labels.tolist()
    torch.testing.assert_close(features, expected)


def read(folder: Path) -> tuple[list[str], list[int], torch.Tensor]:
    names: list[str] = []
    labels: list[int] = []
    features = []
    for file in sorted(folder.glob("features-*.parquet")):
        from pyarrow import parquet

        table = parquet.read_table(file)
        names += table["name"].to_pylist()
        labels += table["label"].to_pylist()
        features.append(torch.tensor(table["features"].to_pylist()))
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as found:
            names += json.loads(found.metadata()["names"])
            labels += found.get_tensor("labels").tolist()
            features.append(found.get_tensor("features"))
    return names, labels, torch.cat(features)


def test_a_stopped_run_continues_to_the_same_bytes(photos, tmp_path):
    embed(photos, tmp_path / "whole", file_format="safetensors")
    Stops.calls = 0
    with pytest.raises(KeyboardInterrupt):
        embed(photos, tmp_path / "stopped", Stops, file_format="safetensors")
    first = files(tmp_path / "stopped")
    assert sorted(first) == ["_embed.json", "_features-000000.json", "features-000000.safetensors"]
    done = embed(photos, tmp_path / "stopped", Stops, file_format="safetensors")
    assert Stops.calls == 4 + 4  # of the second file three, of the third one
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")
    assert done.photos == 12
    with pytest.raises(ValueError, match="begun with other settings: batch_size 2, now 3"):
        embed(photos, tmp_path / "stopped", batch_size=3, file_format="safetensors")


def test_damaged_photos_are_an_error_left_out_or_seen_in_part_and_listed(tmp_path):
    write_synthetic_photos(tmp_path / "photos", photos_per_class=1, size=48)
    sources = open_sources(tmp_path / "photos", labelled=True)
    bad = Path(sources.name(3))
    bad.write_bytes(bad.read_bytes()[:-200])
    options = {"file_format": "safetensors"}
    with pytest.raises(fv.JpegError, match=bad.name):
        embed(sources, tmp_path / "error", **options)
    done = embed(sources, tmp_path / "skip", damaged="skip", **options)
    assert done.photos == 5
    assert list(done.damaged) == [str(bad)]
    assert read(tmp_path / "skip")[0] == [sources.name(place) for place in (0, 1, 2, 4, 5)]
    assert embed(sources, tmp_path / "skip", damaged="skip", **options) == done  # of a run before, too
    done = embed(sources, tmp_path / "decode", damaged="decode", **options)
    assert (done.photos, list(done.damaged)) == (6, [str(bad)])
    for place in range(5):
        Path(sources.name(place)).write_bytes(b"")
    done = embed(sources, tmp_path / "empty", damaged="skip", **options)
    assert (done.photos, done.dimensions, len(done.damaged)) == (1, 5, 5)
    assert [len(read_one) for read_one in read(tmp_path / "empty")] == [1, 1, 1]


def test_torchvision_by_the_command(photos, tmp_path, capsys):
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v3_small(num_classes=7).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    command = [
        "embed",
        str(photos),
        str(tmp_path / "out"),
        "--model",
        "mobilenet_v3_small",
        "--batch_size",
        "12",
    ]
    command += [
        "--weights",
        str(tmp_path / "weights.safetensors"),
        "--format",
        "safetensors",
        "--device",
        "cpu",
    ]
    assert main([*command, "--precision", "float32"]) == 0
    assert "12 photos" in capsys.readouterr().out
    network.classifier[-1] = nn.Identity()
    spec = fv.PixelSpec(resize=256, crop=224)
    with torch.inference_mode():
        expected = network(fv.Decoder(spec)(open_sources(photos)[:]))
    found = read(tmp_path / "out")[2]
    assert (found - expected).norm() < 0.02 * expected.norm()  # pixels rounded to uint8


def test_timm_networks_whose_stems_cannot_be_changed(photos):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("test_vit2", num_classes=3)
    model = feature_model("timm/test_vit2", network.state_dict())
    inputs = torch.randint(0, 256, (2, *model.spec.shape), dtype=torch.uint8)
    network.reset_classifier(0)
    mean, std = (values[:, None, None] for values in model.spec.normalisation())
    with torch.inference_mode():
        torch.testing.assert_close(model(inputs), network.eval()((inputs / 255 - mean) / std))


def test_transport_and_checkpoints_give_features_too(photos, tmp_path):
    spec = fv.FrequencySpec(resize=72, crop=64, dtype="int8")
    model = fv.create_model("resnet18", spec, 4, rgb_size=32).eval()
    fv.save(model, tmp_path)
    inputs = fv.Decoder(spec)(open_sources(photos)[:2])
    with torch.inference_mode():
        found = feature_model(checkpoint=tmp_path)(inputs)
        torch.testing.assert_close(model.network.fc(found), model(inputs))
    rgb = torchvision.models.squeezenet1_1()
    assert rgb_network("squeezenet1_1", rgb.state_dict()).spec.crop == 224
    with pytest.raises(ValueError, match="no features"):
        without_classifier(rgb)
    state = torchvision.models.resnet18(num_classes=2).state_dict()
    transported = feature_model("resnet18", state, transport=fv.ChannelSet.preset(24))
    assert transported.spec.shape == (24, 56, 56)
    with torch.inference_mode():
        assert transported(torch.zeros(1, 24, 56, 56, dtype=torch.int8)).shape == (1, 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one of them"),
        ({"name": "resnet18"}, "needs weights"),
        ({"name": "resnet19", "weights": {"fc.bias": torch.zeros(1)}}, "did you mean resnet1"),
    ],
)
def test_what_cannot_give_features_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        feature_model(**arguments)
