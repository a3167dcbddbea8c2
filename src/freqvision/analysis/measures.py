"""Measures of how much each channel matters."""

import torch
from torch.nn import functional as F

from freqvision.analysis.probe import LabelledPhotos, Probe
from freqvision.analysis.scores import ChannelScores
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.gates import hard_gates, record_gates
from freqvision.runtime import progress_bar
from freqvision.spectrum.channels import NUM_CHANNELS, PRESET_SIZES, ChannelSet


def gate_frequencies(
    model: FrequencyModel,
    photos: LabelledPhotos,
    *,
    batch_size: int = 64,
    num_threads: int = 0,
    progress: bool = True,
) -> ChannelScores:
    """How often each gate of a trained model is open in evaluation.

    Gates that are open equally often are ranked by their mean probability of being open.

    Args:
        model: A model with gates.
        photos: Photos to decide on; with class names, shares are measured for each class too.
        batch_size: Photos in a batch.
        num_threads: Threads that decode; 0 for all cores.
        progress: Show a progress bar, if there is a terminal.

    Raises:
        ValueError: The model has no gates.
    """
    channels = model.spec.channels
    if model.gates is None or channels is None:
        raise ValueError("the model has no gates: train one with model.gates, see docs/selection.md")
    device = next(model.parameters()).device
    decode = Decoder(model.spec, num_threads)
    starts = progress_bar(range(0, len(photos.paths), batch_size), desc="gates", unit="batch", shown=progress)
    model.eval()
    with torch.inference_mode(), record_gates(model) as records:
        for start in starts:
            model.input(decode(photos.paths[start : start + batch_size]).to(device))
    log_odds = torch.cat(records).cpu()  # (N, C)
    opened = hard_gates(log_odds).double()
    classes = {}
    if photos.labels is not None and photos.class_names is not None:
        labels = torch.tensor(photos.labels)
        classes = {
            name: _numbers(opened[labels == index].mean(0))
            for index, name in enumerate(photos.class_names)
            if (labels == index).any()
        }
    always = ""
    if opened.all():
        always = "no gate ever closed: train longer, or with a larger model.gates.penalty or model.gates.lr"
    elif not opened.any():
        always = "no gate ever opened: train with a smaller model.gates.penalty"
    return ChannelScores(
        "gates",
        channels,
        _numbers(opened.mean(0)),
        _numbers(torch.sigmoid(log_odds.double()).mean(0)),
        "open share",
        classes,
        f"share of {len(opened):,} photos for which a gate is open, squeeze {model.gates.options.squeeze}; "
        f"{opened.mean():.1%} of all gates",
        (always,) if always else (),
    )


def energy(statistics: ChannelStatistics) -> ChannelScores:
    """Variance of each channel over a data set, in units of coefficients."""
    about = f"variance of coefficients; {statistics.about}"
    return ChannelScores("energy", statistics.channels, statistics.variance, unit="variance", about=about)


def gradient_importance(probe: Probe, *, batch_size: int = 32, progress: bool = True) -> ChannelScores:
    """First-order change of the loss if a channel were set to its mean.

    For each photo ``|Σ gradient · value|`` over the channel's blocks, averaged over photos (Taylor
    importance, Molchanov et al., CVPR 2019). It takes one backward pass; leaving out each channel in turn
    takes 192 forward passes. The loss is the cross-entropy of the label, or without labels of the predicted
    class.

    Args:
        probe: Network and photos.
        batch_size: Photos in a batch.
        progress: Show a progress bar, if there is a terminal.
    """
    device = next(probe.network.parameters()).device
    total = torch.zeros(probe.inputs.shape[1], dtype=torch.float64)
    with progress_bar(total=len(probe.inputs), desc="gradients", unit="photo", shown=progress) as bar:
        for part in probe.batches(batch_size):
            inputs = probe.inputs[part].to(device).requires_grad_()
            logits = probe.network(inputs)
            labels = logits.argmax(1) if probe.labels is None else probe.labels[part]
            loss = F.cross_entropy(logits, labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, inputs)  # of the inputs, not of the weights
            total += (gradient * inputs.detach()).sum((2, 3)).abs().sum(0).double().cpu()
            bar.update(len(inputs))
    about = f"first-order change of the loss, mean magnitude over {len(probe.inputs):,} photos"
    scores = _numbers(total / len(probe.inputs))
    return ChannelScores("gradient", probe.spec.channels, scores, unit="importance", about=about)


def rectangles() -> ChannelScores:
    """The paper's static subsets as scores: 1 / (size of the smallest subset that holds the channel).

    Only sets of the paper's sizes can be taken: the subsets are nested, and all channels of a step tie.

    Example:
        >>> rectangles().top(24) == ChannelSet.preset(24)
        True
    """
    sets = [ChannelSet.preset(size) for size in PRESET_SIZES]
    smallest = [min(len(chosen) for chosen in sets if index in chosen) for index in range(NUM_CHANNELS)]
    scores = tuple(1 / size for size in smallest)
    about = f"the paper's subsets of {', '.join(map(str, PRESET_SIZES))} channels"
    return ChannelScores("rectangles", ChannelSet.preset(NUM_CHANNELS), scores, unit="1 / size", about=about)


def _numbers(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())
