"""The Lightning data module of detection: photos with annotations in COCO's format."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from freqvision.data.check import without
from freqvision.data.loader import PhotoLoader
from freqvision.data.remote import is_remote
from freqvision.data.sources import Files, Sources
from freqvision.detection.coco import CocoAnnotations
from freqvision.detection.photos import DetectionPhotos, RandomDetectionView
from freqvision.detection.sidecars import read_annotations
from freqvision.detection.targets import STRIDE, view_pixels
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.spectrum.channels import ChannelSet
from freqvision.training.data_module import PhotoData

Categories = tuple[tuple[str, ...], tuple[int, ...]]  # names and COCO's category ids, both by label


class CocoPhotos(PhotoData):
    """Photos with annotations in COCO's format, to train and to validate detectors.

    Sizes are in pixels of the image in which boxes are, that of an RGB detector. In the frequency domain
    photos are resized to twice these sizes, so that blocks of 8 take the place of 4 pixels.

    Args:
        root: Folder to which the four paths are relative.
        train_photos: Folder of the training photos.
        train_annotations: JSON file of their annotations; None if they lie with the photos of shards or of a
            table, see `freqvision.detection.sidecars.read_annotated`, whose place is then `train_photos`.
        validation_photos: Folder of the validation photos.
        validation_annotations: Likewise.
        train_range: (from, to) of the photos in the order of the file, counted from 0, `to` excluded; None
            for all.
        validation_range: Likewise.
        input: "frequency" (DCT channels), "rgb" or "ycbcr" (pixels).
        resize: Shorter side in pixels of the image.
        max_size: Largest longer side in pixels of the image.
        channels: Which DCT channels: 6, 12, 24, 32, 48, 64 or 192 (the paper's), a JSON file of a ChannelSet,
            or an expression such as "Y0-15+Cb0+Cr0".
        interpolation: "bilinear" or "bicubic", antialiased.
        statistics_photos: Measure at most this many photos, evenly spread; 0 for all.
        batch_size: Photos in a batch on each device.
        hflip: Probability of a horizontal flip of a training photo.
        sizes: Shorter sides, of which one is drawn for each training photo; empty for `resize` always.
        scale: Smallest and largest factor by which a resized training photo's sides are multiplied.
        crop: (height, width) of a window at a random place of a training photo; None shows it whole.
        keep_empty: Whether to train on photos without objects.
        orientation: How photos were shown when the boxes were drawn: "stored", without regard to the EXIF
            orientation, as COCO's tools do it, or "exif". The model sees photos upright in any case.
        exclude: List of damaged photos to leave out, of `freqvision check`.
        paths_outside: Whether file names in the annotations may lead out of the folders of photos.
        settings: Of `PhotoData`.
    """

    train_set: DetectionPhotos
    validation_set: DetectionPhotos

    def __init__(
        self,
        root: str,
        train_photos: str = "train2017",
        train_annotations: str | None = "annotations/instances_train2017.json",
        validation_photos: str = "val2017",
        validation_annotations: str | None = "annotations/instances_val2017.json",
        train_range: tuple[int, int] | None = None,
        validation_range: tuple[int, int] | None = None,
        input: Literal["frequency", "rgb", "ycbcr"] = "frequency",  # noqa: A002  what a config should call it
        resize: int = 800,
        max_size: int = 1333,
        channels: int | str = 24,
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        statistics_photos: int = 500,
        batch_size: int = 2,
        hflip: float = 0.5,
        sizes: tuple[int, ...] = (),
        scale: tuple[float, float] = (1.0, 1.0),
        crop: tuple[int, int] | None = None,
        keep_empty: bool = False,
        orientation: Literal["stored", "exif"] = "stored",
        exclude: str | None = None,
        paths_outside: bool = False,
        **settings: Any,
    ) -> None:
        spec: InputSpec
        if input == "frequency":
            chosen = ChannelSet.parse(str(channels))
            spec = FrequencySpec(2 * resize, None, chosen, interpolation=interpolation, max_size=2 * max_size)
        else:
            spec = PixelSpec(resize, None, input, interpolation=interpolation, max_size=max_size)

        def where(photos: str) -> str | Path:
            return (
                photos if is_remote(photos) else f"{root}/{photos}" if is_remote(root) else Path(root, photos)
            )

        def read(photos: str, annotations: str | None) -> tuple[CocoAnnotations, Sources | None]:
            file = None if annotations is None else Path(root, annotations)
            return read_annotations(file, where(photos), paths_outside)

        coco, self.train_photos = read(train_photos, train_annotations)
        self.train_coco = select(coco, train_range, keep_empty, exclude)
        coco, self.validation_photos = read(validation_photos, validation_annotations)
        self.validation_coco = select(coco, validation_range, True, exclude)
        self.validation_root = where(validation_photos)
        same_categories(
            (self.train_coco.class_names, self.train_coco.category_ids),
            (self.validation_coco.class_names, self.validation_coco.category_ids),
            f"{self.train_coco.path} and {self.validation_coco.path}",
        )
        classes = list(self.train_coco.class_names)
        super().__init__(
            spec,
            classes,
            statistics_photos=statistics_photos,
            batch_size=batch_size,
            exclude=exclude,
            **settings,
        )
        self.save_hyperparameters()
        self.validation_range = validation_range
        self.orientation = orientation
        self.augment = RandomDetectionView(
            hflip, tuple(sizes), (scale[0], scale[1]), None if crop is None else (crop[0], crop[1])
        )

    def statistics_photos_of(self) -> Sources:
        """The training photos."""
        return sources_of(self.train_coco, self.train_photos)

    def setup(self, stage: str) -> None:
        """Complete the spec with the statistics, and open the data sets."""
        super().setup(stage)
        masks = getattr(self._trainer().lightning_module, "has_masks", True)
        if masks:  # now, not when the first of them comes up, perhaps after an epoch
            self.train_coco.require_outlines(crowds=False)
            self.validation_coco.require_outlines(crowds=True)
        target = partial(self.train_coco.target, masks=masks)
        how = {**self.how, "orientation": self.orientation}
        options = {**how, "augment": self.augment}
        self.train_set = photos_of(self.train_coco, self.spec, target, self.train_photos, **options)
        self.validation_set = photos_of(self.validation_coco, self.spec, None, self.validation_photos, **how)

    def train_dataloader(self) -> PhotoLoader:
        """Batches of photos of like shape, which the network sees together, shuffled by (seed, epoch)."""
        cell = STRIDE * view_pixels(self.spec)
        views = (self.spec.view(image.size) for image in self.train_coco.images)
        shapes = [(-(-view.crop[2] // cell), -(-view.crop[3] // cell)) for view in views]
        return self.train_loader(groups=shapes)

    def plan(self) -> dict[str, str]:
        """What a run prints about its data before it starts, in the sizes of this module's arguments."""
        scale = view_pixels(self.spec)
        classes = len(self.class_names) - 1
        read = f" (photos are resized to {scale} times that)" if scale > 1 else ""
        return {
            "photos": f"{len(self.train_coco.images):,} to train on, {len(self.validation_coco.images):,} to "
            f"validate, {classes} class{'es' if classes > 1 else ''} and the background",
            "input": f"{self.spec.describe()}, {self.spec.dtype}; images with a shorter side of "
            f"{self.hparams['resize']} pixels and a longer one of at most {self.hparams['max_size']}{read}",
        }


def sources_of(coco: CocoAnnotations, photos: Sources | None) -> Sources:
    """The photos of annotations: files, or those among which the annotations lie, by their numbers."""
    if photos is None:
        return Files([image.path for image in coco.images])
    return photos.chosen([image.id for image in coco.images])


def photos_of(
    coco: CocoAnnotations,
    spec: InputSpec,
    target: Callable[[int], Any] | None = None,
    photos: Sources | None = None,
    **options: Any,
) -> DetectionPhotos:
    """The photos of annotations, those of `read_annotations`, with the target of each by its index.

    None for a target gives "image_id" only, which is all that validation needs: the truth is COCO's own file.
    """
    images = coco.images
    shown = DetectionPhotos(
        sources_of(coco, photos),
        target or [{"image_id": image.id} for image in images],
        spec,
        sizes=[image.size for image in images],
        **options,
    )
    shown.root = coco.path
    return shown


def select(
    coco: CocoAnnotations,
    photos: tuple[int, int] | None,
    keep_empty: bool = True,
    exclude: str | None = None,
) -> CocoAnnotations:
    """Annotations of a part of the photos: (from, to), `to` excluded, or all."""
    images = coco.images if photos is None else coco.images[photos[0] : photos[1]]
    kept = set(without([image.path for image in images], exclude))
    images = tuple(image for image in images if image.path in kept)
    if not keep_empty:
        images = tuple(i for i in images if not all(found.crowd for found in i.objects))
    if not images:
        of = "" if photos is None else f" numbered {photos[0]} to {photos[1] - 1}, of {len(coco.images)},"
        what = "" if keep_empty else " that hold objects"
        raise ValueError(f"{coco.path} has no photos{of}{what}")
    return replace(coco, images=images)


def same_categories(one: Categories, other: Categories, which: str) -> None:
    """Check that two files, or a model and a file, have the same categories; `which` names both."""
    known, found = (set(zip(ids, names, strict=True)) for names, ids in (one, other))
    if known != found:
        differ = ", ".join(f"{id_} {name!r}" for id_, name in sorted(known ^ found)[:4])
        raise ValueError(f"{which} have different categories, such as {differ}")
