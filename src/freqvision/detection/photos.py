"""Photos with objects in them, as detectors take them: lists of inputs of any size, and targets that fit."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import ExifTags, Image
from torch import Tensor

from freqvision.data.folder import Damaged, DecodedPhotos
from freqvision.data.sources import Files, Sources
from freqvision.detection.targets import objects_of, target_in_view, turned, view_pixels
from freqvision.inputs.spec import InputSpec
from freqvision.inputs.view import BLOCK, View, resize_crop_view
from freqvision.jpeg.errors import JpegError
from freqvision.jpeg.read import Source, read_header

Target = Mapping[str, Any]
ORIENTATIONS = ("stored", "exif")


@dataclass(frozen=True)
class RandomDetectionView:
    """Random views of photos for training; sizes are in pixels of the image in which boxes are.

    Args:
        hflip: Probability of a mirrored view.
        resize: Shorter sides, of which one is drawn for each photo; () keeps the spec's.
        scale: Smallest and largest factor by which the sides of the resized photo are multiplied ("scale
            jitter"), drawn uniformly.
        crop: (height, width), multiples of 8, of a window at a random place; a smaller photo is seen whole.
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

        Models of frequencies and of pixels get the same view from generators in the same state, up to the
        rounding of sizes.

        Args:
            image_size: (height, width) of the photo in pixels.
            spec: The model's.
            generator: Source of randomness; None is torch's default generator.
        """
        pixels = view_pixels(spec)
        draws = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
        resize = self.resize[int(draws[0] * len(self.resize))] * pixels if self.resize else spec.resize
        size = resize_crop_view(image_size, resize, None, spec.max_size).size
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[1]
        height, width = (max(1, int(side * factor)) for side in size)
        crop = (None, None) if self.crop is None else tuple(pixels * side for side in self.crop)
        top, crop_height = _window(height, crop[0], draws[2], spec.cell)
        left, crop_width = _window(width, crop[1], draws[3], spec.cell)
        return View(
            box=(0, 0, *image_size),
            size=(height, width),
            crop=(top, left, crop_height, crop_width),
            flip=draws[4] < self.hflip,
        )


def _window(side: int, crop: int | None, place: float, cell: int) -> tuple[int, int]:
    """Start and length of a window along an axis, at `place` from 0 to 1; a shorter side is seen whole."""
    if crop is None or side <= crop:
        return 0, -(-side // cell) * cell
    return int(place * (side - crop + 1)), crop


class DetectionPhotos(DecodedPhotos):
    """Photos with torchvision's targets, as DCT channels or as pixels.

    ``PhotoLoader(photos, batch_size=2, shuffle=True)``, or torch's own loader with
    ``collate_fn=photos.collate``, gives batches of (images, targets) for `DetectionModel`.

    Args:
        sources: The photos: paths, or whatever else a `Decoder` takes, or `Sources` such as a table's.
        targets: For each photo a dictionary as torchvision's detectors take it, in pixels of the photo:
            "boxes" (N, 4) as x1, y1, x2, y2; "labels" (N,); optionally "masks" (N, H, W). Other tensors of N
            elements belong to the objects, and "image_id" and all else to the photo. Objects whose "iscrowd"
            (N,) is not 0 are left out. Or a function from a photo's index to its target, called when the
            photo is loaded.
        spec: What the photos become; it has no crop.
        augment: Random views for training; None shows each photo whole.
        sizes: (height, width) that the photos should have, checked before `targets` is called.
        orientation: How photos were shown when boxes and masks were drawn: "stored", as the file stores them
            (torchvision and COCO's tools ignore the EXIF orientation), or "exif", upright. Targets are turned
            to the orientation of the spec.
        damaged: "error" stops at a photo that cannot be read and names it; "skip" leaves it out of its batch;
            "decode" shows what is left of it. `skipped()` lists them.
        seed: Of the random views.
        num_threads: Threads that decode a batch; 0 for all cores.

    Raises:
        ValueError: The spec has a crop, the numbers of photos and targets differ, or an argument is illegal;
            later, a photo cannot be read or a target does not fit its photo, with the photo's name.

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

    root: str = "the data set"  # in reports

    def __init__(
        self,
        sources: Sequence[Source],
        targets: Sequence[Target] | Callable[[int], Target],
        spec: InputSpec,
        augment: RandomDetectionView | None = None,
        *,
        sizes: Sequence[tuple[int, int]] | None = None,
        orientation: str = "stored",
        damaged: Damaged = "error",
        seed: int = 0,
        num_threads: int = 0,
    ) -> None:
        if spec.crop is not None:
            raise ValueError(
                f"detectors see whole photos: the spec's crop is None, not {spec.crop}; windows are cut out "
                "by RandomDetectionView(crop=…)"
            )
        for name, values in (("targets", targets), ("sizes", sizes)):
            if isinstance(values, Sequence) and len(values) != len(sources):
                raise ValueError(f"there are {len(values)} {name} for {len(sources)} photos")
        if orientation not in ORIENTATIONS:
            raise ValueError(f"orientation is one of {', '.join(ORIENTATIONS)}; got {orientation!r}")
        photos = sources if isinstance(sources, Sources) else Files(sources)
        super().__init__(photos, spec, augment, damaged, seed, num_threads)
        self.targets = targets
        self.sizes = sizes
        self.orientation = orientation

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        images, targets = self._load([int(index)], self.photos.take([index]))
        return images[0], targets[0]

    def __getitems__(self, indices: Sequence[int]) -> tuple[list[Tensor], list[dict[str, Any]]]:
        """Load a batch: images (C, h, w), and targets.

        Targets get the photo's (height, width) as "orig_size", and as "turned" the EXIF orientation by which
        boxes and masks were turned, if they were. Both lists are empty if all photos are left out.
        """
        indices = [int(index) for index in indices]
        sources = self.photos.take(indices)
        try:
            return self._load(indices, sources)
        except (JpegError, OSError):
            if self.damaged != "skip":
                raise
        images: list[Tensor] = []
        targets: list[dict[str, Any]] = []
        for index, source in zip(indices, sources, strict=True):  # one by one, which is rare enough
            try:
                image, target = self._load([index], [source])
            except (JpegError, OSError):
                self._faulty[index] = True
            else:
                images += image
                targets += target
        return images, targets

    @staticmethod
    def collate(batch: Any) -> Any:
        """Pass a batch through: pass this as `collate_fn` to `DataLoader`."""
        return batch

    def _load(
        self, indices: Sequence[int], sources: Sequence[Source]
    ) -> tuple[list[Tensor], list[dict[str, Any]]]:
        views: list[View] = []
        sizes: list[tuple[int, int]] = []

        def choose(found: list[tuple[int, int]]) -> list[View]:
            sizes.extend(found)
            views.extend(self._view(index, size) for index, size in zip(indices, found, strict=True))
            return views

        images = self._decoder.each(sources, choose)
        for index in indices if self._decoder.damage else ():
            self._faulty[index] |= self.name(index) in self._decoder.damage
        return images, [self._target(*item) for item in zip(indices, sources, views, sizes, strict=True)]

    def _view(self, index: int, size: tuple[int, int]) -> View:
        if self.augment is None:
            return self.spec.view(size)
        return self.augment.view(size, self.spec, self._generator(index))

    def _target(self, index: int, source: Source, view: View, shown: tuple[int, int]) -> dict[str, Any]:
        name = self.name(index)
        orientation = 1 if self.orientation == self.spec.orientation else exif_orientation(source)
        if self.orientation == "exif":  # and the photo is shown as it is stored
            orientation = {6: 8, 8: 6}.get(orientation, orientation)
        size = shown[::-1] if orientation > 4 else shown  # as the targets have it
        if self.sizes is not None:
            check_size(self.sizes[index], size, name)
        target = dict(self.targets(index) if callable(self.targets) else self.targets[index])
        if "orig_size" in target:
            check_size(target.pop("orig_size"), size, name)
        if "boxes" in target:
            check_target(target, size, name)
            target = turned(without_crowds(target), orientation, size)
            target = target_in_view(target, view, view_pixels(self.spec))
        if orientation != 1:
            target["turned"] = orientation
        return {**target, "orig_size": torch.tensor(shown)}


def exif_orientation(source: Any) -> int:
    """The EXIF orientation of a photo, 1 to 8, by which a `Decoder` shows it upright."""
    try:
        return read_header(source).orientation
    except JpegError:  # another format
        file = source if isinstance(source, (str, os.PathLike)) else io.BytesIO(source)
        with Image.open(file) as image:
            # TIFF is turned by Pillow whenever it is read.
            return 1 if image.format == "TIFF" else image.getexif().get(ExifTags.Base.Orientation, 1)


def check_size(stated: Any, size: tuple[int, int], name: str) -> None:
    """Refuse a photo that has another (height, width) than its annotations state."""
    if tuple(stated) != size:
        raise ValueError(
            f"{name} has {size[0]}×{size[1]} pixels (height × width), but its annotations are of "
            f"{stated[0]}×{stated[1]}: was it resized or turned since?"
        )


def check_target(target: Target, size: tuple[int, int], name: str) -> None:
    """Refuse a target that is not as torchvision's detectors take it, or not of this photo."""
    boxes = target["boxes"]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}: boxes are (N, 4) as x1, y1, x2, y2; got {tuple(boxes.shape)}")
    bad = ~((boxes[:, 2:] > boxes[:, :2]).all(1) & boxes.isfinite().all(1))
    if bad.any():
        place = int(bad.nonzero()[0])
        raise ValueError(
            f"{name}: box {place} has no width or height: x1, y1, x2, y2 = {boxes[place].tolist()}; boxes in "
            "COCO's x, y, width, height become these by torchvision.ops.box_convert(boxes, 'xywh', 'xyxy')"
        )
    for key in ("labels", "masks", "iscrowd"):
        if key in target and len(target[key]) != len(boxes):
            raise ValueError(f"{name}: there are {len(target[key])} {key} for {len(boxes)} boxes")
    if "masks" in target and tuple(target["masks"].shape[1:]) != size:
        raise ValueError(
            f"{name}: masks have the photo's size, {size[0]}×{size[1]}; got {tuple(target['masks'].shape)}"
        )


def without_crowds(target: Target) -> dict[str, Any]:
    """The target without objects whose "iscrowd" is not 0."""
    crowds = target.get("iscrowd")
    if crowds is None or not crowds.any():  # as nearly always; masks are large, so they are not copied
        return dict(target)
    return objects_of(target, crowds == 0)
