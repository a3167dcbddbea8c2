"""Pack photos once, and train from tar shards, on this machine or in object storage.

    python examples/shards.py
    python examples/shards.py --photos PHOTOS --shards PACKED
    python examples/shards.py --shards s3://bucket/train      # credentials come from the environment

Without photos it generates some. `freqvision pack PHOTOS PACKED` packs them too, and measures the loss.
Shards of JPEGs, as WebDataset and img2dataset write them, are read in the same way.
"""

import argparse
import tempfile
import time
from pathlib import Path

import freqvision as fv
from freqvision.data import PhotoLoader, PhotoShards, RandomView, write_synthetic_photos
from freqvision.data.opening import open_sources
from freqvision.data.pack import pack_photos
from freqvision.inputs.packed import Packer

CHANNELS = fv.ChannelSet.preset(24)


def main() -> None:
    """Pack the photos, read all shards once, and print how fast."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="folder with a sub-folder for each class")
    parser.add_argument("--shards", help="folder to pack them into, or where shards are")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        shards = options.shards or f"{temporary}/packed"
        if options.photos or not options.shards:
            photos = options.photos or Path(temporary, "photos")
            if not options.photos:
                write_synthetic_photos(photos, photos_per_class=50)
            store = fv.FrequencySpec(resize=144, crop=None, channels=CHANNELS)
            packed = pack_photos(open_sources(photos), shards, Packer(store), photos_per_shard=100)
            size = packed.packed_bytes / packed.source_bytes
            print(f"{packed.photos} photos packed into {size:.2f} × their size")
        spec = fv.FrequencySpec(resize=144, crop=128, channels=CHANNELS, dtype="int8")
        data = PhotoShards(shards, spec, RandomView(scale=(0.35, 1.0)))
        # Blocks of 64 neighbours, shuffled within windows of 512: object storage is read in megabytes.
        loader = PhotoLoader(data, options.batch_size, shuffle=True, shuffle_block=64, shuffle_window=512)
        started, count = time.perf_counter(), 0
        for images, _labels in loader:
            count += len(images)
        seconds = time.perf_counter() - started
    print(f"{count} photos as {spec.shape} {spec.dtype}: {count / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
