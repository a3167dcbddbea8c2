"""Transport against the block transforms, and on the pretrained networks it is for."""

import pytest
import torch
from torch import nn

from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.inputs.transform import PixelTransform
from freqvision.models import FrequencyModel, Transport, create_model
from freqvision.spectrum.channels import ChannelSet
from freqvision.spectrum.colour import ycbcr_to_rgb
from freqvision.spectrum.cube import expand, scatter
from freqvision.spectrum.dct import scaled_block_idct


class Identity(nn.Module):
    def forward(self, images):
        return images


@pytest.mark.parametrize("pixels", range(1, 9))
def test_pixels_are_those_of_the_scaled_inverse_dct(pixels):
    channels = ChannelSet.parse("Y0-5,8-12,16,63+Cb0-1,8+Cr0,9")
    count = len(channels)
    spec = FrequencySpec(channels=channels, mean=(3.0,) * count, std=tuple(5.0 + i for i in range(count)))
    inputs = torch.randn(2, count, 4, 6, generator=torch.Generator().manual_seed(pixels))
    mean, std = (values[:, None, None] for values in spec.normalisation())
    planes = scaled_block_idct(scatter(expand(inputs * std + mean, channels)), pixels)
    expected = ycbcr_to_rgb(planes + 128) / 255
    transport = Transport(Identity(), spec, pixels=pixels, clamp=False)
    torch.testing.assert_close(transport.to_pixels(inputs), expected, atol=1e-4, rtol=1e-4)


def test_all_channels_at_full_size_give_the_image_back():
    image = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    spec = FrequencySpec(resize=None, crop=None, channels=ChannelSet.preset(192))
    channels = PixelTransform(spec)(image)[None]
    torch.testing.assert_close(
        Transport(Identity(), spec, pixels=8).to_pixels(channels)[0], image, atol=1e-4, rtol=0
    )


def test_output_is_the_models_on_normalised_pixels():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    spec = FrequencySpec(resize=64, crop=64)
    transport = Transport(model, spec, pixels=4, mean=mean, std=std)
    inputs = torch.randn(2, *spec.shape) * 100
    pixels = transport.to_pixels(inputs)
    assert 0 <= pixels.min() <= pixels.max() <= 1
    normalised = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(transport(inputs), model(normalised))


def test_int8_gives_what_its_coefficients_give():
    numbers = {"mean": tuple(range(24)), "std": tuple(range(1, 25))}
    scale = tuple(1.0 + i for i in range(24))
    exact = Transport(Identity(), FrequencySpec(**numbers))
    of_integers = Transport(Identity(), FrequencySpec(**numbers, dtype="int8", scale=scale))
    q = torch.randint(-128, 128, (1, 24, 56, 56), generator=torch.Generator().manual_seed(0)).to(torch.int8)
    mean, std = (values[:, None, None] for values in exact.spec.normalisation())
    normalised = (q * torch.tensor(scale)[:, None, None] - mean) / std
    torch.testing.assert_close(of_integers(q), exact(normalised), atol=1e-4, rtol=1e-4)


def test_inductor_compiles_dequantisation_and_inverse_dct():
    spec = FrequencySpec(resize=64, crop=64, dtype="int8", scale=(4.0,) * 24)
    transport = Transport(Identity(), spec, pixels=4)
    q = torch.randint(-128, 128, (2, *spec.shape), generator=torch.Generator().manual_seed(0)).to(torch.int8)
    torch.compiler.reset()
    compiled = torch.compile(transport, backend="inductor", fullgraph=True)
    torch.testing.assert_close(compiled(q), transport(q), atol=1e-4, rtol=1e-4)


def test_state_dict_is_the_models():
    model = nn.Conv2d(3, 4, 3)
    assert set(Transport(model, FrequencySpec()).state_dict()) == {"model.weight", "model.bias"}


