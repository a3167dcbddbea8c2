"""Dynamic channel selection: gates that open or close each DCT channel, per photo.

"Learning in the Frequency Domain" (Xu et al., CVPR 2020), section 3.3. A gate is a Bernoulli variable whose
odds the network learns; closing it sets the channel to 0, its mean over the training set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import torch
from torch import nn

from freqvision.spectrum.autocast import without_autocast

SQUEEZES = ("mean", "magnitude", "rms", "none")
_HALF = (torch.float16, torch.bfloat16)
Options = TypeVar("Options", bound=Any)  # a dataclass


@dataclass(frozen=True)
class GateOptions:
    """Options of the gates in front of a network.

    Args:
        squeeze: The statistic of a channel, over all its blocks, that a gate sees: "mean" (of signed values,
            as published; near zero except for DC), "magnitude" (mean magnitude) or "rms" (root mean square);
            "none" learns one set of gates for all photos.
        open_probability: Probability that a gate is open before training.

    Raises:
        ValueError: An option is not valid.
    """

    squeeze: str = "rms"
    open_probability: float = 0.87

    def __post_init__(self) -> None:
        if self.squeeze not in SQUEEZES:
            raise ValueError(f"squeeze is one of {', '.join(SQUEEZES)}; got {self.squeeze!r}")
        if not 0 < self.open_probability < 1:
            raise ValueError(
                f"open_probability lies between 0 and 1, exclusive, so that gates can learn; "
                f"got {self.open_probability}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which `create_model` also takes."""
        return asdict(self)


@dataclass(frozen=True)
class Gating(GateOptions):
    """Gates in front of a network, and how they are trained.

    The loss is cross-entropy + penalty · (expected share of open gates).

    Args:
        squeeze: See `GateOptions`.
        open_probability: See `GateOptions`.
        penalty: λ, in units of cross-entropy: a channel is worth keeping open for all photos if it lowers the
            cross-entropy by λ / 192. With 0, only the cross-entropy decides.
        penalty_ramp: Shares of all steps between which the penalty rises linearly from 0 to λ; equal ones
            make a step.
        temperature: Of the Gumbel-softmax at the first and at the last step; it falls exponentially.
        lr: Factor on the learning rate of the gates. A gate's share of the penalty is λ / 192, so at the rate
            of the network a fine-tuning would end before its odds have moved. Measured with SGD and
            ``start="fold"``; `docs/selection.md` says when a smaller factor is better.

    Raises:
        ValueError: A setting is out of its range.

    Example:
        >>> gating = Gating(penalty=2.0, penalty_ramp=(0.1, 0.5), temperature=(4, 1))
        >>> [round(gating.penalty_at(progress), 3) for progress in (0.1, 0.2, 0.5, 1)]
        [0.0, 0.5, 2.0, 2.0]
        >>> [gating.temperature_at(progress) for progress in (0, 0.5, 1)]
        [4.0, 2.0, 1.0]
    """

    penalty: float = 0.2
    penalty_ramp: tuple[float, float] = (0.0, 0.3)
    temperature: tuple[float, float] = (1.0, 0.5)
    lr: float = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("penalty_ramp", "temperature"):  # lists in YAML
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.penalty < 0:
            raise ValueError(f"penalty is 0 or more, got {self.penalty}: a negative one would open gates")
        if not 0 <= self.penalty_ramp[0] <= self.penalty_ramp[1] <= 1:
            raise ValueError(f"penalty_ramp is 0 <= first <= last <= 1, got {self.penalty_ramp}")
        if not min(self.temperature) > 0:
            raise ValueError(f"temperatures are above 0, got {self.temperature}")
        if not self.lr > 0:
            raise ValueError(f"lr is a factor above 0, got {self.lr}")

    @property
    def options(self) -> GateOptions:
        """What `create_model` needs of it."""
        return GateOptions(self.squeeze, self.open_probability)

    def penalty_at(self, progress: float) -> float:
        """λ at `progress` from 0 to 1 of all steps."""
        first, last = self.penalty_ramp
        if progress >= last:
            return self.penalty
        if progress <= first:
            return 0.0
        return self.penalty * (progress - first) / (last - first)

    def temperature_at(self, progress: float) -> float:
        """Temperature at `progress` from 0 to 1 of all steps."""
        first, last = self.temperature
        return float(first * (last / first) ** min(1.0, progress))


