"""
First tensor
============

From a JPEG file to a model's input, and back to a picture.
"""

# %%
# A generated photo stands for yours. A decoder takes paths or bytes.

import io

import matplotlib.pyplot as plt
import torch

import freqvision as fv
from freqvision.analysis.figures import reconstruct
from freqvision.detection.scenes import synthetic_scene

file = io.BytesIO()
synthetic_scene((480, 640), 5, seed=3)[0].save(file, "JPEG", quality=90)
photo = file.getvalue()

coefficients = fv.read_coefficients(photo)  # what the file stores: blocks of 8×8 frequencies
print(coefficients.size, [plane.shape for plane in coefficients.planes])

# %%
# A spec says what the model sees: here 24 frequencies of the photo at 512 pixels, cropped to 448.
# Nothing is decoded to pixels on the way, and geometry is that of torchvision's ``Resize`` and
# ``CenterCrop``.

spec = fv.FrequencySpec(resize=512, crop=448, channels=fv.ChannelSet.preset(24))
batch = fv.Decoder(spec)([photo, photo])
print(batch.shape, batch.dtype)

# %%
# Each channel is a small map: how strong one frequency is, block by block. Channel 0 is the blocks'
# mean.

figure, axes = plt.subplots(2, 6, figsize=(9, 3.2), layout="constrained")
for axis, index, values in zip(axes.flat, spec.channels, batch[0], strict=False):
    axis.imshow(values, cmap="gray" if index == 0 else "RdBu_r", vmin=-3, vmax=3)
    axis.set_title(f"Y({index // 8}, {index % 8})", fontsize=9)
    axis.axis("off")

# %%
# Fewer channels are fewer bytes, and a blurred photo. In int8 each value takes one byte.

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axis, count in zip(axes, (6, 24, 192), strict=True):
    small = spec.with_channels(fv.ChannelSet.preset(count))
    axis.imshow(reconstruct(fv.Decoder(small)([photo])[0], small).permute(1, 2, 0))
    axis.set_title(f"{count} channels: {small.with_dtype('int8').bytes_per_image:,} bytes", fontsize=9)
    axis.axis("off")

# %%
# The same decoder makes pixels for any RGB model, and random views for training.

pixels = fv.Decoder(fv.PixelSpec(resize=256, crop=224))([photo])
views = fv.Decoder(spec).random_resized([photo], scale=(0.35, 1), generator=torch.Generator().manual_seed(0))
print(pixels.shape, views.shape)
