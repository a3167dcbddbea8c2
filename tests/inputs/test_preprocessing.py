"""Specs read from other libraries' preprocessing: the same pixels, and errors for all they cannot say."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import (
    ConvNeXt_Base_Weights,
    EfficientNet_B3_Weights,
    ResNet50_Weights,
    ViT_B_16_Weights,
)
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
from torchvision.transforms._presets import ImageClassification

import freqvision as fv
from freqvision.data.folder import find_photos

MEAN_RMS, WORST_RMS = 0.7, 1.2  # gray levels of a photo


@pytest.fixture(scope="module")
def photos(request):
    """Real photos where they are, of odd sizes too; else smooth ones with texture."""
    try:
        folder = request.getfixturevalue("shared") / "data" / "imagenet-sample"
    except pytest.skip.Exception:
        folder = None
    if folder is not None:
        return [Path(path).read_bytes() for path in find_photos(folder)[::9]]
    photos = []
    for seed, size in enumerate([(333, 500), (375, 501), (640, 427)]):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(1, 3, 24, 24, generator=generator)
        image = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0]
        image = (image + 0.02 * torch.randn(3, *size, generator=generator)).clamp(0, 1)
        file = io.BytesIO()
        array = (255 * image).byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(file, "JPEG", quality=92)
        photos.append(file.getvalue())
    return photos


def check_parity(spec, theirs, photos):
    """Root mean square of the difference per photo, in gray levels."""
    decode = fv.Decoder(spec, num_threads=1)
    std = torch.tensor(spec.std)[:, None, None]
    differences = []
    for data in photos:
        with Image.open(io.BytesIO(data)) as image:
            expected = theirs(image.convert("RGB"))
        ours = decode.each([data])[0]
        assert ours.shape == expected.shape
        differences.append(float((255 * std * (ours - expected)).square().mean().sqrt()))
    print(f"{np.mean(differences):.2f} in the mean, {max(differences):.2f} at worst")
    assert np.mean(differences) <= MEAN_RMS
    assert max(differences) <= WORST_RMS


@pytest.mark.parametrize(
    "preset",
    [
        ResNet50_Weights.IMAGENET1K_V1,
        ResNet50_Weights.IMAGENET1K_V2.transforms(),
        EfficientNet_B3_Weights.DEFAULT,  # bicubic
        ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,  # 384
        ConvNeXt_Base_Weights.DEFAULT,
    ],
    ids=str,
)
def test_torchvision(preset, photos):
    transforms = preset.transforms() if hasattr(preset, "transforms") else preset
    check_parity(fv.PixelSpec.like(preset), transforms, photos[::3])


@pytest.mark.parametrize(
    "changes", [{}, {"crop_pct": 1.0, "crop_mode": "squash"}, {"interpolation": "bilinear", "crop_pct": None}]
)
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_timm(name, changes, photos):
    timm = pytest.importorskip("timm")
    model = timm.create_model(name)
    config = {**timm.data.resolve_data_config(model=model), **changes}
    spec = fv.PixelSpec.like(config)
    check_parity(spec, timm.data.create_transform(**config), photos[::5])
    assert fv.PixelSpec.like(model) == fv.PixelSpec.like(timm.data.resolve_data_config(model=model))


PROCESSORS = [
    ("CLIPImageProcessor", {}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 335}, "crop_size": {"height": 336, "width": 224}}),
    ("SiglipImageProcessor", {}),
    ("ViTImageProcessor", {}),
    ("BitImageProcessor", {"size": {"shortest_edge": 257}}),  # DINOv2; an odd number of pixels is left over
    ("DINOv3ViTImageProcessor", {}),
    ("ConvNextImageProcessor", {}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
    ("CLIPImageProcessor", {"crop_pct": 0.9}),  # which it keeps and does not use
    ("ViTImageProcessor", {"do_normalize": False}),
    ("ViTImageProcessor", {"do_rescale": False, "image_mean": [120.0] * 3, "image_std": [60.0] * 3}),
]


@pytest.mark.parametrize(("name", "options"), PROCESSORS)
@pytest.mark.parametrize("backend", ["", "Pil"])
def test_transformers(name, options, backend, photos):
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, name + backend, None)
    if kind is None:
        pytest.skip(f"{name} has no {backend} variant")
    processor = kind(**options)
    if options.get("size") == {"shortest_edge": 335}:
        with pytest.raises(ValueError, match="larger than the shorter side"):
            fv.PixelSpec.like(processor)
        return

    def theirs(image):
        return processor(image, return_tensors="pt")["pixel_values"][0].float()

    check_parity(fv.PixelSpec.like(processor), theirs, photos[::5])


def test_frequencies_show_what_the_pixels_show():
    transforms = ResNet50_Weights.IMAGENET1K_V1.transforms()
    spec = fv.FrequencySpec.like(transforms)
    assert spec == fv.FrequencySpec(resize=512, crop=448)
    assert fv.FrequencySpec.like(fv.PixelSpec(), scale=1, dtype="int8").shape == (24, 28, 28)
    squashed = fv.PixelSpec(resize=(224, 224), crop=None, interpolation="bicubic", centring="floor")
    like = fv.FrequencySpec.like(squashed, channels=fv.ChannelSet.preset(64))
    assert (like.resize, like.crop, like.shape) == ((448, 448), None, (64, 56, 56))
    assert (like.interpolation, like.centring) == ("bicubic", "floor")
    with pytest.raises(ValueError, match="multiple of 8"):
        fv.FrequencySpec.like(fv.PixelSpec(resize=320, crop=299))


@pytest.mark.parametrize("side", [255, 256, 257, 258])
def test_where_a_crop_begins(side):
    rounds, floors = (
        fv.PixelSpec(resize=None, crop=224, centring=rule).view((side, 300)).crop[0]
        for rule in ("round", "floor")
    )
    assert rounds == round((side - 224) / 2)
    assert floors == math.floor((side - 224) / 2)


class TestRefusals:
    def test_what_is_no_preprocessing(self):
        for other in (None, "resnet50", torch.nn.Identity(), {"mean": (0, 0, 0)}):
            with pytest.raises(TypeError, match="like\\(\\) reads"):
                fv.PixelSpec.like(other)
        with pytest.raises(TypeError, match="ObjectDetection"):
            fv.PixelSpec.like(MaskRCNN_ResNet50_FPN_Weights.DEFAULT)

    def test_torchvision(self):
        with pytest.raises(ValueError, match="without antialiasing"):
            fv.PixelSpec.like(ImageClassification(crop_size=224, antialias=False))

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"interpolation": "lanczos"}, "bilinear or bicubic.*lanczos"),
            ({"crop_mode": "border"}, "crop_mode='border'"),
            ({"input_size": (3, 224, 448)}, "224×448"),
            ({"input_size": (1, 28, 28)}, "input_size"),
        ],
    )
    def test_timm(self, changes, says):
        config = {"input_size": (3, 224, 224), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 0.9}
        with pytest.raises(ValueError, match=says):
            fv.PixelSpec.like({**config, **changes})

    @pytest.mark.parametrize(
        ("name", "options", "says"),
        [
            ("CLIPImageProcessor", {"do_pad": True}, "do_pad"),
            ("CLIPImageProcessor", {"resample": 0}, "bilinear or bicubic"),
            (
                "CLIPImageProcessor",
                {"size": {"height": 200, "width": 300}},
                r"larger than resize=\(200, 300\)",
            ),
            ("ViTImageProcessor", {"size": {"shortest_edge": 224, "longest_edge": 400}}, "shortest edge"),
            ("Qwen2VLImageProcessor", {}, r"examples/qwen2_vl\.py"),
            ("LlavaNextImageProcessor", {}, "steps of its own"),
            ("EfficientNetImageProcessor", {}, "steps of its own"),
        ],
    )
    def test_transformers(self, name, options, says):
        transformers = pytest.importorskip("transformers")
        with pytest.raises(ValueError, match=says):
            fv.PixelSpec.like(getattr(transformers, name)(**options))