def options_of(kind: type[Options], values: Options | Mapping[str, Any]) -> Options:
    """Options from what people and checkpoints pass: themselves, or a mapping of their fields.

    Raises:
        ValueError: It is neither, a name is unknown or a value illegal.
    """
    if isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        raise ValueError(
            f"options are {kind.__name__}, or a dictionary of its fields, {{}} for defaults; got {values!r}"
        )
    known = [item.name for item in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return kind(**values)


class Gates(nn.Module):
    """Multiplies each channel of each photo by a gate, 0 or 1.

    In training, gates are sampled, and gradients pass straight through the samples (Gumbel-softmax, Jang et
    al., arXiv:1611.01144). In evaluation a gate is open if that is more likely, so results are deterministic.

    Always computed in float32, also under autocast and in half precision: log odds and noise need more than
    8 bits of mantissa.

    Args:
        channels: Number of channels C.
        options: See `GateOptions`; None for its defaults.

    Attributes:
        scorer: The layers that decide, from input (B, C, h, w) to log odds (B, C).
        temperature: Temperature of the Gumbel-softmax in training; a low one gives less bias, more noise.

    Example:
        >>> gates = Gates(192, GateOptions(squeeze="rms")).eval()
        >>> channels = torch.randn(2, 192, 56, 56)
        >>> torch.equal(gates(channels), channels)  # before training all are open
        True
    """

    def __init__(self, channels: int, options: GateOptions | None = None) -> None:
        super().__init__()
        self.options = options or GateOptions()
        # Lightning's bf16-true makes models where bfloat16 is the default type.
        self.scorer = GateScorer(channels, self.options).float()
        self.temperature = 1.0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalised channels (B, C, h, w) → the same with closed channels at 0."""
        with without_autocast(inputs):
            log_odds = self.scorer(inputs)
        gates = sample_gates(log_odds, self.temperature) if self.training else hard_gates(log_odds)
        return inputs * gates.to(inputs.dtype)[:, :, None, None]  # (B, C) → (B, C, 1, 1)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Gates:
        """Follow the model to another device, but not to half precision."""

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype in _HALF else moved

        return super()._apply(keep, recurse)


class GateScorer(nn.Module):
    """How likely each gate is to be open: squeeze, a linear layer over all channels, two logits per channel.

    Args:
        channels: Number of channels C.
        options: See `GateOptions`.

    Attributes:
        mix: Linear, BatchNorm and ReLU over the squeezed channels.
        weight: (C, 2), from a channel's value to its logits of closed and open.
        bias: (C, 2).
    """

    def __init__(self, channels: int, options: GateOptions) -> None:
        super().__init__()
        self.squeeze = options.squeeze
        self.mix = nn.Sequential(
            nn.Linear(channels, channels, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
        )
        # Small weights: at first all photos have the initial odds.
        self.weight = nn.Parameter(torch.empty(channels, 2).normal_(std=0.001))
        half = math.log(options.open_probability / (1 - options.open_probability)) / 2
        self.bias = nn.Parameter(torch.tensor([-half, half]).repeat(channels, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → log odds of open gates, log p/(1 − p), in the type of the weights, (B, C)."""
        squeezed = squeeze(inputs.to(self.weight.dtype), self.squeeze)
        logits = self.mix(squeezed)[..., None] * self.weight + self.bias  # (B, C, 2)
        closed, opened = logits.unbind(-1)
        return opened - closed


def squeeze(inputs: torch.Tensor, how: str) -> torch.Tensor:
    """One number per channel: (B, C, h, w) → (B, C).

    Example:
        >>> channels = torch.tensor([-3.0, 3.0]).reshape(1, 1, 1, 2)
        >>> [squeeze(channels, how).item() for how in ("mean", "magnitude", "rms")]
        [0.0, 3.0, 3.0]
    """
    if how == "none":
        return inputs.new_zeros(inputs.shape[:2])  # the scorer's layers pass it on: only its bias learns
    if how == "mean":
        return inputs.mean((2, 3))
    if how == "magnitude":
        return inputs.abs().mean((2, 3))
    # For a channel that is 0 everywhere, the root itself would have an infinite gradient.
    return inputs.square().mean((2, 3)).add(1e-12).sqrt()


def hard_gates(log_odds: torch.Tensor) -> torch.Tensor:
    """1 where a gate is more likely open than closed, else 0."""
    return (log_odds > 0).to(log_odds.dtype)


def sample_gates(
    log_odds: torch.Tensor, temperature: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Sample gates, 0 or 1, with the gradients of soft ones.

    The Gumbel-softmax adds Gumbel noise to both logits and takes the greater one; that equals adding logistic
    noise, their difference, to the log odds and taking the sign.

    Args:
        log_odds: log p/(1 − p) of being open, any shape, float32 or float64.
        temperature: Divisor in the soft gate sigmoid((log odds + noise) / temperature).
        generator: Source of randomness; None is torch's default generator.

    Raises:
        ValueError: The temperature is not above 0.

    Example:
        >>> gates = sample_gates(torch.full((10_000,), 1.9), temperature=1.0)
        >>> gates.unique(), round(gates.mean().item(), 1)
        (tensor([0., 1.]), 0.9)
    """
    if not temperature > 0:
        raise ValueError(f"temperature is above 0, got {temperature}")
    tiny = torch.finfo(log_odds.dtype).eps / 4  # a uniform number of 0 would make infinite noise
    uniform = torch.rand(log_odds.shape, dtype=log_odds.dtype, device=log_odds.device, generator=generator)
    noise = torch.logit(uniform.clamp(tiny, 1 - 2 * tiny))
    soft = torch.sigmoid((log_odds + noise) / temperature)
    gates: torch.Tensor = _StraightThrough.apply(soft)
    return gates


class _StraightThrough(torch.autograd.Function):
    """Rounds, with a gradient of 1."""

    @staticmethod
    def forward(ctx: Any, soft: torch.Tensor) -> torch.Tensor:
        return (soft > 0.5).to(soft.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


def find_gates(model: nn.Module) -> Gates | None:
    """The gates in a model, None if it has none."""
    return next((module for module in model.modules() if isinstance(module, Gates)), None)


@contextmanager
def record_gates(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the log odds (B, C) of every batch that passes the model's gates; none without gates.

    Tensors keep their gradients, so that `expected_open` of them can be a penalty.

    Example:
        >>> gates = Gates(24)
        >>> with record_gates(gates) as log_odds:
        ...     _ = gates(torch.randn(8, 24, 4, 4))
        >>> log_odds[0].shape, round(expected_open(log_odds).item(), 2)
        (torch.Size([8, 24]), 0.87)
    """
    records: list[torch.Tensor] = []
    gates = find_gates(model)
    if gates is None:
        yield records
        return
    handle = gates.scorer.register_forward_hook(lambda module, inputs, output: records.append(output))
    try:
        yield records
    finally:
        handle.remove()


def expected_open(log_odds: Sequence[torch.Tensor]) -> torch.Tensor:
    """The expected share of open gates, the mean of their probabilities.

    Its gradient is exact, unlike that of the sampled share.
    """
    return torch.sigmoid(torch.cat(list(log_odds))).mean()


def hard_open(log_odds: Sequence[torch.Tensor]) -> torch.Tensor:
    """The share of gates that evaluation opens."""
    return hard_gates(torch.cat(list(log_odds))).mean()
