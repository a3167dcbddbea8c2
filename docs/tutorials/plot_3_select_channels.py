"""
Select channels
===============

Which frequencies does a network need? Measure it, keep some, and compare.
"""

# %%
# A small network of all 192 channels, trained for a few seconds on generated photos of six patterns.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import freqvision as fv
from freqvision.analysis.measures import gradient_importance
from freqvision.analysis.probe import Probe
from freqvision.analysis.sensitivity import leave_one_out
from freqvision.data import write_synthetic_photos

folder = tempfile.TemporaryDirectory()
root = folder.name
write_synthetic_photos(root, 30, size=96)
files = sorted(Path(root).rglob("*.jpg"))
labels = torch.arange(6).repeat_interleave(30)
spec = fv.FrequencySpec(resize=72, crop=64, channels=fv.ChannelSet.parse("all"))
inputs = fv.Decoder(spec)(files)  # (180, 192, 8, 8), normalised

torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(192, 48, 1), nn.ReLU(), nn.Conv2d(48, 48, 3), nn.ReLU())
network.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 6)])
optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
for _ in range(60):
    optimiser.zero_grad()
    F.cross_entropy(network(inputs), labels).backward()
    optimiser.step()

# %%
# A probe holds a network and the channels of some photos; ``make_probe`` makes one of a saved model.
# Gradient × channel takes one pass for all channels.

probe = Probe(network.eval(), spec, inputs, labels)
scores = gradient_importance(probe)
print(scores.top(12))
print(scores.by_component())

figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained")
for axis, name, grid in zip(axes, ("Y", "Cb", "Cr"), scores.grid(), strict=True):
    shown = axis.imshow(grid.log10(), cmap="magma", vmin=-5, vmax=-2)
    axis.set(title=name, xlabel="horizontal frequency", ylabel="vertical frequency")
figure.colorbar(shown, label="log10 of importance")

# %%
# Leaving a channel out takes a pass for each, and is exact. Here three that matter most, and three
# that matter least.

some = fv.ChannelSet(tuple(scores.ranking()[:3] + scores.ranking()[-3:]))
for effect in leave_one_out(probe, channels=some).effects:
    print(f"channel {effect.channel:3}: the loss rises by {effect.loss:.4f}")

# %%
# What is left of the accuracy with some channels only, the others at their mean, and without any
# training.

kept = (6, 12, 24, 48, 96, 192)
curves = {}
for name, order in {"most important": scores.ranking(), "least important": scores.ranking()[::-1]}.items():
    masks = (torch.tensor([index in order[:count] for index in range(192)])[:, None, None] for count in kept)
    curves[name] = [(network(inputs * mask).argmax(1) == labels).float().mean() for mask in masks]
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for name, curve in curves.items():
    axes.semilogx(kept, curve, "o-", label=f"the {name}", base=2)
axes.set(xlabel="channels kept", ylabel="accuracy", ylim=(0, 1.02))
axes.legend()
