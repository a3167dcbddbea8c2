"""What packing costs the trained networks of studies/packed.yaml: views of files and of packed photos.

    python studies/packed_causes.py ../shared/data/clothing runs/packed

Prints the cross-entropy of each network on the validation photos: its own centre views, and random views as
in training, from the files and from the packed photos of 24 channels; and that without the weights of the
frequencies that a fold leaves out.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from freqvision import Decoder, read_header
from freqvision.data.folder import PACKED
from freqvision.data.pack import _scaled
from freqvision.inputs.view import random_resized_view
from freqvision.models import load
from freqvision.runtime import aligned


def loss(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean cross-entropy."""
    return F.cross_entropy(torch.cat([network(some) for some in inputs.split(64)]), labels).item()


@torch.inference_mode()
def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of JPEG files")
    parser.add_argument("runs", type=Path, help="folder of the runs, and of clothing, the packed photos")
    options = parser.parse_args()
    networks = {
        checkpoint.parts[-3]: load(checkpoint).eval()
        for checkpoint in sorted(options.runs.glob("*_seed*/checkpoints/last.ckpt"))
    }
    some = next(iter(networks.values()))
    files = sorted((options.photos / "validation").glob("*/*"))
    packed = [
        options.runs / "clothing" / path.relative_to(options.photos).with_suffix(PACKED) for path in files
    ]
    labels = torch.tensor([some.class_names.index(path.parent.name) for path in files])
    sizes = [read_header(path).size for path in files]
    views = [
        random_resized_view(size, some.spec.crop, (0.35, 1.0), generator=torch.Generator().manual_seed(place))
        for place, size in enumerate(sizes)
    ]
    smaller = [
        _scaled(view, size, read_header(path).size)
        for view, size, path in zip(views, sizes, packed, strict=True)
    ]
    decode = Decoder(some.spec)
    inputs = (decode(files), decode(packed), decode(files, views), decode(packed, smaller))
    rows = [("run", "centre, files", "packed", "random, files", "packed", "centre, files, without detail")]
    for name, network in networks.items():
        found = [loss(network, one, labels) for one in inputs]
        for parameter, weight in network.named_parameters():
            if ".detail." in parameter and weight.ndim == 4:
                weight.zero_()
        found.append(loss(network, inputs[0], labels))
        rows.append((name, *(f"{one:.3f}" for one in found)))
    print(aligned(rows))


if __name__ == "__main__":
    main()
