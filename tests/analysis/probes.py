"""Small networks whose channels matter by a known amount."""

import torch
from torch import nn

from freqvision import ChannelSet, FrequencySpec
from freqvision.analysis.probe import Probe


class LinearNetwork(nn.Module):
    """Logits from the sum of each channel; what a channel matters can be told from its weights."""

    def __init__(self, weights):  # (classes, C)
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.seen = 0

    def forward(self, inputs):
        self.seen += len(inputs)
        return inputs.sum((2, 3)) @ self.weights.T


def linear_probe(seed=0, photos=12, labelled=True, channels="Y0-7+Cb0-1"):
    print(f"seed {seed}")
    generator = torch.Generator().manual_seed(seed)
    chosen = ChannelSet.parse(channels)
    weights = torch.randn(3, len(chosen), generator=generator) / 4
    inputs = torch.randn(photos, len(chosen), 2, 2, generator=generator)
    labels = torch.randint(3, (photos,), generator=generator) if labelled else None
    return Probe(LinearNetwork(weights).eval(), FrequencySpec(16, 16, chosen), inputs, labels)
