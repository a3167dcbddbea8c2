"""The rivals, written as their users write them, each a function of one photo's bytes."""

import functools
import importlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import functional as transforms

from freqvision.analysis.speed import TorchvisionTensors
from freqvision.inputs.spec import IMAGENET_MEAN, IMAGENET_STD, FrequencySpec
from throughput import libjpeg
from throughput.photos import Photos


@functools.cache
def opencv() -> Any:
    """The module ``cv2``, kept to the calling thread, as PyTorch is."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


class Torchcodec(TorchvisionTensors):
    """The decoder that torchvision recommends instead of its own."""

    @staticmethod
    def require() -> None:
        """Raise if torchcodec is not installed, or too old to decode photos."""
        _require("torchcodec.decoders", "torchcodec", "decode_jpeg")

    def decode(self, content: torch.Tensor) -> torch.Tensor:
        """Pixels, uint8 (3, H, W)."""
        from torchcodec.decoders import decode_jpeg

        return decode_jpeg(content, mode="RGB")


class ToFloat:
    """uint8 (H, W, 3) to normalised float32 (3, H, W)."""

    def __init__(self) -> None:
        self.mean = 255 * torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1)
        self.std = 255 * torch.tensor(IMAGENET_STD).reshape(3, 1, 1)

    def __call__(self, pixels: np.ndarray) -> torch.Tensor:
        """The tensor."""
        # Transposed as bytes and only then made float: a seventh of the time of the usual permute().float().
        planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return planes.float().sub_(self.mean).div_(self.std)


class SimplejpegOpencv:
    """libjpeg-turbo and OpenCV, each at its fastest: area averaging where a photo shrinks."""

    def __init__(self, resize: int, crop: int) -> None:
        self.resize = resize
        self.crop = crop
        self.normalise = ToFloat()

    @staticmethod
    def require() -> None:
        """Raise if simplejpeg or OpenCV is not installed."""
        _require("simplejpeg", "simplejpeg")
        _require("cv2", "opencv-python-headless")

    def __call__(self, content: bytes) -> torch.Tensor:
        """A photo's tensor."""
        cv2 = opencv()
        pixels = self.decode(content)
        kind = cv2.INTER_AREA if min(pixels.shape[:2]) > self.resize else cv2.INTER_LINEAR
        return self.normalise(centre(shorter_side(pixels, self.resize, kind), self.crop))

    def decode(self, content: bytes) -> np.ndarray:
        """Pixels, uint8 (H, W, 3)."""
        import simplejpeg

        return simplejpeg.decode_jpeg(content, colorspace="RGB")


class SimplejpegScaled(SimplejpegOpencv):
    """The same, but libjpeg-turbo already shrinks by a power of two while it decodes."""

    def decode(self, content: bytes) -> np.ndarray:
        """Pixels, uint8 (H, W, 3), at least as large as the resized photo."""
        import simplejpeg

        return simplejpeg.decode_jpeg(
            content, colorspace="RGB", min_height=self.resize, min_width=self.resize, min_factor=1
        )


class Kornia:
    """kornia-rs: libjpeg in Rust, its antialiased resize, then as above."""

    def __init__(self, resize: int, crop: int) -> None:
        self.resize = resize
        self.crop = crop
        self.normalise = ToFloat()

    @staticmethod
    def require() -> None:
        """Raise if kornia-rs is not installed."""
        _require("kornia_rs", "kornia-rs", "imgproc")

    def __call__(self, content: bytes) -> torch.Tensor:
        """A photo's tensor."""
        import kornia_rs

        pixels = kornia_rs.io.decode_image_jpeg(content)
        if pixels.shape[2] == 1:
            pixels = pixels.repeat(3, axis=2)
        size = resized(pixels.shape, self.resize)
        return self.normalise(centre(kornia_rs.imgproc.resize(pixels, size, "bilinear"), self.crop))


