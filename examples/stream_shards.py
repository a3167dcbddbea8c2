"""Read tar shards of photos, as WebDataset writes them, straight into batches of DCT channels.

    python examples/stream_shards.py
    python examples/stream_shards.py --shards '/data/train-{000000..000146}.tar' --workers 4

The first generates its shards. Each worker, and under torch.distributed each machine, reads its share of the
shards from start to end: no random access, which suits disks and object stores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
import webdataset as wds
from torch.utils.data import DataLoader

import freqvision as fv
from freqvision.data import write_synthetic_photos
from freqvision.data.folder import list_classes


def write_shards(folder: Path, photos_per_shard: int = 100) -> list[str]:
    """Write synthetic photos, each with the number of its class; returns the shards' paths."""
    write_synthetic_photos(folder / "photos", photos_per_class=50)
    numbers = {name: number for number, name in enumerate(list_classes(folder / "photos"))}
    with wds.ShardWriter(f"{folder}/%06d.tar", maxcount=photos_per_shard, verbose=0) as writer:
        for index, path in enumerate(sorted((folder / "photos").rglob("*.jpg"))):
            label = numbers[path.parent.name]
            writer.write({"__key__": f"{index:06d}", "jpg": path.read_bytes(), "cls": label})
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def open_shards(paths: str | list[str], spec: fv.FrequencySpec, batch_size: int, workers: int) -> DataLoader:
    """Batches of ((B, C, h, w) of the spec's type, (B,) int64), in a different order each time."""
    decoder = fv.Decoder(spec, num_threads=1)  # the workers run in parallel

    def decode(samples: list[tuple[bytes, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        photos, labels = zip(*samples, strict=True)
        return decoder.random_resized(photos, scale=(0.35, 1.0)), torch.tensor(labels)

    shards = wds.WebDataset(paths, shardshuffle=100, nodesplitter=wds.split_by_node)
    samples = shards.shuffle(1000).to_tuple("jpg;jpeg", "cls").map_tuple(bytes, int)
    return DataLoader(samples.batched(batch_size, collation_fn=decode), batch_size=None, num_workers=workers)


def main() -> None:
    """Read all shards once, and print how fast."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", help="pattern of the tar files; default: synthetic ones")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    spec = fv.FrequencySpec(resize=144, crop=128, channels=fv.ChannelSet.preset(24), dtype="int8")
    with tempfile.TemporaryDirectory() as temporary:
        loader = open_shards(
            options.shards or write_shards(Path(temporary)), spec, options.batch_size, options.workers
        )
        started, photos = time.perf_counter(), 0
        for inputs, _labels in loader:
            photos += len(inputs)
        seconds = time.perf_counter() - started
    print(f"{photos} photos as {spec.shape} {spec.dtype}: {photos / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
