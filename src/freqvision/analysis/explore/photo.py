"""What a photo's channels show and cost, and what a model makes of some of them."""

import io
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from freqvision.analysis.figures import picture, reconstruct
from freqvision.analysis.measures import gradient_importance
from freqvision.analysis.probe import Probe, probe_network
from freqvision.analysis.scores import ChannelScores
from freqvision.inputs.decoder import Decoder, JointDecoder
from freqvision.inputs.encoding import decode, encode
from freqvision.inputs.packed import pack
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.jpeg.errors import JpegError
from freqvision.jpeg.read import read_header
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.predict import Guess, most_probable
from freqvision.spectrum.channels import BLOCK, FREQUENCIES, NUM_CHANNELS, ChannelSet
from freqvision.spectrum.colour import GRAY, ycbcr_to_rgb
from freqvision.spectrum.cube import expand

EVERY = ChannelSet.preset(NUM_CHANNELS)
SIDES = (224, 448, 896)  # of whole photos, where no model says
MAX_PIXELS = 2**26
MAP_SIDE = 32  # of the map of a channel
TINTS = ((1.0, 1.0, 1.0), (0.45, 0.7, 1.0), (1.0, 0.5, 0.42))  # of the maps of Y, Cb and Cr
_SAMPLINGS = {(1, 1): "4:4:4", (1, 2): "4:2:2", (2, 2): "4:2:0"}


@dataclass(frozen=True)
class Photo:
    """A photo at one size.

    Args:
        contents: Its file.
        about: What the file is, for people.
        spec: Its size; all 192 channels, not normalised.
        cube: Its coefficients (192, h, w).
        pixels: Its pixels as a decoder shows them at this size, uint8 (3, H, W); the last blocks of the cube
            may reach beyond them.
    """

    contents: bytes = field(repr=False)
    about: str
    spec: FrequencySpec
    cube: torch.Tensor = field(repr=False)
    pixels: torch.Tensor = field(repr=False)


def open_photo(contents: bytes, spec: InputSpec) -> Photo:
    """Decode a photo once, to its channels and its pixels.

    Args:
        contents: A JPEG file, or another that Pillow reads.
        spec: The view: which channels it names does not matter.

    Raises:
        JpegError: It cannot be read; the message is a sentence about the file.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (500, 375), "teal").save(file, "JPEG")
        >>> photo = open_photo(file.getvalue(), FrequencySpec(224, None))
        >>> photo.cube.shape, photo.pixels.shape, photo.about
        (torch.Size([192, 28, 38]), torch.Size([3, 224, 298]), '500×375 pixels, 4:2:0')
    """
    spec = spec.raw(EVERY)
    shown = PixelSpec(
        spec.resize,
        spec.crop,
        dtype="uint8",
        interpolation=spec.interpolation,
        max_size=spec.max_size,
        orientation=spec.orientation,
        centring=spec.centring,
    )
    try:
        cubes, pixels = JointDecoder([spec, shown], num_threads=1, max_pixels=MAX_PIXELS)([contents])
    except JpegError as error:
        cause = str(error).removeprefix("source 0 (bytes): ")
        raise JpegError(f"This file cannot be shown: {cause}.", error.kind, error.offset) from error
    return Photo(contents, _describe(contents), spec, cubes[0], pixels[0])


def _describe(contents: bytes) -> str:
    try:
        header = read_header(contents)
    except JpegError:
        return "read through its pixels, since its coefficients are not those of a baseline JPEG"
    sampling = _SAMPLINGS.get(header.sampling_factors[0], "chroma subsampled")
    parts = ["{1}×{0} pixels".format(*header.size), "gray" if len(header.blocks) == 1 else sampling]
    return ", ".join(parts + ["progressive"] * header.progressive)


def received(photo: Photo, kept: ChannelSet) -> torch.Tensor:
    """What arrives if the kept channels are sent in int8: (192, h, w), zero for the others."""
    if not len(kept):
        return torch.zeros_like(photo.cube)
    sent = _sent(photo, kept)
    return expand(decode(encode(photo.cube, sent), sent), kept)


