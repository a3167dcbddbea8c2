"""What turns a photo into a model's input: the specification that travels with every model."""

from __future__ import annotations

import json
import math
import operator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from freqvision.inputs.preprocessing import preprocessing_fields
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.inputs.view import BLOCK, View, resize_crop_view
from freqvision.runtime import JsonFile, parse_json
from freqvision.spectrum.channels import NUM_CHANNELS, ChannelSet
from freqvision.spectrum.colour import ycbcr_to_rgb_matrix

if TYPE_CHECKING:
    from typing_extensions import Self

INTERPOLATIONS = ("bilinear", "bicubic")
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of R, G, B from 0 to 1, as torchvision's weights take them
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE = 2**24  # far beyond any photo, and sizes stay whole in float32 and int32
_GEOMETRY = ("resize", "crop", "interpolation", "max_size", "orientation", "centring")


class InputSpec(JsonFile):
    """What turns a photo into a model's input; `FrequencySpec` and `PixelSpec` are its two kinds.

    `from_dict`, `from_json` and `load` of this class read either kind.
    """

    what, writer = "specification", "its method save"
    kind: ClassVar[str]
    cell: ClassVar[int]  # side in pixels of the resized photo for one position of the input: 8 or 1

    # Fields of both kinds.
    resize: int | tuple[int, int] | None
    crop: int | tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str
    interpolation: str
    max_size: int | None
    orientation: str
    centring: str
    # Of one kind each: None for the other.
    channels: ChannelSet | None = None
    colour: str | None = None

    @classmethod
    def for_crop(cls, crop: int, **fields: Any) -> Self:
        """With `resize` at 8/7 of the crop, as ImageNet's models are validated (256 for 224).

        Example:
            >>> FrequencySpec.for_crop(448).resize
            512
        """
        return cls(resize=crop * 8 // 7, crop=crop, **fields)  # type: ignore[call-arg]

    @property
    def num_channels(self) -> int:
        """Channels of the input."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int, int] | None:
        """(height, width) of the input; None where it depends on the photo."""
        size = self.crop or (self.resize if isinstance(self.resize, tuple) else None)
        if size is None:
            return None
        height, width = (size, size) if isinstance(size, int) else size
        return -(-height // self.cell), -(-width // self.cell)

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of the input; None where it depends on the photo."""
        return None if self.grid is None else (self.num_channels, *self.grid)

    @property
    def steps(self) -> tuple[float, ...] | None:
        """What 1 in an integer `dtype` stands for, per channel; None for floating-point types."""
        raise NotImplementedError

    @property
    def blank(self) -> tuple[float, ...]:
        """Value per channel where there is no photo, before normalisation: gray, or the mean colour."""
        return (0.0,) * self.num_channels

    @property
    def label(self) -> str:
        """A name for tables, such as DCT-24 or RGB."""
        raise NotImplementedError

    def describe(self) -> str:
        """The channels in a few words, for messages and model cards."""
        raise NotImplementedError

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch names it."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def bytes_per_image(self) -> int | None:
        """Bytes of one photo on its way to the device; None where it depends on the photo."""
        return None if self.shape is None else math.prod(self.shape) * self.torch_dtype.itemsize

    def view(self, image_size: tuple[int, int]) -> View:
        """The view of evaluation for a photo of (height, width) pixels: resize and centre crop."""
        return resize_crop_view(image_size, self.resize, self.crop, self.max_size, self.cell, self.centring)

    def output_shape(self, view: View) -> tuple[int, int, int]:
        """(channels, height, width) of what a view shows.

        Raises:
            ValueError: The view's crop is not made of whole cells.
        """
        return self.num_channels, *view.cells(self.cell)

    def normalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and std of each channel, float32 of shape (C,)."""
        return torch.tensor(self.mean, dtype=torch.float32), torch.tensor(self.std, dtype=torch.float32)

    def raw(self, channels: ChannelSet | None = None) -> FrequencySpec:
        """The same view as coefficients that are not normalised: mean 0, std 1, float32.

        Args:
            channels: Which; None is the spec's own, and for pixels all 192.

        Raises:
            ValueError: The crop is not made of whole blocks.

        Example:
            >>> FrequencySpec().raw().mean[:3], PixelSpec().raw().shape
            ((0.0, 0.0, 0.0), (192, 28, 28))
        """
        channels = channels or self.channels or ChannelSet.preset(NUM_CHANNELS)
        zeros, ones = (0.0,) * len(channels), (1.0,) * len(channels)
        geometry = {name: getattr(self, name) for name in _GEOMETRY}
        return FrequencySpec(channels=channels, mean=zeros, std=ones, **geometry)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some fields, checked as a new one is.

        Example:
            >>> PixelSpec().replace(crop=192).shape
            (3, 192, 192)
        """
        return replace(self, **changes)  # type: ignore[type-var]

    def with_dtype(self, dtype: str) -> Self:
        """With another transfer type."""
        return self.replace(dtype=dtype)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only (str, int, float, list, None): checkpoints load with ``weights_only=True``."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, **{name: _plain(value) for name, value in values.items()}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` gave; `InputSpec.from_dict` reads either kind.

        Raises:
            ValueError: The values are of another kind, or a name is unknown.
        """
        if not isinstance(values, dict):
            raise ValueError(
                f"a specification is a dict of names and values, as to_dict gives it; got {values!r}"
            )
        values = {"orientation": "stored", **values}  # of specifications that do not know the word
        kinds = {child.kind: child for child in (FrequencySpec, PixelSpec)}
        kind = values.pop("kind", getattr(cls, "kind", None))
        if not isinstance(kind, str) or kind not in kinds:
            raise ValueError(f"a specification's kind is {' or '.join(kinds)}; got {kind!r}")
        made = kinds[kind]
        if not issubclass(made, cls):
            raise ValueError(
                f"this is a specification of kind {kind!r}, not {cls.kind!r}: InputSpec reads either kind"
            )
        known = [item.name for item in fields(made)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{made.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}")
        try:
            return made(**made._upgrade(values))  # type: ignore[return-value]
        except TypeError as error:  # values of other types
            raise ValueError(f"a specification has plain values, as to_dict gives them: {error}") from error

    @classmethod
    def _upgrade(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The constructor's arguments from what this version or an older one wrote."""
        return values

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls.from_dict(parse_json(text))


@dataclass(frozen=True)
class FrequencySpec(InputSpec):
    """Everything that turns a photo into the input of a model in the frequency domain.

    Args:
        resize: Length in pixels of the photo's shorter side, exact (height, width), or None for the stored
            size.
        crop: Side of the square, or (height, width), cut out of the middle: multiples of 8. None takes the
            whole resized photo, padded with gray to whole blocks.
        channels: Which frequencies the model sees.
        mean: One for each selected channel, in units of coefficients; () takes the default statistics.
            `raw()` gives coefficients that are not normalised.
        std: One for each selected channel, in units of coefficients; () takes the default statistics.
        dtype: Type of the tensor that is sent to the device: float32, float16, bfloat16 or int8. A float
            tensor holds (coefficient − mean) / std. An int8 tensor holds round(coefficient / scale), not
            normalised: the model's first step on the device turns q into (q · scale − mean) / std.
        scale: Step of int8 for each selected channel, in units of coefficients; () takes the default
            statistics.
        interpolation: "bilinear" or "bicubic", antialiased as torchvision does it.
        max_size: With `resize` of one number and no crop, as detectors see photos: the longer side in pixels
            that it may lead to; a photo that would exceed it is resized to that instead.
        orientation: "exif" shows photos upright, as their EXIF orientation says; "stored" shows them as the
            file stores them, on which models saved before there was a choice were trained.
        centring: Where the crop begins if an odd number of pixels is left over: "round" as in torchvision
            (half a pixel to the even side), "floor" as in transformers.

    Raises:
        TypeError: `channels` is no ChannelSet.
        ValueError: A value is illegal or contradicts another; the message says which and what is valid.

    Example:
        >>> spec = FrequencySpec(resize=512, crop=448, channels=ChannelSet.preset(24))
        >>> spec.shape, spec.bytes_per_image
        ((24, 56, 56), 301056)
        >>> FrequencySpec.from_json(spec.to_json()) == spec
        True
    """

    resize: int | tuple[int, int] | None = 512
    crop: int | tuple[int, int] | None = 448
    channels: ChannelSet = field(default_factory=lambda: ChannelSet.preset(24))
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: str = "float32"
    scale: tuple[float, ...] = ()
    interpolation: str = "bilinear"
    max_size: int | None = None
    orientation: str = "exif"
    centring: str = "round"

    kind: ClassVar[str] = "frequency"
    cell: ClassVar[int] = BLOCK

    def __post_init__(self) -> None:
        _check_geometry(self)
        if not isinstance(self.channels, ChannelSet):
            raise TypeError(
                f"channels is a ChannelSet, not {self.channels!r}; "
                "use ChannelSet.preset(24) or ChannelSet.parse('Y0-3+Cb0+Cr0')"
            )
        if not len(self.channels):
            raise ValueError("channels is empty: a model needs at least one frequency")
        _check_choice("dtype", self.dtype, ("float32", "float16", "bfloat16", "int8"))
        for name in ("mean", "std", "scale"):
            if getattr(self, name) in (None, ()):
                object.__setattr__(self, name, self._default(name))
            _freeze_numbers(self, name)

    def __repr__(self) -> str:
        parts = []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("mean", "std", "scale"):
                parts.append(f"{item.name}={value!r}")
            elif value != self._default(item.name):  # of up to 192 numbers, the first and the last
                parts.append(f"{item.name}=({value[0]:g}, … {value[-1]:g})")
        return f"FrequencySpec({', '.join(parts)})"

    def _default(self, name: str) -> tuple[float, ...]:
        statistics = ChannelStatistics.default()
        numbers = {"mean": statistics.mean_of, "std": statistics.std_of, "scale": statistics.scale_of}
        return numbers[name](self.channels)

    @property
    def num_channels(self) -> int:
        """Number of selected channels."""
        return len(self.channels)

    @property
    def steps(self) -> tuple[float, ...] | None:
        """What 1 in int8 stands for, per channel, in units of coefficients; None for floating-point types."""
        return self.scale if self.dtype == "int8" else None

    @property
    def label(self) -> str:
        """DCT- and the number of channels."""
        return f"DCT-{len(self.channels)}"

    def describe(self) -> str:
        """The channels in a few words: "the channels Y0-3…"."""
        return f"the channels {self.channels}"

    @classmethod
    def like(cls, source: Any, scale: int = 2, **changes: Any) -> FrequencySpec:
        """The same view as an RGB model's, as DCT channels of photos `scale` times as large.

        Args:
            source: Preprocessing of torchvision, timm or transformers, see `PixelSpec.like`; or a spec.
            scale: 2 gives `Transport` and folded stems the pixels of the RGB model from 4×4 frequencies, 1
                from all of them.
            changes: Other fields, such as channels and dtype.

        Raises:
            TypeError, ValueError: As for `PixelSpec.like`; or the enlarged crop is not made of whole blocks.

        Example:
            >>> from torchvision.models import ResNet50_Weights
            >>> FrequencySpec.like(ResNet50_Weights.IMAGENET1K_V2.transforms(), dtype="int8").shape
            (24, 56, 56)
        """

        def enlarged(size: Any) -> Any:
            return scale * size if isinstance(size, int) else size and tuple(scale * side for side in size)

        pixels = source if isinstance(source, InputSpec) else PixelSpec.like(source)
        fields = {name: getattr(pixels, name) for name in _GEOMETRY}
        fields |= {name: enlarged(fields[name]) for name in ("resize", "crop", "max_size")}
        return cls(**{**fields, **changes})

    def with_statistics(self, statistics: ChannelStatistics) -> FrequencySpec:
        """With mean, std and int8 scale of these statistics for the selected channels."""
        return replace(
            self,
            mean=statistics.mean_of(self.channels),
            std=statistics.std_of(self.channels),
            scale=statistics.scale_of(self.channels),
        )

    def with_channels(self, channels: ChannelSet) -> FrequencySpec:
        """With other channels, each with its statistics; new ones only with the default statistics or none.

        Raises:
            ValueError: A channel is not in this spec, whose statistics are neither the defaults nor none.
        """
        return self.replace(channels=channels)

    def replace(self, **changes: Any) -> FrequencySpec:
        """A copy with other values of some fields; other `channels` bring their statistics, see above."""
        if isinstance(changes.get("channels"), ChannelSet):
            changes = {**self._statistics_of(changes["channels"]), **changes}
        return replace(self, **changes)

    def _statistics_of(self, channels: ChannelSet) -> dict[str, tuple[float, ...]]:
        if not set(channels) <= set(self.channels):
            if self == replace(self, mean=(), std=(), scale=()):
                return {"mean": (), "std": (), "scale": ()}
            if self == replace(self.raw(), dtype=self.dtype):
                raw = self.raw(channels)
                return {"mean": raw.mean, "std": raw.std, "scale": raw.scale}
        places = self.channels.positions(channels)
        numbers = {name: getattr(self, name) for name in ("mean", "std", "scale")}
        return {name: tuple(of[place] for place in places) for name, of in numbers.items()}

    @classmethod
    def _upgrade(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        if isinstance(values.get("channels"), str):
            values["channels"] = ChannelSet.parse(values["channels"], files=False)
        # Version 0.1 wrote null for "not normalised", which was the default then.
        count = len(values.get("channels", cls().channels))
        for name, number in {"mean": 0.0, "std": 1.0}.items():
            if name in values and values[name] is None:
                values[name] = (number,) * count
        return values


@dataclass(frozen=True)
class PixelSpec(InputSpec):
    """Everything that turns a photo into the input of a model of pixels.

    Args:
        resize: Length in pixels of the photo's shorter side, exact (height, width), or None for the stored
            size.
        crop: Side of the square, or (height, width), cut out of the middle; None takes the whole resized
            photo.
        colour: "rgb", "bgr", "ycbcr" (JPEG's full range) or "gray" (one channel, JPEG's luma).
        mean: One for each channel in its order, of values in [0, 1]; ImageNet's unless given.
        std: One for each channel in its order, of values in [0, 1]; ImageNet's unless given.
        dtype: Type of the tensor that is sent to the device. A float tensor holds (value − mean) / std; a
            uint8 tensor holds 0 to 255, which the model's first step on the device normalises.
        interpolation, max_size, orientation, centring: As for `FrequencySpec`.

    Raises:
        ValueError: A value is illegal or contradicts another; the message says which and what is valid.

    Example:
        >>> PixelSpec(dtype="uint8").bytes_per_image
        150528
        >>> PixelSpec(colour="gray").shape
        (1, 224, 224)
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    colour: str = "rgb"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: str = "float32"
    interpolation: str = "bilinear"
    max_size: int | None = None
    orientation: str = "exif"
    centring: str = "round"

    kind: ClassVar[str] = "pixel"
    cell: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_geometry(self)
        _check_choice("colour", self.colour, tuple(_IMAGENET))
        _check_choice("dtype", self.dtype, ("float32", "float16", "bfloat16", "uint8"))
        for name, usual in zip(("mean", "std"), _IMAGENET[self.colour], strict=True):
            if getattr(self, name) == ():
                object.__setattr__(self, name, usual)
            _freeze_numbers(self, name)

    @classmethod
    def like(cls, source: Any, **changes: Any) -> PixelSpec:
        """The spec that does what another library's preprocessing does, so that no number is copied by hand.

        Args:
            source: torchvision's ``weights`` or ``weights.transforms()``; timm's ``resolve_data_config(…)``
                or a timm model; an image processor of transformers, or a processor that holds one.
            changes: Other fields, such as dtype.

        Raises:
            TypeError: `source` is none of these.
            ValueError: It does what a spec cannot express; the message says what.

        Example:
            >>> from torchvision.models import ResNet50_Weights
            >>> spec = PixelSpec.like(ResNet50_Weights.IMAGENET1K_V2.transforms())
            >>> spec.resize, spec.crop
            (232, 224)
        """
        return cls(**{**preprocessing_fields(source), **changes})

    @property
    def num_channels(self) -> int:
        """3: the components of a pixel; 1 of gray."""
        return 1 if self.colour == "gray" else 3

    @property
    def steps(self) -> tuple[float, ...] | None:
        """1/255 for each channel of uint8; None for floating-point types."""
        return (1 / 255,) * self.num_channels if self.dtype == "uint8" else None

    @property
    def blank(self) -> tuple[float, ...]:
        """The mean colour."""
        return self.mean

    @property
    def label(self) -> str:
        """RGB, BGR, YCbCr or gray."""
        return {"ycbcr": "YCbCr", "gray": "gray"}.get(self.colour, self.colour.upper())

    def describe(self) -> str:
        """The channels in a few words: "RGB pixels"."""
        return f"{self.label} pixels"

    def colour_matrix(self) -> torch.Tensor:
        """M (C, 3), float64, with ``channels = M @ (y − 128, cb − 128, cr − 128) + 128``."""
        if self.colour == "gray":
            return torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
        if self.colour == "ycbcr":
            return torch.eye(3, dtype=torch.float64)
        matrix = ycbcr_to_rgb_matrix(torch.float64)
        return matrix.flip(0) if self.colour == "bgr" else matrix


# Of each colour: mean and std.
_IMAGENET = {
    "rgb": (IMAGENET_MEAN, IMAGENET_STD),
    "bgr": (IMAGENET_MEAN[::-1], IMAGENET_STD[::-1]),
    "ycbcr": (IMAGENET_MEAN, IMAGENET_STD),
    "gray": ((0.449,), (0.226,)),
}


def _plain(value: Any) -> Any:
    if isinstance(value, ChannelSet):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _check_choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name} is one of {', '.join(valid)}; got {value!r}")


def _check_geometry(spec: InputSpec) -> None:
    """Check resize, crop and interpolation, and turn the lists of JSON and YAML into tuples."""
    multiple = spec.cell
    for name in ("resize", "crop"):
        value = getattr(spec, name)
        if value is None:
            continue
        sides = _sides(value)
        if sides is None:
            raise ValueError(
                f"{name} is a positive number of pixels, (height, width), or None; got {value!r}"
            )
        if name == "crop" and any(side % multiple for side in sides):
            below, above = (
                tuple(max(multiple, side // multiple * multiple + extra) for side in sides)
                for extra in (0, multiple)
            )
            raise ValueError(
                f"crop is a multiple of {multiple} pixels, whole blocks; got {value!r}, "
                f"nearest are {below} and {above}"
            )
        object.__setattr__(spec, name, sides if isinstance(value, (tuple, list)) else sides[0])
    if isinstance(spec.resize, int) and spec.crop is not None:
        longest = spec.crop if isinstance(spec.crop, int) else max(spec.crop)
        if spec.resize < longest:
            raise ValueError(
                f"crop {spec.crop!r} is larger than the shorter side that resize={spec.resize} leaves, "
                f"so photos would get gray margins: use resize={longest} or more, "
                f"or crop={max(multiple, spec.resize // multiple * multiple)}"
            )
    elif spec.resize is not None and spec.crop is not None:
        crop, resize = _sides(spec.crop), _sides(spec.resize)
        assert crop
        assert resize
        if crop[0] > resize[0] or crop[1] > resize[1]:
            raise ValueError(
                f"crop {spec.crop!r} is larger than resize={spec.resize}, so photos would get gray margins"
            )
    if spec.max_size is not None:
        largest = 0 if isinstance(spec.max_size, (tuple, list)) else (_sides(spec.max_size) or (0,))[0]
        if not (isinstance(spec.resize, int) and spec.crop is None and largest > spec.resize):
            raise ValueError(
                f"max_size={spec.max_size!r} caps the longer side that resize leaves, one number, so that "
                "resize is one smaller number and crop is None; "
                f"got resize={spec.resize!r}, crop={spec.crop!r}"
            )
        object.__setattr__(spec, "max_size", largest)
    _check_choice("interpolation", spec.interpolation, INTERPOLATIONS)
    _check_choice("orientation", spec.orientation, ("exif", "stored"))
    _check_choice("centring", spec.centring, ("round", "floor"))


def _sides(value: Any) -> tuple[int, int] | None:
    """(height, width) from one positive whole number or two; None if `value` is neither."""
    given = value if isinstance(value, (tuple, list)) else (value, value)
    try:
        sides = tuple(operator.index(side) for side in given)
    except TypeError:
        return None
    sound = len(sides) == 2 and all(0 < side < MAX_SIDE for side in sides)
    return sides if sound and not any(isinstance(side, bool) for side in given) else None  # type: ignore[return-value]


def _freeze_numbers(spec: InputSpec, name: str) -> None:
    """Check the length and range of a field with a number for each channel, and make it a tuple of floats."""
    values, positive = getattr(spec, name), name != "mean"
    what = "channels" if spec.channels else "components"
    wanted = f"{name} has one number for each of the {spec.num_channels} {what}"
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{wanted}; got {values!r}") from None
    if len(numbers) != spec.num_channels:
        raise ValueError(f"{wanted}; got {len(numbers)}")
    held = torch.tensor(numbers, dtype=torch.float32)  # in which they are used: 1e-50 is 0 there
    if not (held.isfinite() & ((held > 0) | (not positive))).all():
        raise ValueError(f"{name} holds {'positive ' if positive else ''}finite numbers; got {numbers}")
    object.__setattr__(spec, name, numbers)
