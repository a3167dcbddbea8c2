"""Accuracy and bytes against the number of channels, without training: the others are silenced."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from freqvision.analysis.probe import Probe
from freqvision.analysis.scores import ChannelScores
from freqvision.runtime import progress_bar, read_table, write_table


@dataclass(frozen=True)
class CurvePoint:
    """A network that sees some of the channels.

    Args:
        method: Measure that selected the channels, or the name of a training run.
        channels: Number of channels.
        bytes: Size of one photo's channels in int8.
        accuracy: Top-1 accuracy; NaN without labels.
        agreement: Share of photos with the same answer as from all channels; NaN if not measured.
        photos: Number of photos.
    """

    method: str
    channels: int
    bytes: int
    accuracy: float
    agreement: float
    photos: int


@torch.inference_mode()
def accuracy_by_count(
    probe: Probe,
    scores: ChannelScores,
    counts: Sequence[int],
    *,
    batch_size: int = 64,
    progress: bool = True,
) -> list[CurvePoint]:
    """Accuracy of a network that sees only the channels that matter most.

    The other channels are set to their mean and nothing is trained, so this is a lower bound of what a
    network trained on these channels would reach.

    Args:
        probe: Network and photos.
        scores: Ranking of the channels; of channels that tie, the lower comes first.
        counts: Numbers of channels to try.
        batch_size: Photos in a batch.
        progress: Show a progress bar, if there is a terminal.

    Raises:
        ValueError: A count exceeds the number of channels that have scores.
    """
    device = next(probe.network.parameters()).device
    sets = {count: scores.top(count, allow_ties=True) for count in sorted(set(counts))}
    blocks = math.prod(probe.inputs.shape[2:])
    total = len(probe.inputs) * (1 + len(sets))

    def answers(kept: list[int]) -> torch.Tensor:
        """Top class of each photo (N,), from the channels at these places."""
        mask = torch.zeros(probe.inputs.shape[1], 1, 1, device=device)
        mask[kept] = 1
        parts = []
        for part in probe.batches(batch_size):
            inputs = probe.inputs[part].to(device)
            parts.append(probe.network(inputs * mask).argmax(1))
            bar.update(len(inputs))
        return torch.cat(parts)

    points = []
    with progress_bar(total=total, desc=scores.method, unit="photo", shown=progress) as bar:
        every = answers(list(range(probe.inputs.shape[1])))
        for count, channels in sets.items():
            found = answers(probe.spec.channels.positions(channels))
            right = math.nan if probe.labels is None else _share(found == probe.labels)
            agreement = _share(found == every)
            points.append(CurvePoint(scores.method, count, count * blocks, right, agreement, len(found)))
    return points


def save_curve(points: Sequence[CurvePoint], path: str | Path) -> None:
    """Write a CSV file, a line for each point."""
    write_table(path, [asdict(point) for point in points])


def load_curve(path: str | Path) -> list[CurvePoint]:
    """Read a file that `save_curve` wrote.

    Raises:
        ValueError: It is not such a table.
    """
    lines = read_table(path)
    try:
        return [
            CurvePoint(
                line["method"],
                int(line["channels"]),
                int(line["bytes"]),
                float(line["accuracy"]),
                float(line["agreement"]),
                int(line["photos"]),
            )
            for line in lines
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no curve of accuracy by channels: {error!r}") from error


def _share(flags: torch.Tensor) -> float:
    return flags.double().mean().item()
