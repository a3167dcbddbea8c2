"""Where each layer's weights come from, and that nothing is lost in silence."""

import argparse
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from model_families import small_model, small_spec
from torch import nn

from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.models import create_model, default_spec, list_models
from freqvision.models.weights import classifier_name, load_weights, read_file, read_weights


@pytest.fixture(scope="module")
def rgb():
    """An RGB ResNet-18 with 5 classes, from torchvision itself."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    return resnet18(num_classes=5)


def test_slice_keeps_the_first_channels_and_everything_behind(rgb):
    network = small_model("resnet18", weights=rgb.state_dict(), start="slice").network
    assert torch.equal(network.layer1[0].conv1.weight, rgb.layer1[0].conv1.weight[:, :24])
    assert torch.equal(network.layer1[0].conv2.weight, rgb.layer1[0].conv2.weight)
    assert torch.equal(network.fc.weight, rgb.fc.weight)
    for name in ("conv1", "bn1", "relu", "maxpool"):
        assert isinstance(network.get_submodule(name), nn.Identity)


def test_slice_of_more_channels_than_there_were_adds_new_ones(rgb):
    spec = small_spec("resnet18", channels=192)
    network = small_model("resnet18", spec, weights=rgb.state_dict(), start="slice").network
    assert torch.equal(network.layer1[0].conv1.weight[:, :64], rgb.layer1[0].conv1.weight)
    assert network.layer1[0].conv1.weight[:, 64:].std() > 0


def test_new_keeps_nothing_of_the_layers_that_read_channels(rgb):
    network = small_model("resnet18", weights=rgb.state_dict(), start="new").network
    assert not torch.equal(network.layer1[0].conv1.weight, rgb.layer1[0].conv1.weight[:, :24])
    assert torch.equal(network.layer1[0].conv2.weight, rgb.layer1[0].conv2.weight)


def test_new_layers_are_named_for_the_optimiser(rgb):
    model = create_model("resnet18", small_spec("resnet18"), 7, weights=rgb.state_dict(), start="new")
    assert set(model.new_layers) == {"network.fc", "network.layer1.0.conv1", "network.layer1.0.downsample.0"}
    for layer in model.new_layers:
        model.get_submodule(layer)
    assert small_model("resnet18", weights=rgb.state_dict(), start="fold").new_layers == ()
    more = small_model(
        "resnet18", small_spec("resnet18", channels=48), weights=rgb.state_dict(), start="fold"
    )
    assert more.new_layers == ("network.conv1.detail.convolution",)


def test_pixel_spec_gives_the_rgb_network_itself(rgb):
    model = create_model("resnet18", PixelSpec(), 5, weights=rgb.state_dict()).eval()
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model(images), rgb.eval()(images))
    of_bytes = create_model("resnet18", PixelSpec(dtype="uint8"), 5, weights=rgb.state_dict()).eval()
    pixels = (images * 255).to(torch.uint8)
    mean, std = (values[:, None, None] for values in PixelSpec().normalisation())
    torch.testing.assert_close(of_bytes(pixels), rgb((pixels / 255 - mean) / std))


@pytest.mark.parametrize("wrap", ["plain", "module.", "state_dict", "file.pth", "file.safetensors"])
def test_state_dicts_are_found_wherever_they_are(rgb, wrap, tmp_path):
    from safetensors.torch import save_file

    state = rgb.state_dict()
    source = state
    if wrap == "module.":
        source = {f"module.{key}": value for key, value in state.items()}
    elif wrap == "state_dict":
        source = {"epoch": 3, "state_dict": state}
    elif wrap == "file.pth":
        torch.save(state, source := tmp_path / wrap)
    elif wrap == "file.safetensors":
        save_file(state, source := tmp_path / wrap)
    read = read_weights(source)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[key], state[key]) for key in state)


def test_the_moving_average_comes_first_and_is_named(rgb, caplog):
    average = {f"module.{key}": value + 1 for key, value in rgb.state_dict().items()}
    for key in ("state_dict_ema", "model_ema"):
        other = {**average, "n_averaged": torch.tensor(3)} if key == "model_ema" else average
        with caplog.at_level(logging.INFO, logger="freqvision"):
            read = read_weights({"state_dict": rgb.state_dict(), key: other})
        assert torch.equal(read["fc.weight"], rgb.fc.weight + 1)
        assert read.keys() == rgb.state_dict().keys()
        assert f"{key} is loaded, the moving average, not state_dict" in caplog.text


def test_checkpoints_of_timm_load_with_their_arguments(rgb, tmp_path):
    """Its CheckpointSaver keeps an argparse.Namespace, and metrics may be NumPy's numbers."""
    numbers = {
        "metric": np.float64(71.5),
        "epoch": np.int64(3),
        "best": np.bool_(True),
        "lr": np.float16(2),
        "big-endian": np.dtype(">f8").type(1.5),
    }
    arguments = argparse.Namespace(model="resnet18", lr=0.1, mean=(0.5, 0.5), opt=None)
    torch.save({"args": arguments, "state_dict": rgb.state_dict(), **numbers}, tmp_path / "a.pth.tar")
    values = read_file(tmp_path / "a.pth.tar")
    assert values["args"] == arguments
    assert {key: values[key] for key in numbers} == numbers
    assert all(type(values[key]) in (int, float, bool) for key in numbers)
    assert read_weights(tmp_path / "a.pth.tar").keys() == rgb.state_dict().keys()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Path("a"), "pathlib"),
        (os.system, "system"),
        (np.zeros(3), "numpy"),
        (np.str_("a"), ""),
        (np.datetime64("2020-01-01"), ""),
        (np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])[0], ""),
    ],
)
def test_everything_else_is_refused_with_the_way_out(value, named, tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "extra": value}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth cannot be read as weights.*{named}.*If you trust it"):
        read_weights(tmp_path / "a.pth")