def test_size_and_normalisation_are_asked_of_the_model():
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnet10t").eval()  # 3×176×176
    side = model.pretrained_cfg["input_size"][-1]
    transport = Transport(model, FrequencySpec(resize=2 * side, crop=2 * side))
    assert transport.pixels == 4
    expected = torch.tensor(model.pretrained_cfg["std"])
    torch.testing.assert_close(1 / transport.gain.flatten(), expected)

    wrapped = FrequencyModel(Identity(), PixelSpec(resize=112, crop=112, mean=(0.5,) * 3, std=(0.5,) * 3), {})
    transport = Transport(wrapped, FrequencySpec())
    assert transport.pixels == 2
    assert transport.to_pixels(torch.zeros(1, 24, 56, 56)).shape == (1, 3, 112, 112)


def test_the_model_suffices():
    """DCT-24 at twice its image in int8: half the bytes of its uint8 pixels."""
    transport = Transport(Identity())
    assert (transport.spec.shape, transport.spec.dtype) == ((24, 56, 56), "int8")
    assert (transport.spec.resize, transport.spec.crop) == (512, 448)
    assert transport.spec.bytes_per_image * 2 == PixelSpec(dtype="uint8").bytes_per_image
    assert transport(torch.zeros(1, *transport.spec.shape, dtype=torch.int8)).shape == (1, 3, 224, 224)
    wrapped = FrequencyModel(Identity(), PixelSpec(resize=128, crop=112, interpolation="bicubic"), {})
    spec = Transport(wrapped).spec
    assert (spec.resize, spec.crop, spec.interpolation) == (256, 224, "bicubic")


def test_transforms_of_torchvisions_weights_say_what_the_model_wants():
    from torchvision.models import EfficientNet_V2_L_Weights, ResNet50_Weights

    transforms = ResNet50_Weights.IMAGENET1K_V2.transforms()  # resize 232, crop 224
    transport = Transport(Identity(), transforms=transforms)
    assert (transport.spec.resize, transport.spec.crop) == (464, 448)
    other = Transport(Identity(), transforms=EfficientNet_V2_L_Weights.DEFAULT.transforms())
    assert (other.spec.crop, other.spec.interpolation) == (960, "bicubic")
    torch.testing.assert_close(1 / other.gain.flatten(), torch.full((3,), 0.5))
    with pytest.raises(TypeError, match=r"like\(\) reads torchvision's weights\.transforms"):
        Transport(Identity(), transforms=lambda image: image)
    with pytest.raises(ValueError, match=r"pass image_size=296 if it takes any size"):
        Transport(Identity(), image_size=299)


def test_timm_models_say_how_they_were_evaluated():
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnet10t").eval()
    config = model.pretrained_cfg
    spec = Transport(model).spec
    assert spec.crop == 2 * config["input_size"][-1]
    assert spec.resize == 2 * int(config["input_size"][-1] / config["crop_pct"])
    assert spec.interpolation == config["interpolation"]


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="use crop 224, 448, 896, 1792, or pass pixels="):
        Transport(Identity(), FrequencySpec(resize=320, crop=320))
    with pytest.raises(ValueError, match="pass pixels="):
        Transport(Identity(), FrequencySpec(resize=None, crop=None))
    with pytest.raises(ValueError, match="1 to 8"):
        Transport(Identity(), FrequencySpec(), pixels=9)
    with pytest.raises(TypeError, match="FrequencySpec"):
        Transport(Identity(), PixelSpec())
    with pytest.raises(ValueError, match="reads DCT channels"):
        Transport(create_model("resnet18", FrequencySpec(resize=64, crop=64)), FrequencySpec())
    with pytest.raises(ValueError, match=r"Transport takes float32 tensors of shape \(B, 24, h, w\)"):
        Transport(Identity(), FrequencySpec())(torch.zeros(1, 3, 56, 56))


def test_names_of_the_classes_stay():
    model = create_model("resnet18", PixelSpec(64, 64), 3)
    model.class_names = ["a", "b", "c"]
    spec = FrequencySpec(128, 128)
    assert Transport(model, spec).class_names == ["a", "b", "c"]
    assert Transport(model.network, spec, image_size=64).class_names is None
