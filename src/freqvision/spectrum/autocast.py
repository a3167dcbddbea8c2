"""Coefficients are as exact as their type, also where autocast would round their products."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(values: torch.Tensor) -> AbstractContextManager[None]:
    """Within this context, products on the device of `values` are in the type of their factors.

    Example:
        >>> ones = torch.ones(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16), without_autocast(ones):
        ...     (ones @ ones).dtype
        torch.float32
    """
    device = values.device.type
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)
