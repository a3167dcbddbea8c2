"""How gates are trained: the penalty on open ones, and the temperature of their samples."""

from dataclasses import dataclass

from freqvision.models.gates import GateOptions


@dataclass(frozen=True)
class Gating:
    """Gates in front of the network, and how they are trained.

    The loss is cross-entropy + penalty · (expected share of open gates).

    Args:
        squeeze: What a gate knows of a channel: "mean" (as published), "magnitude" or "rms" over its blocks.
        open_probability: With which a gate is open before training.
        penalty: λ, in units of cross-entropy: a channel is worth keeping open for all photos if it lowers the
            cross-entropy by λ / 192. 0 leaves the gates to the cross-entropy alone.
        penalty_ramp: Shares of all steps between which the penalty rises from 0 to λ in a straight line;
            equal ones make a step.
        temperature: Of the Gumbel-softmax at the first and at the last step; between them it falls
            exponentially.
        lr: Factor on the learning rate of the gates. A gate's share of the penalty is λ / 192, so at the rate
            of the network a fine-tuning would end before its odds have moved.

    Raises:
        ValueError: A setting is out of its range.
    """

    squeeze: str = "rms"
    open_probability: float = 0.87
    penalty: float = 0.2
    penalty_ramp: tuple[float, float] = (0.0, 0.3)
    temperature: tuple[float, float] = (1.0, 0.5)
    lr: float = 200.0

    def __post_init__(self) -> None:
        self.options  # noqa: B018  checks what is its own
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
        """λ at `progress` from 0 to 1 of all steps.

        Example:
            >>> gating = Gating(penalty=2.0, penalty_ramp=(0.1, 0.5))
            >>> [round(gating.penalty_at(progress), 3) for progress in (0.1, 0.2, 0.5, 1)]
            [0.0, 0.5, 2.0, 2.0]
        """
        first, last = self.penalty_ramp
        if progress >= last:
            return self.penalty
        if progress <= first:
            return 0.0
        return self.penalty * (progress - first) / (last - first)

    def temperature_at(self, progress: float) -> float:
        """Temperature at `progress` from 0 to 1 of all steps.

        Example:
            >>> [Gating(temperature=(4, 1)).temperature_at(progress) for progress in (0, 0.5, 1)]
            [4.0, 2.0, 1.0]
        """
        first, last = self.temperature
        return float(first * (last / first) ** min(1.0, progress))
