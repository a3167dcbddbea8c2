"""Optimiser, groups of parameters, and learning rate schedule."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from freqvision.models.weights import GATES


@dataclass(frozen=True)
class Optimisation:
    """Settings of the optimiser and its learning rate.

    Args:
        optimizer: "sgd" (Nesterov momentum) or "adamw".
        lr: Highest learning rate; it is not scaled by the batch size.
        momentum: Of SGD.
        weight_decay: L2 penalty (SGD) or decoupled decay (AdamW).
        decay_norm_and_bias: Whether normalisation layers and biases decay too.
        new_layers_lr: Factor on the learning rate of layers without pretrained weights.
        schedule: "cosine", "one_cycle", "steps" or "constant". The first warms up linearly, then follows half
            a cosine to 0; the second goes up and down by half cosines, with SGD's momentum running opposite
            (Smith and Topin, arXiv:1708.07120); the third warms up linearly, then multiplies by 0.1 at each
            milestone.
        warmup: Share of all steps in which the learning rate rises.
        milestones: Shares of all steps at which "steps" lowers the learning rate.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_norm_and_bias: bool = True
    new_layers_lr: float = 1.0
    schedule: Literal["cosine", "one_cycle", "steps", "constant"] = "cosine"
    warmup: float = 0.1
    milestones: tuple[float, ...] = (2 / 3, 11 / 12)

    def __post_init__(self) -> None:
        for name in ("lr", "new_layers_lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of all steps, 0 <= warmup < 1, not {self.warmup}")
        if self.schedule == "one_cycle" and self.warmup == 0:
            raise ValueError("one_cycle needs a warmup above 0, e.g. 0.3")
        object.__setattr__(self, "milestones", tuple(self.milestones))


def parameter_groups(
    model: nn.Module, how: Optimisation, new: Iterable[str] = (), gates_lr: float = 1.0
) -> list[dict[str, Any]]:
    """Groups of the trainable parameters by learning rate and weight decay, as `torch.optim` takes them.

    In a group, "rate" names its learning rate. `new` are the layers that did not come from pretrained
    weights; gates have a factor on the learning rate of their own.
    """
    new = set(new)
    unknown = new - {name for name, _ in model.named_modules()}
    if unknown:
        raise ValueError(f"these new layers are not in the model: {', '.join(sorted(unknown))}")
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = how.decay_norm_and_bias or parameter.ndim > 1
        if name.startswith(GATES):
            rate, factor = "lr_gates", gates_lr
        elif name.rpartition(".")[0] in new and how.new_layers_lr != 1:
            rate, factor = "lr_new_layers", how.new_layers_lr
        else:
            rate, factor = "lr", 1.0
        weight_decay = how.weight_decay if decays else 0.0
        group = groups.setdefault(
            (rate, weight_decay),
            {"params": [], "lr": how.lr * factor, "weight_decay": weight_decay, "rate": rate},
        )
        group["params"].append(parameter)
    return list(groups.values())


def build_optimizer(groups: list[dict[str, Any]], how: Optimisation) -> Optimizer:
    """The optimiser over `parameter_groups`."""
    if how.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=how.lr)
    return torch.optim.SGD(groups, lr=how.lr, momentum=how.momentum, nesterov=how.momentum > 0)


def build_schedule(
    optimizer: Optimizer, how: Optimisation, steps: int, progress: Callable[[int], float] | None = None
) -> LRScheduler:
    """The learning rate during training, up to that of the optimiser; step it after each optimiser step.

    `progress` gives the share of the training that is done after a number of steps; None is that of `steps`.
    """
    if how.schedule == "one_cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        total = steps + 1  # torch counts the step after the last one too
        return OneCycleLR(optimizer, rates, total_steps=total, pct_start=max(how.warmup, 2 / total))
    return LambdaLR(
        optimizer, lambda step: _factor(how, progress(step) if progress else step / max(1, steps))
    )


def _factor(how: Optimisation, progress: float) -> float:
    """Share of the highest learning rate at `progress` from 0 to 1."""
    if progress < how.warmup:
        # From 1 % up, so that the very first step already learns.
        return 0.01 + 0.99 * progress / how.warmup
    if how.schedule == "constant":
        return 1.0
    if how.schedule == "steps":
        return math.prod(0.1 for milestone in how.milestones if progress >= milestone)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - how.warmup) / (1 - how.warmup))))
