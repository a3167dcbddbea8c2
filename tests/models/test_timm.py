"""timm's networks, whose stems are found by looking."""

import pytest
import torch
from PIL import Image

from freqvision import Decoder, FrequencySpec, PixelSpec
from freqvision.models import Transport, architecture, create_model, default_spec, list_models
from freqvision.spectrum import ChannelSet

timm = pytest.importorskip("timm")


@pytest.fixture
def shallow(monkeypatch):
    """Vision transformers of one block: what reads the blocks is the same in all."""

    def one_block(build):
        return lambda self, *args, **options: build(self, *args, **options | {"depth": 1})

    for kind in (timm.models.VisionTransformer, timm.models.Eva):
        monkeypatch.setattr(kind, "__init__", one_block(kind.__init__))


@pytest.mark.parametrize(
    ("name", "conv", "last", "stride"),
    [
        ("resnet50", "conv1", "maxpool", 4),
        ("resnet10t", "conv1.0", "maxpool", 4),
        ("regnety_002", "stem.conv", "stem.bn", 2),
        ("tf_efficientnet_lite0", "conv_stem", "bn1", 2),
        ("convnext_atto", "stem.0", "stem.1", 4),
        ("densenet121", "features.conv0", "features.pool0", 4),
        ("mobilenetv3_small_050", "conv_stem", "bn1", 2),
    ],
)
def test_stem_ends_where_the_first_block_begins(name, conv, last, stride):
    stem = architecture(f"timm/{name}").stem
    assert (stem.conv, stem.layers[-1], stem.stride) == (conv, last, stride)


@pytest.mark.parametrize("start", ["new", "fit", "fold"])
def test_grid_behind_the_stem_is_that_of_the_rgb_network(start):
    spec = default_spec("timm/resnet10t")
    model = create_model("timm/resnet10t", spec, 5, start=start).eval()
    grids = []
    model.network.layer1.register_forward_hook(lambda module, args, output: grids.append(output.shape[-1]))
    model(torch.zeros(1, *spec.shape))
    assert grids == [architecture("timm/resnet10t").rgb_size // 4]


def test_normalisation_and_size_are_timms():
    found = architecture("timm/tf_efficientnet_lite0")
    assert (found.mean, found.std, found.rgb_size) == ((0.5,) * 3, (0.5,) * 3, 224)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("repvgg_a0", r"does not begin with a single convolution .*\(it is \('stem"),
        ("tresnet_m", r"\(it is body.conv1.conv on 48 channels\); fv.Transport"),
        ("darknet53", "has no stride"),
        ("resnet51", "has no model 'resnet51'"),
    ],
)
def test_what_cannot_be_done_is_explained(name, message):
    with pytest.raises(ValueError, match=message):
        create_model(f"timm/{name}")


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("inception_v3", "fit", "gives the grid 15×15: use start='new' or 'fold'"),
        ("levit_128s", "fit", "gives the grid 2×2: use start='new' or 'fold'"),
    ],
)
def test_starts_that_a_stem_does_not_allow_are_explained(name, start, message):
    with pytest.raises(ValueError, match=message):
        create_model(f"timm/{name}", num_classes=5, start=start)


def test_a_first_convolution_of_timms_own_is_folded():
    """Which standardises its weights."""
    spec = default_spec("timm/eca_nfnet_l0")
    model = create_model("timm/eca_nfnet_l0", spec, 5, start="fold").eval()
    assert type(model.network.stem.conv1.convolution).__name__ == "ScaledStdConv2d"
    assert model(torch.zeros(1, *spec.shape)).shape == (1, 5)


def test_detail_needs_a_first_convolution_that_keeps_borders():
    shown = default_spec("timm/inception_v3", ChannelSet.parse("Y0-1,8-9+Cb0+Cr0"))
    assert create_model("timm/inception_v3", shown, 5, start="fold").channels == 6
    with pytest.raises(ValueError, match=r"changes the size by more than its stride.* use start='new'"):
        create_model("timm/inception_v3", num_classes=5, start="fold")


def test_a_patch_embedding_of_any_name_reads_blocks():
    spec = default_spec("timm/mixer_s32_224")
    model = create_model("timm/mixer_s32_224", spec, 5, start="fold").eval()
    assert model(torch.zeros(1, *spec.shape)).shape == (1, 5)


def test_names_are_listed_with_the_prefix():
    assert "timm/resnet50" in list_models("timm/resnet5*")


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize(
    ("name", "side", "crop"),
    [
        ("vit_base_patch16_siglip_224", 64, 64),  # patches of 16×16 pixels are 2×2 blocks
        ("vit_base_patch16_clip_224", 64, 64),
        ("vit_small_patch16_dinov3", 64, 64),
        ("vit_small_patch14_dinov2", 56, 64),  # a block stands for 7 pixels, a patch of 14×14 is 2×2 blocks
    ],
)
def test_patches_of_pixels_are_read_from_blocks_exactly(name, side, crop):
    """SigLIP, CLIP, DINOv2 and v3, folded, give what the RGB network gives on the pixels of the channels."""
    torch.manual_seed(0)
    found = architecture(f"timm/{name}")
    rgb = found.build(5, side).eval()
    spec = FrequencySpec(crop, crop, ChannelSet.preset(192))
    folded = create_model(
        f"timm/{name}", spec, 5, weights=rgb.state_dict(), start="fold", rgb_size=side
    ).eval()
    transport = Transport(rgb, spec, mean=found.mean, std=found.std, image_size=side, clamp=False)
    assert transport.pixels == found.stem.pixels
    channels = torch.randn(2, *spec.shape)
    tokens = []
    for network in (rgb, folded.network):
        network.patch_embed.register_forward_hook(lambda layer, inputs, output: tokens.append(output))
    with torch.no_grad():
        expected, got = transport(channels), folded(channels)
    # Tokens too: new networks of some of these scale what they make of them by 1e-5.
    torch.testing.assert_close(tokens[1], tokens[0], rtol=1e-4, atol=1e-4 * float(tokens[0].std()))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4 * float(expected.std()))


@pytest.mark.usefixtures("shallow")
def test_patches_of_blocks_are_those_of_the_decoders_pixels(tmp_path):
    """From a file: all channels without resampling show what RGB pixels show, up to rounding to 8 bits."""
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (64, 64), mode="bicubic").clamp(0.1, 0.9)
    photo = (255 * smooth[0]).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=95, subsampling="4:4:4")
    torch.manual_seed(0)
    found = architecture("timm/vit_base_patch16_clip_224")
    rgb = found.build(5, 64).eval()
    shared = {"weights": rgb.state_dict(), "rgb_size": 64}
    blocks = FrequencySpec(64, 64, ChannelSet.preset(192))
    pixels = PixelSpec(64, 64, mean=found.mean, std=found.std)
    outputs = []
    for spec in (blocks, pixels):
        model = create_model(found.name, spec, 5, **shared).eval()
        model.network.patch_embed.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
        with torch.no_grad():
            model(Decoder(spec)([str(tmp_path / "photo.jpg")]))
    difference = (outputs[0] - outputs[1]).square().mean().sqrt() / outputs[1].std()
    assert difference < 0.01