def rebuild(photo: Photo, cube: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The photo from some of its coefficients (192, h, w): RGB (3, H, W) from 0 to 1, and its PSNR in dB."""
    rebuilt = reconstruct(cube, photo.spec)[:, : photo.pixels.shape[1], : photo.pixels.shape[2]]
    error = (rebuilt - photo.pixels / 255).square().mean()
    return rebuilt, -10 * torch.log10(error.clamp(min=1e-10)).item()


def byte_counts(photo: Photo, kept: ChannelSet) -> dict[str, int]:
    """Bytes of the kept channels, raw and compressed, and of the same photo as pixels and as JPEG."""
    file = io.BytesIO()
    picture(photo.pixels).save(file, "JPEG", quality=90)
    packed = len(pack([photo.contents], _sent(photo, kept), codec="zstd")[0]) if len(kept) else 0
    return {
        "kept channels, int8": len(kept) * photo.cube[0].numel(),
        "kept channels, compressed": packed,
        "RGB pixels": photo.pixels.numel(),
        "JPEG of this size, quality 90": file.tell(),
        "the file": len(photo.contents),
    }


def _sent(photo: Photo, kept: ChannelSet) -> FrequencySpec:
    return photo.spec.replace(channels=kept, mean=(), std=(), scale=(), dtype="int8")


def board(photo: Photo, component: int) -> Image.Image:
    """The 64 channels of a component as small maps in 8 rows and columns: how strong each is, and where.

    Brightness is the root of the magnitude, of all frequencies on one scale; DC is the component itself.
    """
    maps = photo.cube[FREQUENCIES * component :][:FREQUENCIES]  # (64, h, w)
    height, width = maps.shape[1:]
    scale = min(1.0, MAP_SIDE / max(height, width))
    size = max(1, round(scale * height)), max(1, round(scale * width))
    strong = F.adaptive_avg_pool2d(maps.abs(), size)
    limit = torch.quantile(strong[1:].flatten(), 0.995).clamp(min=8)
    strong = (strong / limit).clamp(0, 1).sqrt()
    rgb = strong[:, None] * torch.tensor(TINTS[component])[:, None, None]  # (64, 3, h, w)
    mean = torch.full((3, *size), GRAY)
    mean[component] += F.adaptive_avg_pool2d(maps[:1], size)[0] / BLOCK
    rgb[0] = (ycbcr_to_rgb(mean) / 255).clamp(0, 1)
    return picture(rgb.unflatten(0, (BLOCK, BLOCK)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2))


class Reader:
    """A model that answers from all channels of a photo, from some of them, and from RGB.

    Args:
        model: A model of RGB pixels, which reads channels through `Transport`; or of DCT channels, folded or
            trained, for which channels that are not kept are at their mean.
        rgb: The model of RGB pixels from whose weights `model` was folded, to compare it with.

    Attributes:
        specs: By the side of the crop the photos that it takes.

    Raises:
        ValueError: The model's input has no fixed size, or is not made of whole blocks.
    """

    def __init__(self, model: FrequencyModel, rgb: FrequencyModel | None = None) -> None:
        of_pixels = model.spec.channels is None
        self.rgb = model if of_pixels else rgb
        views = [model.spec]
        if of_pixels:
            views = [FrequencySpec.like(model.spec, scale, channels=EVERY) for scale in (1, 2)]
        self.networks: dict[InputSpec, tuple[nn.Module, FrequencySpec]] = {}
        self.specs: dict[str, FrequencySpec] = {}
        for view in views:
            spec = view.raw(EVERY)
            if spec.grid is None:
                raise ValueError("the model's input has no fixed size: its spec needs a crop")
            self.specs["×".join(str(BLOCK * side) for side in spec.grid)] = spec
            self.networks[spec] = probe_network(model.eval(), spec)
        self.names = model.class_names
        if self.names is None and model.settings.get("num_classes") == 1000:
            from torchvision.models import ResNet50_Weights

            self.names = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]

    def answers(self, photo: Photo, cube: torch.Tensor, kept: ChannelSet = EVERY) -> list[Guess]:
        """The five most probable classes by coefficients (192, h, w), of which only some are kept."""
        network, spec = self.networks[photo.spec]
        mask = torch.tensor([index in kept for index in spec.channels])[:, None, None]
        with torch.inference_mode():
            return most_probable(network((encode(cube, spec) * mask)[None]), self.names)[0]

    def rgb_answers(self, photo: Photo) -> list[Guess]:
        """The five most probable classes by RGB pixels; none without a model of them."""
        if self.rgb is None:
            return []
        with torch.inference_mode():
            pixels = Decoder(self.rgb.spec, num_threads=1, max_pixels=MAX_PIXELS)([photo.contents])
            return most_probable(self.rgb.eval()(pixels), self.names)[0]

    def needed(self, photo: Photo) -> ChannelScores:
        """How much the answer rests on each channel: gradient × channel, in one pass."""
        network, spec = self.networks[photo.spec]
        return gradient_importance(Probe(network, spec, encode(photo.cube, spec)[None]), progress=False)


def block_of(photo: Photo, rebuilt: torch.Tensor, row: int, column: int) -> tuple[torch.Tensor, ...]:
    """One block: its pixels, those rebuilt, both uint8 (3, 8, 8), and its coefficients of Y (64,)."""
    top, left = BLOCK * row, BLOCK * column
    before, after = (
        image[:, top : top + BLOCK, left : left + BLOCK] for image in (photo.pixels, (255 * rebuilt).byte())
    )
    return before, after, photo.cube[:FREQUENCIES, row, column]
