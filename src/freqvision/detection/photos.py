"""Photos with objects in them, as detectors take them: lists of inputs of any size, and targets that fit."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from freqvision.detection.targets import objects_of, target_in_view, view_pixels
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import InputSpec
from freqvision.inputs.view import BLOCK, View, resize_crop_view, whole_blocks

Target = Mapping[str, Any]


@dataclass(frozen=True)
class RandomDetectionView:
    """How photos are shown in training; sizes are in pixels of the image in which boxes are.

    Args:
        hflip: Probability of a mirrored view.
        resize: Shorter sides of which one is drawn for each photo; () keeps to the spec's.
        scale: Smallest and largest factor by which the sides of the resized photo are multiplied ("scale
            jitter"), drawn evenly.
        crop: (height, width), multiples of 8, of a window at a random place; of a smaller photo all is seen.
            None for no window.

    Raises:
        ValueError: A value is illegal.
    """

    hflip: float = 0.5
    resize: tuple[int, ...] = ()
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.hflip <= 1:
            raise ValueError(f"hflip is a probability from 0 to 1, got {self.hflip}")
        if any(side <= 0 for side in self.resize):
            raise ValueError(f"resize holds numbers of pixels above 0, got {self.resize}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is (min, max) with 0 < min ≤ max, got {self.scale}")
        if self.crop is not None and any(side <= 0 or side % BLOCK for side in self.crop):
            raise ValueError(f"crop is (height, width), multiples of {BLOCK} pixels; got {self.crop}")

    def view(
        self,
        image_size: tuple[int, int],
        spec: InputSpec,
        generator: torch.Generator | None = None,
    ) -> View:
        """A random view of a photo.

        Frequency models and models of pixels get the same one from generators in the same state, up to the
        rounding of sizes.

        Args:
            image_size: (height, width) of the photo in pixels.
            spec: The model's.
            generator: Source of randomness; None is torch's default generator.
        """
        pixels = view_pixels(spec)
        draws = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
        resize = self.resize[int(draws[0] * len(self.resize))] * pixels if self.resize else None
        view = whole_view(image_size, spec, resize)
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[1]
        height, width = (max(1, int(side * factor)) for side in view.size)
        crop_height, crop_width = (None, None) if self.crop is None else (pixels * side for side in self.crop)
        top, crop_height = _window(height, crop_height, draws[2])
        left, crop_width = _window(width, crop_width, draws[3])
        return replace(
            view,
            size=(height, width),
            crop=(top, left, crop_height, crop_width),
            flip=draws[4] < self.hflip,
        )


def _window(side: int, crop: int | None, place: float) -> tuple[int, int]:
    """Start and length of a window along an axis: `place` from 0 to 1, all of it where it is no longer."""
    if crop is None or side <= crop:
        return 0, whole_blocks(side)
    return int(place * (side - crop + 1)), crop


def whole_view(image_size: tuple[int, int], spec: InputSpec, resize: int | None = None) -> View:
    """The view of a whole photo, as detectors see it in evaluation.

    Args:
        image_size: (height, width) of the photo in pixels.
        spec: The model's.
        resize: Shorter side instead of the spec's, in pixels of the view.
    """
    return resize_crop_view(image_size, resize or spec.resize, None, spec.max_size)


class DetectionPhotos(Dataset):
    """Photos with torchvision's targets, in the frequency domain or as pixels.

    Use it with torch's own loader: ``DataLoader(photos, batch_size=2, collate_fn=photos.collate)`` gives
    batches of (images, targets) for `freqvision.models.DetectionModel`.

    An item's random view depends on (seed, epoch, index) alone, so that the number of workers, threads and
    processes never changes what is trained on.

    Args:
        paths: The photos.
        targets: Of each photo a dictionary as torchvision's detectors take it, in pixels of the photo:
            "boxes" (N, 4) as x1, y1, x2, y2; "labels" (N,); perhaps "masks" (N, H, W); other tensors of N
            elements go with the objects, and "image_id" and what else there is with the photo; objects with
            an "iscrowd" (N,) that is not 0 are left out. Or a function from a photo's index to it, called
            when the photo is loaded.
        spec: What the photos become; it has no crop.
        augment: Random views for training; None shows each photo whole.
        seed: Of the random views.
        num_threads: Threads that decode a batch; 0 for all cores.
        orientation: In which the targets were drawn, whatever the spec's: "stored", as torchvision and
            pycocotools read photos, or "exif".

    Raises:
        ValueError: The spec has a crop, or the numbers of photos and targets differ; later, a photo cannot be
            read or a target does not fit its photo, with the photo's path.

    Example:
        >>> import tempfile, freqvision as fv
        >>> from freqvision.detection import DetectionPhotos
        >>> from freqvision.detection.scenes import synthetic_scene
        >>> spec = fv.FrequencySpec(resize=192, crop=None)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     synthetic_scene((96, 128))[0].save(f"{root}/photo.jpg")
        ...     target = {"boxes": torch.tensor([[10.0, 20.0, 40.0, 60.0]]), "labels": torch.tensor([1])}
        ...     photos = DetectionPhotos([f"{root}/photo.jpg"], [target], spec)
        ...     images, targets = photos.__getitems__([0])
        >>> images[0].shape, targets[0]["boxes"]  # 24×32 blocks stand for an image of 96×128 pixels
        (torch.Size([24, 24, 32]), tensor([[10., 20., 40., 60.]]))
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        targets: Sequence[Target] | Callable[[int], Target],
        spec: InputSpec,
        augment: RandomDetectionView | None = None,
        *,
        seed: int = 0,
        num_threads: int = 0,
        orientation: str = "stored",
    ) -> None:
        if spec.crop is not None:
            raise ValueError(
                f"detectors see whole photos: the spec's crop is None, not {spec.crop}; windows are cut out "
                "by RandomDetectionView(crop=…)"
            )
        if not callable(targets) and len(targets) != len(paths):
            raise ValueError(f"there are {len(targets)} targets for {len(paths)} photos")
        self.paths = [str(path) for path in paths]
        self.targets = targets
        self.spec = spec
        self.augment = augment
        self.seed = seed
        self._decoder = Decoder(spec.replace(orientation=orientation), num_threads)
        # In shared memory, so that worker processes that outlive an epoch see the new one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        images, targets = self.__getitems__([index])
        return images[0], targets[0]

    def __getitems__(self, indices: Sequence[int]) -> tuple[list[Tensor], list[dict[str, Any]]]:
        """Load a batch: images (C, h, w), and targets, with the photo's (height, width) as "orig_size"."""
        indices = [int(index) for index in indices]
        views: list[View] = []
        sizes: list[tuple[int, int]] = []

        def choose(found: list[tuple[int, int]]) -> list[View]:
            sizes.extend(found)
            views.extend(self._view(index, size) for index, size in zip(indices, found, strict=True))
            return views

        images = self._decoder.each([self.paths[index] for index in indices], choose)
        targets = [
            self._target(index, view, size) for index, view, size in zip(indices, views, sizes, strict=True)
        ]
        return images, targets

    def set_epoch(self, epoch: int) -> None:
        """Choose the random views of an epoch; call it before each one, as for `DistributedSampler`."""
        self._epoch.fill_(epoch)

    @staticmethod
    def collate(batch: Any) -> Any:
        """Pass a batch through: pass this as `collate_fn` to `DataLoader`."""
        return batch

    def _view(self, index: int, size: tuple[int, int]) -> View:
        if self.augment is None:
            return whole_view(size, self.spec)
        entropy = np.random.SeedSequence([self.seed, int(self._epoch), index])
        generator = torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))
        return self.augment.view(size, self.spec, generator)

    def _target(self, index: int, view: View, size: tuple[int, int]) -> dict[str, Any]:
        target = dict(self.targets(index) if callable(self.targets) else self.targets[index])
        stated = target.pop("orig_size", None)
        if stated is not None and tuple(stated) != size:
            raise ValueError(
                f"{self.paths[index]} has {size[0]}×{size[1]} pixels (height × width), but its annotations "
                f"are of {stated[0]}×{stated[1]}: was it resized or turned since?"
            )
        if "boxes" in target:
            check_target(target, size, self.paths[index])
            target = target_in_view(without_crowds(target), view, view_pixels(self.spec))
        return {**target, "orig_size": torch.tensor(size)}


