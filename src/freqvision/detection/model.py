"""Detectors that read DCT channels: cubes of any size in, torchvision's losses or detections out."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqvision.detection.export import PADDING_KEY, export_detector, export_size
from freqvision.detection.targets import (
    STRIDE,
    boxes_in_photo,
    cell_pixels,
    image_size,
    view_pixels,
    with_area,
)
from freqvision.inputs.encoding import normalised_padding, padding
from freqvision.inputs.spec import InputSpec
from freqvision.inputs.view import View
from freqvision.models.frequency_model import FrequencyModel, check_input

Target = Mapping[str, torch.Tensor]


class DetectionModel(FrequencyModel):
    """A torchvision detector whose images are DCT cubes of any size.

    A cube of h×w blocks stands for an image of 4h×4w pixels, half as high and wide as what the blocks cover:
    blocks replace the grid after an RGB network's stem, which is a quarter of its image. Boxes and masks, in
    targets and in detections, are in pixels of this image. With a `PixelSpec` the input is the image itself.

    Images that are padded to the same size go through the network together, others one after another: no
    detection depends on the size of the other images. Neither do losses, which are averaged over the images,
    unless the backbone learns the statistics of batches.

    Args:
        network: A detector of torchvision; its input transform and its anchors are changed in place.
        spec: What turns a photo into the input.
        settings: The arguments with which `create_detector` builds this network again.
        new_layers: Names of the layers whose weights were not loaded.
    """

    task = "object-detection"
    kind = "A detector"
    background = 1
    usage = 'found = model(decode.each(["photo.jpg"]))'

    def __init__(
        self,
        network: nn.Module,
        spec: InputSpec,
        settings: dict[str, Any],
        new_layers: tuple[str, ...] = (),
    ) -> None:
        super().__init__(network, spec, settings, new_layers)
        _set_pooling_scales(network)
        pixels = cell_pixels(spec)
        network.transform = PadBatch(normalised_padding(spec), pixels)
        anchors: Any = network.rpn if hasattr(network, "rpn") else network
        anchors.anchor_generator = AnchorsInPixels(anchors.anchor_generator, pixels)
        _keep_boxes_exact(network)

    def forward(  # type: ignore[override]
        self, images: Sequence[torch.Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, torch.Tensor] | list[dict[str, torch.Tensor]]:
        """Losses in training mode, detections in evaluation mode.

        Args:
            images: (C, h, w) each, as `Decoder.each` gives them for this model's spec; sizes may differ.
            targets: For training, per image: "boxes" (N, 4) as x1, y1, x2, y2; "labels" (N,), 1 or more; for
                Mask R-CNN "masks" (N, 4h, 4w). N may be 0.

        Returns:
            The losses by name, to be summed; or per image "boxes" (N, 4), "labels" (N,), "scores" (N,), and
            from Mask R-CNN "masks" (N, 1, 4h, 4w) from 0 to 1.

        Raises:
            ValueError: An image is not what the spec says, or targets are missing or do not fit the images.
        """
        detections = self.detect(images, targets)
        if isinstance(detections, list):
            for found, image in zip(detections, images, strict=True):
                if "masks" in found:
                    height, width = image_size(image, self.spec)
                    found["masks"] = paste(found["masks"], found["boxes"], (height, width))
        return detections

    def detect(self, images: Sequence[torch.Tensor], targets: Sequence[Target] | None = None) -> Any:
        """Like a call, but masks stay as the network gives them: (N, 1, 28, 28), each filling its box.

        `paste_in_photo` puts them straight into the photo, which is cheaper than through the image.
        """
        name = self.settings.get("name", type(self.network).__name__)
        if not len(images):
            raise ValueError(f"{name} takes a list of one image or more, got none")
        for image in images:
            check_input(image[None], self.spec, name)
        if self.training:
            self._check_targets(images, targets)
        # Each image by itself, so that padding is done in normalised values.
        normalised = [self.input(image[None])[0] for image in images]
        given = None if targets is None else [dict(target) for target in targets]
        groups = self._groups(images)
        outputs = [
            self.network([normalised[place] for place in group], given and [given[place] for place in group])
            for group in groups
        ]
        if self.training:
            return {
                name: sum(len(group) * losses[name] for group, losses in zip(groups, outputs, strict=True))
                / len(images)
                for name in outputs[0]
            }
        order = [place for group in groups for place in group]
        found = dict(zip(order, itertools.chain(*outputs), strict=True))
        return [found[place] for place in range(len(images))]

    def _groups(self, images: Sequence[torch.Tensor]) -> list[list[int]]:
        """Indices of the images that go through the network together: those padded to the same size.

        The size that an image is padded to would change what is seen near its edges, which anchors compete,
        and, in FCOS, the statistics of group normalisation. If batch normalisation learns, all images form
        one batch.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        whole = any(isinstance(layer, nn.BatchNorm2d) and layer.training for layer in self.network.modules())
        for place, image in enumerate(images):
            height, width = (0, 0) if whole else image_size(image, self.spec)
            groups.setdefault((-(-height // STRIDE), -(-width // STRIDE)), []).append(place)
        return list(groups.values())

    def _check_targets(self, images: Sequence[torch.Tensor], targets: Sequence[Target] | None) -> None:
        if targets is None or len(targets) != len(images):
            count = "none" if targets is None else len(targets)
            raise ValueError(
                f"in training, targets has a dictionary for each of {len(images)} images; got {count}"
            )
        keys = ("boxes", "labels", "masks") if self.has_masks else ("boxes", "labels")
        for number, (image, target) in enumerate(zip(images, targets, strict=True)):
            missing = [key for key in keys if key not in target]
            if missing:
                raise ValueError(
                    f"target {number} has no {' and no '.join(missing)}; it has {', '.join(target)}"
                )
            count = len(target["labels"])
            wanted = {
                "boxes": (count, 4),
                "labels": (count,),
                "masks": (count, *image_size(image, self.spec)),
            }
            for key in keys:
                if tuple(target[key].shape) != wanted[key]:
                    raise ValueError(
                        f"target {number}: {key} of {count} objects have the shape {wanted[key]} for this "
                        f"image, got {tuple(target[key].shape)}"
                    )

    def write_onnx(self, path: Path, metadata: dict[str, str], size: tuple[int, int] | None) -> None:
        """Write an ONNX file for images of one size; see `freqvision.models.export_onnx`."""
        metadata = {**metadata, PADDING_KEY: json.dumps(padding(self.spec).tolist())}
        export_detector(self, path, export_size(self.spec, size), metadata, self.has_masks)

    def write_pt2(self, path: Path, metadata: dict[str, str]) -> None:
        """Refuse: torch.export cannot follow a detector."""
        raise NotImplementedError(
            f"{self.settings.get('name', type(self).__name__)} has no archive of torch.export, which cannot "
            "follow torchvision's choice of boxes by score; what is supported: ONNX (--to onnx), or a folder "
            "that fv.load opens (--to hub)"
        )

    @property
    def has_masks(self) -> bool:
        """Whether it finds masks, and needs them in training."""
        return getattr(getattr(self.network, "roi_heads", None), "mask_predictor", None) is not None


def _set_pooling_scales(network: nn.Module) -> None:
    """Set the pyramid's strides in RoI pooling: 4, 8, 16 and 32 pixels.

    Otherwise torchvision derives them from the first batch, as the ratio of padded features to images, and
    keeps them: wrong ones if images are so small that padding makes up much of the batch.
    """
    from torchvision.ops import MultiScaleRoIAlign

    for pool in network.modules():
        if isinstance(pool, MultiScaleRoIAlign):
            side, levels = 4 * STRIDE, enumerate(pool.featmap_names)
            features = {name: torch.zeros(1, 1, side >> (2 + i), side >> (2 + i)) for i, name in levels}
            pool(features, [torch.zeros(0, 4)], [(side, side)])


def _keep_boxes_exact(network: nn.Module) -> None:
    """Keep box coordinates in float32 under autocast.

    In bfloat16 they would be multiples of 8 pixels beyond 1024, and torchvision casts the boxes of targets to
    the same type.
    """
    heads = [network.roi_heads] if hasattr(network, "roi_heads") else []
    predictors = [getattr(head, name, None) for head in heads for name in ("box_predictor", "mask_predictor")]
    for layer in (*predictors, getattr(getattr(network, "rpn", network), "head", None)):
        if layer is not None:
            layer.register_forward_hook(_outputs_in_float32)


def _outputs_in_float32(layer: nn.Module, inputs: Any, outputs: Any) -> Any:
    return _in_float32(outputs)


def _in_float32(values: Any) -> Any:
    """Tensors, perhaps in tuples, lists or dictionaries, in float32 if autocast has changed them."""
    if isinstance(values, torch.Tensor):
        return values.float() if torch.is_autocast_enabled(values.device.type) else values
    if isinstance(values, Mapping):
        return {name: _in_float32(value) for name, value in values.items()}
    return type(values)(_in_float32(value) for value in values)


class PadBatch(nn.Module):
    """Puts images of any size into one batch, padded at the bottom and on the right.

    Replaces torchvision's ``GeneralizedRCNNTransform``: images are already resized and normalised.

    Args:
        fill: (C,), the normalised value of padding.
        pixels: Side in pixels that a cell of the input (a block or a pixel) stands for.
    """

    fill: torch.Tensor

    def __init__(self, fill: torch.Tensor, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.register_buffer("fill", fill[:, None, None], persistent=False)  # (C, 1, 1)

    def forward(
        self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None = None
    ) -> Any:
        """Images (C, h, w) → torchvision's ImageList of sizes in pixels, and the targets as they are."""
        from torchvision.models.detection.image_list import ImageList

        cells = STRIDE // self.pixels
        height, width = (-(-max(image.shape[axis] for image in images) // cells) * cells for axis in (1, 2))
        batch = self.fill.to(images[0].dtype).repeat(len(images), 1, height, width)  # (B, C, height, width)
        for place, image in enumerate(images):
            batch[place, :, : image.shape[1], : image.shape[2]] = image
        sizes = [(self.pixels * image.shape[1], self.pixels * image.shape[2]) for image in images]
        return ImageList(batch, sizes), targets

    def postprocess(self, detections: Any, image_sizes: Any, original_sizes: Any) -> Any:
        """Detections without boxes that lie in the padding."""
        return with_area(detections)


class AnchorsInPixels(nn.Module):
    """Torchvision's anchors for a batch of cells, whose strides are those of the RGB image in pixels.

    Args:
        anchors: The RGB network's anchor generator.
        pixels: Side in pixels that a cell of the input (a block or a pixel) stands for.
    """

    def __init__(self, anchors: nn.Module, pixels: int) -> None:
        super().__init__()
        self.anchors = anchors
        self.pixels = pixels

    def forward(self, images: Any, features: list[torch.Tensor]) -> Any:
        """Anchors (A, 4) of each image."""
        from torchvision.models.detection.image_list import ImageList

        height, width = (self.pixels * side for side in images.tensors.shape[-2:])
        # Only shapes and types matter; anchors have the type of the features.
        canvas = images.tensors.new_empty(()).expand(1, 1, height, width)
        features = [_in_float32(feature.new_empty(())).expand(feature.shape) for feature in features]
        return self.anchors(ImageList(canvas, images.image_sizes), features)


def paste(masks: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Masks (N, 1, m, m) that fill their boxes (N, 4) → masks (N, 1, height, width) of an image."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    return paste_masks_in_image(masks, boxes, size)


def paste_in_photo(
    found: dict[str, torch.Tensor],
    view: View,
    photo_size: tuple[int, int],
    spec: InputSpec,
    threshold: float = 0.5,
) -> dict[str, torch.Tensor]:
    """Detections of `DetectionModel.detect` in the photo's own pixels.

    Args:
        found: "boxes", "labels", "scores", and optionally "masks" (N, 1, m, m).
        view: How the photo was shown to the model.
        photo_size: (height, width) of the photo in pixels.
        spec: The model's.
        threshold: Smallest value of a mask that counts as inside.

    Returns:
        The detections that lie in the photo, on the CPU, with masks (N, height, width) of bool.
    """
    found = {key: value.detach().cpu() for key, value in found.items()}
    height, width = photo_size
    whole = boxes_in_photo(found["boxes"].float(), view, view_pixels(spec))
    boxes = whole.clamp(min=0).minimum(whole.new_tensor([width, height, width, height]))
    # What lies beyond the photo's edge, in its last block, has no area now.
    (found,) = with_area([{**found, "boxes": boxes, "whole": whole}])
    whole = found.pop("whole")
    result = dict(found)
    if "masks" in found:
        masks = found["masks"].flip(-1) if view.flip else found["masks"]
        # A mask fills the box that the network found, part of which may lie beyond the photo's edge.
        # One at a time: a hundred float masks of a large photo would take gigabytes.
        pasted = [
            paste(mask[None].float(), box[None], photo_size)[0, 0] >= threshold
            for mask, box in zip(masks, whole, strict=True)
        ]
        result["masks"] = torch.stack(pasted) if pasted else torch.zeros(0, *photo_size, dtype=torch.bool)
    return result
