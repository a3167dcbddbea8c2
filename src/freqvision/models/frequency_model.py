"""A network together with the specification of its input."""

from collections import OrderedDict
from typing import Any, ClassVar

import torch
from torch import nn

from freqvision.inputs.encoding import normalised_map
from freqvision.inputs.spec import InputSpec
from freqvision.models.export import Exportable
from freqvision.models.gates import Gates


class FrequencyModel(Exportable):
    """A network that knows its input: DCT channels, or pixels for comparison.

    Args:
        network: Gives logits (B, classes) for normalised input (B, C, h, w).
        spec: Describes the input; its dtype is that of the tensors that the model takes.
        settings: The arguments of `create_model` that build this network again.
        new_layers: Names of the layers without pretrained weights.
        gates: Choose among the DCT channels per photo; None for none.

    Attributes:
        input: Turns int8 or uint8 tensors into normalised floats on the device, by one multiply-add; gates
            follow.
        class_names: Names of the logits, if known.
        details: What training stored for its task, see `SavedModel`.
    """

    # For model cards.
    task: ClassVar[str] = "image-classification"
    kind: ClassVar[str] = "An image classifier"
    background: ClassVar[int] = 0  # how many of the outputs' names stand for no class
    usage: ClassVar[str] = 'logits = model(decode(["photo.jpg"]))'

    def __init__(
        self,
        network: nn.Module,
        spec: InputSpec,
        settings: dict[str, Any],
        new_layers: tuple[str, ...] = (),
        gates: Gates | None = None,
    ) -> None:
        super().__init__()
        self.new_layers = new_layers
        self.class_names: list[str] | None = None
        self.details: dict[str, Any] = {}
        self.spec = spec
        self.settings = settings
        self.input = input_layer(spec)
        if gates is not None:
            self.input = nn.Sequential(OrderedDict(normalise=self.input, gates=gates))
        self.network = network

    @property
    def channels(self) -> int:
        """Number of channels of the input."""
        return self.spec.num_channels

    @property
    def gates(self) -> Gates | None:
        """The gates, if there are any."""
        return self.input.gates if isinstance(self.input, nn.Sequential) else None  # type: ignore[return-value]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits.

        Args:
            inputs: (B, C, h, w) as `Decoder` or `PixelTransform` makes them by this model's spec.

        Returns:
            (B, classes).

        Raises:
            ValueError: The number of channels or the type is not the spec's.
        """
        check_input(inputs, self.spec, self.settings.get("name", type(self.network).__name__))
        logits: torch.Tensor = self.network(self.input(inputs))
        return logits


def check_input(inputs: torch.Tensor, spec: InputSpec, name: str) -> None:
    """Refuse a tensor that was not made by this spec; the message says what `name` takes."""
    channels = spec.num_channels
    if inputs.ndim == 4 and inputs.shape[1] == channels and _kind(inputs.dtype) == _kind(spec.torch_dtype):
        return
    got = f"got {str(inputs.dtype).removeprefix('torch.')} of shape {tuple(inputs.shape)}"
    raise ValueError(
        f"{name} takes {spec.dtype} tensors of shape (B, {channels}, h, w), {spec.describe()}; "
        f"{got}. Make them with fv.Decoder(model.spec) or fv.PixelTransform(model.spec), or create the model "
        "with the spec that made them"
    )


def input_layer(spec: InputSpec) -> nn.Module:
    """The layer that normalises tensors of the spec's dtype; the identity for float32.

    Example:
        >>> from freqvision import PixelSpec
        >>> spec = PixelSpec(dtype="uint8", mean=(0.5,) * 3, std=(0.25,) * 3)
        >>> input_layer(spec)(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten().round(decimals=4)
        tensor([2., 2., 2.])
    """
    if spec.steps is not None:
        gain, offset = normalised_map(spec)
        return MultiplyAdd(torch.tensor(gain), torch.tensor(offset))
    return nn.Identity() if spec.dtype == "float32" else AsWeights()


class MultiplyAdd(nn.Module):
    """``x · gain + offset`` per channel, both (C,), in the type of the network's weights."""

    gain: torch.Tensor
    offset: torch.Tensor

    def __init__(self, gain: torch.Tensor, offset: torch.Tensor) -> None:
        super().__init__()
        # Not persistent: they follow from the spec, which is saved with the model.
        self.register_buffer("gain", gain[:, None, None], persistent=False)  # (C, 1, 1)
        self.register_buffer("offset", offset[:, None, None], persistent=False)  # (C, 1, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) of integers → (B, C, h, w) of floats."""
        return torch.addcmul(self.offset, inputs.to(self.gain.dtype), self.gain)


class AsWeights(nn.Module):
    """Half-precision input in the type of the network's weights, which follow `nn.Module.to`."""

    like: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → the same in another type."""
        return inputs.to(self.like.dtype)


def _kind(dtype: torch.dtype) -> object:
    """Float types are interchangeable (autocast, `nn.Module.half`); integers have their own meaning."""
    return "float" if dtype.is_floating_point else dtype
