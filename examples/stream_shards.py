"""Read tar shards of photos, as WebDataset and img2dataset write them, into batches of DCT channels.

    python examples/stream_shards.py
    python examples/stream_shards.py --shards '/data/train-*.tar'

The first generates its shards. Any photo of a shard is read at random, so shuffling and resuming work as for
a folder; under torch.distributed every process gets the same number of batches. `freqvision pack PHOTOS
SHARDS` writes shards of packed photos, which are read in the same way.
"""

import argparse
import tempfile
import time
from pathlib import Path

import freqvision as fv
from freqvision.data import PhotoLoader, PhotoShards, RandomView, write_synthetic_photos
from freqvision.data.folder import list_classes
from freqvision.data.shards import write_shard


def write_shards(folder: Path, photos_per_shard: int = 100) -> list[Path]:
    """Write synthetic photos, each with the name of its class; returns the shards' paths."""
    write_synthetic_photos(folder / "photos", photos_per_class=50)
    classes = list_classes(folder / "photos")
    photos = sorted((folder / "photos").rglob("*.jpg"))
    paths = []
    for start in range(0, len(photos), photos_per_shard):
        samples = [
            (f"{start + place:06d}", ".jpg", path.read_bytes(), classes.index(path.parent.name))
            for place, path in enumerate(photos[start : start + photos_per_shard])
        ]
        paths.append(write_shard(folder / f"{len(paths):06d}.tar", samples))
    return paths


def main() -> None:
    """Read all shards once, and print how fast."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", help="folder or pattern of the tar files; default: synthetic ones")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    spec = fv.FrequencySpec(resize=144, crop=128, channels=fv.ChannelSet.preset(24), dtype="int8")
    with tempfile.TemporaryDirectory() as temporary:
        shards = options.shards or write_shards(Path(temporary))
        photos = PhotoShards(shards, spec, augment=RandomView(scale=(0.35, 1.0)))
        started, count = time.perf_counter(), 0
        for images, _labels in PhotoLoader(photos, options.batch_size, shuffle=True):
            count += len(images)
        seconds = time.perf_counter() - started
    print(f"{count} photos as {spec.shape} {spec.dtype}: {count / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