def test_weights_of_a_frequency_model_load_too(tmp_path):
    model = small_model("resnet18")
    torch.save(
        {"state_dict": {f"model.{key}": value for key, value in model.state_dict().items()}},
        tmp_path / "a.ckpt",
    )
    again = small_model("resnet18", weights=tmp_path / "a.ckpt")
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    other = create_model("resnet18", model.spec, 9, weights=model.state_dict())
    assert other.new_layers == ("network.fc",)


@pytest.mark.parametrize("start", ["fold", "fit", "new"])
def test_weights_of_a_frequency_model_bring_their_input_layers(start, rgb):
    model = small_model("resnet18", start=start)
    again = small_model("resnet18", weights=model.state_dict())
    assert again.settings["start"] == start
    other = "new" if start == "fold" else "fold"
    with pytest.raises(ValueError, match=rf"keep its input layers \(start='{start}'\): leave start"):
        small_model("resnet18", weights=model.state_dict(), start=other)


def test_rgb_weights_start_folded(rgb):
    model = small_model("resnet18", weights=rgb.state_dict())
    assert (model.settings["start"], model.new_layers) == ("fold", ())
    assert small_model("resnet18").settings["start"] == "new"


def test_what_does_not_fit_is_listed(rgb):
    state = rgb.state_dict()
    with pytest.raises(ValueError, match=r"do not fit ResNet in \d+ tensors(.|\n)*not in the network"):
        small_model("resnet18", weights={**state, "layer9.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"layer2\.0\.conv1\.weight: not in the weights"):
        small_model("resnet18", weights={k: v for k, v in state.items() if k != "layer2.0.conv1.weight"})
    with pytest.raises(
        ValueError, match=r"layer2.0.conv1.weight: shape \(1,\), the network has \(128, 64, 3, 3\)"
    ):
        small_model("resnet18", weights={**state, "layer2.0.conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight.to_sparse(),
        lambda weight: weight.to("meta"),
        lambda weight: weight.to(torch.complex64),
        lambda weight: weight.to(torch.int8),
        lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "meta", "complex", "integers", "quantised"],
)
@pytest.mark.filterwarnings("ignore:.*quantize")
def test_tensors_that_copying_would_change_are_refused(change, rgb):
    state = rgb.state_dict()
    state["layer1.0.conv1.weight"] = change(state["layer1.0.conv1.weight"])
    with pytest.raises(ValueError, match=r"layer1\.0\.conv1\.weight: .*not plain numbers of torch\.float32"):
        small_model("resnet18", weights=state)


def test_files_that_hold_no_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        read_weights(tmp_path / "missing.pth")
    with pytest.raises(ValueError, match="no state dict"):
        read_weights({"epoch": 3})
    (tmp_path / "damaged.safetensors").write_bytes(b"neither is this")
    with pytest.raises(ValueError, match=r"damaged\.safetensors is damaged or incomplete"):
        read_weights(tmp_path / "damaged.safetensors")
    (tmp_path / "damaged.pth").write_bytes(b"not a checkpoint at all")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_weights(tmp_path / "damaged.pth")
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "whole.pth")
    for length in (0, 2000):
        (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:length])
        with pytest.raises(ValueError, match=r"cut\.pth cannot be read as weights"):
            read_weights(tmp_path / "cut.pth")


