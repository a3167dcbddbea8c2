"""Weights that torchvision publishes, from a cache that the tests prepare; nothing is downloaded."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import ResNet18_Weights, get_model, get_model_weights, resnet18

import freqvision as fv
from freqvision.detection import find_detector
from freqvision.models.reconstruction import pixel_operator

pytestmark = pytest.mark.usefixtures("small_resnets")
# All of the 4×4 low frequencies of all components: these and 4×4 pixels are the same thing.
LOW = fv.ChannelSet(
    tuple(64 * component + 8 * u + v for component in range(3) for u in range(4) for v in range(4))
)
SPEC = fv.FrequencySpec(resize=None, crop=None, channels=LOW, mean=(3.0,) * 48, std=(60.0,) * 48)


def published(name, hub_cache):
    """Torchvision's detector, from random weights in the cache, as torchvision itself loads them."""
    torch.manual_seed(3)
    # Frozen normalisation, as that of the weights which torchvision publishes.
    network = get_model(name, weights=None, weights_backbone=None, num_classes=91)
    state = network.state_dict()
    for key, value in state.items():
        if key.endswith(("cls_logits.weight", "cls_score.weight")):
            value.normal_(std=0.05)  # scores that differ, so that their order is certain
        if key.endswith("running_var"):
            value.uniform_(1e-4, 2e-4)  # so small that epsilon would be seen
        if (".bn" in key and key.endswith("weight")) or ".downsample.1.weight" in key:
            value.fill_(8e-3)
    weights = get_model_weights(name).DEFAULT
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(state, hub_cache / weights.url.rpartition("/")[2])
    network = get_model(
        name, weights=weights, min_size=32, max_size=1000, _skip_resize=True, box_detections_per_img=8
    )
    network.rpn._post_nms_top_n = {"training": 10, "testing": 10}  # heads are slow
    network.roi_heads.score_thresh = 0.005
    return network.eval()


def test_a_mask_rcnn_on_channels_is_torchvisions_at_once(hub_cache):
    """Folded, it finds what torchvision's finds in the pixels that the channels make."""
    name = "maskrcnn_resnet50_fpn"
    rgb = published(name, hub_cache)
    options = {"score_threshold": 0.005, "detections": 8}
    model = fv.create_detector(name, SPEC, weights="DEFAULT", options=options).eval()
    model.network.rpn._post_nms_top_n = {"training": 10, "testing": 10}
    assert (model.settings["start"], model.settings["detector"]["norm"]) == ("fold", "frozen")
    assert model.new_layers == ()
    assert len(model.class_names) == 91
    assert model.class_names[:3] == ["background", "person", "bicycle"]
    cube = torch.randn(48, 8, 16, generator=torch.Generator().manual_seed(0))
    weight, offset = (values.float() for values in pixel_operator(SPEC, 4))
    pixels = F.conv2d(cube[None], weight.flatten(0, 2)[:, :, None, None], offset.flatten())
    with torch.no_grad():
        (found,) = model([cube])
        (expected,) = rgb([F.pixel_shuffle(pixels, 4)[0]])
    assert len(found["labels"]) == len(expected["labels"]) > 2
    assert torch.equal(found["labels"], expected["labels"])
    torch.testing.assert_close(found["boxes"], expected["boxes"], atol=0.1, rtol=0)
    torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-3, rtol=0)
    torch.testing.assert_close(found["masks"], expected["masks"], atol=3e-2, rtol=0)
    other = fv.create_detector(name, SPEC, num_classes=4, weights="DEFAULT")
    assert set(other.new_layers) == {f"network.{layer}" for layer in find_detector(name).heads}
    assert other.class_names is None


def test_a_published_classifier_is_the_backbone(hub_cache):
    torch.manual_seed(0)
    network = resnet18()
    torch.save(network.state_dict(), hub_cache / ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    model = fv.create_detector("fcos_resnet18_fpn", SPEC, num_classes=3, weights_backbone="DEFAULT")
    stage = model.network.backbone.body.layer3[0].conv2.weight
    assert torch.equal(stage, network.layer3[0].conv2.weight)
    assert not any("backbone.body" in layer for layer in model.new_layers)


def test_what_is_missing_is_named(hub_cache):
    with pytest.raises(OSError, match=rf"are not at {hub_cache}/fcos_resnet50_fpn_coco-\w+\.pth"):
        fv.create_detector("fcos_resnet50_fpn", weights="DEFAULT")
    with pytest.raises(
        ValueError, match=r"no weights for fcos_resnet18_fpn: use a resnet50.*weights_backbone"
    ):
        fv.create_detector("fcos_resnet18_fpn", weights="DEFAULT")
    with pytest.raises(
        ValueError, match="no weights 'IMAGENET1K_V1' for fcos_resnet50_fpn; it has 'COCO_V1'"
    ):
        fv.create_detector("fcos_resnet50_fpn", weights="IMAGENET1K_V1")


@pytest.mark.parametrize("kind", ["fasterrcnn", "maskrcnn", "retinanet", "fcos"])
def test_the_epsilon_is_torchvisions(kind, monkeypatch):
    """Torchvision sets it in the function that loads its weights."""
    name = f"{kind}_resnet50_fpn"
    state = get_model(name, weights=None, weights_backbone=None).state_dict()
    weights = get_model_weights(name).DEFAULT
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: state)
    network = get_model(name, weights=weights)
    (epsilon,) = {layer.eps for name, layer in network.named_modules() if name.endswith("bn1")}
    assert find_detector(name).published_epsilon == epsilon