def check_target(target: Target, size: tuple[int, int], path: str) -> None:
    """Make sure that a target is torchvision's, and of this photo.

    Raises:
        ValueError: It is not; the message names the photo.
    """
    boxes = target["boxes"]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{path}: boxes are (N, 4) as x1, y1, x2, y2; got {tuple(boxes.shape)}")
    bad = ~((boxes[:, 2:] > boxes[:, :2]).all(1) & boxes.isfinite().all(1))
    if bad.any():
        place = int(bad.nonzero()[0])
        raise ValueError(
            f"{path}: box {place} has no width or height: x1, y1, x2, y2 = {boxes[place].tolist()}; boxes in "
            "COCO's x, y, width, height become these by torchvision.ops.box_convert(boxes, 'xywh', 'xyxy')"
        )
    for key in ("labels", "masks", "iscrowd"):
        if key in target and len(target[key]) != len(boxes):
            raise ValueError(f"{path}: there are {len(target[key])} {key} for {len(boxes)} boxes")
    if "masks" in target and tuple(target["masks"].shape[1:]) != size:
        raise ValueError(
            f"{path}: masks have the photo's size, {size[0]}×{size[1]}; got {tuple(target['masks'].shape)}"
        )


def without_crowds(target: Target) -> dict[str, Any]:
    """The target without objects whose "iscrowd" is not 0."""
    crowds = target.get("iscrowd")
    if crowds is None or not crowds.any():  # as nearly always: masks are large, and not copied for nothing
        return dict(target)
    return objects_of(target, crowds == 0)


class GroupedBatches(Sampler[list[int]]):
    """Batches of photos of the same group, such as those of one shape, so that little padding is needed.

    Every photo that the sampler gives occurs once; what is left over of each group forms mixed batches at the
    end. The last batch is left out if it is not full, unless it is the only one.

    Args:
        sampler: Gives the indices of an epoch, in a random order.
        groups: Of each photo, by its index.
        batch_size: Photos in a batch.

    Example:
        >>> list(GroupedBatches(range(6), groups=[0, 1, 0, 1, 0, 1], batch_size=2))
        [[0, 2], [1, 3], [4, 5]]
    """

    def __init__(self, sampler: Any, groups: Sequence[Hashable], batch_size: int) -> None:
        self.sampler = sampler  # whose epoch Lightning sets
        self.groups = groups
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        waiting: dict[Hashable, list[int]] = {}
        for index in self.sampler:
            group = waiting.setdefault(self.groups[index], [])
            group.append(index)
            if len(group) == self.batch_size:
                yield group.copy()
                group.clear()
        rest = [index for group in waiting.values() for index in group]
        whole = len(rest) // self.batch_size * self.batch_size
        if len(self.sampler) < self.batch_size:
            whole = len(rest)
        for start in range(0, whole, self.batch_size):
            yield rest[start : start + self.batch_size]

    def __len__(self) -> int:
        return max(1, len(self.sampler) // self.batch_size)