def test_files_of_old_torch_load(tmp_path):
    """They are no archives, so that they cannot be mapped into memory."""
    model = small_model("tiny_resnet18")
    torch.save(model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    again = small_model("tiny_resnet18", weights=tmp_path / "old.pth")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


def test_log_says_what_was_loaded_read_and_new(rgb, caplog):
    with caplog.at_level(logging.INFO, logger="freqvision"):
        create_model("resnet18", small_spec("resnet18"), 7, weights=rgb.state_dict(), start="slice")
    assert "loaded 40 layers" in caplog.text  # 20 convolutions, 20 normalisations; the classifier differs
    assert "read the channels (start='slice'): layer1.0.conv1, layer1.0.downsample.0" in caplog.text
    assert "new: fc" in caplog.text


def test_backbone_without_classifier_loads(shared, caplog):
    weights = shared / "weights" / "mobilenet_v2_backbone_imagenet1k.safetensors"
    with caplog.at_level(logging.INFO, logger="freqvision"):
        model = create_model("mobilenet_v2", default_spec("mobilenet_v2"), 10, weights=weights)
    assert "new: classifier.1" in caplog.text
    assert "network.classifier.1" in model.new_layers


def test_classifier_is_the_last_linear_layer():
    from torchvision import models

    for name, expected in {
        "resnet18": "fc",
        "mobilenet_v3_small": "classifier.3",
        "convnext_tiny": "classifier.2",
    }.items():
        with torch.device("meta"):
            assert classifier_name(models.get_model(name)) == expected


def test_report_of_loading_accounts_for_every_layer(rgb):
    report = load_weights(small_model("resnet18", PixelSpec(), weights=None).network, rgb.state_dict())
    assert report.new == ()
    layers = {key.rpartition(".")[0] for key in rgb.state_dict()}
    assert set(report.loaded) == layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet5"}, "there is no model 'resnet5'; did you mean resnet50"),
        ({"name": "nonsense"}, "known: convnext_base"),
        ({"start": "cut"}, "valid: 'new', 'slice', 'fit', 'fold'"),
        ({"strides": "v3"}, "valid: 'standard', 'released'"),
        ({"start": "fit", "photos": ["a.jpg"]}, "needs both weights= .* and photos="),
        ({"photos": ["a.jpg"]}, "photos are for start='fit'"),
        ({"spec": PixelSpec(), "start": "fold"}, "leave them out"),
        (
            {"start": "fold", "spec": FrequencySpec(resize=320, crop=320)},
            "use crop 224, 448, 896, 1792, or .*rgb_size=160",
        ),
        ({"name": "convnext_tiny", "start": "slice"}, "use 'fold' or 'new'"),
        ({"name": "convnext_tiny", "start": "fit"}, "start='fold' reads from blocks exactly"),
    ],
)
def test_illegal_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(**{"name": "resnet18", **arguments})


def test_arguments_that_look_right_are_explained():
    with pytest.raises(TypeError, match=r"got 10; the number of classes is num_classes="):
        create_model("resnet18", 10)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        create_model("resnet18", num_classes=0)
    with pytest.raises(TypeError, match=r"got 'photos'; for a folder: sorted"):
        create_model("resnet18", start="fit", photos="photos")


def test_list_models_filters():
    assert list_models("resnet?8") == ["resnet18"]
    assert {"mobilenet_v2", "vit_b_16", "regnet_y_400mf"} <= set(list_models())
