"""
Fine-tune from RGB
==================

A network that was trained on RGB pixels starts on DCT channels where it ended on pixels.
"""

# %%
# A small network stands for yours. It is registered with its stem, the layers that a fold replaces;
# networks of torchvision and timm are known already: ``fv.create_model("resnet50", spec,
# weights="DEFAULT")``.

import tempfile

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoLoader, PixelFolder, write_synthetic_photos
from freqvision.models import Architecture, Stem, register


class Small(nn.Sequential):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7, stride=2, padding=3)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        self.conv2 = nn.Sequential(nn.Conv2d(16, 48, 3, stride=2, padding=1), nn.BatchNorm2d(48), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, classes))


stem = Stem("conv1", rest=("bn1", "maxpool"), stride=4, pixels=4, entry=("conv2.0",))
register("small", Architecture(lambda classes, size: Small(classes), stem))

folder = tempfile.TemporaryDirectory()
root = folder.name
write_synthetic_photos(root, 30, size=96)  # six classes


def train(model, epochs, lr):
    kind = FrequencyFolder if model.spec.channels else PixelFolder
    optimiser, right = torch.optim.AdamW(model.train().parameters(), lr), []
    for epoch in range(epochs):
        for images, labels in PhotoLoader(kind(root, model.spec), 30, shuffle=True):
            logits = model(images)
            optimiser.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimiser.step()
            right += [(epoch, (logits.argmax(1) == labels).float().mean().item())]
    return [sum(share for at, share in right if at == epoch) / 6 for epoch in range(epochs)]


torch.manual_seed(0)
rgb = fv.create_model("small", fv.PixelSpec(resize=72, crop=64), num_classes=6)
on_pixels = train(rgb, epochs=10, lr=1e-2)

# %%
# Its weights, folded into a network of 24 channels of the photo at twice the size, in int8: half the
# bytes of its pixels. It starts where the network of pixels ended.

spec = fv.FrequencySpec(resize=144, crop=128, dtype="int8")
model = fv.create_model("small", spec, num_classes=6, weights=rgb.network.state_dict(), rgb_size=64)
on_channels = train(model, epochs=3, lr=1e-3)
fresh = train(fv.create_model("small", spec, num_classes=6), epochs=3, lr=1e-2)

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(range(1, 11), on_pixels, "o-", label="RGB-64")
axes.plot(range(11, 14), on_channels, "s-", label="DCT-24, folded from it")
axes.plot(range(11, 14), fresh, "^-", label="DCT-24 from random weights")
axes.set(xlabel="epoch", ylabel="training accuracy", ylim=(0, 1.02))
axes.legend()