class Released:
    """The code published with Xu et al., "Learning in the Frequency Domain", rebuilt from its description.

    OpenCV decodes, resizes and crops. The crop gives luma; the crop enlarged twofold gives chroma, which
    4:2:0 halves again: both are encoded at quality 100 and their coefficients read back (there by a package
    around libjpeg, here by libjpeg-turbo itself), made one tensor, selected and normalised.
    """

    def __init__(self, spec: FrequencySpec) -> None:
        assert isinstance(spec.resize, int)
        assert isinstance(spec.crop, int)
        self.resize = spec.resize
        self.crop = spec.crop
        self.select = [list(spec.channels.component(component)) for component in range(3)]
        self.mean = list(spec.mean or ())
        self.std = list(spec.std or ())

    @staticmethod
    def require() -> None:
        """Raise if OpenCV, simplejpeg (as encoder) or libjpeg-turbo (as reader) is missing."""
        SimplejpegOpencv.require()
        libjpeg.load()

    def __call__(self, content: bytes) -> torch.Tensor:
        """A photo's tensor."""
        cv2 = opencv()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        pixels = np.ascontiguousarray(centre(shorter_side(pixels, self.resize, cv2.INTER_LINEAR), self.crop))
        enlarged = cv2.resize(pixels, (2 * self.crop, 2 * self.crop), interpolation=cv2.INTER_LINEAR)
        (luma,) = self._coefficients(pixels, range(1))
        blue, red = self._coefficients(enlarged, range(1, 3))
        cubes = [
            torch.from_numpy(plane.transpose(2, 0, 1)).float() for plane in (luma, blue, red)
        ]  # (64, h, w) each
        cube = torch.cat([cube[chosen] for cube, chosen in zip(cubes, self.select, strict=True)])
        return transforms.normalize(cube, self.mean, self.std)

    def _coefficients(self, pixels: np.ndarray, components: range) -> np.ndarray:
        """Of the components that have crop / 8 blocks a side, int16 (components, h, w, 64)."""
        import simplejpeg

        file = simplejpeg.encode_jpeg(pixels, quality=100, colorspace="BGR", colorsubsampling="420")
        return libjpeg.planes(file, components, (self.crop // 8, self.crop // 8))


def shorter_side(pixels: np.ndarray, length: int, interpolation: int) -> np.ndarray:
    """Resize (H, W, 3) so that its shorter side has a length, with OpenCV."""
    return opencv().resize(pixels, resized(pixels.shape, length)[::-1], interpolation=interpolation)


def resized(shape: Sequence[int], length: int) -> tuple[int, int]:
    """(height, width) of a photo (H, W, …) whose shorter side is resized to a length."""
    height, width = shape[:2]
    return (
        (length, int(length * width / height)) if height <= width else (int(length * height / width), length)
    )


def centre(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle square of (H, W, 3)."""
    top, left = (round((length - side) / 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def require_dali() -> None:
    """Raise if DALI is not installed."""
    _require("nvidia.dali", "nvidia-dali-cuda120 (several hundred megabytes)")


def open_dali(
    photos: Photos, threads: int, batch: int, *, resize: int, crop: int
) -> Callable[[], Iterator[Any]]:
    """DALI's own graph, fed with the files' bytes; no GPU is used."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=batch, num_threads=threads, device_id=None, prefetch_queue_depth=1)
    def graph() -> Any:
        files = fn.external_source(name="files", dtype=types.UINT8, ndim=1)
        pixels = fn.decoders.image(files, device="cpu", output_type=types.RGB)
        pixels = fn.resize(pixels, resize_shorter=resize)
        return fn.crop_mirror_normalize(
            pixels,
            crop=(crop, crop),
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=[255 * value for value in IMAGENET_MEAN],
            std=[255 * value for value in IMAGENET_STD],
        )

    dali = graph()
    dali.build()
    arrays = [np.frombuffer(content, np.uint8) for content in photos.contents]

    def epoch() -> Iterator[Any]:
        for start in range(0, len(arrays), batch):
            dali.feed_input("files", arrays[start : start + batch])
            (images,) = dali.run()
            yield torch.from_numpy(np.asarray(images.as_tensor()))

    return epoch


def require_turboloader() -> None:
    """Raise if TurboLoader is not installed."""
    _require("turboloader", "turboloader")


def open_turboloader(photos: Photos, threads: int, batch: int, **options: Any) -> Callable[[], Iterator[Any]]:
    """TurboLoader's own loader, on the JPEG files in the tar file that it takes."""
    return _turboloader(_archive(photos), threads, batch, **options)


def open_turboloader_pixels(photos: Photos, batch: int) -> Callable[[], Iterator[Any]]:
    """TurboLoader on its own store of pixels, resized to 256×256 beforehand, with random crops."""
    import turboloader

    store = photos.root / "photos.tbl"
    turboloader.preprocess_to_tbl(str(_archive(photos)), str(store), image_size=256, num_workers=1)
    return _turboloader(store, 1, batch, train_aug=True)


def _archive(photos: Photos) -> Path:
    """The photos in a tar file."""
    archive = photos.root / "photos.tar"
    if not archive.exists():
        with tarfile.open(archive, "w") as tar:
            for path in photos.paths:
                tar.add(path, arcname=Path(path).name)
    return archive


def _turboloader(source: Path, threads: int, batch: int, **options: Any) -> Callable[[], Iterator[Any]]:
    import turboloader

    loader = turboloader.DataLoader(
        str(source),
        batch_size=batch,
        num_workers=threads,
        image_size=224,
        output_format="pytorch",
        transform=turboloader.ImageNetNormalize(),
        **options,
    )
    return lambda: (torch.from_numpy(images) for images, _ in loader)


def _require(module: str, package: str, name: str | None = None) -> None:
    """Raise ModuleNotFoundError, with how to get it, unless a module is there and has a name."""
    try:
        found = importlib.import_module(module)
        if name is not None:
            getattr(found, name)
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise ModuleNotFoundError(f"pip install {package} ({' '.join(str(error).split())[:100]})") from error
