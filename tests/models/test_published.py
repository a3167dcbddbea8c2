"""Weights that torchvision and timm publish, from caches that the tests prepare; nothing is downloaded."""

import pytest
import torch

import freqvision as fv
from freqvision.models import architecture, list_models
from freqvision.models.published import is_published_name

pytestmark = pytest.mark.usefixtures("small_resnets")


@pytest.fixture
def resnet18(hub_cache):
    from torchvision.models import ResNet18_Weights, resnet18

    torch.manual_seed(0)
    network = resnet18().eval()
    torch.save(network.state_dict(), hub_cache / ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    return network


@pytest.mark.parametrize("name", ["DEFAULT", "IMAGENET1K_V1"])
def test_torchvisions_weights_come_from_its_cache_and_start_folded(resnet18, name):
    model = fv.create_model("resnet18", weights=name).eval()
    assert (model.settings["start"], model.new_layers) == ("fold", ())
    pixels = fv.create_model("resnet18", fv.PixelSpec(), weights=name).eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(pixels(images), resnet18(images))
    transport = fv.Transport(resnet18, model.spec, clamp=False)
    channels = torch.randn(1, *model.spec.shape)
    torch.testing.assert_close(model(channels), transport(channels), atol=1e-4, rtol=1e-4)


def test_commands_take_the_names_of_published_weights(resnet18, photos, tmp_path, capsys):
    """`fit --model.weights DEFAULT`, `select` and `transport` by the same arguments."""
    from freqvision.cli.main import main

    output = tmp_path / "selection"
    named = ["--model", "resnet18", "--weights", "DEFAULT", "--data", str(photos / "validation")]
    assert main(["select", "--by", "gradient", *named, "--photos", "2", "--output", str(output)]) == 0
    assert (output / "scores.json").is_file()
    labels = tmp_path / "labels.csv"
    files = sorted((photos / "validation").rglob("*.jpg"))
    lines = [f"{file.relative_to(photos / 'validation')},{label}" for label, file in enumerate(files)]
    labels.write_text("\n".join(["file,class_index", *lines]) + "\n")
    assert main(["transport", "--channels", "24", *named, "--labels", str(labels), "--json"]) == 0
    assert '"DCT-24"' in capsys.readouterr().out


def test_training_takes_the_names_of_published_weights(resnet18):
    pytest.importorskip("lightning")
    from freqvision.training import Classifier

    module = Classifier("resnet18", weights="DEFAULT")
    module.build(fv.FrequencySpec(), ["a", "b"], **module.weights())
    assert (module.model.settings["start"], module.model.new_layers) == ("fold", ("network.fc",))
    first = module.model.network.conv1.convolution.weight
    assert torch.equal(first, resnet18.conv1.weight)


def test_a_missing_file_is_named_with_the_place_where_it_is_looked_for(hub_cache):
    with pytest.raises(OSError, match=rf"are not at {hub_cache}/resnet50-\w+\.pth.* copy them to that place"):
        fv.create_model("resnet50", weights="IMAGENET1K_V2")


def test_a_damaged_file_in_the_cache_is_named(resnet18, hub_cache):
    (file,) = hub_cache.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged .*: delete it"):
        fv.create_model("resnet18", weights="DEFAULT")


def test_names_that_do_not_exist_lead_to_those_that_do(hub_cache):
    with pytest.raises(ValueError, match="no weights 'IMAGENET1K_V2' for resnet18; it has 'IMAGENET1K_V1'"):
        fv.create_model("resnet18", weights="IMAGENET1K_V2")
    with pytest.raises(ValueError, match="no published weights for mobilenet_v2_tfsame"):
        fv.create_model("mobilenet_v2_tfsame", weights="DEFAULT")
    with pytest.raises(TypeError, match='no argument pretrained; weights="DEFAULT" loads pretrained weights'):
        fv.create_model("resnet18", pretrained=True)
    with pytest.raises(ValueError, match=r'timm/NAME, with weights="DEFAULT"'):
        fv.create_model("hf-hub:timm/resnet10t.c3_in1k")


def test_a_file_in_capitals_is_a_file():
    assert not is_published_name("WEIGHTS.pth")
    assert not is_published_name("./DEFAULT")
    assert is_published_name("IMAGENET1K_SWAG_E2E_V1")


def test_every_architecture_is_normalised_as_its_published_weights_are():
    """The fold has mean and std inside, so all weights of a name must be evaluated with these."""
    from torchvision.models import get_model_weights

    for name in list_models():
        found = architecture(name)
        if found.published is None or found.backbone or name.startswith("tiny"):
            continue
        known = get_model_weights(name)
        for weights in known:
            transforms = weights.transforms()
            assert tuple(transforms.mean) == found.mean, weights
            assert tuple(transforms.std) == found.std, weights
        if found.stem.on_blocks:
            assert known.DEFAULT.transforms().crop_size == [found.rgb_size], name


def test_weights_for_larger_images_bring_their_size(hub_cache, monkeypatch):
    """Position embeddings of vision transformers are made for one size of image."""
    from torchvision.models import VisionTransformer, ViT_B_16_Weights, vit_b_16

    build = VisionTransformer.__init__
    monkeypatch.setattr(
        VisionTransformer, "__init__", lambda self, **options: build(self, **options | {"num_layers": 1})
    )

    weights = ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1  # of 384 pixels
    state = vit_b_16(image_size=384).state_dict()
    torch.save(state, hub_cache / weights.url.rpartition("/")[2])
    model = fv.create_model("vit_b_16", weights=weights.name)
    assert model.settings["rgb_size"] == 384
    assert model.spec.crop == 384


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The cache of the Hugging Face hub, empty, without a network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_timms_weights_come_from_its_cache(hub):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model("resnet10t").eval()
    repository = hub / f"models--{network.pretrained_cfg['hf_hub_id'].replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    save_file(network.state_dict(), snapshot / "model.safetensors")
    model = fv.create_model("timm/resnet10t", fv.PixelSpec(), weights="DEFAULT").eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(images), network(images))


def test_missing_weights_of_timm_are_named(hub):
    pytest.importorskip("timm")
    with pytest.raises(OSError, match=rf"timm/resnet10t are not at {hub}/models--timm--resnet10t.*HF_HOME"):
        fv.create_model("timm/resnet10t", weights="DEFAULT")
    with pytest.raises(ValueError, match="name the model with its tag"):
        fv.create_model("timm/resnet10t", weights="IMAGENET1K_V1")
