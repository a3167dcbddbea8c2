"""
Detect
======

Torchvision's detectors on DCT channels: COCO's format, views in which boxes follow, a training step.
"""

# %%
# Generated scenes of balls, boxes and tents, with annotations. For detectors photos come at twice the
# size, so that a block of 8 stands for 4 pixels of the image in which boxes are.

import tempfile

import matplotlib.pyplot as plt
import torch
from PIL import Image

import freqvision as fv
from freqvision.analysis.figures import picture, reconstruct
from freqvision.data import PhotoLoader
from freqvision.detection import DetectionPhotos, RandomDetectionView, read_coco, write_synthetic_scenes
from freqvision.detection.drawing import draw_objects

folder = tempfile.TemporaryDirectory()
root = folder.name
annotations = read_coco(write_synthetic_scenes(root, photos=4, size=(240, 320)), f"{root}/images")
files = [image.path for image in annotations.images]
targets = [annotations.target(index, masks=False) for index in range(len(files))]


def drawn(image, target):
    found = {**target, "scores": torch.ones(len(target["labels"]))}
    return draw_objects(image, found, annotations.class_names)


figure, axes = plt.subplots(1, 4, figsize=(10, 2.4), layout="constrained")
for axis, file, target in zip(axes, files, targets, strict=True):
    axis.imshow(drawn(Image.open(file), target))
    axis.axis("off")

# %%
# Random views for training are made on the coefficients, and boxes follow. Here they are drawn on
# what the 24 channels rebuild, at half the size.

spec = fv.FrequencySpec(resize=480, crop=None, max_size=640)
augment = RandomDetectionView(hflip=0.5, scale=(0.7, 1.3), crop=(192, 192))
photos = DetectionPhotos(files, targets, spec, augment, seed=1)
images, seen = next(iter(PhotoLoader(photos, batch_size=4)))
figure, axes = plt.subplots(1, 4, figsize=(10, 2.7), layout="constrained")
for axis, cube, target in zip(axes, images, seen, strict=True):
    image = picture(reconstruct(cube, spec))
    axis.imshow(drawn(image.resize((image.width // 2, image.height // 2)), target))
    axis.axis("off")

# %%
# A training step. ``fv.create_detector("maskrcnn_resnet50_fpn", weights="DEFAULT")`` starts from COCO
# instead, and ``freqvision fit --model Detector --data CocoPhotos`` does the rest: :doc:`/detection`
# shows what it finds.

torch.manual_seed(0)
model = fv.create_detector("fcos_resnet18_fpn", spec, num_classes=len(annotations.class_names))
losses = model.train()(images, seen)
sum(losses.values()).backward()
print({name: round(loss.item(), 3) for name, loss in losses.items()})
