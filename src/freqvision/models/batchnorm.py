"""BatchNorm recalibration: statistics for the activations that a changed input layer brings."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate_batchnorm(model: nn.Module, batches: Iterable[Any], *, limit: int | None = None) -> int:
    """Compute the running statistics of every BatchNorm anew, as the mean over batches; no labels are needed.

    After the starts "new", "slice" and "fit", the statistics are those of another input. Only BatchNorm
    layers are in training mode meanwhile (unlike `torch.optim.swa_utils.update_bn`), so dropout and
    stochastic depth are off.

    Args:
        model: Any module; changed in place, its mode is kept.
        batches: Input tensors, or tuples and lists that begin with one, as a data loader yields them. A few
            hundred photos are enough.
        limit: Number of batches at most.

    Returns:
        The number of batches used.

    Raises:
        ValueError: There are no batches, which would leave empty statistics.

    Example:
        >>> layer = nn.BatchNorm2d(3)
        >>> recalibrate_batchnorm(layer, [torch.full((2, 3, 4, 4), 7.0)])
        1
        >>> layer.running_mean
        tensor([7., 7., 7.])
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    modes = {module: module.training for module in model.modules()}
    old = {layer: ({k: v.clone() for k, v in layer.state_dict().items()}, layer.momentum) for layer in layers}
    device = next(model.parameters()).device
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over batches
        layer.train()
    count = 0
    try:
        for batch in islice(batches, limit):
            inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
            model(inputs.to(device))
            count += 1
    finally:
        for layer in layers:
            layer.momentum = old[layer][1]
            if not count:
                layer.load_state_dict(old[layer][0])
        for module, training in modes.items():
            module.training = training
    if not count:
        raise ValueError("BatchNorm needs at least one batch for its statistics; the loader gave none")
    return count
