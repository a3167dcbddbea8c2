"""Features of photos, computed on a Ray cluster, and the nearest neighbours that they give.

    python examples/embed_on_ray.py    # generated photos, and a cluster on this machine
    python examples/embed_on_ray.py --photos PHOTOS --ray auto --model resnet50 --weights DEFAULT

The same as `freqvision embed`, with a model of one's own choice.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file

from freqvision.data import write_synthetic_photos
from freqvision.data.opening import open_sources
from freqvision.models.embed import embed_photos
from freqvision.models.features import feature_model


def untrained(folder: Path) -> Path:
    """Weights of a small network that was never trained, whose features still tell colours apart."""
    from safetensors.torch import save_file
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(0)
    save_file(mobilenet_v3_small().state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def main() -> None:
    """Embed, and print the nearest neighbour of some photos."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", help="folder of photos or of tar shards; default: generated ones")
    parser.add_argument("--model", default="mobilenet_v3_small")
    parser.add_argument("--weights", help="default: random")
    parser.add_argument(
        "--ray", default="local", help="address of a cluster; local starts one, none uses none"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.photos is None:
            write_synthetic_photos(folder / "photos", photos_per_class=4, size=96)
        photos = open_sources(options.photos or folder / "photos")
        weights = options.weights or untrained(folder)
        done = embed_photos(
            photos,
            folder / "features",
            partial(feature_model, options.model, weights),  # each process makes the model once
            about=f"{options.model} {weights}",
            file_format="safetensors",
            photos_per_shard=8,
            batch_size=8,
            device="cpu",
            ray=None if options.ray == "none" else options.ray,
        )
        print(f"{done.photos} photos, {done.dimensions} numbers each")
        files = sorted((folder / "features").glob("*.safetensors"))
        features = torch.cat([load_file(file)["features"] for file in files])  # (N, D)
    features = torch.nn.functional.normalize(features - features.mean(0), dim=1)
    likeness = (features @ features.T).fill_diagonal_(-1)  # (N, N)
    for place in range(0, len(photos), max(1, len(photos) // 6)):
        nearest = int(likeness[place].argmax())
        print(
            f"{Path(photos.name(place)).parent.name}/{Path(photos.name(place)).name} is nearest to "
            f"{Path(photos.name(nearest)).parent.name}/{Path(photos.name(nearest)).name}"
        )


if __name__ == "__main__":
    main()
